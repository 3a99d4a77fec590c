//! Devices: enrolling one, proving it on a connection, listing and revoking.
//!
//! [`Accounts::authenticate`] is the one place that makes an [`Actor`].

use prost::Message;
use qpc_proto::{
    credential::{VerifiedDevice, verify_device_signature},
    id::DeviceId,
    transcript::{BINDING_TLS_EXPORTER, DeviceAuthentication},
    v1,
};

use super::{Accounts, FieldError, LoginStage, field, stage::EnrolledDevice};
use crate::{
    clock,
    registry::AsOf,
    store::{Actor, DeviceRecord, EnrolDeviceError, Enrolled, NewDevice, Refusal, StoreFault},
};

/// Why a device was not enrolled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnrolError {
    /// The password was not proved on this connection.
    #[error("the password was not proved on this connection")]
    NotProved,
    /// A field of the request.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The certificate proves nothing, is of another account or key, or its device id is in use.
    #[error("the device's certificate does not fit the account")]
    Device,
    /// The account has as many devices as it may.
    #[error("the account has as many devices as it may")]
    TooMany,
    /// The account was deleted or reset in between.
    #[error("the account no longer exists")]
    AccountGone,
    /// The operator keeps the account out.
    #[error("the account is suspended")]
    Suspended,
    /// The store itself failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

impl From<EnrolDeviceError> for EnrolError {
    fn from(error: EnrolDeviceError) -> Self {
        match error {
            EnrolDeviceError::TooMany => Self::TooMany,
            EnrolDeviceError::DeviceExists => Self::Device,
            EnrolDeviceError::AccountGone => Self::AccountGone,
            EnrolDeviceError::Suspended => Self::Suspended,
            EnrolDeviceError::Fault(fault) => Self::Fault(fault),
        }
    }
}

/// Why a connection did not become a session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticateError {
    /// A field of the request.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// No such device, or its key did not sign this: one answer for both.
    #[error("the device did not prove itself")]
    Refused,
    /// It did, and the operator keeps its account out.
    #[error("the account is suspended")]
    Suspended,
    /// The store itself failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

/// A device that has proved itself.
#[derive(Debug)]
pub struct Recognised {
    /// Who acts from here on.
    pub actor: Actor,
    /// For the device.
    pub answer: v1::AuthenticateAnswer,
    /// The device existed then.
    pub as_of: AsOf,
    /// The day it was last here, as milliseconds since 1970.
    pub last_seen_ms: u64,
}

/// Why a device was not revoked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RevokeError {
    /// A field of the request.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The store refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// A valid key, the Ed25519 base point: what a device that does not exist is checked against, so
/// that it costs what a known one costs. What comes of that check counts for nothing.
const NOBODYS_KEY: [u8; 32] = {
    let mut point = [0x66; 32];
    point[0] = 0x58;
    point
};

impl Accounts {
    /// Adds a device to the account whose password was proved on this connection. `as_of` is how many had gone
    /// before ([`crate::registry::Registry::as_of`]).
    ///
    /// # Errors
    /// [`EnrolError`].
    pub async fn enrol_device(
        &self,
        stage: &mut LoginStage,
        request: v1::EnrolDevice,
        as_of: AsOf,
    ) -> Result<v1::EnrolDeviceAnswer, EnrolError> {
        let proved = stage.proved.as_ref().ok_or(EnrolError::NotProved)?;
        let name = field::device_name(request.device_name)?;
        let certificate = request.device.ok_or(EnrolError::Device)?;
        let device = VerifiedDevice::verify(&certificate).map_err(|_| EnrolError::Device)?;
        if *device.address() != proved.address || *device.account_key() != proved.account_key {
            return Err(EnrolError::Device);
        }
        let new = NewDevice {
            id: device.device(),
            key: *device.device_key(),
            certificate: certificate.encode_to_vec().into(),
            name,
            now_ms: self.clock.unix_ms(),
        };
        let (id, record) = (
            new.id,
            DeviceRecord {
                account: proved.account,
                address: proved.address.clone(),
                account_key: proved.account_key,
                key: new.key,
                key_packages: 0,
                post_quantum_key_packages: 0,
                last_seen_ms: clock::day(new.now_ms),
                suspended: false,
            },
        );
        let enrolled = self.store.enrol_device(proved.account, new, self.limits.devices_per_account).await?;
        stage.enrolled = (enrolled == Enrolled::Anew).then_some(EnrolledDevice { id, record, as_of });
        Ok(v1::EnrolDeviceAnswer {})
    }

    /// Judges a device's signature over this connection: the one way to become a session. `as_of` is as with
    /// [`Accounts::enrol_device`].
    ///
    /// # Errors
    /// [`AuthenticateError`].
    pub async fn authenticate(
        &self,
        stage: &LoginStage,
        request: v1::Authenticate,
        as_of: AsOf,
    ) -> Result<Recognised, AuthenticateError> {
        let device = DeviceId::parse(&request.device_id).map_err(|_| FieldError::Malformed("device_id"))?;
        if request.binding != BINDING_TLS_EXPORTER {
            return Err(FieldError::Malformed("binding").into());
        }
        let (known, as_of) = match stage.enrolled.as_ref().filter(|enrolled| enrolled.id == device) {
            Some(enrolled) => (Some(enrolled.record.clone()), enrolled.as_of),
            None => (self.store.device(device).await?, as_of),
        };
        let nobody;
        let (address, key) = match &known {
            Some(DeviceRecord { address, key, .. }) => (address, key),
            None => {
                nobody = self.nobody();
                (&nobody, &NOBODYS_KEY)
            }
        };
        let signed = DeviceAuthentication {
            binding: &stage.binding,
            server: &self.domain,
            nonce: &stage.nonce,
            address,
            device,
        };
        let proved = verify_device_signature(key, &signed.bytes(), &request.signature);
        let Some(record) = known.filter(|_| proved) else { return Err(AuthenticateError::Refused) };
        // Only now: whose account is suspended is for its devices to know.
        if record.suspended {
            return Err(AuthenticateError::Suspended);
        }

        let answer = v1::AuthenticateAnswer {
            address: record.address.to_string(),
            key_packages: record.key_packages,
            post_quantum_key_packages: record.post_quantum_key_packages,
            restored_ms: self.restored().at_ms,
            read_only_until_ms: self.restored().until_ms,
        };
        let actor = Actor::authenticated(record.account, device, record.address);
        Ok(Recognised { actor, answer, as_of, last_seen_ms: record.last_seen_ms })
    }

    /// The devices of the actor's account.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn list_devices(&self, actor: &Actor) -> Result<v1::ListDevicesAnswer, Refusal> {
        let devices = self.store.list_devices(actor).await?;
        let devices = devices
            .into_iter()
            .map(|device| v1::Device {
                device_id: device.id.to_bytes(),
                current: device.id == actor.device(),
                name: device.name,
                enrolled_ms: device.enrolled_ms,
                last_seen_ms: device.last_seen_ms,
            })
            .collect();
        Ok(v1::ListDevicesAnswer { devices })
    }

    /// Deletes a device of the actor's account; its sessions end within a second (invariant 12).
    ///
    /// # Errors
    /// [`RevokeError`].
    pub async fn revoke_device(
        &self,
        actor: &Actor,
        request: v1::RevokeDevice,
    ) -> Result<v1::RevokeDeviceAnswer, RevokeError> {
        let device = DeviceId::parse(&request.device_id).map_err(|_| FieldError::Malformed("device_id"))?;
        self.store.revoke_device(actor, device).await?;
        Ok(v1::RevokeDeviceAnswer {})
    }
}
