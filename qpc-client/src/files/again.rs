//! A file that has come, encrypted once more with a key of its own, to be sent on: its words are nowhere on the disk.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufReader, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use qpc_proto::{id::MessageId, v1};

use super::{
    Files, SPOOLS, make,
    spool::{SpoolError, Spooled},
    sync_dir,
};
use crate::blob::{FORMAT, Key, Opener, SEALED_CHUNK, Sealer};

/// What is in a blob, read as a file is.
struct Opened<'o> {
    part: BufReader<File>,
    opener: &'o Opener,
    number: u64,
    chunk: Vec<u8>,
    /// Of the chunk that was read.
    at: usize,
    end: usize,
}

impl Opened<'_> {
    fn refill(&mut self) -> io::Result<()> {
        let Some(length) = self.opener.sealed_of(self.number) else { return Ok(()) };
        self.chunk.clear();
        self.chunk.resize(length, 0);
        self.part.read_exact(&mut self.chunk)?;
        let plain = self.opener.open(self.number, &mut self.chunk);
        self.end = plain.ok_or_else(|| io::Error::other("it is not what its sender sent"))?.len();
        self.at = 0;
        self.number = self.number.saturating_add(1);
        Ok(())
    }
}

impl Read for Opened<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.end {
            self.refill()?;
        }
        let mut left = self.chunk.get(self.at..self.end).unwrap_or_default();
        let count = left.read(into)?;
        self.at = self.at.saturating_add(count);
        Ok(count)
    }
}

/// Encrypts what has come into the home again. `told` is what was said of it, whose name, type and preview stay; `id` is the
/// new message's.
pub(crate) fn seal_again(
    files: &Files,
    part: &Path,
    opener: &Opener,
    told: v1::Attachment,
    id: MessageId,
) -> Result<Spooled, SpoolError> {
    let part = BufReader::with_capacity(SEALED_CHUNK, File::open(part).map_err(SpoolError::Read)?);
    let mut opened = Opened { part, opener, number: 0, chunk: Vec::with_capacity(SEALED_CHUNK), at: 0, end: 0 };
    let key = Key::generate()?;
    let mut sealer = Sealer::new(&key, told.size)?;
    let dir = files.home.join(SPOOLS);
    make(&dir).map_err(SpoolError::Write)?;
    let name = id.to_string();
    let path = dir.join(&name);
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(SpoolError::Write)?;
    let mut spooled = Spooled::new(path, name);
    while let Some(chunk) = sealer.next(&mut opened)? {
        out.write_all(chunk).map_err(SpoolError::Write)?;
    }
    out.sync_all().map_err(SpoolError::Write)?;
    sync_dir(&dir).map_err(SpoolError::Write)?;
    spooled.digest = sealer.digest();
    spooled.told = v1::Attachment {
        digest: spooled.digest.to_vec().into(),
        key: key.expose().to_vec().into(),
        caption: String::new(),
        format: FORMAT,
        blob_size: sealer.sealed_len(),
        ..told
    };
    Ok(spooled)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{files::spool, fresh};

    #[test]
    fn a_file_is_the_same_under_another_key() {
        let home = tempfile::tempdir().unwrap();
        let files = Files::of(home.path());
        for size in [0, 1, SEALED_CHUNK * 2 + 7] {
            let text: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let source = home.path().join("note.txt");
            fs::write(&source, &text).unwrap();
            let first = spool(&files, &source, fresh::message_id().unwrap()).unwrap();
            let key = |told: &v1::Attachment| Key::of_bytes(told.key.as_ref().try_into().unwrap());
            let opener = |told: &v1::Attachment| Opener::new(&key(told), told.size, told.blob_size).unwrap();
            let part = files.spool(&first.name);
            let id = fresh::message_id().unwrap();
            let again = seal_again(&files, &part, &opener(&first.told), first.told.clone(), id).unwrap();
            assert_ne!(again.told.key, first.told.key);
            assert_ne!(again.digest, first.digest);
            assert_eq!(again.told.file_name, "note.txt");
            let mut opened = Opened {
                part: BufReader::new(File::open(files.spool(&again.name)).unwrap()),
                opener: &opener(&again.told),
                number: 0,
                chunk: Vec::new(),
                at: 0,
                end: 0,
            };
            let mut read = Vec::new();
            opened.read_to_end(&mut read).unwrap();
            assert_eq!(read, text);
        }
    }

    #[test]
    fn what_is_damaged_is_not_sent_on() {
        let home = tempfile::tempdir().unwrap();
        let files = Files::of(home.path());
        let source = home.path().join("note.txt");
        fs::write(&source, b"something").unwrap();
        let first = spool(&files, &source, fresh::message_id().unwrap()).unwrap();
        let key = Key::of_bytes([9; 32]);
        let opener = Opener::new(&key, first.told.size, first.told.blob_size).unwrap();
        let (part, id) = (files.spool(&first.name), fresh::message_id().unwrap());
        assert!(seal_again(&files, &part, &opener, first.told.clone(), id).is_err());
        assert_eq!(files.spools(), std::slice::from_ref(&first.name), "nothing is left of it");
    }
}
