//! The hub's proposal to remove the leaf of a device that is gone.

use openmls::{
    messages::external_proposals::ExternalProposal,
    prelude::{
        BasicCredential, ContentType, ExternalSender, LeafNodeIndex, SenderExtensionIndex, tls_codec::Serialize as _,
    },
};
use openmls_libcrux_crypto::Provider;
use qpc_proto::{
    address::Domain,
    id::DeviceId,
    judge::{Deed, Violation, same_account},
};

use super::{ApprovedProposal, Crypto, Followed, HubKey, Refused, parse};

/// What is to be done about a leaf.
pub enum Leaf {
    /// There is none.
    Gone,
    /// Nothing in this epoch: its removal is proposed already, or it is its account's last one, by which the account's
    /// next device comes in.
    Stays,
    /// Its removal is to be proposed: the encoded PublicMessage, and what it does.
    Proposed(Vec<u8>, ApprovedProposal),
}

impl Followed {
    /// Proposes to remove a device that is gone. Changes nothing.
    ///
    /// # Errors
    /// [`Refused`]; [`Violation::Hub`] where the group does not name this hub.
    pub fn propose_removal(
        &self,
        crypto: &Crypto,
        (domain, key): (&Domain, &HubKey),
        device: DeviceId,
        account_gone: bool,
    ) -> Result<Leaf, Refused> {
        let Some((leaf, gone)) = self.rules.members().find(|(_, member)| member.device() == device) else {
            return Ok(Leaf::Gone);
        };
        let is_proposed = |leaf: u32| self.pending.iter().any(|(_, deed)| *deed == Deed::Remove(leaf));
        let mut others = self.rules.members().filter(|(other, member)| *other != leaf && same_account(member, gone));
        // Not the last one, even once all that waits is carried out.
        let others_stay = others.any(|(other, _)| !is_proposed(other));
        if is_proposed(leaf) || !(others_stay || account_gone) {
            return Ok(Leaf::Stays);
        }
        let index = self.sender_index(domain, key)?;
        let context = self.public.group_context();
        let (target, group, epoch) = (LeafNodeIndex::new(leaf), context.group_id().clone(), context.epoch());
        let message = ExternalProposal::new_remove::<Provider>(target, group, epoch, key, index)
            .map_err(|error| Refused::Invalid(error.to_string()))?;
        let body = message.tls_serialize_detached().map_err(|error| Refused::Invalid(error.to_string()))?;

        // Judged as everybody else will.
        let message = parse::handshake(&body, self.public.group_id(), ContentType::Proposal, "proposal")?;
        Ok(Leaf::Proposed(body, self.judge_proposed(crypto, message)?))
    }

    /// Where the group names this hub.
    fn sender_index(&self, domain: &Domain, key: &HubKey) -> Result<SenderExtensionIndex, Refused> {
        let credential = BasicCredential::new(domain.as_str().as_bytes().to_vec()).into();
        let hub = ExternalSender::new(key.public().as_slice().into(), credential);
        let senders = self.public.group_context().extensions().external_senders();
        let index = senders.and_then(|senders| senders.iter().position(|sender| *sender == hub));
        let index = index.and_then(|index| u32::try_from(index).ok()).ok_or(Violation::Hub)?;
        Ok(SenderExtensionIndex::new(index))
    }
}
