//! A server in control groups that somebody else has made and limited: how it gets in, and how long its quota held it up.
//!
//! Version 2 has one directory for all limits, version 1 one for each kind; what is read is found in whichever has it.

use std::{ffi::OsString, fs, path::PathBuf};

/// The shell joins each group and then becomes the program: the process is the server's from its first thread on.
const JOIN: &str = r#"while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs" || exit 1; shift; done; shift; exec "$@""#;

/// The directories of the groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cgroups(pub Vec<PathBuf>);

impl Cgroups {
    /// What stands before the program and its arguments so that it runs in them.
    #[must_use]
    pub fn join(&self) -> Vec<OsString> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let mut words: Vec<OsString> = ["sh", "-c", JOIN, "sh"].map(Into::into).into();
        words.extend(self.0.iter().map(Into::into));
        words.push("--".into());
        words
    }

    /// Seconds for which the quota has kept threads from running, all threads together, since the groups were made.
    #[must_use]
    pub fn throttled_seconds(&self) -> Option<f64> {
        self.0.iter().find_map(|group| throttled(&fs::read_to_string(group.join("cpu.stat")).ok()?))
    }
}

/// Microseconds in version 2, nanoseconds in version 1.
fn throttled(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| match line.split_once(' ')? {
        ("throttled_usec", value) => Some(value.parse::<f64>().ok()? / 1e6),
        ("throttled_time", value) => Some(value.parse::<f64>().ok()? / 1e9),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn both_versions_say_how_long_threads_were_held_up() {
        let second = "usage_usec 9\nnr_periods 4\nnr_throttled 2\nthrottled_usec 1500000\nnr_bursts 0\n";
        let first = "nr_periods 4\nnr_throttled 2\nthrottled_time 2500000000\n";
        assert_eq!((throttled(second), throttled(first)), (Some(1.5), Some(2.5)));
        assert_eq!(throttled("usage_usec 9\n"), None);
    }

    /// A directory stands for a group: what counts is that the process that writes itself down becomes the program.
    #[test]
    fn the_process_that_joins_all_groups_is_the_programs() {
        let (cpu, memory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let groups = Cgroups(vec![cpu.path().into(), memory.path().into()]);
        let words = groups.join();
        let (shell, rest) = words.split_first().unwrap();
        let output = Command::new(shell).args(rest).args(["sh", "-c", "echo $$"]).output().unwrap();
        for group in &groups.0 {
            assert_eq!(fs::read(group.join("cgroup.procs")).unwrap(), output.stdout);
        }
        assert!(!output.stdout.is_empty() && Cgroups::default().join().is_empty());
        let nowhere = Cgroups(vec!["/nowhere".into()]);
        let words = nowhere.join();
        let (shell, rest) = words.split_first().unwrap();
        assert!(!Command::new(shell).args(rest).arg("true").output().unwrap().status.success());
    }
}
