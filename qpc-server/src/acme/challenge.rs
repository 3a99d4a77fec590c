//! The listener on which the authority looks for the proof that a name leads here (RFC 8555 section 8.3): open to everybody
//! while an order is under way, and knowing nothing but the answers of that order.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::http::{Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::AcmeError;
use crate::policy::limits::AcmeLimits;

/// What the path of a request for a proof begins with.
const PREFIX: &str = "/.well-known/acme-challenge/";
/// Bytes of a request's head; the library takes no less.
const HEAD_MAX: usize = 8 * 1024;
/// After a connection that could not be accepted.
const BREATH: Duration = Duration::from_millis(100);

/// The answers of one order: by token, what proves it.
#[derive(Clone, Default)]
pub(super) struct Answers(Arc<Mutex<BTreeMap<String, String>>>);

impl Answers {
    pub(super) fn add(&self, token: &str, proof: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(token.to_owned(), proof.to_owned());
    }

    fn of(&self, token: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }
}

/// The open listener. It closes when it is dropped.
pub(super) struct Door {
    listener: TcpListener,
    visitors: usize,
    visit: Duration,
}

impl Door {
    pub(super) async fn open(address: SocketAddr, limits: &AcmeLimits) -> Result<Self, AcmeError> {
        let listener = TcpListener::bind(address).await.map_err(|error| AcmeError::Listen { address, error })?;
        Ok(Self { listener, visitors: limits.visitors, visit: limits.visit })
    }

    /// Answers until it is dropped, and whoever is being answered with it.
    pub(super) async fn serve(self, answers: Answers) -> Infallible {
        let mut visitors = JoinSet::new();
        loop {
            // Both branches only wait.
            tokio::select! {
                Some(_) = visitors.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) if visitors.len() < self.visitors => {
                        visitors.spawn(receive(stream, answers.clone(), self.visit));
                    }
                    // Closed at once: the authority comes again with the next order.
                    Ok(_) => tracing::debug!("too many look for a proof"),
                    Err(error) => {
                        tracing::debug!(%error, "a connection was not accepted");
                        sleep(BREATH).await;
                    }
                },
            }
        }
    }
}

/// One connection, one request.
async fn receive(stream: TcpStream, answers: Answers, patience: Duration) {
    let service = service_fn(move |request: Request<_>| {
        let answer = answer(request.method(), request.uri().path(), &answers);
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut http = http1::Builder::new();
    let http = http.keep_alive(false).max_buf_size(HEAD_MAX).header_read_timeout(None);
    match timeout(patience, http.serve_connection(TokioIo::new(stream), service)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a request for a proof was none"),
        Err(_) => tracing::debug!("a request for a proof took too long"),
    }
}

fn answer(method: &Method, path: &str, answers: &Answers) -> Response<Full<Bytes>> {
    let proof = path.strip_prefix(PREFIX).filter(|_| method == Method::GET).and_then(|token| answers.of(token));
    let status = if proof.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let mut answer = Response::new(Full::new(Bytes::from(proof.unwrap_or_default())));
    *answer.status_mut() = status;
    let kind = header::HeaderValue::from_static("application/octet-stream");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What is answered to a request; nothing where the connection is closed.
    async fn ask(stream: &mut TcpStream, path: &str) -> String {
        // It may be closed by now.
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: chat.example\r\n\r\n").as_bytes()).await.ok();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok();
        answer
    }

    #[tokio::test]
    async fn visitors_are_few_and_stay_for_a_moment() {
        let limits = AcmeLimits { visitors: 1, visit: Duration::from_millis(300), ..AcmeLimits::default() };
        let door = Door::open("127.0.0.1:0".parse().unwrap(), &limits).await.unwrap();
        let address = door.listener.local_addr().unwrap();
        let answers = Answers::default();
        answers.add("token", "the proof");
        let mut serving = JoinSet::new();
        serving.spawn(async move { match door.serve(answers).await {} });

        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        assert_eq!(ask(&mut second, "/.well-known/acme-challenge/token").await, "", "there is one already");
        let ended = timeout(Duration::from_secs(30), silent.read(&mut [0])).await;
        assert_eq!(ended.expect("it was there for long enough").unwrap(), 0);
        let mut third = TcpStream::connect(address).await.unwrap();
        let answer = ask(&mut third, "/.well-known/acme-challenge/token").await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nthe proof"), "{answer}");
        let mut long = TcpStream::connect(address).await.unwrap();
        let answer = ask(&mut long, &format!("/{}", "x".repeat(2 * HEAD_MAX))).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
}
