//! What a backup says of itself, with the code that proves it.

use serde::{Deserialize, Serialize};

use super::{BackupError, Name, seal::BackupKeys, seal::Salt};
use crate::store::sqlite::DbKey;

/// What this release writes, and the only one that it reads.
const FORMAT: u32 = 1;
/// Longest manifest, in bytes: it names two files and the lists of attachments.
pub(super) const MANIFEST_MAX: usize = 64 * 1024;

/// What is in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// How the rest is to be read.
    pub format: u32,
    /// Its own name, so that it is taken for no other one.
    pub name: String,
    /// The release that made it.
    pub release: String,
    /// The domain of the server.
    pub domain: String,
    /// The full backup that it stands on; none where it is one.
    pub base: Option<Base>,
    /// What makes its keys others than those of other backups.
    pub salt: String,
    /// The databases.
    pub files: Vec<FileCopy>,
    /// The digest of the sealed secrets.
    pub secrets: String,
    /// Where the server has the bytes of attachments: in the database of blobs, or in a place for objects.
    pub blobs: String,
    /// The attachments whose bytes are objects. A backup of a release before these were in it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<ObjectsCopy>,
}

/// Attachments in a backup that are objects, which it shares with others.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ObjectsCopy {
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those of them that this backup has added.
    pub own_bytes: u64,
    /// The digest of the list for each first digit of a name; nothing where that is empty.
    pub lists: Vec<String>,
}

/// The full backup that an incremental one stands on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Its name.
    pub name: String,
    /// The code of its manifest.
    pub code: String,
}

/// A database in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCopy {
    /// What the file is called.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// Those of them that are in this backup and not in the one that it stands on.
    pub own_bytes: u64,
    /// The digest of the list of its chunks.
    pub index: String,
}

impl Manifest {
    /// One with nothing in it yet.
    pub(super) fn new(name: &Name, salt: &Salt, domain: String, blobs: &str) -> Self {
        Self {
            format: FORMAT,
            name: name.to_string(),
            release: env!("CARGO_PKG_VERSION").into(),
            domain,
            base: None,
            salt: hex::encode(salt),
            files: Vec::new(),
            secrets: String::new(),
            blobs: blobs.into(),
            objects: None,
        }
    }

    /// Its bytes: JSON, and a last line with the code. Gives the code as well.
    pub(super) fn encode(&self, keys: &BackupKeys) -> Result<(Vec<u8>, String), BackupError> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| BackupError::Internal(error.to_string()))?;
        text.push(b'\n');
        let code = keys.code(&text).to_hex();
        text.extend_from_slice(code.as_bytes());
        text.push(b'\n');
        Ok((text, code.to_string()))
    }

    /// Reads the manifest of a backup, and proves that whoever made it had the key.
    pub(super) fn decode(name: &Name, bytes: &[u8], key: &DbKey) -> Result<Proved, BackupError> {
        let forged = || BackupError::Manifest(name.to_string());
        let (manifest, code) = Self::split(bytes).ok_or_else(forged)?;
        let read: Self = serde_json::from_slice(manifest).map_err(|_| forged())?;
        let mut salt = Salt::default();
        hex::decode_to_slice(&read.salt, &mut salt).map_err(|_| forged())?;
        let keys = BackupKeys::new(key, &salt);
        // Both are hashes, whose comparison takes the same time whatever they are.
        if keys.code(manifest) != code || read.name != name.to_string() {
            return Err(forged());
        }
        if read.format != FORMAT {
            let (found, release) = (read.format, read.release);
            return Err(BackupError::Format { name: read.name, found, known: FORMAT, release });
        }
        Ok(Proved { manifest: read, keys, code: code.to_hex().to_string() })
    }

    /// Reads what a manifest says, without proof: for a list of backups.
    pub(super) fn look(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(Self::split(bytes)?.0).ok()
    }

    /// The JSON, its last line's end included, and the code.
    fn split(bytes: &[u8]) -> Option<(&[u8], blake3::Hash)> {
        let text = bytes.strip_suffix(b"\n")?;
        let line = text.iter().rposition(|byte| *byte == b'\n')?.checked_add(1)?;
        let (manifest, code) = text.split_at_checked(line)?;
        Some((manifest, blake3::Hash::from_hex(code).ok()?))
    }

    /// Bytes that it takes by itself.
    #[must_use]
    pub fn own_bytes(&self) -> u64 {
        let objects = self.objects.as_ref().map_or(0, |objects| objects.own_bytes);
        self.files.iter().fold(objects, |sum, file| sum.saturating_add(file.own_bytes))
    }

    /// Bytes that are brought back.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let objects = self.objects.as_ref().map_or(0, |objects| objects.bytes);
        self.files.iter().fold(objects, |sum, file| sum.saturating_add(file.bytes))
    }
}

/// A manifest that is what whoever had the key has written.
pub(super) struct Proved {
    pub(super) manifest: Manifest,
    pub(super) keys: BackupKeys,
    pub(super) code: String,
}

#[cfg(test)]
mod tests {
    use super::{super::Kind, *};

    fn key(text: &str) -> DbKey {
        DbKey::parse(text).unwrap()
    }

    #[test]
    fn a_manifest_is_proved_by_the_key_alone() {
        let (name, salt) = (Name::new(0, Kind::Full), [3; 16]);
        let manifest = Manifest::new(&name, &salt, "example.org".into(), "database");
        let (bytes, code) = manifest.encode(&BackupKeys::new(&key("ours"), &salt)).unwrap();
        let read = Manifest::decode(&name, &bytes, &key("ours")).map_err(|error| error.to_string()).unwrap();
        assert_eq!((read.manifest, read.code), (manifest.clone(), code));
        let refused = |name: &Name, bytes: &[u8], with: &str| {
            matches!(Manifest::decode(name, bytes, &key(with)), Err(BackupError::Manifest(_)))
        };
        assert!(refused(&name, &bytes, "theirs"));
        assert!(refused(&Name::new(1000, Kind::Full), &bytes, "ours"));
        assert!(refused(&name, &bytes[..bytes.len() - 2], "ours"));
        assert!(refused(&name, b"", "ours"));
        let text = String::from_utf8(bytes).unwrap();
        assert!(refused(&name, text.replace("example.org", "example.com").as_bytes(), "ours"));
    }

    #[test]
    fn a_manifest_of_before_there_were_objects_in_it_is_read() {
        let (name, salt) = (Name::new(0, Kind::Full), [3; 16]);
        let keys = BackupKeys::new(&key("ours"), &salt);
        let before = Manifest::new(&name, &salt, "example.org".into(), "directory");
        let (bytes, _) = before.encode(&keys).unwrap();
        assert!(!String::from_utf8(bytes.clone()).unwrap().contains("objects"), "an older release wrote no such word");
        let read = Manifest::decode(&name, &bytes, &key("ours")).map_err(|error| error.to_string()).unwrap();
        assert_eq!((read.manifest.objects, read.manifest.blobs.as_str()), (None, "directory"));
        // The longest one has room.
        let lists = vec!["0".repeat(64); 16];
        let objects = Some(ObjectsCopy { count: u64::MAX, bytes: u64::MAX, own_bytes: u64::MAX, lists });
        let (bytes, _) = Manifest { objects: objects.clone(), ..before }.encode(&keys).unwrap();
        assert!(bytes.len() < MANIFEST_MAX);
        let read = Manifest::decode(&name, &bytes, &key("ours")).map_err(|error| error.to_string()).unwrap();
        assert_eq!(read.manifest.objects, objects);
    }

    #[test]
    fn another_format_is_told_by_its_number() {
        let (name, salt) = (Name::new(0, Kind::Full), [3; 16]);
        let manifest = Manifest { format: 2, ..Manifest::new(&name, &salt, "example.org".into(), "database") };
        let (bytes, _) = manifest.encode(&BackupKeys::new(&key("ours"), &salt)).unwrap();
        let outcome = Manifest::decode(&name, &bytes, &key("ours"));
        assert!(matches!(outcome, Err(BackupError::Format { found: 2, known: 1, .. })));
    }
}
