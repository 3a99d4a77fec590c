//! Whose devices are believed: an account's key is pinned when it is first seen, and another one is refused until a
//! person has accepted it; with a word of its own where they had compared the earlier one.

use std::sync::Arc;

use qpc_proto::{address::Address, credential::VerifiedDevice};
use rusqlite::Transaction;

use crate::{
    api::{Standing, Verification},
    fresh,
    identity::Identity,
    mls::{Device, Mls, Refusal, Trust, Verdict},
    store::{
        StoreError,
        contact::{self, Contact, Pinned},
    },
    words,
};

/// Who this device is, as every part of the driver needs it.
#[derive(Clone)]
pub(crate) struct Me {
    pub(crate) identity: Arc<Identity>,
    pub(crate) device: Arc<Device>,
}

impl Me {
    /// Runs `work` with the MLS state of this device.
    pub(crate) fn with_mls<T>(&self, tx: &Transaction<'_>, work: impl FnOnce(&Mls<'_>) -> T) -> T {
        let pins = Pins { tx, me: &self.identity };
        work(&Mls::new(tx, &self.device, &pins))
    }

    pub(crate) fn address(&self) -> &Address {
        &self.identity.address
    }

    /// Pins the accounts of devices that have entered a group.
    pub(crate) fn pin_all<'d>(
        &self,
        tx: &Transaction<'_>,
        devices: impl IntoIterator<Item = &'d VerifiedDevice>,
    ) -> Result<(), StoreError> {
        for device in devices {
            if device.address() != self.address() {
                contact::pin(tx, device.address(), device.account_key())?;
            }
        }
        Ok(())
    }

    /// Notes that a device was refused; gives the words for the alarm.
    pub(crate) fn refuse(&self, tx: &Transaction<'_>, refusal: &Refusal) -> Result<String, StoreError> {
        let mut text = format!("Refused: {refusal}.");
        match refusal {
            Refusal::AccountKeyChanged(device) if device.address() != self.address() => {
                text.push_str(&offered(tx, device.address(), device.account_key())?);
            }
            _ => text.push_str(" Somebody may be trying to listen in; the server may be taking part in it."),
        }
        Ok(text)
    }
}

/// Notes that somebody presents another key; gives what to tell a person beside that.
pub(crate) fn offered(tx: &Transaction<'_>, address: &Address, key: &[u8; 32]) -> Result<String, StoreError> {
    contact::offer(tx, address, key)?;
    let compared = contact::get(tx, address)?.and_then(|known| known.verified_ms());
    Ok(words::another_key(address, compared))
}

/// How things stand with a contact's key.
pub(crate) fn standing(contact: &Contact) -> Standing {
    let verification = match (contact.offered_key, contact.verified_ms()) {
        (Some(_), _) => Verification::Changed,
        (None, Some(_)) => Verification::Verified,
        (None, None) => Verification::Unverified,
    };
    Standing {
        verification,
        verified_at: contact.mark.map(|mark| fresh::rfc3339(mark.marked_ms)),
        changed_at: contact.offered_ms.map(fresh::rfc3339),
    }
}

/// The same in a group where their devices have these keys: they may be from before another one was accepted.
pub(crate) fn standing_in<'k>(
    tx: &Transaction<'_>,
    address: &Address,
    keys: impl IntoIterator<Item = &'k [u8; 32]>,
) -> Result<Standing, StoreError> {
    let Some(contact) = contact::get(tx, address)? else { return Ok(Standing::default()) };
    let mut standing = standing(&contact);
    let known = |key: &[u8; 32]| contact.account_key.is_none_or(|known| known == *key);
    if standing.verification != Verification::Changed && !keys.into_iter().all(known) {
        standing.verification = Verification::Earlier;
    }
    Ok(standing)
}

/// The pinned keys, as judges of devices.
struct Pins<'t> {
    tx: &'t Transaction<'t>,
    me: &'t Identity,
}

impl Trust for Pins<'_> {
    fn judge(&self, device: &VerifiedDevice) -> Verdict {
        if device.address() == &self.me.address {
            return if device.account_key() == &self.me.account_key {
                Verdict::Trusted
            } else {
                Verdict::AccountKeyChanged
            };
        }
        match contact::compare(self.tx, device.address(), device.account_key()) {
            Ok(Pinned::Unknown | Pinned::Same) => Verdict::Trusted,
            Ok(Pinned::Other) => Verdict::AccountKeyChanged,
            Err(error) => {
                // Who can't be looked up is not believed.
                tracing::error!(%error, "pinned keys can't be read");
                Verdict::AccountKeyChanged
            }
        }
    }
}
