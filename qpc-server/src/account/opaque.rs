//! OPAQUE (RFC 9807) as this server runs it, and one setup, on which the passwords depend that were registered with it.
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
use zeroize::{Zeroize, Zeroizing};

use crate::{rng::Rng, store::PasswordRecord};

/// The server's side of the suite.
pub(super) struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, Sha512>;
    type Ksf = Identity;
}

/// Separates the key that spreads names from all else that a setup is for.
const SPREAD_CONTEXT: &str = "quicprochat opaque setup, spread of unknown names";
/// What clients store today: a version, a nonce of 24 bytes, 32 sealed bytes and their tag of 16.
const DECOY_SECRET_LEN: usize = 73;

/// One of the server's OPAQUE secrets, which [`super::OpaqueSetups`] keeps. Records carry the version of theirs.
pub(super) struct Setup {
    pub(super) version: u32,
    /// When it was made, milliseconds since 1970; nobody noted that of the first ones.
    pub(super) made_ms: Option<u64>,
    inner: ServerSetup<Suite>,
    /// By which names that nobody has are spread over the setups.
    spread: Zeroizing<[u8; 32]>,
}

impl Setup {
    /// Makes a new one.
    pub(super) fn generate(rng: &dyn Rng, version: u32, made_ms: u64) -> Self {
        Self::of(ServerSetup::new(&mut Bridge(rng)), version, Some(made_ms))
    }

    fn of(inner: ServerSetup<Suite>, version: u32, made_ms: Option<u64>) -> Self {
        let mut bytes = inner.serialize();
        let spread = Zeroizing::new(blake3::derive_key(SPREAD_CONTEXT, bytes.as_slice()));
        bytes.as_mut_slice().zeroize();
        Self { version, made_ms, inner, spread }
    }

    /// Reads it from hexadecimal digits; `None` where they are none of a setup.
    pub(super) fn parse(digits: &str, version: u32, made_ms: Option<u64>) -> Option<Self> {
        let bytes = Zeroizing::new(hex::decode(digits).ok()?);
        let inner = ServerSetup::deserialize(&bytes).ok()?;
        // Reading stops at the last field, so that more digits would pass.
        (*inner.serialize() == **bytes).then(|| Self::of(inner, version, made_ms))
    }

    /// Its hexadecimal digits.
    pub(super) fn digits(&self) -> Zeroizing<String> {
        let mut bytes = self.inner.serialize();
        let digits = Zeroizing::new(hex::encode(bytes.as_slice()));
        bytes.as_mut_slice().zeroize();
        digits
    }

    pub(super) fn inner(&self) -> &ServerSetup<Suite> {
        &self.inner
    }

    /// A number of this setup and a name, spread evenly, that nobody else can compute.
    pub(super) fn lot(&self, name: &AccountName) -> u32 {
        let hash = blake3::keyed_hash(&self.spread, name.as_str().as_bytes());
        hash.as_bytes().first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    /// Answers a registration request: the same for every first and later registration of a name.
    pub(super) fn evaluate(
        &self,
        name: &AccountName,
        request: RegistrationRequest<Suite>,
    ) -> Result<Vec<u8>, ProtocolError> {
        let answer = ServerRegistration::<Suite>::start(&self.inner, request, &credential_id(name))?;
        Ok(answer.message.serialize().to_vec())
    }

    /// A record for the store to give where a name is unknown: well formed, of a password that
    /// nobody has, so that reading and parsing it is the work that a real one is.
    ///
    /// # Errors
    /// None in practice: the random password is never empty.
    pub(super) fn decoy(&self, rng: &dyn Rng) -> Result<PasswordRecord, ProtocolError> {
        let password = Zeroizing::new(crate::rng::bytes::<32>(rng));
        let mut bridge = Bridge(rng);
        let client = ClientRegistration::<Suite>::start(&mut bridge, password.as_slice())?;
        let server = ServerRegistration::<Suite>::start(&self.inner, client.message, b"decoy of the store")?;
        let upload: RegistrationUpload<Suite> = client
            .state
            .finish(&mut bridge, password.as_slice(), server.message, ClientRegistrationFinishParameters::default())?
            .message;
        Ok(PasswordRecord {
            opaque_record: ServerRegistration::finish(upload).serialize().to_vec().into(),
            setup_version: self.version,
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
    fn a_decoy_parses_like_a_record() {
        let setup = Setup::generate(&SystemRng, 1, 0);
        let decoy = setup.decoy(&SystemRng).unwrap();
        assert_eq!(decoy.opaque_record.len(), 192);
        assert!(ServerRegistration::<Suite>::deserialize(&decoy.opaque_record).is_ok());
    }
}
