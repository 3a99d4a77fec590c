//! The database key: kept apart from everything that prints.
//!
//! 64 hex digits are a raw key and cost nothing to use; anything else is a passphrase that
//! SQLCipher stretches once per connection.

use zeroize::Zeroizing;

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

    /// The statement that must be a connection's first.
    pub(super) fn pragma(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("PRAGMA key = {}", self.0.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
