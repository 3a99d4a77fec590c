//! The code that one person shows and the other scans: a line of text that a QR code holds in its alphanumeric mode.
//!
//! It says who shows it, so that somebody who scans their own screen confirms nothing.

use std::fmt;

use subtle::ConstantTimeEq;

use super::{Party, VERSION};
use crate::transcript;

/// What a code begins with; its version follows.
const PREFIX: &str = "QPC-VERIFY:";

/// What is shown and scanned.
#[derive(Debug, Clone, Copy)]
pub struct Code([u8; 32]);

/// What was scanned is no code of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// Something else.
    #[error("that is no verification code: one begins with {PREFIX}{VERSION}: and has 64 hex digits after it")]
    Form,
    /// Of another version.
    #[error("that is a verification code of a version that this program does not know: update it")]
    Version,
}

impl Code {
    /// The code that `shown_by` shows to `scanned_by`.
    #[must_use]
    pub fn of(shown_by: &Party<'_>, scanned_by: &Party<'_>) -> Self {
        Self(*blake3::hash(&transcript::verification_code(VERSION, shown_by, scanned_by)).as_bytes())
    }

    /// Reads what was scanned.
    ///
    /// # Errors
    /// [`CodeError`].
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let (version, digest) =
            text.trim().strip_prefix(PREFIX).and_then(|rest| rest.split_once(':')).ok_or(CodeError::Form)?;
        if version != VERSION.to_string() {
            let number =
                !version.is_empty() && version.len() <= 10 && version.bytes().all(|byte| byte.is_ascii_digit());
            return Err(if number { CodeError::Version } else { CodeError::Form });
        }
        // BLAKE3's own reader takes 64 hex digits of either case.
        blake3::Hash::from_hex(digest).map(|digest| Self(*digest.as_bytes())).map_err(|_| CodeError::Form)
    }
}

/// Compared in the same time whatever the outcome.
impl PartialEq for Code {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Code {}

/// As it is shown: the characters of a QR code's alphanumeric mode alone.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{VERSION}:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}
