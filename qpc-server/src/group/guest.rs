//! People of other domains in this server's conversations: admitted as their own server describes them, and believed what
//! their account has signed.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use prost::Message;
use qpc_proto::{
    address::Address,
    credential::VerifiedDevice,
    id::{AccountId, DeviceId},
    limits::DEVICES_PER_ACCOUNT_MAX,
    suite::Suite,
    v1,
};
use tokio::time::timeout;

use super::{Abroad, ClaimRefused, Groups, guests::Guests};
use crate::{
    field,
    remote::RemoteError,
    rng,
    store::{Actor, AdmitError, ClaimError, Guest, NewDevice, StoreFault},
    turns::Turn,
};

/// How long a question about an account waits for the one before it.
const TURN: Duration = Duration::from_secs(10);

impl Groups {
    /// Asks an account's own server for key packages, and makes its devices known here, so that they can be added.
    pub(super) fn claim_elsewhere(
        &self,
        requester: &Address,
        target: &Address,
        suite: Suite,
    ) -> impl Future<Output = Result<v1::ClaimKeyPackagesAnswer, ClaimRefused>> + Send + use<> {
        let (store, clock, abroad) = (Arc::clone(&self.store), Arc::clone(&self.clock), self.abroad.clone());
        let (requester, target) = (requester.clone(), target.clone());
        async move {
            let abroad = abroad.ok_or(RemoteError::Unknown)?;
            let _turn = abroad.turn(&target).await.ok_or(RemoteError::Busy)?;
            let asked = abroad.remote.claim_key_packages(&requester, &target, suite);
            let v1::PeerClaimKeyPackagesAnswer { claimed, devices } = asked.await?;
            let claimed = claimed.ok_or(RemoteError::Unfit)?;
            let guest = abroad.describe(&target, &devices, clock.unix_ms()).ok_or(RemoteError::Unfit)?;
            if !names_devices_of(&claimed, &guest) {
                return Err(RemoteError::Unfit.into());
            }
            let admitted = store.admit_guest(guest).await;
            abroad.guests.forget();
            match admitted {
                Ok(_) => Ok(claimed),
                // What its server says can't be true.
                Err(AdmitError::Own | AdmitError::DeviceExists) => Err(RemoteError::Unfit.into()),
                Err(AdmitError::Fault(fault)) => Err(ClaimError::Fault(fault).into()),
            }
        }
    }
}

/// Why somebody of another domain is not let act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// The device is none of the account's, as far as is known here.
    #[error("no device of that account is known by that id")]
    Device,
    /// What its server says of the account can't be true.
    #[error("the account is not what its server says")]
    Account,
    /// As many questions about the account wait as may.
    #[error("too many questions about the account wait")]
    Busy,
    /// The store itself failed.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

impl Groups {
    /// A device of another domain that is not known here, for which its own server speaks, as that server has proved; `devices`
    /// are all that the account has, where they came along.
    ///
    /// # Errors
    /// [`Unknown`].
    pub async fn new_guest(
        &self,
        sender: &Address,
        device: DeviceId,
        devices: &[v1::DeviceCertificate],
    ) -> Result<Actor, Unknown> {
        if devices.is_empty() {
            return Err(Unknown::Device);
        }
        self.admit(sender, devices).await?;
        self.known_guest(sender, device).await?.ok_or(Unknown::Device)
    }

    /// Takes a guest's devices to be these, as its own server says; none, where the account is gone.
    ///
    /// # Errors
    /// [`Unknown`].
    pub async fn guest_changed(
        &self,
        address: &Address,
        devices: &[v1::DeviceCertificate],
        gone: bool,
    ) -> Result<(), Unknown> {
        let abroad = self.abroad.as_ref().ok_or(Unknown::Account)?;
        match (gone, devices) {
            (true, []) => {
                let _turn = abroad.turn(address).await.ok_or(Unknown::Busy)?;
                let gone = self.store.guest_gone(address, self.clock.unix_ms()).await;
                abroad.guests.forget();
                gone?;
                self.devices_gone();
                Ok(())
            }
            (true, _) | (false, []) => Err(Unknown::Account),
            (false, devices) => self.admit(address, devices).await,
        }
    }

    async fn admit(&self, address: &Address, devices: &[v1::DeviceCertificate]) -> Result<(), Unknown> {
        let abroad = self.abroad.as_ref().ok_or(Unknown::Account)?;
        let _turn = abroad.turn(address).await.ok_or(Unknown::Busy)?;
        let guest = abroad.describe(address, devices, self.clock.unix_ms()).ok_or(Unknown::Account)?;
        let admitted = self.store.admit_guest(guest).await;
        abroad.guests.forget();
        match admitted {
            Ok(_) => {
                self.devices_gone();
                Ok(())
            }
            Err(AdmitError::Own | AdmitError::DeviceExists) => Err(Unknown::Account),
            Err(AdmitError::Fault(fault)) => Err(fault.into()),
        }
    }

    /// A device of another domain that is known here, for which its own server speaks, as that server has proved.
    ///
    /// # Errors
    /// The store's.
    pub async fn known_guest(&self, sender: &Address, device: DeviceId) -> Result<Option<Actor>, StoreFault> {
        let guests = self.abroad.as_ref().map(|abroad| &abroad.guests);
        if let Some(actor) = guests.and_then(|guests| guests.get(sender, device)) {
            return Ok(Some(actor));
        }
        let changes = guests.map(Guests::changes);
        let known = self.store.device(device).await?.filter(|known| known.address == *sender);
        let actor = known.map(|known| Actor::authenticated(known.account, device, known.address));
        if let (Some(guests), Some(changes), Some(actor)) = (guests, changes, &actor) {
            guests.put(actor, changes);
        }
        Ok(actor)
    }
}

impl Abroad {
    /// Waits until nothing else is asked or said about an account; nothing where that takes too long.
    async fn turn<'t>(&'t self, address: &'t Address) -> Option<Turn<'t, Address>> {
        timeout(TURN, self.turns.take(address)).await.ok()
    }

    /// [`described`] under an id of its own.
    fn describe(&self, address: &Address, devices: &[v1::DeviceCertificate], now_ms: u64) -> Option<Guest> {
        described(address, devices, (AccountId::new(now_ms, rng::bytes(&*self.rng)), now_ms))
    }
}

/// An account by its devices' certificates, where all are its own and one key has signed them.
fn described(address: &Address, devices: &[v1::DeviceCertificate], (id, now_ms): (AccountId, u64)) -> Option<Guest> {
    if !(1..=DEVICES_PER_ACCOUNT_MAX).contains(&devices.len()) {
        return None;
    }
    let verified: Vec<_> = devices.iter().map(VerifiedDevice::verify).collect::<Result<_, _>>().ok()?;
    let account_key = *verified.first()?.account_key();
    let fits = |device: &VerifiedDevice| device.address() == address && *device.account_key() == account_key;
    if !verified.iter().all(fits) {
        return None;
    }
    let device = |(device, certificate): (&VerifiedDevice, &v1::DeviceCertificate)| NewDevice {
        id: device.device(),
        key: *device.device_key(),
        certificate: certificate.encode_to_vec().into(),
        // It is for its owner, who reads it at their own server.
        name: String::new(),
        now_ms,
    };
    let devices = verified.iter().zip(devices).map(device).collect();
    Some(Guest { id, address: address.clone(), account_key, devices, now_ms })
}

/// Whether key packages are said to be of devices that the account has.
fn names_devices_of(claimed: &v1::ClaimKeyPackagesAnswer, guest: &Guest) -> bool {
    let has: BTreeSet<_> = guest.devices.iter().map(|device| device.id).collect();
    let named = claimed.key_packages.iter().map(|claimed| &claimed.device_id).chain(&claimed.devices_without);
    named.into_iter().all(|id| field::device_id(id).is_ok_and(|id| has.contains(&id)))
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};
    use qpc_proto::{id::DeviceId, transcript};

    use super::*;

    fn certificate(address: &str, account: u8, device: u8) -> v1::DeviceCertificate {
        let (account, key) = (SigningKey::from_bytes(&[account; 32]), SigningKey::from_bytes(&[device; 32]));
        let of = Address::parse(address).unwrap();
        let (account_key, device_key) = (account.verifying_key().to_bytes(), key.verifying_key().to_bytes());
        let id = DeviceId::new(1, [device; 10]);
        let signed = transcript::device_certificate(&of, &account_key, id, &device_key);
        v1::DeviceCertificate {
            address: address.into(),
            account_key: account_key.to_vec().into(),
            device_id: id.to_bytes(),
            device_key: device_key.to_vec().into(),
            signature: account.sign(&signed).to_vec().into(),
        }
    }

    #[test]
    fn an_account_is_what_one_key_has_signed_of_it() {
        let bob = Address::parse("bob@b.example").unwrap();
        let judged = |devices: &[v1::DeviceCertificate]| described(&bob, devices, (AccountId::new(1, [1; 10]), 7));
        let own = |device| certificate("bob@b.example", 1, device);
        let guest = judged(&[own(2), own(3)]).unwrap();
        assert_eq!((guest.address.clone(), guest.devices.len(), guest.now_ms), (bob.clone(), 2, 7));
        assert_eq!(guest.devices[1].id, DeviceId::new(1, [3; 10]));
        let foreign = v1::DeviceCertificate { signature: own(3).signature, ..own(2) };
        for (refused, why) in [
            (vec![], "no device"),
            ((1..18).map(own).collect(), "more than an account has"),
            (vec![own(2), certificate("bob@b.example", 9, 3)], "two account keys"),
            (vec![own(2), certificate("ben@b.example", 1, 3)], "somebody else's"),
            (vec![certificate("bob@c.example", 1, 2)], "another domain's"),
            (vec![own(2), foreign], "not signed"),
        ] {
            assert_eq!(judged(&refused), None, "{why}");
        }
        let claimed = |devices: &[u8]| v1::ClaimKeyPackagesAnswer {
            devices_without: devices.iter().map(|device| DeviceId::new(1, [*device; 10]).to_bytes()).collect(),
            ..Default::default()
        };
        assert!(names_devices_of(&claimed(&[2, 3]), &guest));
        assert!(!names_devices_of(&claimed(&[2, 4]), &guest));
    }
}
