//! `/metrics`, `/healthz` and `/readyz`.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{
    net::TcpListener,
    sync::Mutex,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::readers::Readers;
use crate::{
    metrics::Metrics,
    store::{Store, StoreFault},
};

/// How long the store may take to write something trivial before the server counts as not ready.
const PROBE_PATIENCE: Duration = Duration::from_secs(2);

/// How long a judgement of the store holds: each is a write that is synced.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Connections of readers at once; further ones wait to be accepted.
const READERS_MAX: usize = 64;
/// How long such a connection lasts before one that is silent or does not read is ended.
const READER_PATIENCE: Duration = Duration::from_secs(60);

/// Between two trials of a store whose queue is full.
const PROBE_AGAIN: Duration = Duration::from_millis(20);

/// Why a server should not be sent clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Unready {
    #[error("starting")]
    Starting,
    #[error("draining")]
    Draining,
    /// The store answers, that its disk is full.
    #[error("the store takes no writes")]
    Full,
    #[error("the store takes no writes")]
    Broken,
    #[error("the store is too slow")]
    Slow,
}

/// Whether this server should be sent clients.
pub struct Health {
    store: Arc<dyn Store>,
    /// What the store was last found to be, and when. Whoever asks meanwhile waits for the same probe.
    found: Mutex<Option<(Instant, Result<(), Unready>)>>,
    bound: AtomicBool,
    draining: CancellationToken,
}

impl Health {
    /// A server that is not ready yet; `draining` is cancelled when it begins to stop.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, draining: CancellationToken) -> Self {
        Self { store, found: Mutex::new(None), bound: AtomicBool::new(false), draining }
    }

    /// The endpoint for clients is open.
    pub fn set_bound(&self) {
        self.bound.store(true, Ordering::Release);
    }

    /// Ready, or the reason why not.
    async fn judge(&self) -> Result<(), Unready> {
        if !self.bound.load(Ordering::Acquire) {
            return Err(Unready::Starting);
        }
        if self.draining.is_cancelled() {
            return Err(Unready::Draining);
        }
        self.probed(Instant::now()).await
    }

    /// Whether it is worth keeping: the store answers. That a disk is full is an answer, because starting anew makes no room,
    /// and so is a drain.
    pub async fn is_alive(&self) -> bool {
        matches!(self.probed(Instant::now()).await, Ok(()) | Err(Unready::Full))
    }

    /// What the store is found to be now, or was a moment ago.
    async fn probed(&self, now: Instant) -> Result<(), Unready> {
        let mut found = self.found.lock().await;
        if let Some((when, judgement)) = *found
            && now.saturating_duration_since(when) < PROBE_EVERY
        {
            return judgement;
        }
        let judgement = judgement(timeout(PROBE_PATIENCE, probe(|| self.store.probe())).await.ok());
        *found = Some((Instant::now(), judgement));
        judgement
    }
}

/// What the store says, once it has room for the question.
async fn probe<F: Future<Output = Result<(), StoreFault>>>(ask: impl Fn() -> F) -> Result<(), StoreFault> {
    loop {
        match ask().await {
            Err(StoreFault::Busy) => sleep(PROBE_AGAIN).await,
            outcome => return outcome,
        }
    }
}

/// What follows from a probe; nothing where none came back in time.
fn judgement(probed: Option<Result<(), StoreFault>>) -> Result<(), Unready> {
    match probed {
        Some(Ok(())) => Ok(()),
        Some(Err(fault)) => {
            tracing::warn!(%fault, "not ready: the store takes no writes");
            Err(if fault == StoreFault::Full { Unready::Full } else { Unready::Broken })
        }
        None => Err(Unready::Slow),
    }
}

/// How long requests that run may still take after the end.
const LAST_PAGES: Duration = Duration::from_secs(2);

/// Serves until `stop`; then requests that run are finished, but a reader that hangs holds nobody up.
///
/// # Errors
/// The listener fails.
pub async fn serve_http(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    stop: CancellationToken,
) -> io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(page))
        .with_state(metrics)
        .merge(Router::new().route("/readyz", get(ready)).with_state(health))
        .route("/healthz", get(|| async { "alive\n" }));
    let readers = Readers::new(listener, READERS_MAX, READER_PATIENCE);
    let serve = axum::serve(readers, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    // What is dropped here are connections of readers only.
    tokio::select! {
        ended = serve => ended,
        () = async { stop.cancelled().await; sleep(LAST_PAGES).await } => Ok(()),
    }
}

async fn page(State(metrics): State<Arc<Metrics>>) -> Response {
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics can't be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn ready(State(health): State<Arc<Health>>) -> Response {
    match health.judge().await {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    #[tokio::test]
    async fn a_server_is_ready_between_its_start_and_its_drain_while_its_store_writes() {
        let (store, draining) = (Arc::new(MemoryStore::new()), CancellationToken::new());
        let health = Health::new(store.clone(), draining.clone());
        assert_eq!(health.judge().await, Err(Unready::Starting));
        health.set_bound();
        assert_eq!(health.judge().await, Ok(()));
        store.close().await.unwrap();
        // Nobody writes anew for each who asks; the judgement is a second old at most.
        assert_eq!(health.probed(Instant::now()).await, Ok(()));
        let later = Instant::now() + PROBE_EVERY;
        assert_eq!(health.probed(later).await, Err(Unready::Broken));
        assert_eq!(health.judge().await, Err(Unready::Broken));
        assert!(!health.is_alive().await);
        draining.cancel();
        assert_eq!(health.judge().await, Err(Unready::Draining));
    }

    #[tokio::test]
    async fn a_drain_and_a_full_disk_are_lived_through_and_a_store_that_hangs_is_not() {
        let (store, draining) = (Arc::new(MemoryStore::new()), CancellationToken::new());
        let health = Health::new(store, draining.clone());
        draining.cancel();
        assert!(health.is_alive().await);
        for (judged, alive) in [
            (judgement(Some(Ok(()))), true),
            (judgement(Some(Err(StoreFault::Full))), true),
            (judgement(Some(Err(StoreFault::Engine("i/o".into())))), false),
            (judgement(None), false),
        ] {
            *health.found.lock().await = Some((Instant::now() + PROBE_EVERY, judged));
            assert_eq!(health.is_alive().await, alive, "{judged:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_is_full_is_asked_again_until_the_store_takes_the_question() {
        let asked = std::cell::Cell::new(0);
        let answer = |busy: u32| {
            asked.set(asked.get() + 1);
            std::future::ready(if asked.get() <= busy { Err(StoreFault::Busy) } else { Ok(()) })
        };
        assert_eq!(timeout(PROBE_PATIENCE, probe(|| answer(50))).await, Ok(Ok(())));
        // One that never takes it hangs.
        assert!(timeout(PROBE_PATIENCE, probe(|| answer(u32::MAX))).await.is_err());
    }
}
