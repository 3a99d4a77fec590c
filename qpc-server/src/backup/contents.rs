//! The list of a backup's attachments whose bytes are objects: how each is called, and how long it is. Their digests are in the
//! database of the same backup, where nobody reads them without its key.
//!
//! A list for each first digit of a name, so that no more than a sixteenth of it has to be in memory.

use super::{BackupError, Backups, manifest::ObjectsCopy};
use crate::blob_store::sqlite::SHARDS;

/// A name, and a length.
const ENTRY: usize = 24;
/// Attachments of one list: of a sixteenth of 64 million.
pub(super) const CONTENTS_MAX: usize = 4 * 1024 * 1024;
/// Bytes of one list.
const LIST_MAX: usize = ENTRY.saturating_mul(CONTENTS_MAX);

/// How an attachment's objects are called.
pub(super) type ContentName = [u8; 16];

/// One of the lists, by names.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Contents(Vec<(ContentName, u64)>);

impl Contents {
    /// Adds one, whose name comes after all that are there.
    pub(super) fn add(&mut self, name: ContentName, size: u64) {
        self.0.push((name, size));
    }

    /// Is it in the list, with this length?
    pub(super) fn has(&self, name: &ContentName, size: u64) -> bool {
        let found = self.0.binary_search_by_key(&name, |(name, _)| name).ok().and_then(|at| self.0.get(at));
        found.is_some_and(|(_, there)| *there == size)
    }

    /// The names in it.
    pub(super) fn names(&self) -> impl Iterator<Item = ContentName> {
        self.0.iter().map(|(name, _)| *name)
    }

    /// Writes the list of a digit, and gives its digest; nothing of an empty one.
    pub(super) async fn write(&self, backups: &Backups, backup: &str, digit: u8) -> Result<String, BackupError> {
        if self.0.is_empty() {
            return Ok(String::new());
        }
        let entry = |(name, size): &(ContentName, u64)| [name.as_slice(), &size.to_be_bytes()].concat();
        let bytes: Vec<u8> = self.0.iter().flat_map(entry).collect();
        let digest = blake3::hash(&bytes).to_hex().to_string();
        backups.put(backup, &object_of(digit), bytes.into()).await?;
        Ok(digest)
    }

    /// Reads the list of a digit, and compares it with what the manifest says.
    pub(super) async fn read(
        backups: &Backups,
        backup: &str,
        objects: &ObjectsCopy,
        digit: u8,
    ) -> Result<Self, BackupError> {
        let object = object_of(digit);
        let damaged = || BackupError::Damaged { backup: backup.into(), object: object.clone() };
        let digest = objects.lists.get(usize::from(digit)).ok_or_else(damaged)?;
        if digest.is_empty() {
            return Ok(Self::default());
        }
        let bytes = backups.get(backup, &object, LIST_MAX).await?;
        if blake3::hash(&bytes).to_hex().as_str() != digest {
            return Err(damaged());
        }
        let entry = |entry: &[u8]| {
            let (name, size) = entry.split_first_chunk::<16>()?;
            Some((*name, u64::from_be_bytes(size.try_into().ok()?)))
        };
        bytes.chunks(ENTRY).map(entry).collect::<Option<_>>().map(Self).ok_or_else(damaged)
    }
}

fn object_of(digit: u8) -> String {
    format!("objects/{digit:x}")
}

/// The digits, for each of which there is a list.
pub(super) fn digits() -> std::ops::Range<u8> {
    0..SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob_store::objects::ObjectPlace;

    #[tokio::test]
    async fn a_list_is_read_as_it_was_written_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let backups = Backups::open(&ObjectPlace::Directory(dir.path().into())).unwrap();
        let mut contents = Contents::default();
        contents.add([1; 16], 10);
        contents.add([2; 16], u64::MAX);
        assert_eq!(Contents::default().write(&backups, "backup", 0).await.unwrap(), "");
        let digest = contents.write(&backups, "backup", 15).await.unwrap();
        let mut objects = ObjectsCopy { lists: vec![String::new(); 16], ..ObjectsCopy::default() };
        objects.lists[15] = digest;
        let read = Contents::read(&backups, "backup", &objects, 15).await.unwrap();
        assert_eq!(read, contents);
        assert!(read.has(&[2; 16], u64::MAX) && !read.has(&[2; 16], 1) && !read.has(&[3; 16], 10));
        assert_eq!(Contents::read(&backups, "backup", &objects, 0).await.unwrap(), Contents::default());
        let damaged = |outcome| matches!(outcome, Err(BackupError::Damaged { .. }));
        assert!(damaged(Contents::read(&backups, "backup", &objects, 16).await), "there is no such digit");
        // One that is cut off is not what the manifest names, nor is it one when the manifest names it.
        let file = dir.path().join("backup/objects/f");
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
        assert!(damaged(Contents::read(&backups, "backup", &objects, 15).await));
        objects.lists[15] = blake3::hash(&bytes[..bytes.len() - 1]).to_hex().to_string();
        assert!(damaged(Contents::read(&backups, "backup", &objects, 15).await));
        std::fs::remove_file(file).unwrap();
        let missing = Contents::read(&backups, "backup", &objects, 15).await;
        assert!(matches!(missing, Err(BackupError::Missing { .. })));
    }
}
