//! Registration: two messages on one connection make an account with its first device.

use opaque_ke::{RegistrationRequest, RegistrationUpload, ServerRegistration};
use prost::Message;
use qpc_proto::{credential::VerifiedDevice, v1};

use super::{Accounts, FieldError, LoginStage, Token, field, opaque::Suite, stage::PendingRegistration};
use crate::store::{Admission, CreateAccountError, InviteError, NewAccount, NewDevice, PasswordRecord, StoreFault};

/// Why a registration did not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterStartError {
    /// A field of the request.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The token does not let in.
    #[error("the token is not valid")]
    Token,
    /// The store itself failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

/// Why no account was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterFinishError {
    /// No registration has begun on this connection, or the OPAQUE setup has changed since it did.
    #[error("no registration has begun on this connection")]
    NotStarted,
    /// A field of the request.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The certificate proves nothing, is of somebody else, or its device id is in use.
    #[error("the device's certificate does not fit")]
    Device,
    /// The token was used up or expired in between.
    #[error("the token is not valid")]
    Token,
    /// Somebody has the name, or had it.
    #[error("the name is taken")]
    NameTaken,
    /// The store itself failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

impl From<CreateAccountError> for RegisterFinishError {
    fn from(error: CreateAccountError) -> Self {
        match error {
            CreateAccountError::NameTaken => Self::NameTaken,
            CreateAccountError::DeviceExists => Self::Device,
            CreateAccountError::Invite(InviteError::Invalid) => Self::Token,
            CreateAccountError::Invite(InviteError::Fault(fault)) => Self::Fault(fault),
        }
    }
}

impl Accounts {
    /// Judges name and token and answers the OPAQUE request. Replaces a registration that had begun
    /// on this connection. Whether the name is free is told only at the end, to a holder of a token.
    ///
    /// # Errors
    /// [`RegisterStartError`].
    pub async fn register_start(
        &self,
        stage: &mut LoginStage,
        request: v1::RegisterStart,
    ) -> Result<v1::RegisterStartAnswer, RegisterStartError> {
        stage.registration = None;
        let name = field::account_name(&request.name)?;
        let token = Token::parse(request.token).ok_or(RegisterStartError::Token)?;
        let blinded = RegistrationRequest::<Suite>::deserialize(&request.registration_request)
            .map_err(|_| FieldError::Malformed("registration_request"))?;
        let admission = self.admission(&name, &token).await?;
        let setup = self.setups.newest();
        let answer = setup.evaluate(&name, blinded).map_err(|_| FieldError::Malformed("registration_request"))?;
        stage.registration = Some(PendingRegistration { name, admission, setup_version: setup.version });
        Ok(v1::RegisterStartAnswer { registration_response: answer.into() })
    }

    /// Creates the account with its first device, and uses up the token, in one transaction.
    ///
    /// # Errors
    /// [`RegisterFinishError`]; the registration has to begin anew after any of them.
    pub async fn register_finish(
        &self,
        stage: &mut LoginStage,
        request: v1::RegisterFinish,
    ) -> Result<v1::RegisterFinishAnswer, RegisterFinishError> {
        let PendingRegistration { name, admission, setup_version } =
            stage.registration.take().ok_or(RegisterFinishError::NotStarted)?;
        let address = self.address(&name);
        let stretched = (request.wrapped_account_secret, request.ksf_version);
        let password = password_record(&request.registration_record, setup_version, stretched)?;
        let device_name = field::device_name(request.device_name)?;
        let certificate = request.device.ok_or(RegisterFinishError::Device)?;
        let device = VerifiedDevice::verify(&certificate).map_err(|_| RegisterFinishError::Device)?;
        if *device.address() != address {
            return Err(RegisterFinishError::Device);
        }
        let now_ms = self.clock.unix_ms();
        let new = NewAccount {
            id: self.new_account_id(),
            address: address.clone(),
            password,
            account_key: *device.account_key(),
            device: NewDevice {
                id: device.device(),
                key: *device.device_key(),
                certificate: certificate.encode_to_vec().into(),
                name: device_name,
                now_ms,
            },
            admission,
            now_ms,
        };
        let created = self.setups.while_newest(setup_version, || self.store.create_account(new));
        created.ok_or(RegisterFinishError::NotStarted)?.await?;
        Ok(v1::RegisterFinishAnswer { address: address.to_string() })
    }

    /// What lets the bearer of a token in. A name that was reset is for its reset token alone, which
    /// the store sees to.
    async fn admission(
        &self,
        name: &qpc_proto::address::AccountName,
        token: &Token,
    ) -> Result<Admission, RegisterStartError> {
        // Every standing token is compared, so that time tells nothing of which one fits.
        let standing = self.registration.standing.iter().fold(false, |hit, standing| standing.admits(token) | hit);
        if standing || (self.registration.open && token.is_empty()) {
            return Ok(Admission::Open);
        }
        let invite = token.hash();
        match self.store.check_invite(invite, name, self.clock.unix_ms()).await {
            Ok(()) => Ok(Admission::Token(invite)),
            Err(InviteError::Invalid) if self.registration.open => Ok(Admission::Open),
            Err(InviteError::Invalid) => Err(RegisterStartError::Token),
            Err(InviteError::Fault(fault)) => Err(fault.into()),
        }
    }
}

/// What the store keeps of a new password: the record, made with this setup, the sealed secret and how the password was
/// stretched.
pub(super) fn password_record(
    upload: &[u8],
    setup_version: u32,
    (wrapped_account_secret, ksf_version): (bytes::Bytes, u32),
) -> Result<PasswordRecord, FieldError> {
    let upload =
        RegistrationUpload::<Suite>::deserialize(upload).map_err(|_| FieldError::Malformed("registration_record"))?;
    Ok(PasswordRecord {
        opaque_record: ServerRegistration::finish(upload).serialize().to_vec().into(),
        setup_version,
        ksf_version: field::ksf_version(ksf_version)?,
        wrapped_account_secret: field::wrapped_account_secret(wrapped_account_secret)?,
    })
}
