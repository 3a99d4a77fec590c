//! Tokens that let somebody register: made here, compared here, stored as hashes only.

use qpc_proto::limits::TOKEN_MAX;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{rng::Rng, store::InviteToken};

/// Separates these hashes from all others made with BLAKE3.
const CONTEXT: &str = "quicprochat 2026-11 registration token";

/// A token as somebody showed it, or as it was just made. Not printed by accident: it has no `Debug`.
pub struct Token(Zeroizing<String>);

impl Token {
    /// 128 random bits as 32 hexadecimal digits.
    pub(super) fn random(rng: &dyn Rng) -> Self {
        let bits = Zeroizing::new(u128::from_be_bytes(crate::rng::bytes(rng)));
        Self(Zeroizing::new(format!("{:032x}", *bits)))
    }

    /// Takes what somebody showed; `None` for what is too long to be one.
    pub(super) fn parse(text: String) -> Option<Self> {
        let text = Zeroizing::new(text);
        (text.len() <= TOKEN_MAX).then_some(Self(text))
    }

    /// The text to hand to a person.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the store knows it by.
    pub(super) fn hash(&self) -> InviteToken {
        InviteToken(digest(&self.0))
    }
}

/// A token of the configuration, which lets in any number of times. Only its hash is kept.
pub struct StandingToken([u8; 32]);

impl StandingToken {
    /// Takes the configured text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(digest(text))
    }

    /// Compares in constant time.
    pub(super) fn admits(&self, shown: &Token) -> bool {
        self.0.ct_eq(&digest(&shown.0)).into()
    }
}

fn digest(text: &str) -> [u8; 32] {
    blake3::derive_key(CONTEXT, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SystemRng;

    #[test]
    fn a_standing_token_admits_itself_alone() {
        let standing = StandingToken::new("open sesame");
        assert!(standing.admits(&Token::parse("open sesame".into()).unwrap()));
        assert!(!standing.admits(&Token::parse("open sesam".into()).unwrap()));
        assert!(!standing.admits(&Token::parse(String::new()).unwrap()));
    }

    #[test]
    fn made_tokens_differ_and_parse() {
        let (a, b) = (Token::random(&SystemRng), Token::random(&SystemRng));
        assert_ne!(a.expose(), b.expose());
        assert_eq!(a.expose().len(), 32);
        assert_eq!(Token::parse(a.expose().to_owned()).unwrap().hash(), a.hash());
        assert!(Token::parse("x".repeat(TOKEN_MAX + 1)).is_none());
    }
}
