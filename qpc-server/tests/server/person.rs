//! A person with a password and devices, as a client makes them: OPAQUE, the account's key, certificates.
//!
//! Stretching is left out: it is the client's own affair, and the server can't tell.

use ed25519_dalek::{Signer, SigningKey};
use opaque_ke::{
    CipherSuite, ClientLogin, ClientLoginFinishParameters, ClientRegistration, ClientRegistrationFinishParameters,
    CredentialResponse, RegistrationResponse, Ristretto255, TripleDh, ksf::Identity, rand::rngs::OsRng,
};
use qpc_proto::{
    address::{Address, Domain},
    id::DeviceId,
    transcript::{self, DeviceAuthentication},
    v1,
};
use qpc_server::rng::{self, SystemRng};

pub(crate) struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, sha2::Sha512>;
    type Ksf = Identity;
}

/// The domain of every server in these tests.
pub(crate) fn domain() -> Domain {
    Domain::parse("chat.example").unwrap()
}

/// Somebody with an account key, as it is in their hands.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) password: String,
    pub(crate) account: SigningKey,
    pub(crate) domain: Domain,
}

/// One device and its key.
#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) id: DeviceId,
    pub(crate) key: SigningKey,
}

impl Device {
    pub(crate) fn new() -> Self {
        Self {
            id: DeviceId::new(1_700_000_000_000, rng::bytes(&SystemRng)),
            key: SigningKey::from_bytes(&rng::bytes(&SystemRng)),
        }
    }
}

impl Person {
    /// Somebody at [`domain`].
    pub(crate) fn new(name: &str) -> Self {
        Self::at(name, domain().as_str())
    }

    pub(crate) fn at(name: &str, domain: &str) -> Self {
        Self {
            domain: Domain::parse(domain).unwrap(),
            name: name.into(),
            password: format!("the password of {name}"),
            account: SigningKey::from_bytes(&rng::bytes(&SystemRng)),
        }
    }

    pub(crate) fn address(&self) -> Address {
        Address::parse_at(&self.name, &self.domain).unwrap()
    }

    /// Signs one of the person's devices.
    pub(crate) fn certify(&self, device: &Device) -> v1::DeviceCertificate {
        let account_key = self.account.verifying_key().to_bytes();
        let device_key = device.key.verifying_key().to_bytes();
        let signed = transcript::device_certificate(&self.address(), &account_key, device.id, &device_key);
        v1::DeviceCertificate {
            address: self.address().to_string(),
            account_key: account_key.to_vec().into(),
            device_id: device.id.to_bytes(),
            device_key: device_key.to_vec().into(),
            signature: self.account.sign(&signed).to_vec().into(),
        }
    }

    /// The first message of a registration, and what makes the second.
    pub(crate) fn register(&self, token: &str) -> (v1::RegisterStart, Registration) {
        let (request, registration) = Registration::begin(&self.password);
        (
            v1::RegisterStart { name: self.name.clone(), token: token.into(), registration_request: request },
            registration,
        )
    }

    /// The second message of a registration.
    pub(crate) fn finish_registration(
        &self,
        registration: Registration,
        answer: &v1::RegisterStartAnswer,
        device: &Device,
    ) -> v1::RegisterFinish {
        v1::RegisterFinish {
            registration_record: registration.finish(&self.password, &answer.registration_response),
            wrapped_account_secret: b"sealed under the export key".to_vec().into(),
            ksf_version: qpc_proto::KSF_VERSION,
            device: Some(self.certify(device)),
            device_name: "a device".into(),
        }
    }

    /// The first message of a login, and what makes the second.
    pub(crate) fn login(&self) -> (v1::LoginStart, ClientLogin<Suite>) {
        let begun = ClientLogin::<Suite>::start(&mut OsRng, self.password.as_bytes()).unwrap();
        (v1::LoginStart { name: self.name.clone(), ke1: begun.message.serialize().to_vec().into() }, begun.state)
    }

    /// The second message of a login; `None` where the answer shows that the password is wrong.
    pub(crate) fn finish_login(
        &self,
        state: ClientLogin<Suite>,
        answer: &v1::LoginStartAnswer,
        binding: &[u8; 32],
    ) -> Option<v1::LoginFinish> {
        let context = transcript::opaque_context(binding, &self.domain);
        let parameters = ClientLoginFinishParameters { context: Some(&context), ..Default::default() };
        let response = CredentialResponse::<Suite>::deserialize(&answer.ke2).unwrap();
        let finished = state.finish(&mut OsRng, self.password.as_bytes(), response, parameters).ok()?;
        Some(v1::LoginFinish { ke3: finished.message.serialize().to_vec().into() })
    }

    /// A device's proof over a connection.
    pub(crate) fn authenticate(&self, device: &Device, binding: &[u8; 32], nonce: &[u8; 32]) -> v1::Authenticate {
        let address = self.address();
        let signed =
            DeviceAuthentication { binding, server: &self.domain, nonce, address: &address, device: device.id }.bytes();
        v1::Authenticate {
            device_id: device.id.to_bytes(),
            binding: transcript::BINDING_TLS_EXPORTER,
            signature: device.key.sign(&signed).to_vec().into(),
        }
    }
}

/// A registration of a password that has begun.
pub(crate) struct Registration(ClientRegistration<Suite>);

impl Registration {
    pub(crate) fn begin(password: &str) -> (bytes::Bytes, Self) {
        let begun = ClientRegistration::<Suite>::start(&mut OsRng, password.as_bytes()).unwrap();
        (begun.message.serialize().to_vec().into(), Self(begun.state))
    }

    pub(crate) fn finish(self, password: &str, response: &[u8]) -> bytes::Bytes {
        let response = RegistrationResponse::<Suite>::deserialize(response).unwrap();
        let parameters = ClientRegistrationFinishParameters::default();
        let finished = self.0.finish(&mut OsRng, password.as_bytes(), response, parameters).unwrap();
        finished.message.serialize().to_vec().into()
    }
}
