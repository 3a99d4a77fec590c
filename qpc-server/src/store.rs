//! The storage port: whole verbs, not row operations (D12).
//!
//! A verb checks before it writes, so that a refusal leaves no trace, and its reply comes
//! after what it promises is durable (invariant 1). Verbs take effect in the order of their
//! calls: the queue is entered when a method is called, not when its [`Reply`] is
//! awaited. Who implements this lies below (`store/sqlite`, `store/memory`) and is named
//! only by the composition; `store/conformance` is the suite that each must pass.

mod account;
mod aftermath;
// First, because its macro is used by the adapters' tests below.
#[cfg(any(test, feature = "conformance"))]
#[macro_use]
pub mod conformance;
mod contact;
mod dispatch;
mod follower;
mod group;
mod guest;
mod key_package;
mod link;
mod log;
pub mod memory;
mod operator;
#[cfg(feature = "planted-bugs")]
pub mod planted;
mod reply;
mod restore;
mod rules;
pub mod sqlite;
mod tables;
mod verbs;

use std::sync::Arc;

use qpc_proto::{
    address::{AccountName, Address, Domain},
    chain::LogEntry,
    id::{AccountId, ConversationName, DeviceId, MessageId, Seq},
    suite::Suite,
};

pub use self::{
    account::*, aftermath::*, contact::*, follower::*, group::*, guest::*, key_package::*, link::*, log::*,
    operator::*, reply::*, restore::*,
};

/// An authenticated device: who does something. Made by authentication, here or, for a guest, at its own server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    account: AccountId,
    device: DeviceId,
    address: Address,
}

impl Actor {
    /// Only `account::device` calls this, once a device has proved its key, and `group::guest`, once its server has proved
    /// its domain; a test looks for other callers.
    #[must_use]
    pub fn authenticated(account: AccountId, device: DeviceId, address: Address) -> Self {
        Self { account, device, address }
    }

    /// The account that acts.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// The device it acts with.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// What people call the account.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }
}

/// Told of every committed entry, in the order of each log, after it is durable.
///
/// Called on the store's own thread or by [`Aftermath::run`]: it must be quick and must not wait for readers. What it
/// loses costs latency, never a message (D3).
pub trait CommitSink: Send + Sync + 'static {
    /// Entries of one transaction, in order.
    fn committed(&self, entries: Vec<Committed>);

    /// Messages that wait to be sent to other domains, in order.
    fn queued(&self, waiting: Vec<(Domain, Waiting)>);

    /// Devices that no longer exist: their sessions end (invariant 12).
    fn devices_gone(&self, devices: &[DeviceId]);

    /// What was read of hearers before is not true any more.
    fn hearers_changed(&self, changed: &HearersChanged);
}

/// What a transaction has a sink told of.
#[derive(Default)]
struct WakeUps {
    committed: Vec<Committed>,
    queued: Vec<(Domain, Waiting)>,
    gone: Vec<DeviceId>,
    hearers: HearersChanged,
}

impl WakeUps {
    /// Tells a sink: who is gone first, so that nothing more is pushed to them.
    fn tell(self, sink: &dyn CommitSink) {
        if !self.gone.is_empty() {
            sink.devices_gone(&self.gone);
        }
        if self.hearers != HearersChanged::default() {
            sink.hearers_changed(&self.hearers);
        }
        if !self.queued.is_empty() {
            sink.queued(self.queued);
        }
        if !self.committed.is_empty() {
            sink.committed(self.committed);
        }
    }
}

/// Whole verbs on everything the server keeps. See the module's text for the rules of all.
///
/// Each verb that an authenticated device calls takes its [`Actor`] and checks it in the same
/// transaction: a revoked device is refused with [`Refusal::DeviceGone`] (invariant 12).
pub trait Store: OperatorStore + Send + Sync + 'static {
    /// Sets who is told of committed entries; once, before the first verb.
    fn set_sink(&self, sink: Arc<dyn CommitSink>);

    // -- accounts, devices, invites

    /// Creates an account with its first device, using up the invite in the same transaction.
    fn create_account(&self, new: NewAccount) -> Reply<AccountId, CreateAccountError>;
    /// What a login needs, of an account or of the decoy: the same work either way.
    fn login_record(&self, name: &AccountName) -> Reply<LoginRecord, StoreFault>;
    /// Sets the record that unknown names are answered with. It is kept; setting it again replaces it.
    fn set_decoy(&self, password: PasswordRecord) -> Reply<(), StoreFault>;
    /// Adds a device to an account, which has at most so many then; the same device again is no error.
    fn enrol_device(&self, account: AccountId, device: NewDevice, most: usize) -> Reply<Enrolled, EnrolDeviceError>;
    /// What authentication of a device needs; `None` for one that does not exist.
    fn device(&self, device: DeviceId) -> Reply<Option<DeviceRecord>, StoreFault>;
    /// The account's devices, in order of enrolment.
    fn list_devices(&self, actor: &Actor) -> Reply<Vec<DeviceInfo>, Refusal>;
    /// The encoded certificates of the actor's account, in order of enrolment.
    fn certificates(&self, actor: &Actor) -> Reply<Vec<bytes::Bytes>, Refusal>;
    /// Deletes a device of the actor's account, its key packages and inbox.
    fn revoke_device(&self, actor: &Actor, device: DeviceId) -> Reply<(), Refusal>;
    /// Notes that the device was here; rounded to a day, so at most one write a day.
    fn touch_device(&self, actor: &Actor, now_ms: u64) -> Reply<(), Refusal>;
    /// Replaces the OPAQUE record and the wrapped account secret together, where the record is still `was`.
    fn change_password(
        &self,
        actor: &Actor,
        was: bytes::Bytes,
        password: PasswordRecord,
    ) -> Reply<(), ChangePasswordError>;
    /// Deletes the account, its devices, key packages and memberships, and tells everybody it shared
    /// a conversation with. Its name stays taken; what it sent stays in the logs.
    fn delete_account(&self, actor: &Actor, now_ms: u64) -> Reply<(), Refusal>;
    /// For the admin: a forgotten password. Ends the account's devices and memberships and makes
    /// `token_hash` the one token that can register the name again.
    fn reset_account(&self, reset: AccountReset) -> Reply<(), ResetAccountError>;
    /// Whether a token would be accepted for this name now; changes nothing.
    fn check_invite(&self, token: InviteToken, name: &AccountName, now_ms: u64) -> Reply<(), InviteError>;
    /// Creates an invite.
    fn create_invite(&self, invite: NewInvite) -> Reply<(), StoreFault>;

    /// Makes an account of another domain known, as its own server describes it, or what has changed of it.
    fn admit_guest(&self, guest: Guest) -> Reply<AccountId, AdmitError>;

    // -- key packages

    /// Adds one-time key packages, oldest first out beyond the limit, and sets the last resort.
    fn publish_key_packages(&self, actor: &Actor, packages: NewKeyPackages) -> Reply<KeyPackageCount, Refusal>;
    /// Takes one key package of each device of an account; a one-time one is handed out at most once
    /// (invariant 7), the last-resort one only where no other is left.
    fn claim_key_packages(&self, actor: &Actor, target: &Address, suite: Suite) -> Reply<Claimed, ClaimError>;
    /// The same for somebody of another domain, who is vouched for by the server that asks, with all that it needs to
    /// admit the account as a guest.
    fn claim_key_packages_for_peer(&self, target: &Address, suite: Suite) -> Reply<ClaimedByPeer, ClaimError>;
    /// What the actor's device has left.
    fn count_key_packages(&self, actor: &Actor, suite: Suite) -> Reply<KeyPackageCount, Refusal>;

    // -- contacts

    /// Answers a contact request, blocks or unblocks.
    fn answer_contact(&self, actor: &Actor, answer: ContactDecision) -> Reply<(), ContactError>;
    /// Contacts whose address is greater than `after`, in order, at most `limit`.
    fn list_contacts(&self, actor: &Actor, after: Option<Address>, limit: usize) -> Reply<Vec<ContactInfo>, Refusal>;

    // -- links into groups

    /// Makes a link by which people may ask to be let into a group, or ends one and refuses who waits by it.
    fn set_link(&self, actor: &Actor, setting: LinkSetting) -> Reply<(), LinkError>;
    /// Lets a request of the actor's wait, and tells those who may answer it; gives when its link ends. The same request
    /// again is answered alike.
    fn ask_to_join(&self, actor: &Actor, ask: Ask) -> Reply<u64, AskError>;
    /// Requests that wait in a group, for who may answer them.
    fn join_requests(
        &self,
        actor: &Actor,
        conversation: &ConversationName,
        now_ms: u64,
    ) -> Reply<Vec<WaitingRequest>, LinkError>;

    // -- logs

    /// Creates a conversation with its first members and first entry.
    ///
    /// A direct one that exists is refused with its name; if the peer's request waits, this accepts it.
    fn create_conversation(&self, actor: &Actor, new: NewConversation) -> Reply<Appended, CreateConversationError>;
    /// Appends a message or proposal if the sender is a member, the epoch current and the counter next.
    fn append(&self, actor: &Actor, append: Append) -> Reply<Appended, AppendError>;
    /// Appends a commit, its welcomes and the membership change, and advances the epoch (invariant 6).
    fn commit(&self, actor: &Actor, commit: CommitAppend) -> Reply<Appended, AppendError>;
    /// The public state of a conversation's group, for who is or was a member; without its bytes where they are those
    /// of `known`.
    fn public_group(
        &self,
        actor: &Actor,
        conversation: &ConversationName,
        known: Option<GroupVersion>,
    ) -> Reply<StoredGroup, ReadError>;
    /// At most so many bytes from an offset on of the tree that a commit made, for a member who was in by then.
    fn welcome_tree(
        &self,
        actor: &Actor,
        conversation: &ConversationName,
        seq: Seq,
        part: (usize, usize),
    ) -> Reply<TreePage, ReadError>;
    /// Devices that are gone and have a leaf in a group still, at most so many: those about whom nothing was done in the
    /// group's current epoch.
    fn departures(&self, limit: usize) -> Reply<Vec<Departure>, StoreFault>;
    /// The public state of a group for the hub itself, as [`Store::public_group`]; `None` where there is none.
    fn hub_group(
        &self,
        conversation: &ConversationName,
        known: Option<GroupVersion>,
    ) -> Reply<Option<StoredGroup>, StoreFault>;
    /// Appends the hub's proposal to remove a leaf, if the group is as it was judged.
    fn propose_removal(&self, removal: Removal) -> Reply<(), RemovalError>;
    /// A device's leaf is gone, or, with an epoch, nothing can be done about it before the next one.
    fn settle_departure(
        &self,
        conversation: &ConversationName,
        device: DeviceId,
        until_after: Option<qpc_proto::id::Epoch>,
    ) -> Reply<(), StoreFault>;
    /// Entries after a position, ascending, as far as the actor may read.
    fn read_log(&self, actor: &Actor, read: ReadLog) -> Reply<LogPage, ReadError>;
    /// Is the actor in a conversation now, and may it send there?
    fn presence(&self, actor: &Actor, conversation: &ConversationName) -> Reply<Presence, ReadError>;
    /// Who hears what the actor says in a conversation that is not stored.
    fn hearers(&self, actor: &Actor, conversation: &ConversationName) -> Reply<Hearers, ReadError>;
    /// Where logs stand, all at one moment, for a reader that starts to follow each after an entry: in the order
    /// asked, `None` for one that the actor may not read. It takes a reader's time for each; the caller bounds them.
    fn positions(
        &self,
        actor: &Actor,
        cursors: Arc<[(ConversationName, Seq)]>,
    ) -> Reply<Vec<Option<Position>>, Refusal>;
    /// The actor's conversations whose id is greater than `after`, in order, at most `limit`.
    fn list_conversations(
        &self,
        actor: &Actor,
        after: Option<qpc_proto::id::ConversationId>,
        limit: usize,
    ) -> Reply<Vec<ConversationInfo>, Refusal>;
    /// Notes how far devices have acknowledged; lower bounds that may fall back in a crash. Skips devices that are
    /// gone and logs that they may not read any more.
    fn record_cursors(&self, cursors: Vec<Acknowledged>) -> Reply<(), StoreFault>;

    // -- after a restore

    /// Notes that everything here is of a backup: each conversation waits for the devices that may have more of it, which
    /// are those of its members that were here in the last week before the backup, and nothing is written into it
    /// before they have said so or the time is over.
    fn await_offers(&self, restored: Restored) -> Reply<(), StoreFault>;
    /// The last restore, if there was one.
    fn restored(&self) -> Reply<Option<Restored>, StoreFault>;
    /// Who is awaited still.
    fn awaited(&self) -> Reply<Awaited, StoreFault>;
    /// Where a log of the actor's ends.
    fn log_end(&self, actor: &Actor, log: &ConversationName) -> Reply<LogEnd, OfferError>;
    /// Appends judged entries to a conversation that waits for them, verbatim; gives its last entry.
    fn offer(&self, actor: &Actor, offered: Offered) -> Reply<Seq, OfferError>;
    /// Conversations that wait for what a domain has, among so many after one; and where to go on, where there are more.
    fn awaited_of(
        &self,
        domain: &Domain,
        after: LogPlace,
        limit: usize,
    ) -> Reply<(Vec<Feed>, Option<LogPlace>), StoreFault>;
    /// As [`Store::offer`], of what a domain's copy has.
    fn take_back(&self, domain: &Domain, offered: Offered) -> Reply<Seq, OfferError>;
    /// A domain says when its server was restored from a backup last, in milliseconds since 1970: what it was known to have is
    /// in doubt. Says whether that is news.
    fn peer_restored(&self, domain: &Domain, at_ms: u64) -> Reply<bool, StoreFault>;
    /// A domain's copy ends before what it is known to have: it is handed what follows again, as far as it is there. Says
    /// whether it is.
    fn follower_lacks(&self, domain: &Domain, log: &ConversationName, ends_at: Seq) -> Reply<bool, StoreFault>;
    /// What a copy of another domain's conversation has after an entry, at most so many entries and bytes.
    fn read_copy(&self, log: &ConversationName, after: Seq, most: (usize, usize)) -> Reply<Vec<LogEntry>, ReadError>;

    // -- other domains

    /// Logs of which a domain lacks something, among so many after one; and where to go on, where there are more.
    fn feed(&self, domain: &Domain, after: LogPlace, limit: usize) -> Reply<(Vec<Feed>, Option<LogPlace>), StoreFault>;
    /// What a domain is handed of a log next, at most so many entries and bytes; with the group info if that is asked for.
    fn feed_page(
        &self,
        domain: &Domain,
        log: &ConversationName,
        with_info: bool,
        most: (usize, usize),
    ) -> Reply<FeedPage, ReadError>;
    /// At most so many bytes from an offset on of the tree that a domain's copy begins with.
    fn base_tree(&self, domain: &Domain, log: &ConversationName, part: (usize, usize)) -> Reply<TreePage, ReadError>;
    /// Whether a domain has people in a conversation now.
    fn follows(&self, domain: &Domain, log: &ConversationName) -> Reply<bool, StoreFault>;
    /// A domain has stored logs up to these entries.
    fn followers_have(&self, domain: &Domain, places: Vec<(ConversationName, Seq)>) -> Reply<(), StoreFault>;
    /// Where a copy ends; `None` where there is none.
    fn copy_place(&self, log: &ConversationName) -> Reply<Option<CopyPlace>, StoreFault>;
    /// Appends judged entries to a copy, with the members and the group that they make; gives its last entry.
    fn copy(&self, append: CopyAppend) -> Reply<Seq, CopyError>;
    /// Puts what another domain's inbox holds for a device into the device's own; gives how far that was read, and how
    /// many entries were passed over.
    fn take_notices(
        &self,
        domain: &Domain,
        device: DeviceId,
        entries: Vec<LogEntry>,
        now_ms: u64,
    ) -> Reply<(Seq, usize), StoreFault>;
    /// Notes what a device sends to another domain, before it goes there.
    fn queue(&self, actor: &Actor, outgoing: Outgoing) -> Reply<Queued, QueueError>;
    /// Forgets what was sent at once and refused.
    fn unqueue(&self, actor: &Actor, conversation: &ConversationName, id: MessageId) -> Reply<(), Refusal>;
    /// What a domain is to be told next: so much of each, of what waits for it after one of them.
    fn due(&self, domain: &Domain, after: i64, limit: usize) -> Reply<Due, StoreFault>;
    /// Notes what a domain has said to what waited; says whether something of it is to be sent again.
    fn settle(&self, settled: Vec<Settled>, now_ms: u64) -> Reply<bool, StoreFault>;
    /// A domain was told which devices these accounts have.
    fn announced(&self, rows: Vec<i64>) -> Reply<(), StoreFault>;
    /// A guest's own server says that the account is gone.
    fn guest_gone(&self, address: &Address, now_ms: u64) -> Reply<(), StoreFault>;
    /// How much waits for a domain.
    fn backlog(&self, domain: &Domain) -> Reply<Backlog, StoreFault>;

    // -- upkeep

    /// Removes at most one small batch of what retention no longer keeps; says whether more is due.
    fn retention_step(&self, retention: Retention) -> Reply<bool, StoreFault>;
    /// Active accounts.
    fn count_accounts(&self) -> Reply<u64, StoreFault>;
    /// Figures for the metrics.
    fn figures(&self, seen_since_ms: u64, now_ms: u64) -> Reply<StoreFigures, StoreFault>;
    /// Writes a trivial transaction: does the store still take writes?
    fn probe(&self) -> Reply<(), StoreFault>;
    /// Finishes what is queued and stops; verbs after this are refused with [`StoreFault::Stopped`].
    fn close(&self) -> Reply<(), StoreFault>;
}
