//! The socket with a bound on the packets of one system call.
//!
//! quinn keeps, for each connection, a buffer for as many packets as the socket takes at once, and every
//! handshake with a post-quantum key share needs more than one. With the ten that Linux takes, that
//! buffer is the largest thing an idle connection has: 13 KiB. Everything else is the inner socket's.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use quinn::{AsyncUdpSocket, UdpPoller, udp};

/// A socket that takes at most so many packets at once.
pub(super) struct Segments {
    pub(super) inner: Arc<dyn AsyncUdpSocket>,
    pub(super) at_most: usize,
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
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [io::IoSliceMut<'_>],
        meta: &mut [udp::RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_recv(cx, bufs, meta)
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
    use std::net::UdpSocket;

    use quinn::{Runtime, TokioRuntime};

    use super::*;

    /// Whatever the system would take: no connection reserves more.
    #[tokio::test]
    async fn a_connection_sends_no_more_at_once_than_it_may() {
        for at_most in [1, 3, 1000] {
            let inner = TokioRuntime.wrap_udp_socket(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
            let system = inner.max_transmit_segments();
            let socket = Segments { inner, at_most };
            assert_eq!(socket.max_transmit_segments(), system.min(at_most));
        }
    }
}
