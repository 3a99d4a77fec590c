//! OPAQUE (RFC 9807) as this server runs it, and the setup that every password depends on.
//!
//! Suite: ristretto255, 3DH, SHA-512; no explicit identities, so both sides' public keys stand
//! for them. Stretching runs on the client, between its OPRF output and its envelope: the
//! server never computes it, so its suite names the identity function.

use opaque_ke::{
    CipherSuite, ClientRegistration, ClientRegistrationFinishParameters, RegistrationRequest, RegistrationUpload,
    Ristretto255, ServerRegistration, ServerSetup, TripleDh, errors::ProtocolError, ksf::Identity,
};
use qpc_proto::address::AccountName;
use sha2::Sha512;
use zeroize::Zeroizing;

use crate::{rng::Rng, store::PasswordRecord};

/// The server's side of the suite.
pub(super) struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, Sha512>;
    type Ksf = Identity;
}

/// Of setups made today; records carry the version of the setup that made them.
const SETUP_VERSION: u32 = 1;
/// What a setup file begins with; the version and the setup in hexadecimal follow.
const FILE_LABEL: &str = "qpc-opaque-setup";
/// What clients store today: a version, a nonce of 24 bytes, 32 sealed bytes and their tag of 16.
const DECOY_SECRET_LEN: usize = 73;

/// A setup file that can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SetupFileError {
    /// Not a setup file at all.
    #[error("not an OPAQUE setup file: it should be one line, `{FILE_LABEL} 1 HEX`")]
    Form,
    /// Made by a later version of this program.
    #[error("an OPAQUE setup of version {0}, where this program knows {SETUP_VERSION}")]
    Version(u32),
    /// The bytes are damaged.
    #[error("the OPAQUE setup is damaged: restore the file from a backup, or nobody's password works")]
    Damaged,
}

/// The server's OPAQUE secrets. Whoever loses them loses every password; whoever steals them
/// may guess passwords offline, if the database is stolen too.
pub struct OpaqueSetup {
    setup: ServerSetup<Suite>,
}

impl OpaqueSetup {
    /// Makes a new one.
    #[must_use]
    pub fn generate(rng: &dyn Rng) -> Self {
        Self { setup: ServerSetup::new(&mut Bridge(rng)) }
    }

    /// Reads the text of a setup file.
    ///
    /// # Errors
    /// [`SetupFileError`].
    pub fn from_file_text(text: &str) -> Result<Self, SetupFileError> {
        let mut words = text.split_ascii_whitespace();
        let (Some(FILE_LABEL), Some(version), Some(digits), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(SetupFileError::Form);
        };
        let version: u32 = version.parse().map_err(|_| SetupFileError::Form)?;
        if version != SETUP_VERSION {
            return Err(SetupFileError::Version(version));
        }
        let bytes = Zeroizing::new(hex::decode(digits).map_err(|_| SetupFileError::Damaged)?);
        let setup = ServerSetup::deserialize(&bytes).map_err(|_| SetupFileError::Damaged)?;
        // Reading stops at the last field, so that a longer file would pass.
        if *setup.serialize() == **bytes { Ok(Self { setup }) } else { Err(SetupFileError::Damaged) }
    }

    /// The text of a setup file.
    #[must_use]
    pub fn to_file_text(&self) -> Zeroizing<String> {
        let mut bytes = self.setup.serialize();
        let digits = Zeroizing::new(hex::encode(bytes.as_slice()));
        zeroize::Zeroize::zeroize(bytes.as_mut_slice());
        Zeroizing::new(format!("{FILE_LABEL} {SETUP_VERSION} {}\n", *digits))
    }

    /// The version that records made with this setup carry.
    pub(super) fn version(&self) -> u32 {
        SETUP_VERSION
    }

    pub(super) fn inner(&self) -> &ServerSetup<Suite> {
        &self.setup
    }

    /// Answers a registration request: the same for every first and later registration of a name.
    pub(super) fn evaluate(
        &self,
        name: &AccountName,
        request: RegistrationRequest<Suite>,
    ) -> Result<Vec<u8>, ProtocolError> {
        let answer = ServerRegistration::<Suite>::start(&self.setup, request, &credential_id(name))?;
        Ok(answer.message.serialize().to_vec())
    }

    /// A record for the store to give where a name is unknown: well formed, of a password that
    /// nobody has, so that reading and parsing it is the work that a real one is.
    ///
    /// # Errors
    /// None in practice: the random password is never empty.
    pub fn decoy(&self, rng: &dyn Rng) -> Result<PasswordRecord, ProtocolError> {
        let password = Zeroizing::new(crate::rng::bytes::<32>(rng));
        let mut bridge = Bridge(rng);
        let client = ClientRegistration::<Suite>::start(&mut bridge, password.as_slice())?;
        let server = ServerRegistration::<Suite>::start(&self.setup, client.message, b"decoy of the store")?;
        let upload: RegistrationUpload<Suite> = client
            .state
            .finish(&mut bridge, password.as_slice(), server.message, ClientRegistrationFinishParameters::default())?
            .message;
        Ok(PasswordRecord {
            opaque_record: ServerRegistration::finish(upload).serialize().to_vec().into(),
            setup_version: SETUP_VERSION,
            ksf_version: qpc_proto::KSF_VERSION,
            wrapped_account_secret: crate::rng::bytes::<DECOY_SECRET_LEN>(rng).to_vec().into(),
        })
    }
}

/// What OPAQUE calls the credential identifier: a function of the name alone, the same whether the
/// name is registered or not, and over every registration of it.
pub(super) fn credential_id(name: &AccountName) -> Vec<u8> {
    [b"quicprochat account ", name.as_str().as_bytes()].concat()
}

/// The server's randomness, as the library wants it.
pub(super) struct Bridge<'a>(pub(super) &'a dyn Rng);

impl opaque_ke::rand::RngCore for Bridge<'_> {
    fn next_u32(&mut self) -> u32 {
        u32::from_le_bytes(crate::rng::bytes(self.0))
    }

    fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(crate::rng::bytes(self.0))
    }

    fn fill_bytes(&mut self, buffer: &mut [u8]) {
        self.0.fill(buffer);
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), opaque_ke::rand::Error> {
        self.0.fill(buffer);
        Ok(())
    }
}

// The port promises bytes fit for keys.
impl opaque_ke::rand::CryptoRng for Bridge<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SystemRng;

    #[test]
    fn a_setup_survives_its_file() {
        let setup = OpaqueSetup::generate(&SystemRng);
        let again = OpaqueSetup::from_file_text(&setup.to_file_text()).ok().unwrap();
        assert_eq!(setup.to_file_text(), again.to_file_text());
    }

    #[test]
    fn damaged_files_are_told_apart() {
        let good = OpaqueSetup::generate(&SystemRng).to_file_text();
        let fault = |text: &str| OpaqueSetup::from_file_text(text).err().unwrap();
        assert_eq!(fault(""), SetupFileError::Form);
        assert_eq!(fault("qpc-opaque-setup 1"), SetupFileError::Form);
        assert_eq!(fault(&good.replace("setup 1", "setup 2")), SetupFileError::Version(2));
        let mut cut = good.trim_end().to_owned();
        cut.truncate(cut.len() - 2);
        assert_eq!(fault(&cut), SetupFileError::Damaged);
        assert_eq!(fault(&format!("{}00", good.trim_end())), SetupFileError::Damaged);
    }

    #[test]
    fn a_decoy_parses_like_a_record() {
        let setup = OpaqueSetup::generate(&SystemRng);
        let decoy = setup.decoy(&SystemRng).unwrap();
        assert_eq!(decoy.opaque_record.len(), 192);
        assert!(ServerRegistration::<Suite>::deserialize(&decoy.opaque_record).is_ok());
    }
}
