//! Whose devices are believed: an account's key is pinned when it is first seen, and another one is refused until a
//! person has compared and accepted it.

use std::sync::Arc;

use qpc_proto::{address::Address, credential::VerifiedDevice};
use rusqlite::Transaction;

use crate::{
    identity::Identity,
    mls::{Device, Mls, Refusal, Trust, Verdict},
    store::{
        StoreError,
        contact::{self, Pinned},
    },
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
            Refusal::AccountKeyChanged(device) => {
                contact::offer(tx, device.address(), device.account_key())?;
                text.push_str(
                    " They may have been reset, or somebody is in between. Compare the fingerprints with them; if they \
                     are right, accept the new key.",
                );
            }
            _ => text.push_str(" Somebody may be trying to listen in; the server may be taking part in it."),
        }
        Ok(text)
    }
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
