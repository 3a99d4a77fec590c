//! The database key: kept apart from everything that prints.
//!
//! 64 hex digits are a raw key and cost nothing to use; anything else is a passphrase that
//! SQLCipher stretches once per connection.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use zeroize::Zeroizing;

/// Rounds of PBKDF2 by which other keys come from a database's: as many as SQLCipher takes for a passphrase.
const ROUNDS: NonZeroU32 = match NonZeroU32::new(256_000) {
    Some(rounds) => rounds,
    None => NonZeroU32::MIN,
};

/// Text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DbKeyError {
    /// Nothing but white space.
    #[error("the database key is empty")]
    Empty,
    /// SQLCipher's interface ends a text there.
    #[error("a database key must not contain a NUL character")]
    Nul,
}

/// The key of a database. It has no `Debug` and is wiped when dropped.
#[derive(Clone)]
pub struct DbKey(Zeroizing<String>);

impl DbKey {
    /// Takes 64 hex digits as a raw key and anything else as a passphrase, without white space around it.
    ///
    /// # Errors
    /// [`DbKeyError`].
    pub fn parse(text: &str) -> Result<Self, DbKeyError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(DbKeyError::Empty);
        }
        if text.contains('\0') {
            return Err(DbKeyError::Nul);
        }
        let raw = text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit());
        // Doubled quotes end neither text: there is no other escape in SQL.
        Ok(Self(Zeroizing::new(if raw { format!("\"x'{text}'\"") } else { format!("'{}'", text.replace('\'', "''")) })))
    }

    /// Another key that only those have who have this one: PBKDF2-HMAC-SHA512 (RFC 8018), which makes trying
    /// passphrases by it no cheaper than by the database.
    #[must_use]
    pub fn derive(&self, salt: &[u8; 16]) -> Zeroizing<[u8; 32]> {
        // The digits of a raw key are the same key in either case.
        let raw = self.0.starts_with('"');
        let text = if raw { Zeroizing::new(self.0.to_ascii_lowercase()) } else { self.0.clone() };
        let mut key = Zeroizing::new([0; 32]);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, ROUNDS, salt, text.as_bytes(), &mut *key);
        key
    }

    /// The statement that must be a connection's first.
    pub(super) fn pragma(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("PRAGMA key = {}", self.0.as_str()))
    }

    /// The statement that gives a file this key instead of the one that it was opened with.
    pub(super) fn rekey_pragma(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("PRAGMA rekey = {}", self.0.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_keys_are_of_key_and_salt() {
        let hex = "ab".repeat(32);
        let derived = |text: &str, salt: u8| *DbKey::parse(text).unwrap().derive(&[salt; 16]);
        assert_eq!(derived(&hex, 1), derived(&hex.to_uppercase(), 1));
        assert_ne!(derived(&hex, 1), derived(&hex, 2));
        assert_ne!(derived("Passphrase", 1), derived("passphrase", 1));
    }

    #[test]
    fn hex_is_raw_and_the_rest_is_a_passphrase() {
        let hex = "0123456789abcdefABCDEF0123456789abcdefABCDEF0123456789abcdefABCD";
        let short = hex.strip_prefix('0').unwrap();
        let pragma = |text: &str| DbKey::parse(text).map(|key| key.pragma().to_string());
        assert_eq!(pragma(&format!("{hex}\n")), Ok(format!("PRAGMA key = \"x'{hex}'\"")));
        assert_eq!(pragma(short), Ok(format!("PRAGMA key = '{short}'")));
        assert_eq!(pragma("it's; DROP"), Ok("PRAGMA key = 'it''s; DROP'".into()));
        assert_eq!(pragma(" \n"), Err(DbKeyError::Empty));
        assert_eq!(pragma("a\0b"), Err(DbKeyError::Nul));
    }
}
