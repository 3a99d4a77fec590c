//! The connections of those who read the pages: so many at once, and none for long.
//!
//! Further ones wait until they are accepted. A connection that is silent or does not read when its time is over
//! ends, so that those who hang keep nobody else out.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::serve::Listener;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};

/// A listener that has so many places.
pub(super) struct Readers {
    listener: TcpListener,
    places: Arc<Semaphore>,
    /// How long a connection may last that makes somebody wait.
    patience: Duration,
}

impl Readers {
    pub(super) fn new(listener: TcpListener, places: usize, patience: Duration) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(places)), patience }
    }
}

impl Listener for Readers {
    type Io = Reader;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Reader, SocketAddr) {
        // Nobody closes the semaphore; if it were closed, there would be no bound.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (stream, from) = Listener::accept(&mut self.listener).await;
        (Reader { stream, patience: Box::pin(sleep(self.patience)), _place: place }, from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One of them; its place is free again when it is dropped.
pub(super) struct Reader {
    stream: TcpStream,
    patience: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Reader {
    /// Lets what would wait wait until the time is over.
    fn no_longer<T>(&mut self, outcome: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if outcome.is_pending() {
            ready!(self.patience.as_mut().poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        outcome
    }
}

impl AsyncRead for Reader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.no_longer(outcome, cx)
    }
}

impl AsyncWrite for Reader {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.no_longer(outcome, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing::get};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::timeout,
    };

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    async fn serve(places: usize, patience: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "here\n" }));
        let serving = axum::serve(Readers::new(listener, places, patience), router);
        #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
        tokio::spawn(async move { serving.await });
        address
    }

    async fn page(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: qpc\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).await.unwrap();
        page
    }

    #[tokio::test]
    async fn one_more_than_there_are_places_waits_until_one_is_free() {
        let address = serve(2, LONG).await;
        let (silent, _other) = (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
        let mut waiting = std::pin::pin!(page(address));
        assert!(timeout(Duration::from_millis(200), &mut waiting).await.is_err(), "it was served");
        drop(silent);
        assert!(timeout(LONG, waiting).await.unwrap().ends_with("here\n"));
    }

    #[tokio::test]
    async fn those_who_hang_keep_nobody_out() {
        let address = serve(2, Duration::from_millis(100)).await;
        let _silent = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        assert!(timeout(LONG, page(address)).await.unwrap().ends_with("here\n"));
    }
}
