//! Ephemeral events: what a device does at this moment, for those members of a conversation who are there.
//!
//! An event goes in a datagram, or as the same message on a stream, and is never stored. What it says is sealed with a
//! key that the group's members alone have, and is padded to one length: whoever hands it on can't tell typing from
//! reading. Encrypting is the client's; the form of everything is here.

use bytes::Bytes;
use prost::Message;

use crate::{
    id::{ConversationName, DeviceId, Epoch, Seq},
    limits::EPHEMERAL_MAX,
    v1,
};

/// Label of the MLS exporter (RFC 9420 section 8.5) whose secret is the key of an epoch.
pub const KEY_LABEL: &str = "qpc ephemeral";
/// Bytes of that key.
pub const KEY_LEN: usize = 32;
/// Bytes of a header.
pub const HEADER_LEN: usize = 32;
/// Bytes of what is sealed, padding included.
pub const PLAIN_LEN: usize = 48;
/// Bytes of the tag.
pub const TAG_LEN: usize = 16;
/// Bytes of everything that a client seals; more are another version's.
pub const SEALED_LEN: usize = HEADER_LEN + PLAIN_LEN + TAG_LEN;

/// In front of what is authenticated.
const CONTEXT: &[u8] = b"qpc ephemeral 1";

/// Bytes that are no ephemeral event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EphemeralError {
    /// Longer than fits into a datagram, or than the version that is known.
    #[error("an ephemeral event of another length")]
    Length,
    /// Not the encoding of one, or without a part.
    #[error("not an ephemeral event")]
    Malformed,
}

/// An event on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Where.
    pub conversation: ConversationName,
    /// Opaque to the server.
    pub sealed: Bytes,
    /// From the server: whose it is.
    pub sender: Option<DeviceId>,
}

impl Event {
    /// Reads a datagram.
    ///
    /// # Errors
    /// [`EphemeralError`].
    pub fn decode(datagram: Bytes) -> Result<Self, EphemeralError> {
        if datagram.len() > EPHEMERAL_MAX {
            return Err(EphemeralError::Length);
        }
        Self::parse(v1::Ephemeral::decode(datagram).map_err(|_| EphemeralError::Malformed)?)
    }

    /// Reads the message, as it comes on a stream.
    ///
    /// # Errors
    /// [`EphemeralError`].
    pub fn parse(wire: v1::Ephemeral) -> Result<Self, EphemeralError> {
        if wire.sealed.is_empty() {
            return Err(EphemeralError::Malformed);
        }
        if wire.encoded_len() > EPHEMERAL_MAX {
            return Err(EphemeralError::Length);
        }
        let sender = match wire.sender_device.as_ref() {
            [] => None,
            device => Some(DeviceId::parse(device).map_err(|_| EphemeralError::Malformed)?),
        };
        let conversation =
            ConversationName::parse(wire.conversation.as_ref()).map_err(|_| EphemeralError::Malformed)?;
        Ok(Self { conversation, sealed: wire.sealed, sender })
    }

    /// The message.
    #[must_use]
    pub fn to_wire(&self) -> v1::Ephemeral {
        v1::Ephemeral {
            conversation: Some(self.conversation.to_wire()),
            sealed: self.sealed.clone(),
            sender_device: self.sender.map(|device| device.to_bytes()).unwrap_or_default(),
        }
    }

    /// The datagram.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        self.to_wire().encode_to_vec().into()
    }
}

/// What stands in front of what is sealed, readable and authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whose key it is.
    pub epoch: Epoch,
    /// The sender's leaf in the group.
    pub leaf: u32,
    /// Greater than in any event before it of this leaf in this epoch: microseconds since 1970, or more.
    pub counter: u64,
    /// At random, so that a clock that was set back makes no nonce twice.
    pub salt: [u8; 12],
}

impl Header {
    /// Epoch, leaf, counter, salt; numbers big-endian.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let parts = self.epoch.0.to_be_bytes().into_iter().chain(self.leaf.to_be_bytes());
        let parts = parts.chain(self.counter.to_be_bytes()).chain(self.salt);
        bytes.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
        bytes
    }

    /// The nonce of XChaCha20-Poly1305: the header without the epoch, of which the key is.
    #[must_use]
    pub fn nonce(&self) -> [u8; 24] {
        let mut nonce = [0; 24];
        nonce.iter_mut().zip(self.encode().into_iter().skip(8)).for_each(|(byte, part)| *byte = part);
        nonce
    }

    /// What is authenticated besides: the version, the header, and the conversation.
    #[must_use]
    pub fn associated_data(&self, conversation: &ConversationName) -> Vec<u8> {
        [CONTEXT, &self.encode(), &conversation.canonical()].concat()
    }
}

/// Something sealed, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed<'a> {
    /// In front.
    pub header: Header,
    /// Ciphertext and tag.
    pub ciphertext: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// Takes it apart.
    ///
    /// # Errors
    /// [`EphemeralError::Length`].
    pub fn parse(sealed: &'a [u8]) -> Result<Self, EphemeralError> {
        if sealed.len() != SEALED_LEN {
            return Err(EphemeralError::Length);
        }
        let (epoch, rest) = sealed.split_first_chunk().ok_or(EphemeralError::Length)?;
        let (leaf, rest) = rest.split_first_chunk().ok_or(EphemeralError::Length)?;
        let (counter, rest) = rest.split_first_chunk().ok_or(EphemeralError::Length)?;
        let (salt, ciphertext) = rest.split_first_chunk().ok_or(EphemeralError::Length)?;
        let header = Header {
            epoch: Epoch(u64::from_be_bytes(*epoch)),
            leaf: u32::from_be_bytes(*leaf),
            counter: u64::from_be_bytes(*counter),
            salt: *salt,
        };
        Ok(Self { header, ciphertext })
    }
}

/// What a device does in a conversation at this moment, whole: a later one takes the place of an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presently {
    /// Its person is writing something.
    pub typing: bool,
    /// It has stored all that others have said up to there; 0 does not say.
    pub delivered: Seq,
    /// Its person has seen all that others have said up to there; 0 does not say.
    pub read: Seq,
    /// Whether its person is there, where that is told.
    pub availability: v1::Availability,
    /// It has just come, and may have missed what others said: they say it again.
    pub asks: bool,
}

impl Presently {
    /// One byte of length, the message, and zeros: always [`PLAIN_LEN`] bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; PLAIN_LEN] {
        let wire = v1::Presently {
            typing: self.typing,
            delivered_seq: self.delivered.0,
            read_seq: self.read.0,
            availability: self.availability.into(),
            asks: self.asks,
        };
        // At most 28 bytes: eleven of each position, two of each other field.
        let message = wire.encode_to_vec();
        let mut plain = [0; PLAIN_LEN];
        let length = u8::try_from(message.len()).unwrap_or_default();
        plain.iter_mut().zip([length].into_iter().chain(message)).for_each(|(byte, part)| *byte = part);
        plain
    }

    /// Reads what was sealed. Fields and values of a later version are not looked at.
    ///
    /// # Errors
    /// [`EphemeralError`].
    pub fn decode(plain: &[u8]) -> Result<Self, EphemeralError> {
        if plain.len() != PLAIN_LEN {
            return Err(EphemeralError::Length);
        }
        let (length, rest) = plain.split_first().ok_or(EphemeralError::Length)?;
        let message = rest.get(..usize::from(*length)).ok_or(EphemeralError::Malformed)?;
        let wire = v1::Presently::decode(message).map_err(|_| EphemeralError::Malformed)?;
        Ok(Self {
            typing: wire.typing,
            delivered: Seq(wire.delivered_seq),
            read: Seq(wire.read_seq),
            availability: wire.availability(),
            asks: wire.asks,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{address::Domain, id::ConversationId};

    fn event(sealed: usize) -> Event {
        let domain = Domain::parse("chat.example").unwrap();
        let conversation = ConversationName { domain, id: ConversationId::new(1, [1; 10]) };
        Event { conversation, sealed: vec![7; sealed].into(), sender: Some(DeviceId::new(2, [2; 10])) }
    }

    #[test]
    fn an_event_is_as_long_as_a_datagram_at_most() {
        let around = event(100).encode().len() - 100;
        // The length of what is sealed takes a byte more from 128 bytes on.
        let longest = EPHEMERAL_MAX - around - 1;
        assert_eq!(event(longest).encode().len(), EPHEMERAL_MAX);
        assert_eq!(Event::decode(event(longest).encode()), Ok(event(longest)));
        let longer = event(longest + 1);
        assert_eq!(Event::decode(longer.encode()), Err(EphemeralError::Length));
        assert_eq!(Event::parse(longer.to_wire()), Err(EphemeralError::Length));
        assert_eq!(Event::decode(event(0).encode()), Err(EphemeralError::Malformed));
        assert_eq!(Event::decode(Bytes::from_static(b"\x0a")), Err(EphemeralError::Malformed));
    }

    #[test]
    fn all_that_is_said_is_equally_long_and_the_longest_fits() {
        let nothing = Presently {
            typing: false,
            delivered: Seq(0),
            read: Seq(0),
            availability: v1::Availability::Unspecified,
            asks: false,
        };
        let all = Presently {
            typing: true,
            delivered: Seq(u64::MAX),
            read: Seq(u64::MAX),
            availability: v1::Availability::Away,
            asks: true,
        };
        for said in [nothing, all] {
            assert_eq!(Presently::decode(&said.encode()), Ok(said));
        }
        let mut long = all.encode();
        long[0] = u8::try_from(PLAIN_LEN).unwrap();
        assert_eq!(Presently::decode(&long), Err(EphemeralError::Malformed));
        assert_eq!(Presently::decode(&all.encode()[1..]), Err(EphemeralError::Length));
    }

    #[test]
    fn a_header_reads_back_and_is_all_of_the_nonce_but_the_epoch() {
        let header = Header { epoch: Epoch(1), leaf: 2, counter: 3, salt: [4; 12] };
        let sealed = [header.encode().as_slice(), &[9; PLAIN_LEN + TAG_LEN]].concat();
        let parsed = Sealed::parse(&sealed).unwrap();
        assert_eq!((parsed.header, parsed.ciphertext), (header, &[9; PLAIN_LEN + TAG_LEN][..]));
        assert_eq!(header.nonce(), header.encode()[8..]);
        assert_eq!(Sealed::parse(&sealed[1..]), Err(EphemeralError::Length));
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_refused_or_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(event) = Event::decode(bytes.clone().into()) {
                prop_assert_eq!(Event::decode(event.encode()), Ok(event));
            }
            if let Ok(said) = Presently::decode(&bytes) {
                prop_assert_eq!(Presently::decode(&said.encode()), Ok(said));
            }
            prop_assert_eq!(Sealed::parse(&bytes).is_ok(), bytes.len() == SEALED_LEN);
        }
    }
}
