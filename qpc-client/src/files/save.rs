//! Opening a file that has come, into the place that a person chose: whole or not at all, and over nothing that is there.

use std::{
    fs::{File, Permissions},
    io::{self, BufReader, BufWriter, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{name, sync_dir};
use crate::{
    api::Place,
    blob::{Opener, SEALED_CHUNK},
};

/// Names that are tried where others are taken.
const NAMES_MAX: u32 = 1_000;

/// Why a file was not put there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SaveError {
    #[error("{0} exists, and is left as it is")]
    Exists(PathBuf),
    #[error("{path}: {error}")]
    Write { path: PathBuf, error: io::Error },
    #[error("what has come of it can't be read: {0}")]
    Read(io::Error),
    #[error("what has come of it is not what its sender sent")]
    Damaged,
}

/// Opens what is in `part` into its place; gives where that is. `told` is the name that its sender gave it.
pub(crate) fn save(part: &Path, opener: &Opener, place: &Place, told: &str) -> Result<PathBuf, SaveError> {
    let (dir, target) = match place {
        Place::Directory(dir) => (PathBuf::from(dir), None),
        Place::File(path) => {
            let path = PathBuf::from(path);
            let dir = path.parent().unwrap_or(Path::new("/")).to_owned();
            // Found out before the work; what counts is that the name is taken in the end.
            if path.symlink_metadata().is_ok() {
                return Err(SaveError::Exists(path));
            }
            (dir, Some(path))
        }
    };
    let in_dir = |error| SaveError::Write { path: dir.clone(), error };
    let private = Permissions::from_mode(0o600);
    let new = tempfile::Builder::new().prefix(".qpc-").suffix(".part").permissions(private).tempfile_in(&dir);
    let mut new = new.map_err(in_dir)?;
    open_into(part, opener, new.as_file_mut(), &dir)?;
    new.as_file().sync_all().map_err(in_dir)?;
    let chosen = name::safe(told);
    for number in 0..NAMES_MAX {
        let path = match (&target, number) {
            (Some(path), _) => path.clone(),
            (None, 0) => dir.join(&chosen),
            (None, number) => dir.join(name::numbered(&chosen, number)),
        };
        match new.persist_noclobber(&path) {
            Ok(_) => {
                sync_dir(&dir).map_err(in_dir)?;
                return Ok(path);
            }
            Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists && target.is_none() => new = taken.file,
            Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => return Err(SaveError::Exists(path)),
            Err(other) => return Err(SaveError::Write { path, error: other.error }),
        }
    }
    Err(SaveError::Exists(dir.join(chosen)))
}

fn open_into(part: &Path, opener: &Opener, out: &mut File, dir: &Path) -> Result<(), SaveError> {
    let mut blob = BufReader::with_capacity(SEALED_CHUNK, File::open(part).map_err(SaveError::Read)?);
    let mut out = BufWriter::new(out);
    let mut chunk = Vec::with_capacity(SEALED_CHUNK);
    let unwritten = |error| SaveError::Write { path: dir.to_owned(), error };
    let mut number: u64 = 0;
    while let Some(length) = opener.sealed_of(number) {
        chunk.clear();
        chunk.resize(length, 0);
        blob.read_exact(&mut chunk).map_err(SaveError::Read)?;
        let plain = opener.open(number, &mut chunk).ok_or(SaveError::Damaged)?;
        out.write_all(plain).map_err(unwritten)?;
        number = number.saturating_add(1);
    }
    out.flush().map_err(unwritten)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;
    use crate::{
        blob::Key,
        files::{Files, spool},
        fresh,
    };

    struct Sent {
        home: tempfile::TempDir,
        part: PathBuf,
        opener: Opener,
    }

    impl Sent {
        fn new(text: &[u8]) -> Self {
            let home = tempfile::tempdir().unwrap();
            let files = Files::of(home.path());
            let source = home.path().join("source");
            fs::write(&source, text).unwrap();
            let mut spooled = spool(&files, &source, fresh::message_id().unwrap()).unwrap();
            spooled.keep();
            let key = Key::of_bytes(spooled.told.key.as_ref().try_into().unwrap());
            let opener = Opener::new(&key, spooled.told.size, spooled.told.blob_size).unwrap();
            let part = files.spool(&spooled.name);
            Self { home, part, opener }
        }

        fn dir(&self) -> PathBuf {
            let dir = self.home.path().join("down");
            fs::create_dir_all(&dir).unwrap();
            dir
        }

        fn save(&self, told: &str) -> Result<PathBuf, SaveError> {
            let place = Place::Directory(self.dir().to_str().unwrap().to_owned());
            save(&self.part, &self.opener, &place, told)
        }

        fn save_as(&self, path: &Path) -> Result<PathBuf, SaveError> {
            save(&self.part, &self.opener, &Place::File(path.to_str().unwrap().to_owned()), "x")
        }
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_of_others_stays_in_the_directory_and_replaces_nothing() {
        let sent = Sent::new(b"evil");
        let dir = sent.dir();
        fs::write(dir.join("passwd"), b"mine").unwrap();
        for told in ["../../passwd", "/etc/passwd", "..", ".", "", "a\0b", &"x".repeat(255)] {
            let path = sent.save(told).unwrap();
            assert_eq!(path.parent(), Some(dir.as_path()), "{told:?}");
            assert_eq!(fs::read(&path).unwrap(), b"evil");
        }
        assert_eq!(fs::read(dir.join("passwd")).unwrap(), b"mine");
        assert_eq!(names(&dir)[..4], ["a_b", "file", "file (1)", "file (2)"].map(String::from));
        assert!(names(&dir).contains(&"passwd (2)".to_owned()));
    }

    #[test]
    fn a_link_that_lies_there_is_not_followed() {
        let sent = Sent::new(b"evil");
        let dir = sent.dir();
        let target = sent.home.path().join("target");
        symlink(&target, dir.join("link")).unwrap();
        assert_eq!(sent.save("link").unwrap(), dir.join("link (1)"));
        assert!(matches!(sent.save_as(&dir.join("link")), Err(SaveError::Exists(_))));
        assert!(!target.exists());
    }

    #[test]
    fn what_exists_is_left_and_nothing_half_done_stays() {
        let sent = Sent::new(&vec![3; 200_000]);
        let dir = sent.dir();
        let path = dir.join("kept");
        assert_eq!(sent.save_as(&path).unwrap(), path);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(sent.save_as(&path), Err(SaveError::Exists(at)) if at == path));
        assert!(matches!(sent.save_as(&dir.join("none/x")), Err(SaveError::Write { .. })));
        let mut blob = fs::read(&sent.part).unwrap();
        blob[100_000] ^= 1;
        fs::write(&sent.part, blob).unwrap();
        assert!(matches!(sent.save("other"), Err(SaveError::Damaged)));
        assert_eq!(names(&dir), ["kept"]);
    }
}
