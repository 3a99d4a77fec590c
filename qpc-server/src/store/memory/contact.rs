//! Contacts in maps.

use std::collections::{BTreeMap, HashMap};

use qpc_proto::{
    address::Address,
    id::{AccountId, ConversationName, DeviceId},
};

use super::World;
use crate::store::tables::{ContactTables, Fallible, HeldWelcome, Say, Stance};

#[derive(Default)]
pub(super) struct Contacts {
    /// By owner, then peer.
    stances: BTreeMap<AccountId, BTreeMap<AccountId, Stance>>,
    /// By the smaller id, then the greater.
    directs: HashMap<(AccountId, AccountId), ConversationName>,
    /// By owner and the one it blocks.
    held: HashMap<(AccountId, AccountId), Vec<HeldWelcome>>,
}

fn pair(one: AccountId, other: AccountId) -> (AccountId, AccountId) {
    (one.min(other), one.max(other))
}

impl Contacts {
    pub(super) fn forget_device(&mut self, device: DeviceId) {
        for held in self.held.values_mut() {
            held.retain(|held| held.device != device);
        }
    }
}

impl ContactTables for World {
    fn stance(&mut self, owner: AccountId, peer: AccountId) -> Fallible<Stance> {
        Ok(self.contacts.stances.get(&owner).and_then(|of| of.get(&peer)).copied().unwrap_or_default())
    }

    fn set_stance(&mut self, owner: AccountId, peer: AccountId, stance: Stance) -> Fallible<()> {
        let of = self.contacts.stances.entry(owner).or_default();
        if stance == Stance::default() {
            of.remove(&peer);
        } else {
            of.insert(peer, stance);
        }
        self.wake_ups.hearers.pairs.push([owner, peer]);
        Ok(())
    }

    fn contacts_after(
        &mut self,
        owner: AccountId,
        after: Option<&Address>,
        limit: usize,
    ) -> Fallible<Vec<(AccountId, Address, Stance)>> {
        let stances = self.contacts.stances.get(&owner).into_iter().flatten();
        let mut contacts: Vec<_> = stances
            .filter_map(|(peer, stance)| {
                let (row, _) = self.accounts.rows.get(peer)?;
                after.is_none_or(|after| row.address > *after).then(|| (*peer, row.address.clone(), *stance))
            })
            .collect();
        contacts.sort_unstable_by(|one, other| one.1.cmp(&other.1));
        contacts.truncate(limit);
        Ok(contacts)
    }

    fn forget_contacts(&mut self, account: AccountId, keep_blocks: bool) -> Fallible<()> {
        let forget = |stance: &mut Stance| {
            *stance = Stance { say: Say::Nothing, request_used: false, blocked: stance.blocked && keep_blocks };
            stance.blocked
        };
        for (owner, of) in &mut self.contacts.stances {
            of.retain(|peer, stance| (*owner != account && *peer != account) || forget(stance));
        }
        self.contacts.held.retain(|(owner, from), _| *owner != account && *from != account);
        Ok(())
    }

    fn move_contacts(&mut self, from: AccountId, to: AccountId) -> Fallible<()> {
        if let Some(of) = self.contacts.stances.remove(&from) {
            self.contacts.stances.insert(to, of);
        }
        for of in self.contacts.stances.values_mut() {
            if let Some(stance) = of.remove(&from) {
                of.insert(to, stance);
            }
        }
        Ok(())
    }

    fn direct(&mut self, one: AccountId, other: AccountId) -> Fallible<Option<ConversationName>> {
        Ok(self.contacts.directs.get(&pair(one, other)).cloned())
    }

    fn set_direct(&mut self, one: AccountId, other: AccountId, conversation: &ConversationName) -> Fallible<()> {
        self.contacts.directs.insert(pair(one, other), conversation.clone());
        Ok(())
    }

    fn free_directs(&mut self, account: AccountId) -> Fallible<()> {
        self.contacts.directs.retain(|(one, other), _| *one != account && *other != account);
        Ok(())
    }

    fn count_held(&mut self, owner: AccountId, from: AccountId) -> Fallible<usize> {
        Ok(self.contacts.held.get(&(owner, from)).map_or(0, Vec::len))
    }

    fn hold_welcome(&mut self, owner: AccountId, from: AccountId, held: &HeldWelcome) -> Fallible<()> {
        self.contacts.held.entry((owner, from)).or_default().push(held.clone());
        Ok(())
    }

    fn take_held(&mut self, owner: AccountId, from: AccountId) -> Fallible<Vec<HeldWelcome>> {
        Ok(self.contacts.held.remove(&(owner, from)).unwrap_or_default())
    }
}
