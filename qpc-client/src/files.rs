//! Files outside of the database: in the home as ciphertext alone, elsewhere where a person says.
//!
//! `spool/` in the home holds what is on its way to the server, `blobs/` what is on its way here. The keys are in the database.

mod again;
mod media;
mod name;
mod preview;
mod save;
mod spool;

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

pub(crate) use self::{
    again::seal_again,
    save::{SaveError, save},
    spool::{SpoolError, Spooled, spool},
};

const SPOOLS: &str = "spool";
const PARTS: &str = "blobs";
/// How long what came of a file is kept, where nobody goes on with it.
const PART_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Where a home keeps files.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    home: PathBuf,
}

impl Files {
    pub(crate) fn of(home: &Path) -> Self {
        Self { home: home.to_owned() }
    }

    /// A file that is on its way to the server.
    pub(crate) fn spool(&self, name: &str) -> PathBuf {
        self.home.join(SPOOLS).join(name)
    }

    /// What has come of a blob.
    pub(crate) fn part(&self, digest: &[u8; 32]) -> PathBuf {
        self.home.join(PARTS).join(format!("{}.part", blake3::Hash::from_bytes(*digest).to_hex()))
    }

    /// Makes the directory of parts.
    pub(crate) fn make_parts(&self) -> io::Result<()> {
        make(&self.home.join(PARTS))
    }

    /// Removes spools that nobody knows, of a file that was being encrypted when the program was killed, and parts that nobody
    /// has gone on with for a month. Nobody else may be at work in the home.
    pub(crate) fn tidy(&self, known: impl Fn(&str) -> bool) {
        for path in entries(&self.home.join(SPOOLS)) {
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_none_or(|name| !known(name)) {
                forget(&path);
            }
        }
        let long_ago = SystemTime::now().checked_sub(PART_KEPT);
        for path in entries(&self.home.join(PARTS)) {
            let touched = fs::metadata(&path).and_then(|data| data.modified()).ok();
            if touched.zip(long_ago).is_some_and(|(touched, long_ago)| touched < long_ago) {
                forget(&path);
            }
        }
    }

    /// The names of all spools that lie there.
    pub(crate) fn spools(&self) -> Vec<String> {
        let names = entries(&self.home.join(SPOOLS)).into_iter();
        names.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect()
    }

    /// Removes everything, with the account.
    pub(crate) fn remove_all(&self) -> io::Result<()> {
        for dir in [SPOOLS, PARTS] {
            match fs::remove_dir_all(self.home.join(dir)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Removes a file that nobody needs; one that can't be removed is in nobody's way.
pub(crate) fn forget(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "a file of the home that nobody needs can't be removed");
        }
        _ => {}
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect()
}

/// Makes a directory of the home, for its owner alone.
fn make(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Ok(()) => dir.parent().map_or(Ok(()), sync_dir),
        made => made,
    }
}

/// Sees to it that a name in a directory is on the disk.
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_program_left_is_removed_and_the_rest_stays() {
        let home = tempfile::tempdir().unwrap();
        let files = Files::of(home.path());
        make(&home.path().join(SPOOLS)).unwrap();
        files.make_parts().unwrap();
        files.make_parts().unwrap();
        for path in [files.spool("known"), files.spool("unknown"), files.part(&[1; 32])] {
            fs::write(path, b"x").unwrap();
        }
        files.tidy(|name| name == "known");
        assert_eq!(files.spools(), ["known"]);
        assert!(files.part(&[1; 32]).exists());
        let old = SystemTime::now() - PART_KEPT - Duration::from_secs(60);
        File::options().write(true).open(files.part(&[1; 32])).unwrap().set_modified(old).unwrap();
        files.tidy(|_| true);
        assert!(!files.part(&[1; 32]).exists());
        files.remove_all().unwrap();
        files.remove_all().unwrap();
        assert!(!home.path().join(SPOOLS).exists());
    }
}
