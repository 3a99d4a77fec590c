//! The key of ephemeral events: of one epoch, from the MLS exporter, shared by all members.
//!
//! That all share it means that a member could speak as another one, if the server helped: the server says which device has
//! sent an event, and what it says is compared with the leaf. Nonces hold leaf, counter and random bytes, so that none
//! comes twice.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};
use qpc_proto::{
    address::Address,
    ephemeral::{Header, Presently, Sealed},
    id::{ConversationName, DeviceId, Epoch},
};
use zeroize::Zeroizing;

use super::{Fault, Member};
use crate::fresh;

/// See the module's text. Never printed.
pub struct EphemeralKey {
    conversation: ConversationName,
    epoch: Epoch,
    own: u32,
    secret: Zeroizing<Vec<u8>>,
    leaves: BTreeMap<u32, (DeviceId, Address)>,
}

impl EphemeralKey {
    pub(super) fn new(
        conversation: ConversationName,
        (epoch, own): (Epoch, u32),
        secret: Zeroizing<Vec<u8>>,
        members: Vec<Member>,
    ) -> Self {
        let leaves = members.into_iter().map(|member| {
            let device = &member.device;
            (member.leaf, (device.device(), device.address().clone()))
        });
        Self { conversation, epoch, own, secret, leaves: leaves.collect() }
    }

    /// One that opens nothing.
    #[cfg(test)]
    pub(crate) fn for_tests(conversation: ConversationName, epoch: Epoch) -> Self {
        Self::new(conversation, (epoch, 0), Zeroizing::new(vec![0; 32]), Vec::new())
    }

    /// Of which epoch it is.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// How many accounts are in the group.
    #[must_use]
    pub fn accounts(&self) -> usize {
        self.leaves.values().map(|(_, address)| address).collect::<BTreeSet<_>>().len()
    }

    /// Seals what this device does. A greater counter than in any event before.
    ///
    /// # Errors
    /// [`Fault`], where the system gives no randomness.
    pub fn seal(&self, counter: u64, said: &Presently) -> Result<Bytes, Fault> {
        let salt = fresh::random().map_err(Fault::engine)?;
        let header = Header { epoch: self.epoch, leaf: self.own, counter, salt };
        let aad = header.associated_data(&self.conversation);
        let payload = Payload { msg: &said.encode(), aad: &aad };
        let sealed = self.cipher()?.encrypt(&XNonce::from(header.nonce()), payload).map_err(Fault::engine)?;
        Ok([header.encode().as_slice(), &sealed].concat().into())
    }

    /// Opens what a device of the group has sealed in this epoch, where the server says that it was that device. Whether
    /// its counter is news is for the caller to see.
    #[must_use]
    pub fn open(&self, sealed: &Sealed<'_>, sender: DeviceId) -> Option<(&Address, Presently)> {
        let Sealed { header, ciphertext } = sealed;
        let (device, address) = self.leaves.get(&header.leaf)?;
        if header.epoch != self.epoch || header.leaf == self.own || *device != sender {
            return None;
        }
        let aad = header.associated_data(&self.conversation);
        let payload = Payload { msg: ciphertext, aad: &aad };
        let plain = self.cipher().ok()?.decrypt(&XNonce::from(header.nonce()), payload).ok()?;
        Some((address, Presently::decode(&plain).ok()?))
    }

    fn cipher(&self) -> Result<XChaCha20Poly1305, Fault> {
        XChaCha20Poly1305::new_from_slice(&self.secret).map_err(Fault::engine)
    }
}
