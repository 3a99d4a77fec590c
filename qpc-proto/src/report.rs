//! Failure reports: a device that can't follow a commit says so to the group, and asks to be added anew.
//!
//! A server checks all of a commit that is public. Path secrets and the confirmation tag only members can check (RFC 9420
//! section 12.4.2), so a hostile member can make a commit that the server stores and others can't process. Each of those
//! reports it; [`crate::judge`] lets any member add them anew.

use bytes::Bytes;
use prost::Message;

use crate::{
    chain::ChainValue,
    credential::verify_device_signature,
    id::{ConversationName, Seq},
    limits::KEY_PACKAGE_MAX,
    transcript, v1,
};

/// Bytes that are no report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Not the encoding of a report, or a part of it is missing or too long.
    #[error("not a failure report")]
    Malformed,
    /// The device that is said to have made it did not sign it.
    #[error("the device did not sign this failure report")]
    Signature,
}

/// A report, its form checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The place of the commit that can't be followed.
    pub seq: Seq,
    /// The chain after that commit: which one it was, whatever a server shows to others.
    pub chain: ChainValue,
    /// The encoded MLSMessage with a fresh key package of the device.
    pub key_package: Bytes,
    signature: Bytes,
}

impl Report {
    /// Makes one. `sign` signs with the device's key.
    ///
    /// # Errors
    /// Those of `sign`.
    pub fn new<E>(
        conversation: &ConversationName,
        (seq, chain): (Seq, ChainValue),
        key_package: Bytes,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        let signature = sign(&transcript::failure_report(conversation, seq, &chain, &key_package))?;
        Ok(Self { seq, chain, key_package, signature: signature.into() })
    }

    /// The body of its entry.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let wire = v1::FailureReport {
            seq: self.seq.0,
            chain: self.chain.to_bytes(),
            key_package: self.key_package.clone(),
            signature: self.signature.clone(),
        };
        wire.encode_to_vec().into()
    }

    /// Reads the body of an entry.
    ///
    /// # Errors
    /// [`ReportError::Malformed`].
    pub fn decode(body: Bytes) -> Result<Self, ReportError> {
        let wire = v1::FailureReport::decode(body).map_err(|_| ReportError::Malformed)?;
        let chain = ChainValue::parse(&wire.chain).ok_or(ReportError::Malformed)?;
        let fits =
            (1..=KEY_PACKAGE_MAX).contains(&wire.key_package.len()) && wire.signature.len() == 64 && wire.seq > 0;
        if fits {
            Ok(Self { seq: Seq(wire.seq), chain, key_package: wire.key_package, signature: wire.signature })
        } else {
            Err(ReportError::Malformed)
        }
    }

    /// Whether the device with this key made it, for this conversation.
    ///
    /// # Errors
    /// [`ReportError::Signature`].
    pub fn verify(&self, conversation: &ConversationName, device_key: &[u8; 32]) -> Result<(), ReportError> {
        let signed = transcript::failure_report(conversation, self.seq, &self.chain, &self.key_package);
        if verify_device_signature(device_key, &signed, &self.signature) { Ok(()) } else { Err(ReportError::Signature) }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use ed25519_dalek::{Signer, SigningKey};

    use super::*;
    use crate::id::ConversationId;

    fn name(number: u8) -> ConversationName {
        ConversationName { domain: "a.example".parse().unwrap(), id: ConversationId::new(1, [number; 10]) }
    }

    fn report(key: &SigningKey) -> Report {
        let sign = |signed: &[u8]| Ok::<_, Infallible>(key.sign(signed).to_vec());
        Report::new(&name(1), (Seq(7), ChainValue([3; 32])), Bytes::from_static(b"key package"), sign).unwrap()
    }

    #[test]
    fn a_report_is_its_makers_for_one_conversation() {
        let (key, other) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
        let made = report(&key);
        assert_eq!(Report::decode(made.encode()), Ok(made.clone()));
        assert_eq!(made.verify(&name(1), key.verifying_key().as_bytes()), Ok(()));
        assert_eq!(made.verify(&name(1), other.verifying_key().as_bytes()), Err(ReportError::Signature));
        assert_eq!(made.verify(&name(2), key.verifying_key().as_bytes()), Err(ReportError::Signature));
        for changed in [
            Report { seq: Seq(8), ..made.clone() },
            Report { chain: ChainValue([4; 32]), ..made.clone() },
            Report { key_package: Bytes::from_static(b"another"), ..made.clone() },
        ] {
            assert_eq!(changed.verify(&name(1), key.verifying_key().as_bytes()), Err(ReportError::Signature));
        }
    }

    #[test]
    fn what_lacks_a_part_or_is_too_long_is_no_report() {
        let made = report(&SigningKey::from_bytes(&[1; 32]));
        let longest = Report { key_package: vec![7; KEY_PACKAGE_MAX].into(), ..made.clone() };
        assert_eq!(Report::decode(longest.encode()), Ok(longest.clone()));
        for bad in [
            Report { seq: Seq(0), ..made.clone() },
            Report { key_package: Bytes::new(), ..made.clone() },
            Report { key_package: vec![7; KEY_PACKAGE_MAX + 1].into(), ..made.clone() },
            Report { signature: Bytes::from_static(&[0; 63]), ..made },
        ] {
            assert_eq!(Report::decode(bad.encode()), Err(ReportError::Malformed));
        }
        assert_eq!(Report::decode(Bytes::from_static(b"nonsense")), Err(ReportError::Malformed));
    }
}
