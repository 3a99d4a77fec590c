//! The socket with a bound on the packets of one system call, and with its packets counted.
//!
//! quinn keeps, for each connection, a buffer for as many packets as the socket takes at once, and every
//! handshake with a post-quantum key share needs more than one. With the ten that Linux takes, that
//! buffer is the largest thing an idle connection has: 13 KiB. Everything else is the inner socket's. What is
//! counted is what a network carries for clients, retransmissions included, less the headers of IP and UDP.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use quinn::{AsyncUdpSocket, UdpPoller, udp};

use crate::metrics::Flow;

/// A socket that takes at most so many packets at once.
pub(super) struct Segments {
    pub(super) inner: Arc<dyn AsyncUdpSocket>,
    pub(super) at_most: usize,
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
        self.inner.max_transmit_segments().min(self.at_most)
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

    use quinn::{Runtime, TokioRuntime};

    use super::*;
    use crate::metrics::{Metrics, labels::Direction};

    fn socket(at_most: usize, metrics: &Metrics) -> Segments {
        let inner = TokioRuntime.wrap_udp_socket(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        Segments { inner, at_most, received: metrics.udp(Direction::In), sent: metrics.udp(Direction::Out) }
    }

    /// Whatever the system would take: no connection reserves more.
    #[tokio::test]
    async fn a_connection_sends_no_more_at_once_than_it_may() {
        for at_most in [1, 3, 1000] {
            let socket = socket(at_most, &Metrics::new().unwrap());
            assert_eq!(socket.max_transmit_segments(), socket.inner.max_transmit_segments().min(at_most));
        }
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
