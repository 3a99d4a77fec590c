//! Names of people and servers: `name@domain`, canonical from the moment they are parsed.
//!
//! Canonical is lower-case ASCII. Two addresses are the same exactly when their bytes are.

use std::{fmt, str::FromStr, sync::Arc};

use crate::limits::{ACCOUNT_NAME_MAX, DOMAIN_MAX};

/// Text that is not a name, a domain or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The name has other characters, or too many.
    #[error(
        "a name has 1 to {ACCOUNT_NAME_MAX} letters a-z, digits, '.', '_' or '-', and begins and ends with a letter or digit"
    )]
    Name,
    /// The domain is not a host name.
    #[error("a domain is a host name of at most {DOMAIN_MAX} letters a-z, digits, '-' and '.'")]
    Domain,
    /// There is no `@`, or more than one.
    #[error("an address is name@domain")]
    Form,
}

/// The part of an address before the `@`, chosen at registration.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName(Arc<str>);

impl AccountName {
    /// Parses and lower-cases a name.
    ///
    /// # Errors
    /// [`AddressError::Name`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let fits = text.len() <= ACCOUNT_NAME_MAX
            && edge(text.chars().next())
            && edge(text.chars().next_back())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        if fits { Ok(Self(text.to_ascii_lowercase().into())) } else { Err(AddressError::Name) }
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A server's domain: what it is the hub of, and part of every address it registers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(Arc<str>);

impl Domain {
    /// Parses and lower-cases a domain; `localhost` and other single labels are allowed.
    ///
    /// # Errors
    /// [`AddressError::Domain`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if text.len() <= DOMAIN_MAX && text.split('.').all(label) {
            Ok(Self(text.to_ascii_lowercase().into()))
        } else {
            Err(AddressError::Domain)
        }
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Who somebody is, everywhere: `name@domain`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Unique at the domain.
    pub name: AccountName,
    /// The home server.
    pub domain: Domain,
}

impl Address {
    /// Parses `name@domain`.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (name, domain) = text.split_once('@').ok_or(AddressError::Form)?;
        Ok(Self { name: AccountName::parse(name)?, domain: Domain::parse(domain)? })
    }

    /// The domain whose server orders the direct conversation of two: that of the bytewise smaller canonical address (D11).
    #[must_use]
    pub fn hub_of<'a>(one: &'a Self, other: &'a Self) -> &'a Domain {
        let text = |address: &Self| address.to_string();
        if text(one) <= text(other) { &one.domain } else { &other.domain }
    }

    /// Parses `name@domain`, or `name` alone as one of `home`.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn parse_at(text: &str, home: &Domain) -> Result<Self, AddressError> {
        if text.contains('@') {
            Self::parse(text)
        } else {
            Ok(Self { name: AccountName::parse(text)?, domain: home.clone() })
        }
    }
}

macro_rules! text {
    ($name:ident, |$self:ident, $f:ident| $write:expr) => {
        impl fmt::Display for $name {
            fn fmt(&$self, $f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $write
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = AddressError;

            fn from_str(text: &str) -> Result<Self, AddressError> {
                Self::parse(text)
            }
        }
    };
}

text!(AccountName, |self, f| f.write_str(&self.0));
text!(Domain, |self, f| f.write_str(&self.0));
text!(Address, |self, f| write!(f, "{}@{}", self.name, self.domain));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_canonical_from_the_start() {
        assert_eq!(Address::parse("Alice@Chat.Example").unwrap().to_string(), "alice@chat.example");
        let home = Domain::parse("localhost").unwrap();
        assert_eq!(Address::parse_at("bob", &home).unwrap().to_string(), "bob@localhost");
        assert_eq!(Address::parse_at("bob@b.example", &home).unwrap().to_string(), "bob@b.example");
    }

    #[test]
    fn two_people_have_one_hub_whoever_asks() {
        let hub = |one: &str, other: &str| {
            let (one, other) = (Address::parse(one).unwrap(), Address::parse(other).unwrap());
            assert_eq!(Address::hub_of(&one, &other), Address::hub_of(&other, &one));
            Address::hub_of(&one, &other).to_string()
        };
        assert_eq!(hub("alice@z.example", "bob@a.example"), "z.example");
        assert_eq!(hub("bob@b.example", "bob@a.example"), "a.example");
        // The whole text counts, not the name first: '.' and '-' are smaller than '@'.
        assert_eq!(hub("bob@a.example", "bob.x@z.example"), "z.example");
        assert_eq!(hub("bob@a.example", "bob-x@z.example"), "z.example");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in ["", "a b", "ä", ".a", "a.", "a@b", "a\u{1b}", &"a".repeat(ACCOUNT_NAME_MAX + 1)] {
            assert_eq!(AccountName::parse(bad), Err(AddressError::Name), "{bad:?}");
        }
        assert!(AccountName::parse(&"a".repeat(ACCOUNT_NAME_MAX)).is_ok());
    }

    #[test]
    fn what_is_no_domain_is_refused() {
        for bad in ["", ".", "a..b", "a.b.", "-a.b", "a-.b", "a_b", "é.example", &"a".repeat(64), &"a.".repeat(127)] {
            assert_eq!(Domain::parse(bad), Err(AddressError::Domain), "{bad:?}");
        }
        assert_eq!(Address::parse("alice"), Err(AddressError::Form));
        assert_eq!(Address::parse("alice@b@c"), Err(AddressError::Domain));
    }
}
