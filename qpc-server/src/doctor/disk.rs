//! The disk with the data: how long it takes to make something durable, and how much room is left.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::finding::{Finding, bytes};
use crate::{
    config::{BlobBackend, Config},
    metrics::MachineLimits,
};

const SYNCS: &str = "fsync";
const SPACE: &str = "space";
const DIRECTORY: &str = "data";

/// How often something is written and synced, at most.
const ROUNDS: usize = 50;
/// How long that may take altogether.
const WITHIN: Duration = Duration::from_secs(5);
/// What is written each time: a page of the database.
const PAGE: [u8; 4096] = [0; 4096];
/// The p95 from which it is slow, and from which every message feels it.
const SLOW: Duration = Duration::from_millis(5);
const TOO_SLOW: Duration = Duration::from_millis(20);
/// Parts of a hundred in use from which a disk is filling up, and from which it is about to be full.
const FILLING: u64 = 70;
const NEARLY_FULL: u64 = 90;
/// A name that a start sweeps away, should this process be killed.
const FILE_NAME: &str = "doctor.new";

/// Says that there is no data directory, where that is so.
pub(super) fn missing(data: &Path) -> Option<Finding> {
    match fs::metadata(data) {
        Ok(found) if found.is_dir() => None,
        Ok(_) => Some(Finding::bad(
            DIRECTORY,
            format!("{} is no directory", data.display()),
            "move it away, or set server.data_dir",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Finding::warning(
            DIRECTORY,
            format!("{} is not there", data.display()),
            "the first start makes it; if there was a server before, look at --data-dir and server.data_dir",
        )),
        Err(error) => {
            Some(Finding::bad(DIRECTORY, format!("{}: {error}", data.display()), "run this as the server's user"))
        }
    }
}

/// Writes a page and makes it durable, time after time.
pub(super) fn syncs(data: &Path) -> io::Result<Vec<Duration>> {
    let path = data.join(FILE_NAME);
    let times = time_syncs(&path);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound && times.is_ok() => Err(error),
        _ => times,
    }
}

fn time_syncs(path: &Path) -> io::Result<Vec<Duration>> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let (begin, mut times) = (Instant::now(), Vec::new());
    while times.len() < ROUNDS && begin.elapsed() < WITHIN {
        file.write_all(&PAGE)?;
        let before = Instant::now();
        file.sync_data()?;
        times.push(before.elapsed());
    }
    Ok(times)
}

pub(super) fn judge_syncs(times: io::Result<Vec<Duration>>) -> Finding {
    let mut times = match times {
        Ok(times) => times,
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            return Finding::bad(
                SYNCS,
                "nothing can be written: the disk is full",
                "make room; the server only reads until then",
            );
        }
        Err(error) => {
            let remedy = "run this as the server's user, and look at the disk";
            return Finding::bad(SYNCS, format!("nothing can be written to the data directory: {error}"), remedy);
        }
    };
    times.sort_unstable();
    let at = |hundredth: usize| {
        let rank = times.len().saturating_mul(hundredth).div_ceil(100).saturating_sub(1);
        times.get(rank).copied().unwrap_or_default()
    };
    let (median, p95) = (at(50), at(95));
    let shown = format!("median {}, p95 {} of {}", ms(median), ms(p95), times.len());
    let remedy = "every message waits for it: another disk, or one that this machine shares with less";
    match p95 {
        _ if p95 >= TOO_SLOW => Finding::bad(SYNCS, format!("{shown}: the disk is slow"), remedy),
        _ if p95 >= SLOW => Finding::warning(SYNCS, format!("{shown}: the disk is rather slow"), remedy),
        _ => Finding::ok(SYNCS, shown),
    }
}

fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1_000.0)
}

/// Where things are kept, each with the bytes that attachments leave free there.
pub(super) fn places(config: &Config) -> Vec<(PathBuf, u64)> {
    let data = config.server.data_dir.clone();
    match (&config.blobs.backend, &config.blobs.directory) {
        (BlobBackend::Directory, Some(own)) => vec![(data, 0), (own.clone(), config.blobs.disk_reserve)],
        _ => vec![(data, config.blobs.disk_reserve)],
    }
}

/// Size and free bytes of the disk with a directory.
pub(super) fn space(directory: &Path) -> (u64, u64) {
    let disk = MachineLimits::read(directory);
    (disk.disk_size, disk.disk_free)
}

pub(super) fn judge_space(directory: &Path, (size, free): (u64, u64), reserve: u64) -> Finding {
    let place = directory.display();
    if size == 0 {
        let found = format!("the system does not say what the disk with {place} holds");
        return Finding::warning(SPACE, found, "look at the mount, and run this as the server's user");
    }
    let used = size.saturating_sub(free).saturating_mul(100).checked_div(size).unwrap_or(100);
    let shown = format!("{} of {} free at {place}, {used} % used", bytes(free), bytes(size));
    let remedy = "make room, enlarge the disk, or keep less: retention.days, retention.blobs_days";
    if free < reserve {
        let refused = format!("{shown}; attachments are refused below {} (blobs.disk_reserve)", bytes(reserve));
        return Finding::bad(SPACE, refused, remedy);
    }
    match used {
        NEARLY_FULL.. => Finding::bad(SPACE, shown, remedy),
        FILLING.. => Finding::warning(SPACE, shown, remedy),
        _ => Finding::ok(SPACE, shown),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Mark, *};

    #[test]
    fn a_slow_disk_is_judged_by_its_p95() {
        let judged = |slow: usize, ms| {
            let mut times = vec![Duration::from_micros(700); 20 - slow];
            times.extend(vec![Duration::from_millis(ms); slow]);
            judge_syncs(Ok(times))
        };
        // One of twenty is above the p95, two are not.
        assert_eq!(judged(1, 900).mark, Mark::Ok);
        assert_eq!(judged(2, 4), Finding::ok(SYNCS, "median 0.70 ms, p95 4.00 ms of 20"));
        assert_eq!([5, 19, 20].map(|ms| judged(2, ms).mark), [Mark::Warning, Mark::Warning, Mark::Bad]);
        assert_eq!(judge_syncs(Err(io::ErrorKind::PermissionDenied.into())).mark, Mark::Bad);
        assert!(judge_syncs(Err(io::ErrorKind::StorageFull.into())).found.contains("the disk is full"));
    }

    #[test]
    fn a_disk_that_fills_up_is_said_before_it_is_full() {
        let judged = |free, reserve| judge_space(Path::new("data"), (1_000_000, free), reserve).mark;
        assert_eq!(
            [300_001, 300_000, 100_000, 0].map(|free| judged(free, 0)),
            [Mark::Ok, Mark::Warning, Mark::Bad, Mark::Bad]
        );
        // Attachments stop before the disk is full.
        assert_eq!(judged(600_000, 600_001), Mark::Bad);
        assert_eq!(judge_space(Path::new("data"), (0, 0), 0).mark, Mark::Warning);
    }

    #[test]
    fn timing_a_disk_leaves_nothing_behind() {
        let temp = tempfile::tempdir().unwrap();
        let times = syncs(temp.path()).unwrap();
        assert!(!times.is_empty() && times.len() <= ROUNDS);
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
        assert!(missing(temp.path()).is_none() && missing(&temp.path().join("none")).is_some());
    }
}
