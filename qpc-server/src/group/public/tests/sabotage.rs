//! Cryptography that can be told to encrypt nonsense: a member who makes commits that some can't process, though all that
//! is public in them is right.

use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use openmls::prelude::tls_codec::SecretVLBytes;
use openmls_libcrux_crypto::CryptoProvider;
use openmls_traits::{
    crypto::OpenMlsCrypto,
    types::{
        AeadType, Ciphersuite, CryptoError, ExporterSecret, HashType, HpkeCiphertext, HpkeConfig, HpkeKeyPair,
        KemOutput, SignatureScheme,
    },
};

type Result<T> = std::result::Result<T, CryptoError>;

/// Cryptography as it should be, but for the keys that are spoilt.
pub(crate) struct Crypto {
    honest: CryptoProvider,
    spoilt: Mutex<HashSet<Vec<u8>>>,
    hits: AtomicUsize,
}

impl Default for Crypto {
    fn default() -> Self {
        Self { honest: CryptoProvider::new().unwrap(), spoilt: Mutex::default(), hits: AtomicUsize::new(0) }
    }
}

impl Crypto {
    /// From now on whoever holds one of these HPKE keys is sent nonsense; says how often somebody was until now.
    pub(crate) fn spoil(&self, keys: impl IntoIterator<Item = Vec<u8>>) -> usize {
        *self.spoilt.lock().unwrap() = keys.into_iter().collect();
        self.hits.swap(0, Ordering::Relaxed)
    }
}

#[rustfmt::skip]
impl OpenMlsCrypto for Crypto {
    fn hpke_seal(&self, config: HpkeConfig, pk_r: &[u8], info: &[u8], aad: &[u8], ptxt: &[u8]) -> Result<HpkeCiphertext> {
        if self.spoilt.lock().unwrap().contains(pk_r) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return self.honest.hpke_seal(config, pk_r, info, aad, &vec![7; ptxt.len()]);
        }
        self.honest.hpke_seal(config, pk_r, info, aad, ptxt)
    }

    fn supports(&self, ciphersuite: Ciphersuite) -> Result<()> {
        self.honest.supports(ciphersuite)
    }

    fn supported_ciphersuites(&self) -> Vec<Ciphersuite> {
        self.honest.supported_ciphersuites()
    }

    fn hkdf_extract(&self, hash_type: HashType, salt: &[u8], ikm: &[u8]) -> Result<SecretVLBytes> {
        self.honest.hkdf_extract(hash_type, salt, ikm)
    }

    fn hmac(&self, hash_type: HashType, key: &[u8], message: &[u8]) -> Result<SecretVLBytes> {
        self.honest.hmac(hash_type, key, message)
    }

    fn hkdf_expand(&self, hash_type: HashType, prk: &[u8], info: &[u8], okm_len: usize) -> Result<SecretVLBytes> {
        self.honest.hkdf_expand(hash_type, prk, info, okm_len)
    }

    fn hash(&self, hash_type: HashType, data: &[u8]) -> Result<Vec<u8>> {
        self.honest.hash(hash_type, data)
    }

    fn aead_encrypt(&self, alg: AeadType, key: &[u8], data: &[u8], nonce: &[u8], aad: &[u8]) -> Result<Vec<u8>> {
        self.honest.aead_encrypt(alg, key, data, nonce, aad)
    }

    fn aead_decrypt(&self, alg: AeadType, key: &[u8], ct_tag: &[u8], nonce: &[u8], aad: &[u8]) -> Result<Vec<u8>> {
        self.honest.aead_decrypt(alg, key, ct_tag, nonce, aad)
    }

    fn signature_key_gen(&self, alg: SignatureScheme) -> Result<(Vec<u8>, Vec<u8>)> {
        self.honest.signature_key_gen(alg)
    }

    fn verify_signature(&self, alg: SignatureScheme, data: &[u8], pk: &[u8], signature: &[u8]) -> Result<()> {
        self.honest.verify_signature(alg, data, pk, signature)
    }

    fn sign(&self, alg: SignatureScheme, data: &[u8], key: &[u8]) -> Result<Vec<u8>> {
        self.honest.sign(alg, data, key)
    }

    fn hpke_open(&self, config: HpkeConfig, input: &HpkeCiphertext, sk_r: &[u8], info: &[u8], aad: &[u8]) -> Result<Vec<u8>> {
        self.honest.hpke_open(config, input, sk_r, info, aad)
    }

    fn hpke_setup_sender_and_export(&self, config: HpkeConfig, pk_r: &[u8], info: &[u8], context: &[u8], length: usize) -> Result<(KemOutput, ExporterSecret)> {
        self.honest.hpke_setup_sender_and_export(config, pk_r, info, context, length)
    }

    fn hpke_setup_receiver_and_export(&self, config: HpkeConfig, enc: &[u8], sk_r: &[u8], info: &[u8], context: &[u8], length: usize) -> Result<ExporterSecret> {
        self.honest.hpke_setup_receiver_and_export(config, enc, sk_r, info, context, length)
    }

    fn derive_hpke_keypair(&self, config: HpkeConfig, ikm: &[u8]) -> Result<HpkeKeyPair> {
        self.honest.derive_hpke_keypair(config, ikm)
    }
}
