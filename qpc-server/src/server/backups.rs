//! The server's own backups: made by a process of its own when they are due (see `backup`).

use std::{
    ffi::OsString,
    path::PathBuf,
    process::{Output, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::{process::Command, time::sleep};
use tracing::info_span;

use crate::{
    backup::{BackupError, Backups, Name},
    blob_store::objects::ObjectPlace,
    clock::Clock,
    metrics::Metrics,
    tasks::Tasks,
};

/// The program that runs, whatever has become of its file since.
const PROGRAM: &str = "/proc/self/exe";
/// How often the clock is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// When one that failed is tried again.
const AGAIN: Duration = Duration::from_secs(10 * 60);
/// Longest part of what it says about its failure, in characters.
const SAID_MAX: usize = 1_000;

/// When backups are made, and how.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Where they go.
    pub place: ObjectPlace,
    /// How long after the newest one the next is due.
    pub every: Duration,
    /// The configuration's file, where there is one.
    pub config: Option<PathBuf>,
    /// The data directory.
    pub data_dir: PathBuf,
}

impl Schedule {
    fn command(&self) -> Command {
        let mut arguments: Vec<OsString> =
            vec!["backup".into(), "create".into(), "--data-dir".into(), self.data_dir.clone().into()];
        if let Some(file) = &self.config {
            arguments.extend(["--config".into(), file.clone().into()]);
        }
        let mut command = Command::new(PROGRAM);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

/// Makes them until the server stops. One that is under way then is given up: what is there is no backup.
pub(super) fn keep(tasks: &Tasks, schedule: Schedule, metrics: Arc<Metrics>, clock: Arc<dyn Clock>) {
    let stopping = tasks.stopping().clone();
    tasks.share("backups", info_span!("backups"), async move {
        // Both branches only wait; a process that is let go of is killed.
        tokio::select! {
            () = stopping.cancelled() => {}
            () = make(&schedule, &metrics, &*clock) => {}
        }
    });
}

async fn make(schedule: &Schedule, metrics: &Metrics, clock: &dyn Clock) {
    loop {
        let newest = match newest(schedule, clock.unix_ms()).await {
            Ok(newest) => newest,
            Err(error) => {
                metrics.backup_failed.inc();
                tracing::warn!(%error, "the place of backups can't be looked at; it is tried again later");
                sleep(AGAIN).await;
                continue;
            }
        };
        metrics.set_backup_newest(newest);
        if let Some(newest) = newest {
            let due = newest.saturating_add(u64::try_from(schedule.every.as_millis()).unwrap_or(u64::MAX));
            while clock.unix_ms() < due {
                sleep(LOOK_EVERY).await;
            }
        }
        match schedule.command().output().await {
            Ok(Output { status, .. }) if status.success() => tracing::info!("a backup was made"),
            Ok(Output { stderr, .. }) => {
                metrics.backup_failed.inc();
                let said: String = String::from_utf8_lossy(&stderr).trim().chars().take(SAID_MAX).collect();
                tracing::warn!(said, "a backup failed; it is tried again later");
                sleep(AGAIN).await;
            }
            Err(error) => {
                metrics.backup_failed.inc();
                tracing::warn!(%error, "a backup could not be begun; it is tried again later");
                sleep(AGAIN).await;
            }
        }
    }
}

/// When the newest one was begun.
async fn newest(schedule: &Schedule, now_ms: u64) -> Result<Option<u64>, BackupError> {
    let found = Backups::open(&schedule.place)?.begun_by(now_ms).await?;
    Ok(found.last().map(Name::unix_ms))
}
