//! A welcome (RFC 9420 section 12.4.3.1) cut down to the one device that it goes to: a commit has one for all whom it adds,
//! with a secret for each, and every inbox would hold the secrets of all.

use bytes::Bytes;
use openmls::prelude::{
    Welcome,
    tls_codec::{DeserializeBytes as _, Serialize as _, VLBytes},
};

use super::{Refused, parse};

/// Bytes before the secrets: protocol version, wire format and suite.
const HEADER: usize = 6;

/// A welcome in its parts.
pub(super) struct Parts<'w> {
    pub(super) welcome: Welcome,
    bytes: &'w Bytes,
    /// Each with the reference of the key package that it is for.
    secrets: Vec<(VLBytes, &'w [u8])>,
    /// The encrypted group info.
    rest: &'w [u8],
}

impl<'w> Parts<'w> {
    /// Reads it.
    ///
    /// # Errors
    /// [`Refused::Malformed`].
    pub(super) fn of(bytes: &'w Bytes) -> Result<Self, Refused> {
        let welcome = parse::welcome(bytes)?;
        let (_, content) = bytes.split_at_checked(HEADER).ok_or(MALFORMED)?;
        let rest = skip(content)?;
        let all = VLBytes::tls_deserialize_bytes(content).map_err(|_| MALFORMED)?.0;
        let listed = all.as_slice().len();
        let begin = content.len().checked_sub(rest.len()).and_then(|end| end.checked_sub(listed));
        let mut left = begin.and_then(|begin| content.get(begin..)).and_then(|from| from.get(..listed));
        let mut secrets = Vec::with_capacity(welcome.secrets().len());
        while let Some(here) = left.filter(|left| !left.is_empty()) {
            // The reference, then an HPKE ciphertext: what it encapsulates, and what it encrypts.
            let (reference, after) = VLBytes::tls_deserialize_bytes(here).map_err(|_| MALFORMED)?;
            let after = skip(skip(after)?)?;
            let length = here.len().checked_sub(after.len()).ok_or(MALFORMED)?;
            secrets.push((reference, here.get(..length).ok_or(MALFORMED)?));
            left = Some(after);
        }
        Ok(Self { welcome, bytes, secrets, rest })
    }

    /// The welcome with the secret for one key package alone.
    ///
    /// # Errors
    /// [`Refused::Welcome`], where there is none for it.
    pub(super) fn only(&self, reference: &[u8]) -> Result<Bytes, Refused> {
        let (_, secret) = self.secrets.iter().find(|(of, _)| of.as_slice() == reference).ok_or(Refused::Welcome)?;
        if self.secrets.len() == 1 {
            return Ok(self.bytes.clone());
        }
        let secret = VLBytes::new(secret.to_vec()).tls_serialize_detached().map_err(|_| MALFORMED)?;
        let header = self.bytes.get(..HEADER).ok_or(MALFORMED)?;
        Ok([header, &secret, self.rest].concat().into())
    }
}

const MALFORMED: Refused = Refused::Malformed("welcome");

/// What comes after a vector.
fn skip(bytes: &[u8]) -> Result<&[u8], Refused> {
    VLBytes::tls_deserialize_bytes(bytes).map(|(_, rest)| rest).map_err(|_| MALFORMED)
}
