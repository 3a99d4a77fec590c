//! What a backup's keys do: one tells a manifest from a forged one, one seals the secrets beside the databases.
//!
//! Both come from the database's key and a salt of the backup. The databases need no more: their pages are encrypted and
//! authenticated in themselves (SQLCipher), and the manifest says which of them belong together.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

use crate::store::sqlite::DbKey;

/// What the derived keys are for (BLAKE3's key derivation).
const MANIFESTS: &str = "quicprochat 2026-11 backup manifest";
const SECRETS: &str = "quicprochat 2026-11 backup secrets";

/// Bytes that make each backup's keys others.
pub(super) type Salt = [u8; 16];

/// The keys of a backup.
pub(super) struct BackupKeys {
    manifest: Zeroizing<[u8; 32]>,
    secrets: Zeroizing<[u8; 32]>,
}

/// Sealed bytes that do not open: another key, or not what was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotOurs;

impl BackupKeys {
    /// Those of a database's key and a salt. Takes a fraction of a second.
    pub(super) fn new(key: &DbKey, salt: &Salt) -> Self {
        let root = key.derive(salt);
        let of = |purpose| Zeroizing::new(blake3::derive_key(purpose, &*root));
        Self { manifest: of(MANIFESTS), secrets: of(SECRETS) }
    }

    /// The authentication code of a manifest. Compare it as what it is: in constant time.
    pub(super) fn code(&self, manifest: &[u8]) -> blake3::Hash {
        blake3::keyed_hash(&self.manifest, manifest)
    }

    /// Seals bytes (AES-256-GCM, nonce first).
    pub(super) fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, NotOurs> {
        let mut sealed = Zeroizing::new(plain.to_vec());
        let nonce = self.cipher()?.seal_in_place_append_tag(Aad::empty(), &mut *sealed).map_err(|_| NotOurs)?;
        Ok([nonce.as_ref().as_slice(), sealed.as_slice()].concat())
    }

    /// Opens what was sealed.
    pub(super) fn open(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotOurs> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or(NotOurs)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| NotOurs)?;
        let mut plain = Zeroizing::new(sealed.to_vec());
        let bytes = self.cipher()?.open_in_place(nonce, Aad::empty(), &mut plain).map_err(|_| NotOurs)?.len();
        plain.truncate(bytes);
        Ok(plain)
    }

    fn cipher(&self) -> Result<RandomizedNonceKey, NotOurs> {
        RandomizedNonceKey::new(&AES_256_GCM, &*self.secrets).map_err(|_| NotOurs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> BackupKeys {
        BackupKeys::new(&DbKey::parse(text).unwrap(), &[7; 16])
    }

    #[test]
    fn only_the_same_key_opens_and_only_what_was_sealed() {
        let (ours, theirs) = (keys("ours"), keys("theirs"));
        let sealed = ours.seal(b"secret").unwrap();
        assert_eq!(ours.open(&sealed).unwrap().as_slice(), b"secret");
        assert!(theirs.open(&sealed).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(ours.open(&changed).is_err(), "{at}");
            assert!(ours.open(&sealed[..at]).is_err(), "{at}");
        }
        assert_ne!(ours.code(b"manifest"), theirs.code(b"manifest"));
        assert_ne!(ours.code(b"manifest"), ours.code(b"manifesto"));
    }
}
