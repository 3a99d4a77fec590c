//! Opening: any chunk by its number; and all of them in order as they arrive, with the digest of the whole.

use aws_lc_rs::aead::LessSafeKey;

use super::{Key, SEALED_CHUNK, Shape, TAG, no_data};

/// Opens the chunks of one blob.
pub(crate) struct Opener {
    cipher: LessSafeKey,
    shape: Shape,
}

impl Opener {
    /// `None` where a file of this size does not have such a blob.
    pub(crate) fn new(key: &Key, size: u64, blob_size: u64) -> Option<Self> {
        let shape = Shape::of(size).filter(|shape| shape.sealed == blob_size)?;
        Some(Self { cipher: key.cipher()?, shape })
    }

    /// What of the file is in a chunk, which is opened where it lies. `None` where it is not that chunk.
    pub(crate) fn open<'c>(&self, number: u64, chunk: &'c mut [u8]) -> Option<&'c [u8]> {
        if Some(chunk.len()) != self.sealed_of(number) {
            return None;
        }
        let plain = self.cipher.open_in_place(self.shape.nonce(number), no_data(), chunk).ok()?;
        plain.get(..self.shape.file_of(number))
    }

    /// How long a chunk is; `None` where there is none of this number.
    pub(crate) fn sealed_of(&self, number: u64) -> Option<usize> {
        self.shape.plain_of(number)?.checked_add(TAG)
    }
}

/// Checks a blob as it arrives, in order and in portions of any size: each chunk as soon as it is complete.
pub(crate) struct Checker<'o> {
    opener: &'o Opener,
    number: u64,
    chunk: Vec<u8>,
    hasher: blake3::Hasher,
}

impl<'o> Checker<'o> {
    pub(crate) fn new(opener: &'o Opener) -> Self {
        Self { opener, number: 0, chunk: Vec::with_capacity(SEALED_CHUNK), hasher: blake3::Hasher::new() }
    }

    /// Says whether it may be right so far; after a no it is of no further use.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> bool {
        self.hasher.update(bytes);
        while !bytes.is_empty() {
            let Some(length) = self.opener.sealed_of(self.number) else { return false };
            let missing = length.saturating_sub(self.chunk.len()).min(bytes.len());
            let (now, later) = bytes.split_at(missing);
            self.chunk.extend_from_slice(now);
            bytes = later;
            if self.chunk.len() == length {
                if self.opener.open(self.number, &mut self.chunk).is_none() {
                    return false;
                }
                self.chunk.clear();
                self.number = self.number.saturating_add(1);
            }
        }
        true
    }

    /// Are all chunks there?
    pub(crate) fn is_whole(&self) -> bool {
        self.chunk.is_empty() && self.opener.sealed_of(self.number).is_none()
    }

    /// BLAKE3 of everything that came.
    pub(crate) fn digest(&self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }
}
