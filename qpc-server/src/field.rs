//! Fields of requests that are not what the protocol says: the one refusal that every domain
//! shares. Parsing itself lies beside each request.

use qpc_proto::{
    address::Address,
    id::{ConversationName, Counter, DeviceId, MessageId},
    suite::Suite,
    v1,
};

/// A field that is not what the protocol says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// This field has another form.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// This field is longer than its limit.
    #[error("{0} is too long")]
    TooLarge(&'static str),
}

/// Refuses what is longer than its limit.
///
/// # Errors
/// [`FieldError::TooLarge`].
pub fn at_most(length: usize, max: usize, field: &'static str) -> Result<(), FieldError> {
    if length <= max { Ok(()) } else { Err(FieldError::TooLarge(field)) }
}

/// The name of a log.
///
/// # Errors
/// [`FieldError::Malformed`].
pub fn conversation(wire: Option<&v1::ConversationName>) -> Result<ConversationName, FieldError> {
    ConversationName::parse(wire).map_err(|_| FieldError::Malformed("conversation"))
}

/// The id of a message.
///
/// # Errors
/// [`FieldError::Malformed`].
pub fn message_id(wire: &[u8]) -> Result<MessageId, FieldError> {
    MessageId::parse(wire).map_err(|_| FieldError::Malformed("message_id"))
}

/// The id of a device.
///
/// # Errors
/// [`FieldError::Malformed`].
pub fn device_id(wire: &[u8]) -> Result<DeviceId, FieldError> {
    DeviceId::parse(wire).map_err(|_| FieldError::Malformed("device_id"))
}

/// An address.
///
/// # Errors
/// [`FieldError::Malformed`].
pub fn address(wire: &str) -> Result<Address, FieldError> {
    Address::parse(wire).map_err(|_| FieldError::Malformed("address"))
}

/// A ciphersuite of key packages.
///
/// # Errors
/// [`FieldError::Malformed`].
pub fn suite(wire: u32) -> Result<Suite, FieldError> {
    Suite::from_wire(wire).ok_or(FieldError::Malformed("suite"))
}

/// A device's counter in a conversation, which begins at 1.
///
/// # Errors
/// [`FieldError::Malformed`].
pub fn counter(wire: u64) -> Result<Counter, FieldError> {
    if wire == 0 { Err(FieldError::Malformed("counter")) } else { Ok(Counter(wire)) }
}
