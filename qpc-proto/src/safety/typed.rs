//! A safety number as a person typed it: digits or words, however they are grouped.

use super::{DIGITS, LIST, WORDS};

/// What was typed, in form a safety number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    /// ASCII digits.
    Digits([u8; DIGITS]),
    /// Places in the list of words.
    Words([u16; WORDS]),
}

/// What was typed is no safety number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypedError {
    /// Too few or too many digits.
    #[error("a safety number has {DIGITS} digits, and these are {0}")]
    Digits(usize),
    /// Too few or too many words.
    #[error("a safety number has {WORDS} words, and these are {0}")]
    Words(usize),
    /// A word that is in no safety number; it is the one of this place, counted from 1.
    #[error("word {0} is in no safety number")]
    Unknown(usize),
}

impl Typed {
    /// Reads digits with whatever blanks and dashes stand between them, or words in upper or lower case.
    ///
    /// # Errors
    /// [`TypedError`].
    pub fn parse(text: &str) -> Result<Self, TypedError> {
        if text.chars().any(char::is_alphabetic) {
            return words(text);
        }
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_digit).collect();
        digits.as_slice().try_into().map(Self::Digits).map_err(|_| TypedError::Digits(digits.len()))
    }
}

fn words(text: &str) -> Result<Typed, TypedError> {
    let mut places = Vec::with_capacity(WORDS);
    for (number, word) in (1..).zip(text.split_whitespace()) {
        let word = word.to_lowercase();
        let place = LIST.binary_search(&word.as_str()).ok().and_then(|place| u16::try_from(place).ok());
        places.push(place.ok_or(TypedError::Unknown(number))?);
    }
    places.as_slice().try_into().map(Typed::Words).map_err(|_| TypedError::Words(places.len()))
}
