//! The clock: invites, retention and certificates go by it, and what is stored is dated by it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, UNIX_EPOCH},
};

use super::{
    finding::{Finding, span},
    now, stored,
};

const CHECK: &str = "clock";

/// When this was written, in seconds since 1970: no right clock is before that.
const WRITTEN: u64 = 1_793_491_200;
/// A program that is older than so many seconds is less likely than a clock that is wrong.
const OLDEST_PROGRAM: u64 = 10 * 365 * 86_400;
/// File systems and the clock may differ by so many seconds.
const TOLERANCE: u64 = 60;

/// What can be known of the clock without asking another one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Seconds since 1970.
    pub(super) now: u64,
    /// When the program's file was made.
    pub(super) program: Option<u64>,
    /// What the server wrote last, and when.
    pub(super) newest: Option<(PathBuf, u64)>,
    /// Whether something keeps it right, where the system says.
    pub(super) synchronised: Option<bool>,
}

pub(super) fn facts(data: &Path) -> Facts {
    let written = |path: &Path| {
        let modified = fs::metadata(path).ok()?.modified().ok()?;
        Some(modified.duration_since(UNIX_EPOCH).ok()?.as_secs())
    };
    Facts {
        now: now().as_secs(),
        program: env::current_exe().ok().and_then(|own| written(&own)),
        newest: stored(data).filter_map(|path| written(&path).map(|at| (path, at))).max_by_key(|(_, at)| *at),
        synchronised: synchronised(),
    }
}

/// What systemd knows of it; nothing where there is none. The kernel's own word (`adjtimex`) is what it asks for.
fn synchronised() -> Option<bool> {
    let mut command = Command::new("timedatectl");
    command.args(["show", "--property=NTPSynchronized", "--value"]).stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok().filter(|output| output.status.success())?;
    match output.stdout.as_slice() {
        b"yes\n" => Some(true),
        b"no\n" => Some(false),
        _ => None,
    }
}

pub(super) fn judge(facts: &Facts) -> Finding {
    let wrong = "set the clock and let something keep it: `timedatectl set-ntp true`, or chrony";
    let behind = |of: u64| of.saturating_sub(facts.now);
    if facts.now < WRITTEN {
        let by = span(behind(WRITTEN));
        return Finding::bad(
            CHECK,
            format!("it is at least {by} behind: earlier than this release was written"),
            wrong,
        );
    }
    if let Some(program) = facts.program {
        if behind(program) > TOLERANCE {
            let by = span(behind(program));
            return Finding::bad(
                CHECK,
                format!("the program's own file is {by} younger than the clock says it is"),
                wrong,
            );
        }
        if facts.now.saturating_sub(program) > OLDEST_PROGRAM {
            let old = span(facts.now.saturating_sub(program));
            return Finding::warning(CHECK, format!("by it this program is {old} old: is it ahead?"), wrong);
        }
    }
    if let Some((path, at)) = &facts.newest
        && behind(*at) > TOLERANCE
    {
        let by = span(behind(*at));
        return Finding::bad(
            CHECK,
            format!("{} was written {by} later than now: the clock is behind", path.display()),
            wrong,
        );
    }
    match facts.synchronised {
        Some(true) => Finding::ok(CHECK, format!("{}, synchronised", shown(facts.now))),
        Some(false) => Finding::warning(
            CHECK,
            format!("{}, plausible, but nothing keeps it synchronised", shown(facts.now)),
            "`timedatectl set-ntp true`, or install chrony",
        ),
        None => Finding::ok(
            CHECK,
            format!("{}, plausible; the system does not say whether it is synchronised", shown(facts.now)),
        ),
    }
}

/// Date and time of day, in UTC.
fn shown(seconds: u64) -> String {
    let date = x509_cert::der::DateTime::from_unix_duration(Duration::from_secs(seconds));
    date.map_or_else(|_| format!("{seconds} seconds since 1970"), |date| date.to_string())
}

#[cfg(test)]
mod tests {
    use super::{super::Mark, *};

    const NOW: u64 = WRITTEN + 1_000_000;

    #[test]
    fn a_clock_that_is_behind_or_far_ahead_is_said() {
        let of =
            |now| Facts { now, program: Some(NOW), newest: Some(("qpc.db".into(), NOW + 90_000)), synchronised: None };
        let told = |now| {
            let finding = judge(&of(now));
            (finding.mark, finding.found)
        };
        let (mark, found) = told(0);
        assert!(mark == Mark::Bad && found.contains("earlier than this release"), "{found}");
        let (mark, found) = told(NOW - 61);
        assert!(mark == Mark::Bad && found.contains("own file is 61 seconds younger"), "{found}");
        let (mark, found) = told(NOW + 29);
        assert!(mark == Mark::Bad && found.contains("qpc.db was written 24 hours later than now"), "{found}");
        assert_eq!(told(NOW + 90_000 - TOLERANCE).0, Mark::Ok);
        let (mark, found) = told(NOW + OLDEST_PROGRAM + 1);
        assert!(mark == Mark::Warning && found.contains("ahead"), "{found}");
    }

    #[test]
    fn one_that_nobody_keeps_is_a_warning() {
        let judged = |synchronised| judge(&Facts { now: NOW, synchronised, ..Facts::default() });
        assert_eq!(judged(Some(false)).mark, Mark::Warning);
        assert_eq!(judged(Some(true)), Finding::ok(CHECK, "2026-11-12T13:46:40Z, synchronised"));
        assert_eq!(judged(None).mark, Mark::Ok);
    }
}
