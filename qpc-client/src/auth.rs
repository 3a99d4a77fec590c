//! Proving who one is to a greeted connection: registration, login with the password, and the device's
//! signature, which alone makes a session (D9).

use qpc_proto::{
    KSF_VERSION,
    address::{AccountName, Address, AddressError},
    error::Code,
    transcript::{self, BINDING_TLS_EXPORTER, DeviceAuthentication},
    v1,
};

use crate::{
    api::Password,
    fresh::NoRandomness,
    identity::{AccountSecret, Identity, SealError},
    opaque::{ExportKey, LoggingIn, OpaqueError, Registering},
    options::KsfParams,
    transport::{CallError, Last, Link},
};

/// Why the server or this client does not believe.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthError {
    #[error("{0}")]
    Name(#[from] AddressError),
    #[error("this server is {server}, not {wanted}")]
    OtherServer { server: String, wanted: String },
    #[error("unknown name or wrong password")]
    Password,
    #[error("the server stretches passwords in a way that this version does not know: update this program")]
    Ksf,
    #[error(transparent)]
    Opaque(OpaqueError),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("the server gave an account that is not the one asked for")]
    Forged,
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

impl From<OpaqueError> for AuthError {
    fn from(error: OpaqueError) -> Self {
        match error {
            OpaqueError::Refused => Self::Password,
            error => Self::Opaque(error),
        }
    }
}

/// The address that a person means by `name`, at the server of this connection.
pub(crate) fn address_at(link: &Link, name: &str) -> Result<Address, AuthError> {
    let address = Address::parse_at(name, &link.domain)?;
    if address.domain == link.domain {
        Ok(address)
    } else {
        Err(AuthError::OtherServer { server: link.domain.to_string(), wanted: address.domain.to_string() })
    }
}

/// Makes an account. What it returns is a device of it that may authenticate.
pub(crate) async fn register(
    link: &Link,
    ksf: KsfParams,
    registration: &crate::Registration,
    server: String,
) -> Result<Identity, AuthError> {
    if link.ksf_version != KSF_VERSION {
        return Err(AuthError::Ksf);
    }
    let address = address_at(link, &registration.name)?;
    let (state, request) = Registering::start(&registration.password.0)?;
    let started = link
        .knock(
            v1::RegisterStart {
                name: address.name.as_str().to_owned(),
                token: registration.token.clone().unwrap_or_default(),
                registration_request: request.into(),
            },
            Last::No,
        )
        .await?;
    let (record, export) = off_runtime(move || state.finish(&started.registration_response, ksf)).await?;
    let secret = AccountSecret::generate()?;
    let sealed = secret.seal(export.expose(), &address)?;
    let identity = Identity::certified(&secret, address.clone(), server)?;
    tracing::debug!("the account is being made");
    let finished = link
        .knock(
            v1::RegisterFinish {
                registration_record: record.into(),
                wrapped_account_secret: sealed.into(),
                ksf_version: KSF_VERSION,
                device: Some(identity.certificate().map_err(|_| AuthError::Forged)?),
                device_name: registration.device_name.clone(),
            },
            Last::No,
        )
        .await?;
    if finished.address == address.to_string() { Ok(identity) } else { Err(AuthError::Forged) }
}

/// A login that came as far as a device of the account.
pub(crate) struct LoggedIn {
    /// May authenticate, whatever became of that here.
    pub(crate) identity: Identity,
    pub(crate) authenticated: Result<v1::AuthenticateAnswer, AuthError>,
    /// What it takes to register the password anew, where the server asks for that.
    pub(crate) anew: Option<AccountSecret>,
}

/// Enrols this home as a device of an account and makes the connection its session.
pub(crate) async fn log_in(
    link: &Link,
    ksf: KsfParams,
    login: &crate::Login,
    server: String,
) -> Result<LoggedIn, AuthError> {
    let address = address_at(link, &login.name)?;
    let Proved { secret, register_anew } = prove_password(link, ksf, &address, &login.password, Last::No).await?;
    let identity = Identity::certified(&secret, address, server)?;
    let device = Some(identity.certificate().map_err(|_| AuthError::Forged)?);
    let enrol = v1::EnrolDevice { device, device_name: login.device_name.clone() };
    // Together: the device's key is known here, so nothing in the first answer is needed for the second request.
    let (_, authenticated) = link.knock_twice(enrol, proof(link, &identity)).await?;
    let authenticated = authenticated.map_err(AuthError::from).and_then(|answer| own(answer, &identity));
    Ok(LoggedIn { identity, authenticated, anew: register_anew.then_some(secret) })
}

/// What a proved password gives.
pub(crate) struct Proved {
    pub(crate) secret: AccountSecret,
    /// Whether the server wants it registered anew.
    pub(crate) register_anew: bool,
}

/// Proves the password on this connection. `last` says whether no other call like this follows.
pub(crate) async fn prove_password(
    link: &Link,
    ksf: KsfParams,
    address: &Address,
    password: &Password,
    last: Last,
) -> Result<Proved, AuthError> {
    let (state, ke1) = LoggingIn::start(&password.0)?;
    let name = AccountName::as_str(&address.name).to_owned();
    let started = link.knock(v1::LoginStart { name, ke1: ke1.into() }, Last::No).await.map_err(wrong_password)?;
    if started.ksf_version != KSF_VERSION {
        return Err(AuthError::Ksf);
    }
    let context = transcript::opaque_context(&link.binding, &link.domain);
    let (ke3, export) = off_runtime(move || state.finish(&started.ke2, &context, ksf)).await?;
    let finished = link.knock(v1::LoginFinish { ke3: ke3.into() }, last).await.map_err(wrong_password)?;
    if finished.address != address.to_string() {
        return Err(AuthError::Forged);
    }
    let secret = AccountSecret::open(&finished.wrapped_account_secret, export.expose(), address)?;
    if finished.account_key.as_ref() != secret.public() {
        return Err(AuthError::Forged);
    }
    Ok(Proved { secret, register_anew: finished.register_anew })
}

fn wrong_password(error: CallError) -> AuthError {
    if error.code() == Some(Code::LoginFailed) { AuthError::Password } else { error.into() }
}

/// Makes the connection a session of this device.
pub(crate) async fn authenticate(link: &Link, identity: &Identity) -> Result<v1::AuthenticateAnswer, AuthError> {
    if link.domain != identity.address.domain {
        return Err(AuthError::OtherServer {
            server: link.domain.to_string(),
            wanted: identity.address.domain.to_string(),
        });
    }
    own(link.knock(proof(link, identity), Last::Yes).await?, identity)
}

/// The device's signature over this connection.
fn proof(link: &Link, identity: &Identity) -> v1::Authenticate {
    let signed = DeviceAuthentication {
        binding: &link.binding,
        server: &link.domain,
        nonce: &link.nonce,
        address: &identity.address,
        device: identity.device,
    };
    v1::Authenticate {
        device_id: identity.device.to_bytes(),
        binding: BINDING_TLS_EXPORTER,
        signature: identity.device_secret.sign(&signed.bytes()).to_vec().into(),
    }
}

/// The answer, if it is for this device's account.
fn own(answer: v1::AuthenticateAnswer, identity: &Identity) -> Result<v1::AuthenticateAnswer, AuthError> {
    if answer.address == identity.address.to_string() { Ok(answer) } else { Err(AuthError::Forged) }
}

/// Replaces the password of an authenticated session's account, and seals the same secret anew.
pub(crate) async fn change_password(
    link: &Link,
    ksf: KsfParams,
    address: &Address,
    old: &Password,
    new: &Password,
) -> Result<(), AuthError> {
    let secret = prove_password(link, ksf, address, old, Last::Yes).await?.secret;
    register_anew(link, ksf, address, &secret, new).await
}

/// Registers a password, the same or another one, in the place of the one that was proved on this connection, which is a
/// session, and seals the account's secret under what it gives.
pub(crate) async fn register_anew(
    link: &Link,
    ksf: KsfParams,
    address: &Address,
    secret: &AccountSecret,
    password: &Password,
) -> Result<(), AuthError> {
    let (state, request) = Registering::start(&password.0)?;
    let started = link.call(v1::ChangePasswordStart { registration_request: request.into() }).await?;
    let (record, export): (_, ExportKey) =
        off_runtime(move || state.finish(&started.registration_response, ksf)).await?;
    link.call(v1::ChangePasswordFinish {
        registration_record: record.into(),
        wrapped_account_secret: secret.seal(export.expose(), address)?.into(),
        ksf_version: KSF_VERSION,
    })
    .await?;
    Ok(())
}

/// Key stretching takes most of a second: not on the runtime's threads.
async fn off_runtime<T: Send + 'static>(
    stretch: impl FnOnce() -> Result<T, OpaqueError> + Send + 'static,
) -> Result<T, AuthError> {
    // What other threads do has no place in a simulation's order of events.
    #[cfg(feature = "simulation")]
    if crate::simulation::is_under_way() {
        return stretch().map_err(AuthError::from);
    }
    tokio::task::spawn_blocking(stretch).await.map_err(|_| OpaqueError::Stretch)?.map_err(AuthError::from)
}
