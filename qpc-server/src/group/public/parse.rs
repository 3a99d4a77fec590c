//! From bytes to MLS messages, unverified. What is not exactly one message of the kind asked for is refused.

use openmls::prelude::{
    ContentType, GroupId, MlsMessageBodyIn, MlsMessageIn, PublicMessageIn, Welcome, tls_codec::DeserializeBytes as _,
};

use super::Refused;

/// The message that these bytes are.
fn body(bytes: &[u8], field: &'static str) -> Result<MlsMessageBodyIn, Refused> {
    let message = MlsMessageIn::tls_deserialize_exact_bytes(bytes).map_err(|_| Refused::Malformed(field))?;
    Ok(message.extract())
}

/// A PublicMessage of this group with a commit or a proposal.
///
/// # Errors
/// [`Refused::Malformed`].
pub(super) fn handshake(
    bytes: &[u8],
    group: &GroupId,
    content: ContentType,
    field: &'static str,
) -> Result<PublicMessageIn, Refused> {
    match body(bytes, field)? {
        MlsMessageBodyIn::PublicMessage(message)
            if message.group_id() == group && message.content_type() == content =>
        {
            Ok(message)
        }
        _ => Err(Refused::Malformed(field)),
    }
}

/// A Welcome.
///
/// # Errors
/// [`Refused::Malformed`].
pub(super) fn welcome(bytes: &[u8]) -> Result<Welcome, Refused> {
    match body(bytes, "welcome")? {
        MlsMessageBodyIn::Welcome(welcome) => Ok(welcome),
        _ => Err(Refused::Malformed("welcome")),
    }
}
