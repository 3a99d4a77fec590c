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
