//! Format 1 of the ciphertext of a file (docs/protocol.md section 17): padded, cut into chunks, each sealed by itself.
//!
//! Pure: no files, no clock, memory for one chunk. A key seals one file once, which is what makes its nonces unique; who
//! makes keys sees to that.

mod open;
mod seal;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use qpc_proto::limits::BLOB_MAX;
use zeroize::{Zeroize, ZeroizeOnDrop};

pub(crate) use self::{
    open::{Checker, Opener},
    seal::{SealError, Sealer},
};
use crate::fresh::{self, NoRandomness};

/// The number by which messages name it.
pub(crate) const FORMAT: u32 = 1;
/// Plaintext of each chunk but the last, in bytes.
const CHUNK: usize = 65_536;
/// What sealing adds to a chunk, in bytes.
const TAG: usize = 16;
/// A chunk on the wire, in bytes.
pub(crate) const SEALED_CHUNK: usize = CHUNK + TAG;
const CHUNK_U64: u64 = CHUNK as u64;
const TAG_U64: u64 = TAG as u64;
/// Up to here a length is padded to a multiple of [`SMALL_STEP`].
const SMALL: u64 = 4_096;
const SMALL_STEP: u64 = 256;

/// The key of one file.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// A new one.
    pub(crate) fn generate() -> Result<Self, NoRandomness> {
        fresh::random().map(Self)
    }

    /// One that somebody was told.
    pub(crate) fn of_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// To be told to those who may read the file.
    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, &self.0).ok().map(LessSafeKey::new)
    }
}

/// The length that the server sees, of a file of this one; `None` where there is no such number.
pub(crate) fn padded_len(size: u64) -> Option<u64> {
    if size <= SMALL {
        return Some(size.next_multiple_of(SMALL_STEP).max(SMALL_STEP));
    }
    // Padmé: with E and S of section 17, what is below the S highest bits is rounded away.
    let e = size.ilog2();
    let s = e.ilog2().checked_add(1)?;
    size.checked_next_multiple_of(1_u64.checked_shl(e.checked_sub(s)?)?)
}

/// How a file is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    /// Of the file.
    size: u64,
    /// With its padding.
    padded: u64,
    chunks: u64,
    /// Of the ciphertext.
    sealed: u64,
}

impl Shape {
    fn of(size: u64) -> Option<Self> {
        let padded = padded_len(size)?;
        let chunks = padded.div_ceil(CHUNK_U64);
        let sealed = chunks.checked_mul(TAG_U64)?.checked_add(padded)?;
        (sealed <= BLOB_MAX).then_some(Self { size, padded, chunks, sealed })
    }

    /// Plaintext of a chunk, padding included; `None` where there is no such chunk.
    fn plain_of(&self, number: u64) -> Option<usize> {
        let begin = number.checked_mul(CHUNK_U64)?;
        let left = self.padded.checked_sub(begin).filter(|left| *left > 0)?;
        usize::try_from(left.min(CHUNK_U64)).ok()
    }

    /// What of a chunk is the file's.
    fn file_of(&self, number: u64) -> usize {
        let begin = number.saturating_mul(CHUNK_U64);
        usize::try_from(self.size.saturating_sub(begin).min(CHUNK_U64)).unwrap_or(CHUNK)
    }

    fn is_last(&self, number: u64) -> bool {
        number.checked_add(1) == Some(self.chunks)
    }

    /// 11 bytes of the number, big endian, and whether the chunk is the last one.
    fn nonce(&self, number: u64) -> Nonce {
        let mut nonce = [0; 12];
        let [_, _, _, middle @ .., last] = &mut nonce;
        *middle = number.to_be_bytes();
        *last = u8::from(self.is_last(number));
        Nonce::assume_unique_for_key(nonce)
    }
}

fn no_data() -> Aad<[u8; 0]> {
    Aad::empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealed(key: &Key, plain: &[u8]) -> (Vec<u8>, [u8; 32]) {
        let mut sealer = Sealer::new(key, plain.len() as u64).unwrap();
        let (mut rest, mut out) = (plain, Vec::new());
        while let Some(chunk) = sealer.next(&mut rest).unwrap() {
            out.extend_from_slice(chunk);
        }
        (out, sealer.digest())
    }

    fn opened(key: &Key, size: usize, blob: &[u8]) -> Option<Vec<u8>> {
        let opener = Opener::new(key, size as u64, blob.len() as u64)?;
        let mut plain = Vec::new();
        for (number, chunk) in (0..).zip(blob.chunks(SEALED_CHUNK)) {
            plain.extend_from_slice(opener.open(number, &mut chunk.to_vec())?);
        }
        Some(plain)
    }

    fn key(byte: u8) -> Key {
        Key::of_bytes([byte; 32])
    }

    #[test]
    fn lengths_are_padded_as_the_protocol_says() {
        for (size, padded) in [
            (0, 256),
            (1, 256),
            (256, 256),
            (257, 512),
            (4_096, 4_096),
            (4_097, 4_352),
            (5_000, 5_120),
            (65_536, 65_536),
            (65_537, 67_584),
            (1_000_000, 1_015_808),
            (1 << 33, 1 << 33),
        ] {
            assert_eq!(padded_len(size), Some(padded), "{size}");
        }
        assert_eq!(padded_len(u64::MAX), None);
        let sealed_len = |size| Shape::of(size).map(|shape| shape.sealed);
        assert_eq!(sealed_len(0), Some(256 + 16));
        assert_eq!(sealed_len(65_537), Some(67_584 + 32));
        assert_eq!(sealed_len(BLOB_MAX), None);
    }

    /// The ciphertexts were made by another implementation of AES-256-GCM than ours.
    #[test]
    fn format_1_stays_format_1() {
        let (blob, digest) = sealed(&key(7), b"hello");
        assert_eq!(blob.len(), 272);
        assert_eq!(hex(&blob[..21]), VECTOR_BEGIN);
        assert_eq!(hex(&blob[256..]), VECTOR_TAG);
        assert_eq!(hex(&digest), VECTOR_DIGEST);
        // The first of two chunks is not the last one.
        let (blob, digest) = sealed(&key(7), &[1; 65_537]);
        assert_eq!(hex(&blob[65_536..65_552]), VECTOR_FIRST_TAG);
        assert_eq!(hex(&blob[blob.len() - 16..]), VECTOR_LAST_TAG);
        assert_eq!(digest, *blake3::hash(&blob).as_bytes());
    }

    const VECTOR_BEGIN: &str = "582dd50c5b40e2072dbb75425ef9747e9403f066d1";
    const VECTOR_TAG: &str = "eca71260e11d8f86e4e4ecfa35b24753";
    const VECTOR_DIGEST: &str = "0ee23226e2330c8d3c50e78536b56e82664a9dbc30cce6ba3af91e0dfa67898f";
    const VECTOR_FIRST_TAG: &str = "4c2d7930a06bb0db02f3566c4b479533";
    const VECTOR_LAST_TAG: &str = "4f18599ed0b992bff6d8787d8cf3e7d5";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn what_was_cut_moved_flipped_or_sealed_by_another_key_is_not_opened() {
        let plain: Vec<u8> = (0..200_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let (blob, _) = sealed(&key(1), &plain);
        assert_eq!(opened(&key(1), plain.len(), &blob).as_deref(), Some(&plain[..]));
        assert_eq!(opened(&key(2), plain.len(), &blob), None, "another key");
        for cut in [0, 1, SEALED_CHUNK, blob.len() - 1] {
            assert_eq!(opened(&key(1), plain.len(), &blob[..cut]), None, "cut at {cut}");
        }
        // Cut where a shorter file would end: its last chunk is not marked as that.
        assert_eq!(opened(&key(1), 2 * CHUNK, &blob[..2 * SEALED_CHUNK]), None);
        let mut moved = blob.clone();
        moved[..2 * SEALED_CHUNK].rotate_left(SEALED_CHUNK);
        assert_eq!(opened(&key(1), plain.len(), &moved), None, "two chunks changed places");
        for at in [0, CHUNK, SEALED_CHUNK + 5, blob.len() - 1] {
            let mut flipped = blob.clone();
            flipped[at] ^= 1;
            assert_eq!(opened(&key(1), plain.len(), &flipped), None, "a bit of byte {at}");
        }
        // Any chunk is read by itself.
        let opener = Opener::new(&key(1), plain.len() as u64, blob.len() as u64).unwrap();
        let mut third = blob[2 * SEALED_CHUNK..3 * SEALED_CHUNK].to_vec();
        assert_eq!(opener.open(2, &mut third).unwrap(), &plain[2 * CHUNK..3 * CHUNK]);
    }

    #[test]
    fn a_file_that_is_shorter_than_it_was_is_not_sealed() {
        let mut sealer = Sealer::new(&key(1), 10).unwrap();
        assert!(matches!(sealer.next(&mut &b"short"[..]), Err(SealError::Changed)));
    }

    #[test]
    fn what_arrives_is_checked_in_any_portions() {
        let plain = vec![5; 150_000];
        let (blob, digest) = sealed(&key(1), &plain);
        for portion in [1_000, CHUNK, SEALED_CHUNK, 262_144] {
            let opener = Opener::new(&key(1), plain.len() as u64, blob.len() as u64).unwrap();
            let mut checker = Checker::new(&opener);
            assert!(blob.chunks(portion).all(|bytes| checker.push(bytes)), "{portion}");
            assert!(checker.is_whole() && checker.digest() == digest);
        }
        let opener = Opener::new(&key(1), plain.len() as u64, blob.len() as u64).unwrap();
        let mut checker = Checker::new(&opener);
        let mut flipped = blob.clone();
        flipped[SEALED_CHUNK + 1] ^= 1;
        assert!(checker.push(&flipped[..SEALED_CHUNK]) && !checker.push(&flipped[SEALED_CHUNK..]));
        let mut checker = Checker::new(&opener);
        assert!(checker.push(&blob[..blob.len() - 1]) && !checker.is_whole());
        assert!(!checker.push(&[blob[blob.len() - 1], 0]), "more than there may be");
    }

    proptest! {
        #[test]
        fn padding_only_adds_grows_with_the_file_and_adds_little(size in 0_u64..1 << 40, more in 0_u64..1 << 40) {
            let padded = padded_len(size).unwrap();
            prop_assert!(padded >= size);
            prop_assert!(padded_len(size.saturating_add(more)).unwrap() >= padded);
            prop_assert_eq!(padded_len(padded).unwrap(), padded, "nothing is padded twice");
            if size >= 2_500 {
                prop_assert!(padded.saturating_sub(size).saturating_mul(100) <= size.saturating_mul(12));
            }
        }

        #[test]
        fn opening_undoes_sealing(plain in proptest::collection::vec(any::<u8>(), 0..3_000), repeated in 1_usize..60) {
            let plain = plain.repeat(repeated);
            let (blob, digest) = sealed(&key(9), &plain);
            prop_assert_eq!(blob.len() as u64, Shape::of(plain.len() as u64).unwrap().sealed);
            prop_assert_eq!(digest, *blake3::hash(&blob).as_bytes());
            prop_assert_eq!(opened(&key(9), plain.len(), &blob), Some(plain));
        }
    }
}
