//! The ciphersuites of MLS that groups are made with, and which of them an encoded key package is for.
//!
//! A key package is for one suite, and so is a group for its whole life (RFC 9420 section 5.1).

/// Bytes before the version of a key package in its MLSMessage: protocol version 1.0 and wire format 5 (RFC 9420 section 6).
const KEY_PACKAGE: [u8; 4] = [0, 1, 0, 5];

/// A suite that this release knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Suite {
    /// `MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519`, which every client has.
    #[default]
    Classical,
    /// `MLS_256_XWING_CHACHA20POLY1305_SHA256_Ed25519`: keys are exchanged by X25519 and ML-KEM-768 together. Signatures
    /// are as before.
    PostQuantum,
}

impl Suite {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Classical, Self::PostQuantum];

    /// Its number in MLS, which is the wire's.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Classical => 0x0003,
            Self::PostQuantum => 0x004D,
        }
    }

    /// The suite of a number, if it is one of these.
    #[must_use]
    pub fn of_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.number() == number)
    }

    /// What a field of the wire says: a client that leaves it out means the classical one.
    #[must_use]
    pub fn from_wire(field: u32) -> Option<Self> {
        match u16::try_from(field) {
            Ok(0) => Some(Self::Classical),
            Ok(number) => Self::of_number(number),
            Err(_) => None,
        }
    }

    /// The field of the wire.
    #[must_use]
    pub const fn to_wire(self) -> u32 {
        match self {
            Self::Classical => 0,
            // Lossless, which `From` says only outside of constants.
            Self::PostQuantum => self.number() as u32,
        }
    }

    /// Which suite an encoded MLSMessage with a key package says it is for. Nothing else of it is looked at.
    #[must_use]
    pub fn of_key_package(message: &[u8]) -> Option<Self> {
        match message.strip_prefix(&KEY_PACKAGE)? {
            [0, 1, high, low, ..] => Self::of_number(u16::from_be_bytes([*high, *low])),
            _ => None,
        }
    }

    /// The word for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Classical => "classical",
            Self::PostQuantum => "post-quantum",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_left_out_is_the_classical_suite() {
        assert_eq!(Suite::from_wire(0), Some(Suite::Classical));
        assert_eq!(Suite::from_wire(3), Some(Suite::Classical));
        assert_eq!(Suite::from_wire(0x4D), Some(Suite::PostQuantum));
        for other in [1, 2, 0x4E, 0x1_004D, u32::MAX] {
            assert_eq!(Suite::from_wire(other), None, "{other}");
        }
        assert!(Suite::ALL.iter().all(|suite| Suite::from_wire(suite.to_wire()) == Some(*suite)));
    }

    #[test]
    fn a_key_package_says_its_suite() {
        assert_eq!(Suite::of_key_package(&[0, 1, 0, 5, 0, 1, 0, 3, 99]), Some(Suite::Classical));
        assert_eq!(Suite::of_key_package(&[0, 1, 0, 5, 0, 1, 0, 0x4D]), Some(Suite::PostQuantum));
        let none: [&[u8]; 6] = [
            b"",
            b"noise",
            &[0, 1, 0, 5, 0, 1, 0],
            &[0, 1, 0, 5, 0, 2, 0, 3],
            &[0, 1, 0, 5, 0, 1, 0, 2],
            &[0, 1, 0, 3, 0, 1, 0, 3],
        ];
        for message in none {
            assert_eq!(Suite::of_key_package(message), None, "{message:?}");
        }
    }
}
