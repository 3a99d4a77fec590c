//! Ids and counters as types. They are parsed once, at the edge; inside they are right.
//!
//! All ids are UUIDv7 (RFC 9562 section 5.7) so that they sort by age. This crate has
//! no clock and no randomness: whoever makes an id hands both in.

use std::{fmt, str::FromStr};

use uuid::Uuid;

use crate::address::Domain;

/// Bytes that are not the id they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// An id has 16 bytes.
    #[error("an id has 16 bytes, not {0}")]
    Length(usize),
    /// The bytes are not a UUID of version 7.
    #[error("an id is a UUID of version 7")]
    Version,
    /// A name without its parts.
    #[error("a conversation is named by a domain and an id")]
    Incomplete,
    /// The domain is malformed.
    #[error(transparent)]
    Domain(#[from] crate::address::AddressError),
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Makes an id from milliseconds since 1970 and ten random bytes.
            #[must_use]
            pub fn new(unix_ms: u64, random: [u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid().into_bytes())
            }

            /// Parses the 16 bytes of the wire.
            ///
            /// # Errors
            /// [`IdError::Length`] or [`IdError::Version`].
            pub fn parse(bytes: &[u8]) -> Result<Self, IdError> {
                let bytes: [u8; 16] = bytes.try_into().map_err(|_| IdError::Length(bytes.len()))?;
                match Uuid::from_bytes(bytes).get_version_num() {
                    7 => Ok(Self(bytes)),
                    _ => Err(IdError::Version),
                }
            }

            /// The 16 bytes of the wire.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// The bytes as a protobuf field wants them.
            #[must_use]
            pub fn to_bytes(&self) -> bytes::Bytes {
                bytes::Bytes::copy_from_slice(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&Uuid::from_bytes(self.0).as_hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let uuid = Uuid::try_parse(text).map_err(|_| IdError::Version)?;
                Self::parse(uuid.as_bytes())
            }
        }
    };
}

id!(
    /// One account on its home server; never on the wire, where people have addresses.
    AccountId
);
id!(
    /// One device of one account, made by the device.
    DeviceId
);
id!(
    /// One message, commit or proposal, made by the device that sends it.
    MessageId
);
id!(
    /// The part of a conversation's name that is unique at its hub.
    ConversationId
);

/// Names one log everywhere: a conversation, or the inbox of a device
/// (whose id it then carries).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationName {
    /// The hub: the domain that orders this log.
    pub domain: Domain,
    /// Unique at the hub.
    pub id: ConversationId,
}

impl ConversationName {
    /// The inbox of a device: a log with one reader.
    #[must_use]
    pub fn inbox(domain: Domain, device: DeviceId) -> Self {
        Self { domain, id: ConversationId(device.0) }
    }

    /// Parses the wire form.
    ///
    /// # Errors
    /// [`IdError`], where the field is absent or a part is malformed.
    pub fn parse(wire: Option<&crate::v1::ConversationName>) -> Result<Self, IdError> {
        let wire = wire.ok_or(IdError::Incomplete)?;
        Ok(Self { domain: Domain::parse(&wire.domain)?, id: ConversationId::parse(&wire.id)? })
    }

    /// The wire form.
    #[must_use]
    pub fn to_wire(&self) -> crate::v1::ConversationName {
        crate::v1::ConversationName { domain: self.domain.as_str().to_owned(), id: self.id.to_bytes() }
    }

    /// Bytes that no other name has, for the MLS group id: the 16 bytes of the id, then the domain.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        [self.id.as_bytes().as_slice(), self.domain.as_str().as_bytes()].concat()
    }
}

impl fmt::Display for ConversationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.domain)
    }
}

impl fmt::Debug for ConversationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ConversationName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (id, domain) = text.split_once('@').ok_or(IdError::Incomplete)?;
        Ok(Self { domain: Domain::parse(domain)?, id: id.parse()? })
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl $name {
            /// The one after; saturates, which 2^64 entries do not reach.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number!(
    /// Position in a log, gap-free from 1; 0 is before the first entry.
    Seq
);
number!(
    /// MLS epoch of a group (RFC 9420 section 8.1).
    Epoch
);
number!(
    /// Counts what one device has sent into one conversation, from 1.
    Counter
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuid_v7_and_sort_by_age() {
        let older = MessageId::new(1_000, [0xff; 10]);
        let newer = MessageId::new(1_001, [0; 10]);
        assert!(older < newer);
        assert_eq!(MessageId::parse(older.as_bytes()), Ok(older));
        assert_eq!(older.to_string().parse(), Ok(older));
    }

    #[test]
    fn other_bytes_are_no_ids() {
        assert_eq!(DeviceId::parse(&[7; 15]), Err(IdError::Length(15)));
        assert_eq!(DeviceId::parse(&[0; 16]), Err(IdError::Version));
    }

    #[test]
    fn a_conversation_name_reads_back() {
        let name =
            ConversationName { domain: Domain::parse("chat.example").unwrap(), id: ConversationId::new(5, [1; 10]) };
        assert_eq!(name.to_string().parse(), Ok(name.clone()));
        assert_eq!(ConversationName::parse(Some(&name.to_wire())), Ok(name));
        assert_eq!(ConversationName::parse(None), Err(IdError::Incomplete));
    }
}
