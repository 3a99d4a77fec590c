//! Rows of contacts: what one account says of another, and what a block holds back.

use bytes::Bytes;
use qpc_proto::{
    address::Address,
    id::{AccountId, ConversationName, DeviceId, MessageId},
};

use super::Fallible;

/// What an account has said of another's wish to write to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::store) enum Say {
    /// Nothing, and was not asked.
    #[default]
    Nothing,
    /// It was asked.
    Pending,
    /// Yes.
    Accepted,
    /// Not now.
    Declined,
}

/// How an account stands to another. The default is a stranger and is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::store) struct Stance {
    pub(in crate::store) say: Say,
    /// Nothing of theirs is delivered, whatever was said.
    pub(in crate::store) blocked: bool,
    /// The one message that a stranger may place has been placed.
    pub(in crate::store) request_used: bool,
}

/// A welcome that a block keeps from a device; it is delivered when the block ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct HeldWelcome {
    pub(in crate::store) device: DeviceId,
    /// The device that made the commit.
    pub(in crate::store) sender: DeviceId,
    pub(in crate::store) id: MessageId,
    /// Encoded `WelcomeNotice`.
    pub(in crate::store) notice: Bytes,
}

/// Contacts and direct pairs.
pub(in crate::store) trait ContactTables {
    fn stance(&mut self, owner: AccountId, peer: AccountId) -> Fallible<Stance>;
    /// Stores a stance; the default one is removed.
    fn set_stance(&mut self, owner: AccountId, peer: AccountId, stance: Stance) -> Fallible<()>;
    /// The owner's contacts with an address greater than `after`, in order.
    fn contacts_after(
        &mut self,
        owner: AccountId,
        after: Option<&Address>,
        limit: usize,
    ) -> Fallible<Vec<(AccountId, Address, Stance)>>;
    /// Forgets what an account said and what was said of it. Blocks stay where `keep_blocks`.
    fn forget_contacts(&mut self, account: AccountId, keep_blocks: bool) -> Fallible<()>;
    /// Lets a new account stand where an old one stood.
    fn move_contacts(&mut self, from: AccountId, to: AccountId) -> Fallible<()>;

    /// The direct conversation of a pair, in either order.
    fn direct(&mut self, one: AccountId, other: AccountId) -> Fallible<Option<ConversationName>>;
    fn set_direct(&mut self, one: AccountId, other: AccountId, conversation: &ConversationName) -> Fallible<()>;
    /// Frees all pairs of an account: its direct conversations are over.
    fn free_directs(&mut self, account: AccountId) -> Fallible<()>;

    /// How many welcomes the owner's block of `from` holds.
    fn count_held(&mut self, owner: AccountId, from: AccountId) -> Fallible<usize>;
    fn hold_welcome(&mut self, owner: AccountId, from: AccountId, held: &HeldWelcome) -> Fallible<()>;
    /// What the owner's block of `from` held, in order; it is held no longer.
    fn take_held(&mut self, owner: AccountId, from: AccountId) -> Fallible<Vec<HeldWelcome>>;
}
