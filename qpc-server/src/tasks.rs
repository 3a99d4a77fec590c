//! The one owner of everything that runs besides its caller.
//!
//! A task has a kind, a span and a token that tells it to stop, and is awaited when the server
//! ends. A panic in a task that serves one session ends that session and is counted as a bug; one
//! in a task that all share ends the process, because what it left behind can't be trusted (D13).

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, Span};

use crate::metrics::Metrics;

/// The kinds of tasks that serve one session, or make one order: a panic of theirs is counted. One of any other kind ends the
/// process.
pub const SESSION_KINDS: [&str; 6] = ["connection", "stream", "admin", "peer", COMPUTING, ORDER];

/// What [`Tasks::compute`] counts as.
const COMPUTING: &str = "compute";

/// What an order at an ACME authority counts as, which the task that makes it outlives.
pub(crate) const ORDER: &str = "acme";

/// Owns the server's tasks.
#[derive(Debug, Clone)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    metrics: Arc<Metrics>,
    /// Computations are done where they are asked for.
    one_thread: bool,
}

impl Tasks {
    /// An owner of nothing yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { tracker: TaskTracker::new(), stop: CancellationToken::new(), metrics, one_thread: false }
    }

    /// The same, with no thread besides the runtime's: what happens, happens in the same order each time.
    #[must_use]
    pub fn on_one_thread(self) -> Self {
        Self { one_thread: true, ..self }
    }

    /// Cancelled when the server begins to stop.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.stop
    }

    /// Runs a task for one session. `panicked` is called if it panics, to end what it served.
    pub fn serve(
        &self,
        kind: &'static str,
        span: Span,
        task: impl Future<Output = ()> + Send + 'static,
        panicked: impl FnOnce() + Send + 'static,
    ) {
        let metrics = Arc::clone(&self.metrics);
        // What the task shared with others are atomics, DashMaps and channels, which a panic leaves whole;
        // what it had to itself ends with it. Combinators, because an async block would keep room for the task
        // twice: where it was captured and where it is awaited.
        let guarded = AssertUnwindSafe(task).catch_unwind().map(move |ended| {
            if ended.is_err() {
                metrics.panicked(kind);
                tracing::error!(kind, "a task of one session panicked");
                panicked();
            }
        });
        drop(self.tracker.spawn(guarded.instrument(span)));
    }

    /// Runs a task that all sessions rely on.
    pub fn share(&self, kind: &'static str, span: Span, task: impl Future<Output = ()> + Send + 'static) {
        let guarded = async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                tracing::error!(kind, "a shared task panicked: the process ends");
                std::process::abort();
            }
        };
        drop(self.tracker.spawn(guarded.instrument(span)));
    }

    /// Does what keeps a thread busy, on one that nobody else waits for; `None` where it panicked. It goes on where
    /// the future is dropped. Whoever calls bounds how many there are.
    pub async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        if self.one_thread {
            return Some(work());
        }
        match self.tracker.spawn_blocking(work).await {
            Ok(done) => Some(done),
            Err(error) => {
                if error.is_panic() {
                    self.metrics.panicked(COMPUTING);
                    tracing::error!(kind = COMPUTING, "a computation panicked");
                }
                None
            }
        }
    }

    /// Tells every task to stop and waits for them, no longer than this. Says whether all have ended.
    pub async fn finish(&self, patience: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(patience, self.tracker.wait()).await.is_ok()
    }

    /// Tasks that run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.tracker.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn tasks() -> Tasks {
        Tasks::new(Arc::new(Metrics::new().unwrap()))
    }

    #[tokio::test]
    async fn a_panic_ends_one_session_and_is_counted() {
        let tasks = tasks();
        let ended = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ended);
        tasks.serve("test", Span::none(), async { panic!("planted") }, move || told.store(true, Ordering::SeqCst));
        let stop = tasks.stopping().clone();
        tasks.serve("other", Span::none(), async move { stop.cancelled().await }, || ());
        assert!(tasks.finish(Duration::from_secs(10)).await);
        assert!(ended.load(Ordering::SeqCst));
        assert_eq!((tasks.metrics.panics("test"), tasks.metrics.panics("other")), (1, 0));
    }

    /// The test runs itself in a child process, which is the one that ends.
    #[test]
    fn a_panic_in_a_shared_task_ends_the_process() {
        use std::os::unix::process::ExitStatusExt;
        const PLANTED: &str = "QPC_TEST_PLANTED_PANIC";
        if std::env::var_os(PLANTED).is_some() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let tasks = tasks();
                tasks.share("shared", Span::none(), async { panic!("planted") });
                tokio::time::sleep(Duration::from_secs(60)).await;
            });
            return;
        }
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tasks::tests::a_panic_in_a_shared_task_ends_the_process"])
            .env(PLANTED, "1")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.signal(), Some(6), "{status}");
    }

    #[tokio::test]
    async fn a_computation_that_panics_is_counted_and_the_next_one_is_done() {
        let tasks = tasks();
        assert_eq!(tasks.compute(|| -> u8 { panic!("planted") }).await, None);
        assert_eq!(tasks.compute(|| 7).await, Some(7));
        assert_eq!(tasks.metrics.panics(COMPUTING), 1);
    }

    #[tokio::test]
    async fn a_task_that_does_not_stop_is_reported() {
        let tasks = tasks();
        tasks.serve("stubborn", Span::none(), std::future::pending(), || ());
        assert!(!tasks.finish(Duration::from_millis(20)).await);
        assert_eq!(tasks.running(), 1);
    }
}
