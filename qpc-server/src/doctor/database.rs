//! The databases: that they open and take writes, or with `--deep` that every page and chain is sound.

use super::{
    finding::Finding,
    running::{House, State},
};
use crate::{
    config::Loaded,
    data_dir::DataDir,
    server::storage::{self, StorageError},
    store::sqlite::CheckError,
};

const CHECK: &str = "database";
const RESTORE: &str = "restore a backup: `qpc-server db check` lists everything that is wrong";

/// What the running server says, or whether they open with the key where none runs.
pub(super) fn quick(loaded: &Loaded, house: &House) -> Finding {
    match (&house.state, &house.ready) {
        (State::Running, Ok(())) => {
            Finding::ok(CHECK, "the running server reads and writes it; --deep verifies all of it")
        }
        (State::Running, Err(reason)) => Finding::bad(
            CHECK,
            format!("the running server says: {reason}"),
            "look at its log, and at space and fsync here",
        ),
        _ => judge_opening(storage::opens(loaded)),
    }
}

fn judge_opening(outcome: Result<(), StorageError>) -> Finding {
    match outcome {
        Ok(()) => Finding::ok(CHECK, "it opens with its key; --deep verifies all of it"),
        Err(StorageError::Check(CheckError::Missing(_))) => {
            Finding::warning(CHECK, "there is none yet", "the first start makes it")
        }
        Err(error) => Finding::bad(CHECK, error.to_string(), "give the key that it was made with, or restore a backup"),
    }
}

/// Reads everything.
pub(super) fn deep(loaded: &Loaded) -> Finding {
    if !DataDir::database(&loaded.config.server.data_dir).exists() {
        return judge_opening(storage::opens(loaded));
    }
    let report = match storage::check(loaded) {
        Ok(report) => report,
        Err(error) => return judge_opening(Err(error)),
    };
    let blobs = match storage::check_blobs(loaded, false, &mut |_, _| ()) {
        Ok(blobs) => blobs,
        Err(error) => return judge_opening(Err(error)),
    };
    let mut problems = report.problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    problems.extend(blobs.iter().flat_map(|blobs| &blobs.problems).map(ToString::to_string));
    let kept = blobs.map_or(0, |blobs| blobs.blobs);
    judge_problems(&problems, &format!("{} entries in {} logs and {kept} blobs", report.entries, report.logs))
}

fn judge_problems(problems: &[String], looked_at: &str) -> Finding {
    match problems {
        [] => Finding::ok(CHECK, format!("sound: {looked_at}")),
        [one] => Finding::bad(CHECK, one.clone(), RESTORE),
        [first, rest @ ..] => Finding::bad(CHECK, format!("{first}; and {} more", rest.len()), RESTORE),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Mark, *};
    use crate::config::{Config, Overrides};

    fn house(state: State, ready: Result<(), &str>) -> House {
        House { state, ready: ready.map_err(str::to_owned), ..House::default() }
    }

    #[test]
    fn what_is_damaged_is_told_in_one_line() {
        assert_eq!(judge_problems(&[], "nothing").mark, Mark::Ok);
        let two = judge_problems(&["page: 7".into(), "table: x".into()], "");
        assert_eq!((two.mark, two.found.as_str()), (Mark::Bad, "page: 7; and 1 more"));
    }

    #[test]
    fn a_running_server_is_asked_and_otherwise_the_file_is_opened() {
        let temp = tempfile::tempdir().unwrap();
        let overrides = Overrides { data_dir: Some(temp.path().to_owned()), ..Overrides::default() };
        let loaded = Config::load(&overrides, []).unwrap();
        assert_eq!(quick(&loaded, &house(State::Running, Ok(()))).mark, Mark::Ok);
        assert_eq!(quick(&loaded, &house(State::Running, Err("the store is too slow"))).mark, Mark::Bad);
        let none = house(State::Stopped, Err(""));
        assert_eq!([quick(&loaded, &none), deep(&loaded)].map(|finding| finding.mark), [Mark::Warning; 2]);

        let opened = storage::open(&loaded).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(opened.store.close()).unwrap();
        runtime.block_on(opened.blobs.close()).unwrap();
        drop(opened);
        assert_eq!(quick(&loaded, &none), Finding::ok(CHECK, "it opens with its key; --deep verifies all of it"));
        assert_eq!(deep(&loaded), Finding::ok(CHECK, "sound: 0 entries in 0 logs and 0 blobs"));
        std::fs::write(DataDir::key_file(temp.path()), "ab".repeat(32)).unwrap();
        assert_eq!([quick(&loaded, &none), deep(&loaded)].map(|finding| finding.mark), [Mark::Bad; 2]);
    }
}
