//! Sealing: a file in, chunks of ciphertext out, one after the other.

use std::io::{self, Read};

use aws_lc_rs::aead::LessSafeKey;

use super::{Key, SEALED_CHUNK, Shape, no_data};

/// Why a file was not sealed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    #[error("it is larger than any server takes")]
    TooLarge,
    #[error("it was changed while it was read")]
    Changed,
    #[error("{0}")]
    Read(io::Error),
    #[error("the cryptography failed")]
    Cipher,
}

/// Seals one file, once.
pub(crate) struct Sealer {
    cipher: LessSafeKey,
    shape: Shape,
    next: u64,
    chunk: Vec<u8>,
    hasher: blake3::Hasher,
}

impl Sealer {
    /// For a file of this size, and a key that seals nothing else.
    pub(crate) fn new(key: &Key, size: u64) -> Result<Self, SealError> {
        let shape = Shape::of(size).ok_or(SealError::TooLarge)?;
        let cipher = key.cipher().ok_or(SealError::Cipher)?;
        let (chunk, hasher) = (Vec::with_capacity(SEALED_CHUNK), blake3::Hasher::new());
        Ok(Self { cipher, shape, next: 0, chunk, hasher })
    }

    /// Reads as much of the file as the next chunk needs; `None` once all are made.
    pub(crate) fn next(&mut self, file: &mut impl Read) -> Result<Option<&[u8]>, SealError> {
        let number = self.next;
        let Some(plain) = self.shape.plain_of(number) else { return Ok(None) };
        let wanted = self.shape.file_of(number);
        self.chunk.clear();
        self.chunk.resize(wanted, 0);
        file.read_exact(&mut self.chunk).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => SealError::Changed,
            _ => SealError::Read(error),
        })?;
        self.chunk.resize(plain, 0);
        let nonce = self.shape.nonce(number);
        let sealed = self.cipher.seal_in_place_append_tag(nonce, no_data(), &mut self.chunk);
        sealed.map_err(|_| SealError::Cipher)?;
        self.hasher.update(&self.chunk);
        self.next = number.saturating_add(1);
        Ok(Some(&self.chunk))
    }

    /// BLAKE3 of what was made so far.
    pub(crate) fn digest(&self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }

    /// How long all of it is.
    pub(crate) fn sealed_len(&self) -> u64 {
        self.shape.sealed
    }
}
