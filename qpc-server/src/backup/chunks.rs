//! A file in a backup: a list of the digests of its chunks, and those chunks that the base does not have, in order.
//!
//! Chunks are parts of the encrypted file, whose pages keep their bytes until they are written anew. What has not changed since
//! the full backup is there once.

use bytes::Bytes;

use super::{BackupError, Backups, manifest::FileCopy};

/// Bytes of a chunk, but for a file's last one.
pub(super) const CHUNK: usize = 128 * 1024;
/// Chunks in one object: 32 MiB.
const CHUNKS_PER_OBJECT: usize = 256;
/// Bytes of one object.
const OBJECT_MAX: usize = CHUNK.saturating_mul(CHUNKS_PER_OBJECT);
/// A digest, and whether the chunk is here or in the base.
const ENTRY: usize = 33;
/// Longest list, in bytes: of a file of 4 TiB.
const INDEX_MAX: usize = ENTRY.saturating_mul(32 * 1024 * 1024);

const HERE: u8 = 1;
const IN_BASE: u8 = 0;

/// What is known of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chunk {
    digest: blake3::Hash,
    here: bool,
}

/// The chunks of a file in a backup that is there.
pub(super) struct Index(Vec<Chunk>);

impl Index {
    /// Reads the list, and compares it with what the manifest says.
    pub(super) async fn read(backups: &Backups, backup: &str, file: &FileCopy) -> Result<Self, BackupError> {
        let object = index_of(&file.name);
        let bytes = backups.get(backup, &object, INDEX_MAX).await?;
        let damaged = || BackupError::Damaged { backup: backup.into(), object: object.clone() };
        if blake3::hash(&bytes).to_hex().as_str() != file.index {
            return Err(damaged());
        }
        let chunk = |entry: &[u8]| {
            let (digest, here) = entry.split_first_chunk::<32>()?;
            Some(Chunk { digest: blake3::Hash::from_bytes(*digest), here: here == [HERE] })
        };
        let chunks: Option<Vec<_>> = bytes.chunks(ENTRY).map(chunk).collect();
        let chunks = chunks.ok_or_else(damaged)?;
        if chunks.len() != chunks_of(file.bytes) {
            return Err(damaged());
        }
        Ok(Self(chunks))
    }

    /// The digest of a chunk, where there are so many.
    pub(super) fn digest(&self, number: usize) -> Option<blake3::Hash> {
        self.0.get(number).map(|chunk| chunk.digest)
    }
}

/// How many chunks a file has.
fn chunks_of(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX).div_ceil(CHUNK)
}

fn index_of(file: &str) -> String {
    format!("{file}/index")
}

fn object_of(file: &str, number: usize) -> String {
    format!("{file}/{number:06}")
}

/// Writes a file into a backup, chunk by chunk.
pub(super) struct Writing<'a> {
    backups: &'a Backups,
    backup: String,
    file: &'a str,
    base: Option<Index>,
    index: Vec<u8>,
    object: Vec<u8>,
    objects: usize,
    copy: FileCopy,
}

impl<'a> Writing<'a> {
    pub(super) fn new(backups: &'a Backups, backup: String, file: &'a str, base: Option<Index>) -> Self {
        let copy = FileCopy { name: file.into(), bytes: 0, own_bytes: 0, index: String::new() };
        Self { backups, backup, file, base, index: Vec::new(), object: Vec::new(), objects: 0, copy }
    }

    /// Adds the next chunk.
    pub(super) async fn add(&mut self, chunk: &[u8]) -> Result<(), BackupError> {
        let digest = blake3::hash(chunk);
        let number = self.index.len() / ENTRY;
        let in_base = self.base.as_ref().and_then(|base| base.digest(number)) == Some(digest);
        self.index.extend_from_slice(digest.as_bytes());
        self.index.push(if in_base { IN_BASE } else { HERE });
        let bytes = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        self.copy.bytes = self.copy.bytes.saturating_add(bytes);
        if in_base {
            return Ok(());
        }
        self.copy.own_bytes = self.copy.own_bytes.saturating_add(bytes);
        self.object.extend_from_slice(chunk);
        if self.object.len() >= OBJECT_MAX { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), BackupError> {
        if self.object.is_empty() {
            return Ok(());
        }
        let object = std::mem::take(&mut self.object);
        self.backups.put(&self.backup, &object_of(self.file, self.objects), object.into()).await?;
        self.objects = self.objects.saturating_add(1);
        Ok(())
    }

    /// Writes what is left, and the list.
    pub(super) async fn finish(mut self) -> Result<FileCopy, BackupError> {
        self.flush().await?;
        self.copy.index = blake3::hash(&self.index).to_hex().to_string();
        self.backups.put(&self.backup, &index_of(self.file), self.index.into()).await?;
        Ok(self.copy)
    }
}

/// The chunks of one backup's file that are in that backup, read in order.
struct Own {
    backup: String,
    file: String,
    /// The object that was read last.
    current: Option<(usize, Bytes)>,
}

impl Own {
    /// The chunk of this number among those that are here.
    async fn chunk(&mut self, backups: &Backups, number: usize) -> Result<Bytes, BackupError> {
        let (object, at) = (number / CHUNKS_PER_OBJECT, (number % CHUNKS_PER_OBJECT).saturating_mul(CHUNK));
        let name = object_of(&self.file, object);
        let bytes = match &self.current {
            Some((current, bytes)) if *current == object => bytes.clone(),
            _ => backups.get(&self.backup, &name, OBJECT_MAX).await?,
        };
        self.current = Some((object, bytes.clone()));
        let end = at.saturating_add(CHUNK).min(bytes.len());
        if at >= end {
            return Err(BackupError::Damaged { backup: self.backup.clone(), object: name });
        }
        Ok(bytes.slice(at..end))
    }
}

/// Reads a file out of a backup and the one that it stands on.
pub(super) struct Reading<'a> {
    backups: &'a Backups,
    backup: String,
    index: std::iter::Enumerate<std::vec::IntoIter<Chunk>>,
    own: Own,
    read_of_own: usize,
    base: Option<Own>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(backups: &'a Backups, backup: &str, file: &str, index: Index, base: Option<&str>) -> Self {
        let own = |backup: &str| Own { backup: backup.into(), file: file.into(), current: None };
        Self {
            backups,
            backup: backup.into(),
            index: index.0.into_iter().enumerate(),
            own: own(backup),
            read_of_own: 0,
            base: base.map(own),
        }
    }

    /// The next chunk, which is what was written; nothing at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, BackupError> {
        let Some((number, wanted)) = self.index.next() else { return Ok(None) };
        let (source, at) = match (&mut self.base, wanted.here) {
            (_, true) => {
                let at = self.read_of_own;
                self.read_of_own = at.saturating_add(1);
                (&mut self.own, at)
            }
            // A full backup has all of its chunks itself, so that they are at their own numbers.
            (Some(base), false) => (base, number),
            (None, false) => {
                let object = index_of(&self.own.file);
                return Err(BackupError::Damaged { backup: self.backup.clone(), object });
            }
        };
        let chunk = source.chunk(self.backups, at).await?;
        if blake3::hash(&chunk) != wanted.digest {
            let object = object_of(&source.file, at / CHUNKS_PER_OBJECT);
            return Err(BackupError::Damaged { backup: source.backup.clone(), object });
        }
        Ok(Some(chunk))
    }
}
