//! Which backups go: those that are too old, as long as nothing stands on them and others are there.

use std::{collections::BTreeSet, path::Path, time::Duration};

use super::{BackupError, Backups, Kind, Manifest, Name, create::alone};

/// A folder without a manifest is left alone for so long: somebody may be filling it.
const UNFINISHED: Duration = Duration::from_secs(24 * 60 * 60);

/// How long backups are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Full ones.
    pub full: Duration,
    /// Incremental ones.
    pub incremental: Duration,
}

/// Removes what is too old, and what was never finished. The newest full backup stays however old it is. Gives what is gone.
///
/// # Errors
/// [`BackupError::Place`].
pub async fn prune(backups: &Backups, keep: Keep, now_ms: u64) -> Result<Vec<Name>, BackupError> {
    let finished = backups.list().await?;
    let folders = backups.folders().await?;
    let gone = due(&finished, &folders, keep, now_ms);
    for name in &gone {
        backups.remove(name).await?;
    }
    Ok(gone)
}

/// Removes the objects of attachments that no backup names any more, and says how many. A backup of the server of this data
/// directory that is under way may name any of them: none is removed then, as none is while a folder may be being filled.
///
/// # Errors
/// [`BackupError`]; where a list of a backup is missing or damaged nothing more is removed, because it may name anything.
pub async fn collect(backups: &Backups, root: &Path, now_ms: u64) -> Result<u64, BackupError> {
    // Backups may be tidied up from a machine that has no server.
    let _alone = match root.is_dir() {
        true => match alone(root) {
            Err(BackupError::Busy(_)) => return Ok(0),
            outcome => Some(outcome?),
        },
        false => None,
    };
    backups.sweep(now_ms).await
}

/// May somebody be filling a folder that has no manifest?
pub(super) fn may_be_filled(name: &Name, now_ms: u64) -> bool {
    now_ms.abs_diff(name.unix_ms()) <= u64::try_from(UNFINISHED.as_millis()).unwrap_or(u64::MAX)
}

/// Those that are to go.
fn due(finished: &[(Name, Manifest)], folders: &[Name], keep: Keep, now_ms: u64) -> Vec<Name> {
    let older = |name: &Name, than: Duration| {
        now_ms.saturating_sub(name.unix_ms()) > u64::try_from(than.as_millis()).unwrap_or(u64::MAX)
    };
    let newest = finished.iter().map(|(name, _)| name).filter(|name| name.kind == Kind::Full).max();
    let stays = |(name, _): &&(Name, Manifest)| match name.kind {
        Kind::Full => !older(name, keep.full) || Some(name) == newest,
        Kind::Incremental => !older(name, keep.incremental),
    };
    let mut kept: BTreeSet<String> = BTreeSet::new();
    for (name, manifest) in finished.iter().filter(stays) {
        kept.insert(name.to_string());
        kept.extend(manifest.base.as_ref().map(|base| base.name.clone()));
    }
    let is_finished = |name: &Name| finished.iter().any(|(finished, _)| finished == name);
    let goes = |name: &&Name| match is_finished(name) {
        true => !kept.contains(&name.to_string()),
        false => older(name, UNFINISHED),
    };
    // What stands on another goes first.
    let (full, incremental): (Vec<_>, Vec<_>) =
        folders.iter().filter(goes).cloned().partition(|name| name.kind == Kind::Full);
    incremental.into_iter().chain(full).collect()
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test may overflow: it fails then")]
mod tests {
    use super::{super::manifest::Base, *};

    const DAY: u64 = 24 * 60 * 60 * 1000;
    const KEEP: Keep =
        Keep { full: Duration::from_secs(30 * 24 * 60 * 60), incremental: Duration::from_secs(7 * 24 * 60 * 60) };

    fn full(day: u64) -> (Name, Manifest) {
        let name = Name::new(day * DAY, Kind::Full);
        let manifest = Manifest::new(&name, &[0; 16], String::new(), "database");
        (name, manifest)
    }

    fn incremental(day: u64, base: &(Name, Manifest)) -> (Name, Manifest) {
        let name = Name::new(day * DAY, Kind::Incremental);
        let mut manifest = Manifest::new(&name, &[0; 16], String::new(), "database");
        manifest.base = Some(Base { name: base.0.to_string(), code: String::new() });
        (name, manifest)
    }

    fn gone(finished: &[(Name, Manifest)], day: u64) -> Vec<u64> {
        let folders: Vec<Name> = finished.iter().map(|(name, _)| name.clone()).collect();
        due(finished, &folders, KEEP, day * DAY).iter().map(|name| name.unix_ms() / DAY).collect()
    }

    #[test]
    fn what_is_too_old_goes_at_its_limit() {
        let (first, second) = (full(100), full(130));
        let between = incremental(101, &first);
        let all = [first, between, second];
        assert_eq!(gone(&all, 108), [0; 0]);
        assert_eq!(gone(&all, 109), [101]);
        assert_eq!(gone(&all, 131), [101, 100]);
    }

    #[test]
    fn the_newest_full_one_stays_and_what_another_stands_on() {
        let first = full(100);
        assert_eq!(gone(std::slice::from_ref(&first), 1000), [0; 0]);
        let late = incremental(129, &first);
        let all = [first, late, full(130)];
        assert_eq!(gone(&all, 133), [0; 0]);
        assert_eq!(gone(&all, 137), [129, 100]);
    }

    #[test]
    fn what_was_never_finished_goes_after_a_day() {
        let (done, half) = (full(100), full(101).0);
        let folders = [done.0.clone(), half.clone()];
        assert!(due(std::slice::from_ref(&done), &folders, KEEP, 102 * DAY).is_empty());
        assert_eq!(due(&[done], &folders, KEEP, 102 * DAY + 1), [half]);
    }
}
