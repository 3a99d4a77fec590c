//! OPAQUE (RFC 9807) on the client's side: registration and login as two steps each, without I/O.
//!
//! `docs/protocol.md` section 4 fixes the suite. Stretching takes most of a second and 64 MiB: callers run
//! the finishing steps off the runtime's threads.

use argon2::Argon2;
use chacha20poly1305::aead::OsRng;
use opaque_ke::{
    ClientLogin, ClientLoginFinishParameters, ClientRegistration, ClientRegistrationFinishParameters,
    CredentialResponse, Identifiers, RegistrationResponse, Ristretto255, TripleDh, errors::ProtocolError,
};
use zeroize::Zeroizing;

use crate::options::KsfParams;

/// The suite of `qpc/1`.
struct Suite;

impl opaque_ke::CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, sha2::Sha512>;
    type Ksf = Argon2<'static>;
}

/// A step of OPAQUE that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpaqueError {
    /// The password is wrong, the name unknown, or the server does not know the record: nobody can tell.
    #[error("unknown name or wrong password")]
    Refused,
    /// The server's message is none.
    #[error("the server's login message is malformed")]
    Malformed,
    /// The key could not be stretched: memory, or impossible parameters.
    #[error("the password could not be stretched (64 MiB of memory are needed)")]
    Stretch,
}

impl KsfParams {
    pub(crate) fn argon2(&self) -> Result<Argon2<'static>, argon2::Error> {
        let params = argon2::Params::new(self.memory_kib, self.passes, self.lanes, None)?;
        Ok(Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params))
    }
}

/// What only the password gives: opens the account's sealed secret.
pub(crate) struct ExportKey(Zeroizing<Vec<u8>>);

impl ExportKey {
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// A registration under way.
pub(crate) struct Registering {
    state: ClientRegistration<Suite>,
    password: Zeroizing<Vec<u8>>,
}

impl Registering {
    /// Gives the RegistrationRequest to send.
    pub(crate) fn start(password: &str) -> Result<(Self, Vec<u8>), OpaqueError> {
        let started =
            ClientRegistration::<Suite>::start(&mut OsRng, password.as_bytes()).map_err(|_| OpaqueError::Malformed)?;
        let request = started.message.serialize().to_vec();
        Ok((Self { state: started.state, password: Zeroizing::new(password.as_bytes().to_vec()) }, request))
    }

    /// Takes the RegistrationResponse, gives the RegistrationRecord.
    pub(crate) fn finish(self, response: &[u8], ksf: KsfParams) -> Result<(Vec<u8>, ExportKey), OpaqueError> {
        let response = RegistrationResponse::deserialize(response).map_err(|_| OpaqueError::Malformed)?;
        let ksf = ksf.argon2().map_err(|_| OpaqueError::Stretch)?;
        let parameters = ClientRegistrationFinishParameters::new(Identifiers::default(), Some(&ksf));
        let finished = self.state.finish(&mut OsRng, &self.password, response, parameters).map_err(judge)?;
        Ok((finished.message.serialize().to_vec(), ExportKey(Zeroizing::new(finished.export_key.to_vec()))))
    }
}

/// A login under way.
pub(crate) struct LoggingIn {
    state: ClientLogin<Suite>,
    password: Zeroizing<Vec<u8>>,
}

impl LoggingIn {
    /// Gives the KE1 to send.
    pub(crate) fn start(password: &str) -> Result<(Self, Vec<u8>), OpaqueError> {
        let started =
            ClientLogin::<Suite>::start(&mut OsRng, password.as_bytes()).map_err(|_| OpaqueError::Malformed)?;
        let ke1 = started.message.serialize().to_vec();
        Ok((Self { state: started.state, password: Zeroizing::new(password.as_bytes().to_vec()) }, ke1))
    }

    /// Takes KE2, gives KE3. `context` binds the login to its connection.
    pub(crate) fn finish(
        self,
        ke2: &[u8],
        context: &[u8],
        ksf: KsfParams,
    ) -> Result<(Vec<u8>, ExportKey), OpaqueError> {
        let ke2 = CredentialResponse::deserialize(ke2).map_err(|_| OpaqueError::Malformed)?;
        let ksf = ksf.argon2().map_err(|_| OpaqueError::Stretch)?;
        let parameters = ClientLoginFinishParameters::new(Some(context), Identifiers::default(), Some(&ksf));
        let finished = self.state.finish(&mut OsRng, &self.password, ke2, parameters).map_err(judge)?;
        Ok((finished.message.serialize().to_vec(), ExportKey(Zeroizing::new(finished.export_key.to_vec()))))
    }
}

fn judge(error: ProtocolError) -> OpaqueError {
    match error {
        ProtocolError::LibraryError(_) => OpaqueError::Stretch,
        ProtocolError::InvalidLoginError => OpaqueError::Refused,
        _ => OpaqueError::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use opaque_ke::{
        CredentialFinalization, CredentialRequest, RegistrationRequest, RegistrationUpload, ServerLogin,
        ServerLoginParameters, ServerRegistration, ServerSetup,
    };

    use super::*;

    struct Server {
        setup: ServerSetup<Suite>,
        record: Option<ServerRegistration<Suite>>,
    }

    impl Server {
        fn register(&mut self, password: &str) -> ExportKey {
            let (client, request) = Registering::start(password).unwrap();
            let request = RegistrationRequest::deserialize(&request).unwrap();
            let answer = ServerRegistration::<Suite>::start(&self.setup, request, b"alice").unwrap();
            let (upload, export) = client.finish(&answer.message.serialize(), KsfParams::weak()).ok().unwrap();
            self.record = Some(ServerRegistration::finish(RegistrationUpload::deserialize(&upload).unwrap()));
            export
        }

        fn login(&self, password: &str, client_context: &[u8]) -> Result<ExportKey, OpaqueError> {
            let (client, ke1) = LoggingIn::start(password)?;
            let parameters = ServerLoginParameters { context: Some(b"here"), identifiers: Identifiers::default() };
            let ke1 = CredentialRequest::deserialize(&ke1).unwrap();
            let started =
                ServerLogin::start(&mut OsRng, &self.setup, self.record.clone(), ke1, b"alice", parameters).unwrap();
            let (ke3, export) = client.finish(&started.message.serialize(), client_context, KsfParams::weak())?;
            let parameters = ServerLoginParameters { context: Some(b"here"), identifiers: Identifiers::default() };
            started.state.finish(CredentialFinalization::deserialize(&ke3).unwrap(), parameters).unwrap();
            Ok(export)
        }
    }

    #[test]
    fn the_right_password_gives_the_same_export_key_and_another_is_refused() {
        let mut server = Server { setup: ServerSetup::new(&mut OsRng), record: None };
        assert_eq!(server.login("secret", b"here").err(), Some(OpaqueError::Refused), "nobody has the name");
        let registered = server.register("secret");
        let export = server.login("secret", b"here").ok().unwrap();
        assert!(export.expose() == registered.expose());
        assert_eq!(server.login("Secret", b"here").err(), Some(OpaqueError::Refused));
    }

    #[test]
    fn a_login_is_bound_to_its_connection() {
        let mut server = Server { setup: ServerSetup::new(&mut OsRng), record: None };
        server.register("secret");
        assert_eq!(server.login("secret", b"elsewhere").err(), Some(OpaqueError::Refused));
    }
}
