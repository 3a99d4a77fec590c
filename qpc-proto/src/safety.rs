//! Safety numbers: what two people compare to know that each has the other's key, and no server one of its own.
//!
//! The number of two people is a half of each, made of that account's address and key alone, in an order that both
//! find alike; it is read as digits or as words. The code is what one of them shows for the other to scan. This is
//! `docs/protocol.md` section 15. What a comparison means for the keys that are pinned is the client's affair.

mod code;
mod typed;

use std::fmt;

use bip39_lexical_data::WL_BIP39 as LIST;
use subtle::ConstantTimeEq;

pub use self::{
    code::{Code, CodeError},
    typed::{Typed, TypedError},
};
use crate::{address::Address, transcript};

/// Version of the number and of the code, covered by both.
pub const VERSION: u32 = 1;
/// Digits of a group.
const GROUP: usize = 5;
/// Groups of a half.
const HALF_GROUPS: usize = 6;
/// Words of a half.
const HALF_WORDS: usize = 9;
/// Digits of a number.
pub const DIGITS: usize = GROUP * HALF_GROUPS * 2;
/// Words of a number.
pub const WORDS: usize = HALF_WORDS * 2;

/// One of two people, by the name and the key that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Party<'a> {
    /// `name@domain`.
    pub address: &'a Address,
    /// The public half of the account's identity key.
    pub account_key: &'a [u8; 32],
}

/// What two people compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafetyNumber {
    digits: [u8; DIGITS],
    words: [u16; WORDS],
}

impl SafetyNumber {
    /// The number of two people, the same whoever of them asks.
    #[must_use]
    pub fn of(one: &Party<'_>, other: &Party<'_>) -> Self {
        let mut parties = [one, other];
        parties.sort_by_key(|party| (party.address.to_string(), party.account_key));
        let (mut digits, mut words) = ([0; DIGITS], [0; WORDS]);
        for ((party, digits), words) in
            parties.iter().zip(digits.chunks_exact_mut(DIGITS / 2)).zip(words.chunks_exact_mut(HALF_WORDS))
        {
            half(party, digits, words);
        }
        Self { digits, words }
    }

    /// The digits in groups of five.
    #[must_use]
    pub fn groups(&self) -> Vec<String> {
        self.digits.chunks(GROUP).map(|group| group.iter().copied().map(char::from).collect()).collect()
    }

    /// The words.
    #[must_use]
    pub fn words(&self) -> Vec<&'static str> {
        self.words.iter().filter_map(|index| LIST.get(usize::from(*index)).copied()).collect()
    }

    /// Is this the number that somebody typed? Takes the same time whatever the answer is.
    #[must_use]
    pub fn is(&self, typed: &Typed) -> bool {
        match typed {
            Typed::Digits(digits) => self.digits.ct_eq(digits).into(),
            Typed::Words(words) => self.words.as_slice().ct_eq(words.as_slice()).into(),
        }
    }
}

/// The groups with a blank between them.
impl fmt::Display for SafetyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.groups().join(" "))
    }
}

/// One person's half: a group of digits is 5 bytes modulo 100,000, a word 2 bytes modulo 2,048.
fn half(party: &Party<'_>, digits: &mut [u8], words: &mut [u16]) {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&transcript::safety_number_half(VERSION, party.address, party.account_key));
    let mut bytes = hasher.finalize_xof();
    for group in digits.chunks_exact_mut(GROUP) {
        let mut chosen = [0; 8];
        if let Some(low) = chosen.get_mut(3..) {
            bytes.fill(low);
        }
        let mut rest = u64::from_be_bytes(chosen);
        for digit in group.iter_mut().rev() {
            // Below 10, so one byte holds it.
            *digit = b'0'.saturating_add(u8::try_from(rest % 10).unwrap_or_default());
            rest /= 10;
        }
    }
    for word in words {
        let mut chosen = [0; 2];
        bytes.fill(&mut chosen);
        *word = u16::from_be_bytes(chosen) % 2048;
    }
}

#[cfg(test)]
mod tests;
