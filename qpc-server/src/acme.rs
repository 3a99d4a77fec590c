//! Certificates that an authority signs by ACME (RFC 8555), each name proved by http-01.
//!
//! [`enter`] finds or makes the account, [`order`] goes from an order to a certificate, and [`Plan`] says when the next one is
//! due. Nothing here writes a file or shows a certificate to anybody. All that comes from the authority is bounded in size and
//! time, and trusted no further than that the certificate is tried before it is kept.

mod account;
mod challenge;
mod error;
mod https;
mod order;
mod plan;

use std::net::SocketAddr;

use qpc_proto::address::Domain;
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

pub use self::{
    account::{KeptAccount, enter},
    error::AcmeError,
    order::{Signed, order},
    plan::Plan,
};

/// Which authority, and what it is asked for.
pub struct Settings {
    /// The URL of its directory.
    pub directory: String,
    /// Whom it may write to.
    pub contact: Option<String>,
    /// What the certificate is for.
    pub names: Vec<Domain>,
    /// Where the authority's request for the proof comes in (TCP): what is port 80 of each name for the authority.
    pub http_listen: SocketAddr,
    /// By what its own certificate is verified.
    pub roots: Roots,
    /// How it knows whose the new account is, where it wants that (RFC 8555 section 7.3.4).
    pub binding: Option<Binding>,
}

/// By what the authority's own certificate is verified.
#[derive(Debug, Clone)]
pub enum Roots {
    /// The system's roots.
    System,
    /// These alone.
    These(Vec<CertificateDer<'static>>),
}

/// An account that one has with the authority already.
pub struct Binding {
    id: String,
    key: Zeroizing<Vec<u8>>,
}

/// A key that is not base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not base64: write the key as the authority shows it")]
pub struct NotBase64;

impl Binding {
    /// Takes its name and its key, in base64 of either alphabet.
    ///
    /// # Errors
    /// [`NotBase64`].
    pub fn parse(id: String, key: &str) -> Result<Self, NotBase64> {
        use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
        let url_safe = |c| match c {
            '+' => '-',
            '/' => '_',
            c => c,
        };
        let key: Zeroizing<String> = Zeroizing::new(key.trim().trim_end_matches('=').chars().map(url_safe).collect());
        let key = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(&*key).map_err(|_| NotBase64)?);
        if key.is_empty() { Err(NotBase64) } else { Ok(Self { id, key }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_be_of_either_alphabet() {
        let key = |text| Binding::parse("id".into(), text).map(|binding| binding.key.to_vec());
        assert_eq!(key("-_8\n"), Ok(vec![0xfb, 0xff]));
        assert_eq!(key("+/8="), Ok(vec![0xfb, 0xff]));
        assert_eq!((key("?"), key("")), (Err(NotBase64), Err(NotBase64)));
    }
}
