//! Encrypting a file into the home, before it is sent: from then on the file itself is not needed.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use qpc_proto::{id::MessageId, v1};
use rustix::fs::OFlags;

use super::{Files, SPOOLS, forget, make, media, name, preview, sync_dir};
use crate::{
    blob::{FORMAT, Key, SealError, Sealer},
    fresh::NoRandomness,
};

/// Why a file was not taken. What was written of it is removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpoolError {
    #[error("it can't be read: {0}")]
    Read(io::Error),
    #[error("it is no file")]
    NoFile,
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("its encrypted copy can't be written into the home: {0}")]
    Write(io::Error),
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

/// A file that was encrypted. The copy is removed with this, unless it is [kept](Self::keep).
#[derive(Debug)]
pub(crate) struct Spooled {
    path: PathBuf,
    kept: bool,
    /// Its name in the home.
    pub(crate) name: String,
    /// Where it is, and how to open it; without a caption.
    pub(crate) told: v1::Attachment,
    pub(crate) digest: [u8; 32],
}

impl Spooled {
    /// One of which nothing is told yet.
    pub(super) fn new(path: PathBuf, name: String) -> Self {
        Self { path, kept: false, name, told: v1::Attachment::default(), digest: [0; 32] }
    }

    /// Somebody knows of it from now on.
    pub(crate) fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        if !self.kept {
            forget(&self.path);
        }
    }
}

/// Encrypts a file into the home: with a key of its own, that seals nothing else. It is on the disk afterwards. `id` is the
/// message's, which names the copy.
pub(crate) fn spool(files: &Files, source: &Path, id: MessageId) -> Result<Spooled, SpoolError> {
    // What is no file may keep an opening waiting for ever.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(source).map_err(SpoolError::Read)?;
    let data = file.metadata().map_err(SpoolError::Read)?;
    if !data.is_file() {
        return Err(SpoolError::NoFile);
    }
    let mut first = Vec::new();
    let look = u64::try_from(media::LOOK).unwrap_or_default();
    Read::by_ref(&mut file).take(look).read_to_end(&mut first).map_err(SpoolError::Read)?;
    file.rewind().map_err(SpoolError::Read)?;
    let file_name = source.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let media_type = media::media_type(&first, &file_name);
    let picture = preview::preview(&mut file, media_type).unwrap_or_default();
    file.rewind().map_err(SpoolError::Read)?;

    let key = Key::generate()?;
    let mut sealer = Sealer::new(&key, data.len())?;
    let dir = files.home.join(SPOOLS);
    make(&dir).map_err(SpoolError::Write)?;
    let copy = id.to_string();
    let path = dir.join(&copy);
    let out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(SpoolError::Write)?;
    let mut spooled = Spooled::new(path, copy);
    seal(&mut sealer, &mut file, out)?;
    sync_dir(&dir).map_err(SpoolError::Write)?;
    spooled.digest = sealer.digest();
    spooled.told = v1::Attachment {
        file_name: name::for_message(&file_name),
        media_type: media_type.to_owned(),
        size: data.len(),
        digest: spooled.digest.to_vec().into(),
        key: key.expose().to_vec().into(),
        preview: picture.into(),
        caption: String::new(),
        format: FORMAT,
        blob_size: sealer.sealed_len(),
    };
    Ok(spooled)
}

fn seal(sealer: &mut Sealer, file: &mut File, out: File) -> Result<(), SpoolError> {
    let mut out = BufWriter::new(out);
    while let Some(chunk) = sealer.next(file)? {
        out.write_all(chunk).map_err(SpoolError::Write)?;
    }
    // Longer than it was.
    let mut more = [0];
    if file.read(&mut more).map_err(SpoolError::Read)? > 0 {
        return Err(SealError::Changed.into());
    }
    let out = out.into_inner().map_err(|error| SpoolError::Write(error.into_error()))?;
    out.sync_all().map_err(SpoolError::Write)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::fresh;

    #[test]
    fn a_file_lies_encrypted_in_the_home_and_its_original_may_go() {
        let home = tempfile::tempdir().unwrap();
        let files = Files::of(home.path());
        let source = home.path().join("note.txt");
        fs::write(&source, b"something to keep").unwrap();
        let one = spool(&files, &source, fresh::message_id().unwrap()).unwrap();
        let two = spool(&files, &source, fresh::message_id().unwrap()).unwrap();
        assert_ne!(one.told.key, two.told.key, "each copy has a key of its own");
        assert_ne!(one.digest, two.digest);
        let path = files.spool(&one.name);
        let blob = fs::read(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!((blob.len() as u64, one.told.size), (one.told.blob_size, 17));
        assert_eq!(*blake3::hash(&blob).as_bytes(), one.digest);
        assert!(!blob.windows(9).any(|part| part == b"something"));
        assert_eq!((one.told.file_name.as_str(), one.told.media_type.as_str()), ("note.txt", "text/plain"));
        drop(one);
        assert!(!path.exists(), "nobody knows of it");
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let files = Files::of(home.path());
        let id = fresh::message_id().unwrap();
        assert!(matches!(spool(&files, home.path(), id), Err(SpoolError::NoFile)));
        assert!(matches!(spool(&files, Path::new("/dev/null"), id), Err(SpoolError::NoFile)));
        assert!(matches!(spool(&files, &home.path().join("none"), id), Err(SpoolError::Read(_))));
        assert!(files.spools().is_empty());
    }
}
