//! What a server does from time to time by itself.

use std::{path::PathBuf, sync::Arc, time::Duration};

use quinn::Endpoint;
use rustls_pki_types::CertificateDer;
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::info_span;

use super::CertificateSource;
use crate::{
    account::LoginMeter,
    blob_store::{BlobStore, Sweep},
    clock::{Clock, DAY_MS},
    config,
    data_dir::ServerCertificate,
    metrics::{MachineLimits, Metrics, labels::Queue},
    policy::Limits,
    store::{Retention, Store, StoreFault},
    tasks::Tasks,
    told::Told,
    transport::{self, Identity},
};

/// How often the machine's limits and the disk are looked at.
const MACHINE_EVERY: Duration = Duration::from_secs(15);
/// How often the operator's certificate is looked at.
const CERTIFICATE_EVERY: Duration = Duration::from_secs(10);
/// How often blobs are looked through.
const BLOBS_EVERY: Duration = Duration::from_secs(60);
/// Rows of each kind in one transaction of that.
const BLOBS_BATCH: usize = 64;
/// Between two batches of the clean-up, so that messages go first.
const BATCH_PAUSE: Duration = Duration::from_millis(50);

/// Removes what retention no longer keeps, in small batches.
pub(super) fn retention(tasks: &Tasks, store: Arc<dyn Store>, config: &config::Retention, clock: Arc<dyn Clock>) {
    if config.days == 0 && config.commits_days == 0 {
        return;
    }
    let (config, stopping) = (config.clone(), tasks.stopping().clone());
    tasks.share("retention", info_span!("retention"), async move {
        let mut due = interval(config.interval.0);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Both branches only wait.
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = due.tick() => clean_up(&*store, &config, &*clock, &stopping).await,
            }
        }
    });
}

async fn clean_up(store: &dyn Store, config: &config::Retention, clock: &dyn Clock, stopping: &CancellationToken) {
    let retention = bounds(config, clock.unix_ms());
    while !stopping.is_cancelled() {
        match store.retention_step(retention).await {
            Ok(true) => sleep(BATCH_PAUSE).await,
            Ok(false) => return,
            Err(fault) => {
                tracing::warn!(%fault, "the clean-up failed and will be tried again");
                return;
            }
        }
    }
}

/// Removes blobs that are kept no longer and uploads that were given up, in small batches, and keeps their figures.
pub(super) fn blobs(
    tasks: &Tasks,
    (store, metrics): (Arc<dyn BlobStore>, Arc<Metrics>),
    (days, upload_expiry): (u32, Duration),
    clock: Arc<dyn Clock>,
) {
    let stopping = tasks.stopping().clone();
    let expiry_ms = u64::try_from(upload_expiry.as_millis()).unwrap_or(u64::MAX);
    tasks.share("blobs", info_span!("blobs"), async move {
        let mut due = interval(BLOBS_EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Both branches only wait.
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = due.tick() => {}
            }
            let now_ms = clock.unix_ms();
            let sweep = Sweep {
                uploads_before_ms: now_ms.saturating_sub(expiry_ms),
                blobs_before_ms: days_before(now_ms, days),
                now_ms,
                batch: BLOBS_BATCH,
            };
            if let Err(fault) = sweep_blobs(&*store, sweep, &metrics, &stopping).await {
                tracing::warn!(%fault, "the clean-up of blobs failed and will be tried again");
            }
        }
    });
}

async fn sweep_blobs(
    store: &dyn BlobStore,
    sweep: Sweep,
    metrics: &Metrics,
    stopping: &CancellationToken,
) -> Result<(), StoreFault> {
    while !stopping.is_cancelled() && store.sweep(sweep).await? {
        sleep(BATCH_PAUSE).await;
    }
    metrics.set_blobs(&store.figures().await?);
    Ok(())
}

/// So many days before; 0 days keep everything.
fn days_before(now_ms: u64, days: u32) -> u64 {
    if days == 0 { 0 } else { now_ms.saturating_sub(u64::from(days).saturating_mul(DAY_MS)) }
}

/// What is due now; 0 days keeps everything.
fn bounds(config: &config::Retention, now_ms: u64) -> Retention {
    Retention {
        bodies_before_ms: days_before(now_ms, config.days),
        entries_before_ms: days_before(now_ms, config.commits_days),
        batch: config.batch,
    }
}

/// What clients are shown now, and where.
pub(super) struct Shown {
    pub(super) endpoint: Endpoint,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) metrics: Arc<Metrics>,
}

/// Takes a new certificate where the operator's files hold one; connections that are there keep theirs.
pub(super) fn certificate(
    tasks: &Tasks,
    (source, mut shown): (CertificateSource, Shown),
    limits: Arc<Limits>,
    look: Arc<Notify>,
) {
    let (stopping, tasks_of) = (tasks.stopping().clone(), tasks.clone());
    tasks.share("certificate", info_span!("certificate"), async move {
        let mut due = interval(CERTIFICATE_EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = Told::default();
        loop {
            // All branches only wait.
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = due.tick() => {}
                () = look.notified() => {}
            }
            let source = Arc::clone(&source);
            // Files may lie on a disk that hangs.
            let Some(read) = tasks_of.compute(move || source()).await else { continue };
            match read.and_then(|new| renew(&mut shown, new, &limits)) {
                Ok(false) => told.over(),
                Ok(true) => {
                    told.over();
                    tracing::info!("the certificate has changed: the new one is shown from now on");
                }
                Err(problem) => {
                    if told.is_news(&problem) {
                        tracing::warn!(problem, "the new certificate can't be used: the old one stays");
                    }
                }
            }
        }
    });
}

/// Shows a certificate, if it is another one; says whether it is.
fn renew(shown: &mut Shown, new: ServerCertificate, limits: &Limits) -> Result<bool, String> {
    let expires = new.expires();
    let ServerCertificate { chain, key } = new;
    if chain == shown.chain {
        return Ok(false);
    }
    let identity = Identity { chain: chain.clone(), key };
    let config = transport::server_config(identity, limits).map_err(|error| error.to_string())?;
    shown.endpoint.set_server_config(Some(config));
    shown.metrics.set_certificate_expires(expires);
    shown.chain = chain;
    Ok(true)
}

/// Keeps the gauges of the machine, its disk and the logins under way up to date.
pub(super) fn machine(tasks: &Tasks, metrics: Arc<Metrics>, logins: LoginMeter, data_dir: PathBuf) {
    let stopping = tasks.stopping().clone();
    tasks.share("machine", info_span!("machine"), async move {
        let mut due = interval(MACHINE_EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Both branches only wait.
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = due.tick() => {}
            }
            metrics.set_queue(Queue::Logins, u64::try_from(logins.pending.get()).unwrap_or(0));
            let dir = data_dir.clone();
            // A file system may hang; sessions must not.
            if let Ok(limits) = tokio::task::spawn_blocking(move || MachineLimits::read(&dir)).await {
                metrics.set_machine(&limits);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_days_keep_everything() {
        let config = config::Retention { days: 2, commits_days: 0, ..config::Retention::default() };
        let bounds = bounds(&config, 10 * DAY_MS);
        assert_eq!((bounds.bodies_before_ms, bounds.entries_before_ms), (8 * DAY_MS, 0));
    }
}
