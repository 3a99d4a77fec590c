//! Fields of account requests, parsed into what they must be.

use bytes::Bytes;
use qpc_proto::{
    address::AccountName,
    limits::{DEVICE_NAME_MAX, WRAPPED_SECRET_MAX},
};

pub use crate::field::FieldError;

pub(super) fn account_name(text: &str) -> Result<AccountName, FieldError> {
    AccountName::parse(text).map_err(|_| FieldError::Malformed("name"))
}

/// Shown to the account's owner: no control characters that could move a terminal's cursor.
pub(super) fn device_name(text: String) -> Result<String, FieldError> {
    if text.len() > DEVICE_NAME_MAX {
        Err(FieldError::TooLarge("device_name"))
    } else if text.chars().any(char::is_control) {
        Err(FieldError::Malformed("device_name"))
    } else {
        Ok(text)
    }
}

pub(super) fn wrapped_account_secret(secret: Bytes) -> Result<Bytes, FieldError> {
    match secret.len() {
        0 => Err(FieldError::Malformed("wrapped_account_secret")),
        1..=WRAPPED_SECRET_MAX => Ok(secret),
        _ => Err(FieldError::TooLarge("wrapped_account_secret")),
    }
}

/// New records are made with today's key stretching function alone.
pub(super) fn ksf_version(version: u32) -> Result<u32, FieldError> {
    if version == qpc_proto::KSF_VERSION { Ok(version) } else { Err(FieldError::Malformed("ksf_version")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_at_their_edges() {
        assert!(device_name("x".repeat(DEVICE_NAME_MAX)).is_ok());
        assert_eq!(device_name("x".repeat(DEVICE_NAME_MAX + 1)), Err(FieldError::TooLarge("device_name")));
        assert!(device_name("phone\u{1b}[2J".into()).is_err());
        assert!(wrapped_account_secret(Bytes::new()).is_err());
        assert!(wrapped_account_secret(vec![0; WRAPPED_SECRET_MAX].into()).is_ok());
        let long = vec![0; WRAPPED_SECRET_MAX + 1];
        assert_eq!(wrapped_account_secret(long.into()), Err(FieldError::TooLarge("wrapped_account_secret")));
        assert!(ksf_version(0).is_err());
    }
}
