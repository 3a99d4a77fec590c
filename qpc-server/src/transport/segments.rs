//! The socket with a bound on the packets of one system call, and with its packets counted.
//!
//! quinn keeps, for each connection, a buffer for as many packets as the socket takes at once, and every
//! handshake with a post-quantum key share needs more than one. With the ten that Linux takes, that
//! buffer is the largest thing an idle connection has: 13 KiB. So only who is sent much at a time gets one: quinn
//! asks the socket before it sends, and does so in the connection's own task, which [`Noted`] gives a note of what it has
//! sent lately. Everything else is the inner socket's. What is counted is what a network carries for clients,
//! retransmissions included, less the headers of IP and UDP.

use std::{
    cell::Cell,
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller, udp};
use tokio::time::Instant;

use crate::metrics::Flow;

/// A connection that sends so many bytes within this time has much to send: one part of a blob.
const MUCH: usize = 256 * 1024;
const LATELY: Duration = Duration::from_secs(1);

tokio::task_local! {
    static SENT: Cell<Sent>;
}

/// What one of quinn's tasks, and so one connection, has sent lately.
#[derive(Debug, Clone, Copy)]
struct Sent {
    since: Instant,
    bytes: usize,
    /// It was much, the time before.
    much: bool,
}

impl Sent {
    fn nothing() -> Self {
        Self { since: Instant::now(), bytes: 0, much: false }
    }

    /// Whether it is much, now or the time before.
    fn is_much(&mut self) -> bool {
        let now = self.bytes >= MUCH;
        if self.since.elapsed() >= LATELY {
            *self = Self { much: now, ..Self::nothing() };
        }
        now || self.much
    }
}

/// Looks at the note of the task that calls, or at an empty one where nobody gave it any.
fn noted<T>(look: impl Fn(&mut Sent) -> T) -> T {
    let noted = SENT.try_with(|note| {
        let mut sent = note.get();
        let found = look(&mut sent);
        note.set(sent);
        found
    });
    noted.unwrap_or_else(|_| look(&mut Sent::nothing()))
}

/// Tokio, with a note for each of quinn's tasks.
#[derive(Debug)]
pub(super) struct Noted;

impl Runtime for Noted {
    fn new_timer(&self, at: std::time::Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        #[expect(
            clippy::disallowed_methods,
            reason = "quinn's own tasks, as its own runtime spawns them; they end with the endpoint"
        )]
        tokio::spawn(SENT.scope(Cell::new(Sent::nothing()), future));
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        TokioRuntime.wrap_udp_socket(socket)
    }

    fn now(&self) -> std::time::Instant {
        TokioRuntime.now()
    }
}

/// A socket that takes so many packets at once of a connection, and so many of one that has much to send.
pub(super) struct Segments {
    pub(super) inner: Arc<dyn AsyncUdpSocket>,
    pub(super) at_most: usize,
    pub(super) of_much: usize,
    pub(super) received: Flow,
    pub(super) sent: Flow,
}

impl fmt::Debug for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl AsyncUdpSocket for Segments {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &udp::Transmit<'_>) -> io::Result<()> {
        self.inner.try_send(transmit)?;
        let bytes = transmit.contents.len();
        noted(|sent| sent.bytes = sent.bytes.saturating_add(bytes));
        self.sent.went(bytes, transmit.segment_size.unwrap_or(bytes));
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [io::IoSliceMut<'_>],
        meta: &mut [udp::RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let polled = self.inner.poll_recv(cx, bufs, meta);
        if let Poll::Ready(Ok(filled)) = &polled {
            for each in meta.iter().take(*filled) {
                self.received.went(each.len, each.stride);
            }
        }
        polled
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        let at_most = if noted(Sent::is_much) { self.of_much.max(self.at_most) } else { self.at_most };
        self.inner.max_transmit_segments().min(at_most)
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, net::UdpSocket};

    use tokio::{
        sync::oneshot,
        time::{advance, pause},
    };

    use super::*;
    use crate::metrics::{Metrics, labels::Direction};

    fn socket(at_most: usize, metrics: &Metrics) -> Segments {
        let inner = TokioRuntime.wrap_udp_socket(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        Segments {
            inner,
            at_most,
            of_much: 10,
            received: metrics.udp(Direction::In),
            sent: metrics.udp(Direction::Out),
        }
    }

    /// Whatever the system would take: no connection reserves more.
    #[tokio::test]
    async fn a_connection_sends_no_more_at_once_than_it_may() {
        for at_most in [1, 3, 1000] {
            let socket = socket(at_most, &Metrics::new().unwrap());
            assert_eq!(socket.max_transmit_segments(), socket.inner.max_transmit_segments().min(at_most));
        }
    }

    /// Of two tasks that quinn runs on one socket, one sends much: for the time that it lasts it may send more at once.
    #[tokio::test]
    async fn who_sends_much_may_send_more_at_once_and_nobody_else() {
        let socket = Arc::new(socket(1, &Metrics::new().unwrap()));
        let many = socket.inner.max_transmit_segments().min(10);
        let (told, tells) = oneshot::channel();
        let (much, other) = (Arc::clone(&socket), Arc::clone(&socket));
        pause();
        Noted.spawn(Box::pin(async move {
            let mut found = Vec::new();
            for (bytes, then) in [(MUCH - 1, 0), (1, 1), (0, 0), (0, 1), (0, 0)] {
                noted(|sent| sent.bytes += bytes);
                found.push(much.max_transmit_segments());
                advance(LATELY * then).await;
            }
            told.send(found).unwrap();
        }));
        assert_eq!(tells.await.unwrap(), [1, many, many, many, 1]);
        let (told, tells) = oneshot::channel();
        Noted.spawn(Box::pin(async move { told.send(other.max_transmit_segments()).unwrap() }));
        assert_eq!((tells.await.unwrap(), socket.max_transmit_segments()), (1, 1));
    }

    /// What went out is what counts.
    #[tokio::test]
    async fn what_is_sent_is_noted() {
        let one = Arc::new(socket(1, &Metrics::new().unwrap()));
        let mut ready = Arc::clone(&one).create_io_poller();
        poll_fn(|cx| ready.as_mut().poll_writable(cx)).await.unwrap();
        let (told, tells) = oneshot::channel();
        Noted.spawn(Box::pin(async move {
            let destination = one.local_addr().unwrap();
            let transmit =
                udp::Transmit { destination, ecn: None, contents: &[7; 250], segment_size: None, src_ip: None };
            one.try_send(&transmit).unwrap();
            told.send(noted(|sent| sent.bytes)).unwrap();
        }));
        assert_eq!(tells.await.unwrap(), 250);
    }

    /// In one system call where the system can, in three where it can't.
    #[tokio::test]
    async fn each_packet_is_counted_by_who_sends_and_by_who_receives() {
        let (ours, theirs) = (Metrics::new().unwrap(), Metrics::new().unwrap());
        let (one, other) = (Arc::new(socket(3, &ours)), socket(3, &theirs));
        let mut ready = Arc::clone(&one).create_io_poller();
        poll_fn(|cx| ready.as_mut().poll_writable(cx)).await.unwrap();
        let destination = other.local_addr().unwrap();
        let contents = [7; 250];
        let together = if one.max_transmit_segments() >= 3 { contents.len() } else { 100 };
        for contents in contents.chunks(together) {
            one.try_send(&udp::Transmit { destination, ecn: None, contents, segment_size: Some(100), src_ip: None })
                .unwrap();
        }
        let counted = |metrics: &Metrics, way: &str| {
            let page = metrics.text().unwrap();
            let of = |what: &str| page.lines().find_map(|line| line.strip_prefix(what)?.parse::<u64>().ok()).unwrap();
            let name = |what: &str| format!("qpc_udp_{what}_total{{direction=\"{way}\"}} ");
            (of(&name("datagrams")), of(&name("bytes")))
        };
        while counted(&theirs, "in").1 < 250 {
            let (mut space, mut meta) = ([0; 65_536], [udp::RecvMeta::default()]);
            poll_fn(|cx| other.poll_recv(cx, &mut [io::IoSliceMut::new(&mut space)], &mut meta)).await.unwrap();
        }
        assert_eq!((counted(&ours, "out"), counted(&theirs, "in")), ((3, 250), (3, 250)));
        assert_eq!((counted(&ours, "in"), counted(&theirs, "out")), ((0, 0), (0, 0)));
    }
}
