//! What is signed or compared: unambiguous bytes, each with its own label, so that what serves
//! one purpose is worth nothing for another.
//!
//! Every part is preceded by its length as four bytes, big endian; the label comes first.

use crate::{
    address::{Address, Domain},
    chain::ChainValue,
    id::{ConversationName, DeviceId, Seq},
    link::{Asker, LinkKey},
    safety::Party,
};

/// Label of TLS exporter output (RFC 8446 section 7.5) that binds logins to their connection.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-quicprochat-qpc/1-binding";
/// Bytes of exporter output.
pub const EXPORTER_LEN: usize = 32;
/// The binding type of a TLS exporter, the only one that `qpc/1` allows.
pub const BINDING_TLS_EXPORTER: u32 = 1;

/// What a device signs to authenticate a connection.
#[derive(Debug, Clone, Copy)]
pub struct DeviceAuthentication<'a> {
    /// TLS exporter output of this connection.
    pub binding: &'a [u8; EXPORTER_LEN],
    /// The server's domain, as it said in `HelloAnswer`.
    pub server: &'a Domain,
    /// Of `HelloAnswer`.
    pub nonce: &'a [u8; 32],
    /// Who.
    pub address: &'a Address,
    /// With which device.
    pub device: DeviceId,
}

impl DeviceAuthentication<'_> {
    /// The bytes to sign.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        parts(&[
            b"quicprochat qpc/1 device authentication",
            &BINDING_TLS_EXPORTER.to_be_bytes(),
            self.binding,
            self.server.as_str().as_bytes(),
            self.nonce,
            self.address.to_string().as_bytes(),
            self.device.as_bytes(),
        ])
    }
}

/// What an account signs to own a device.
#[must_use]
pub fn device_certificate(
    address: &Address,
    account_key: &[u8; 32],
    device: DeviceId,
    device_key: &[u8; 32],
) -> Vec<u8> {
    parts(&[
        b"quicprochat qpc/1 device certificate",
        address.to_string().as_bytes(),
        account_key,
        device.as_bytes(),
        device_key,
    ])
}

/// What a device signs to report that it can't follow a commit: which one, by its place and the chain after it, and the
/// key package by which it is to be added anew.
#[must_use]
pub fn failure_report(conversation: &ConversationName, seq: Seq, chain: &ChainValue, key_package: &[u8]) -> Vec<u8> {
    parts(&[
        b"quicprochat qpc/1 failure report",
        &conversation.canonical(),
        &seq.0.to_be_bytes(),
        &chain.0,
        key_package,
    ])
}

/// The context of an OPAQUE login (RFC 9807 section 6.4.2): binds the key exchange to the connection.
#[must_use]
pub fn opaque_context(binding: &[u8; EXPORTER_LEN], server: &Domain) -> Vec<u8> {
    parts(&[b"quicprochat qpc/1 opaque login", binding, server.as_str().as_bytes()])
}

/// What whoever has a link signs with its key to be let into a group.
#[must_use]
pub fn join_request(conversation: &ConversationName, link: &LinkKey, asker: &Asker<'_>, asked_ms: u64) -> Vec<u8> {
    parts(&[
        b"quicprochat qpc/1 join request",
        &conversation.canonical(),
        link.as_bytes(),
        asker.address.to_string().as_bytes(),
        asker.account_key,
        asker.device.as_bytes(),
        &asked_ms.to_be_bytes(),
    ])
}

/// What an account's half of a safety number is the BLAKE3 of.
#[must_use]
pub fn safety_number_half(version: u32, address: &Address, account_key: &[u8; 32]) -> Vec<u8> {
    parts(&[b"quicprochat qpc/1 safety number", &version.to_be_bytes(), address.to_string().as_bytes(), account_key])
}

/// What a verification code is the BLAKE3 of: whose screen shows it comes first.
#[must_use]
pub fn verification_code(version: u32, shown_by: &Party<'_>, scanned_by: &Party<'_>) -> Vec<u8> {
    parts(&[
        b"quicprochat qpc/1 verification code",
        &version.to_be_bytes(),
        shown_by.address.to_string().as_bytes(),
        shown_by.account_key,
        scanned_by.address.to_string().as_bytes(),
        scanned_by.account_key,
    ])
}

fn parts(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    for part in parts {
        // Every part is bounded by a limit of this crate, far below 4 GiB.
        bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_can_not_run_into_each_other() {
        assert_ne!(parts(&[b"ab", b"c"]), parts(&[b"a", b"bc"]));
    }

    #[test]
    fn a_change_anywhere_changes_the_transcript() {
        let address = Address::parse("alice@chat.example").unwrap();
        let base = DeviceAuthentication {
            binding: &[1; 32],
            server: &address.domain,
            nonce: &[2; 32],
            address: &address,
            device: DeviceId::new(1, [3; 10]),
        };
        let other = Address::parse("alicf@chat.example").unwrap();
        let other_server = Domain::parse("chat.examplf").unwrap();
        for changed in [
            DeviceAuthentication { binding: &[9; 32], ..base },
            DeviceAuthentication { server: &other_server, ..base },
            DeviceAuthentication { nonce: &[9; 32], ..base },
            DeviceAuthentication { address: &other, ..base },
            DeviceAuthentication { device: DeviceId::new(2, [3; 10]), ..base },
        ] {
            assert_ne!(base.bytes(), changed.bytes());
        }
    }
}
