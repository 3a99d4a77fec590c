//! The memory adapter: the port's semantics in plain maps, for simulation and tests.
//!
//! Every verb runs at once under one lock, so verbs take effect in the order of their calls
//! and replies are ready when a method returns. Nothing outlives the process.

mod account;
mod contact;
mod log;
mod upkeep;

use std::{
    mem,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use qpc_proto::{
    address::{AccountName, Address},
    id::{AccountId, ConversationId, ConversationName, DeviceId, Seq},
};

use self::{account::Accounts, contact::Contacts, log::Logs};
use super::{tables::Tables, verbs, *};

/// A store without durability.
#[derive(Default)]
pub struct MemoryStore {
    world: Mutex<World>,
    sink: OnceLock<Arc<dyn CommitSink>>,
}

/// All rows, and what the sink has to be told of.
#[derive(Default)]
struct World {
    accounts: Accounts,
    contacts: Contacts,
    logs: Logs,
    committed: Vec<Committed>,
    gone: Vec<DeviceId>,
    closed: bool,
}

impl Tables for World {
    fn emit(&mut self, committed: Committed) {
        self.committed.push(committed);
    }

    fn gone(&mut self, device: DeviceId) {
        self.gone.push(device);
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn run<T, E: From<StoreFault>>(&self, verb: impl FnOnce(&mut dyn Tables) -> Result<T, E>) -> Reply<T, E> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        if world.closed {
            return Reply::ready(Err(StoreFault::Stopped.into()));
        }
        let outcome = verb(&mut *world);
        // The sink is told under the lock: that keeps the order of each log.
        let (committed, gone) = (mem::take(&mut world.committed), mem::take(&mut world.gone));
        if let Some(sink) = self.sink.get() {
            if !gone.is_empty() {
                sink.devices_gone(&gone);
            }
            if !committed.is_empty() {
                sink.committed(committed);
            }
        }
        Reply::ready(outcome)
    }
}

impl Store for MemoryStore {
    fn set_sink(&self, sink: Arc<dyn CommitSink>) {
        if self.sink.set(sink).is_err() {
            tracing::error!("the store's sink was set twice; the first one stays");
        }
    }

    fn create_account(&self, new: NewAccount) -> Reply<AccountId, CreateAccountError> {
        self.run(|t| verbs::create_account(t, &new))
    }

    fn login_record(&self, name: &AccountName) -> Reply<LoginRecord, StoreFault> {
        self.run(|t| verbs::login_record(t, name))
    }

    fn set_decoy(&self, password: PasswordRecord) -> Reply<(), StoreFault> {
        self.run(|t| verbs::set_decoy(t, &password))
    }

    fn enrol_device(&self, account: AccountId, device: NewDevice) -> Reply<(), EnrolDeviceError> {
        self.run(|t| verbs::enrol_device(t, account, &device))
    }

    fn device(&self, device: DeviceId) -> Reply<Option<DeviceRecord>, StoreFault> {
        self.run(|t| verbs::device(t, device))
    }

    fn list_devices(&self, actor: &Actor) -> Reply<Vec<DeviceInfo>, Refusal> {
        self.run(|t| verbs::list_devices(t, actor))
    }

    fn revoke_device(&self, actor: &Actor, device: DeviceId) -> Reply<(), Refusal> {
        self.run(|t| verbs::revoke_device(t, actor, device))
    }

    fn touch_device(&self, actor: &Actor, now_ms: u64) -> Reply<(), Refusal> {
        self.run(|t| verbs::touch_device(t, actor, now_ms))
    }

    fn change_password(&self, actor: &Actor, password: PasswordRecord) -> Reply<(), Refusal> {
        self.run(|t| verbs::change_password(t, actor, &password))
    }

    fn delete_account(&self, actor: &Actor, now_ms: u64) -> Reply<(), Refusal> {
        self.run(|t| verbs::delete_account(t, actor, now_ms))
    }

    fn reset_account(&self, reset: AccountReset) -> Reply<(), ResetAccountError> {
        self.run(|t| verbs::reset_account(t, &reset))
    }

    fn check_invite(&self, token: InviteToken, name: &AccountName, now_ms: u64) -> Reply<(), InviteError> {
        self.run(|t| verbs::check_invite(t, token, name, now_ms))
    }

    fn create_invite(&self, invite: NewInvite) -> Reply<(), StoreFault> {
        self.run(|t| verbs::create_invite(t, &invite))
    }

    fn publish_key_packages(&self, actor: &Actor, packages: NewKeyPackages) -> Reply<KeyPackageCount, Refusal> {
        self.run(|t| verbs::publish_key_packages(t, actor, &packages))
    }

    fn claim_key_packages(&self, actor: &Actor, target: &Address) -> Reply<Vec<ClaimedKeyPackage>, ClaimError> {
        self.run(|t| verbs::claim_key_packages(t, actor, target))
    }

    fn count_key_packages(&self, actor: &Actor) -> Reply<KeyPackageCount, Refusal> {
        self.run(|t| verbs::count_key_packages(t, actor))
    }

    fn answer_contact(&self, actor: &Actor, answer: ContactDecision) -> Reply<(), ContactError> {
        self.run(|t| verbs::answer_contact(t, actor, &answer))
    }

    fn list_contacts(&self, actor: &Actor, after: Option<Address>, limit: usize) -> Reply<Vec<ContactInfo>, Refusal> {
        self.run(|t| verbs::list_contacts(t, actor, after.as_ref(), limit))
    }

    fn create_conversation(&self, actor: &Actor, new: NewConversation) -> Reply<Appended, CreateConversationError> {
        self.run(|t| verbs::create_conversation(t, actor, &new))
    }

    fn append(&self, actor: &Actor, append: Append) -> Reply<Appended, AppendError> {
        self.run(|t| verbs::append(t, actor, &append))
    }

    fn commit(&self, actor: &Actor, commit: CommitAppend) -> Reply<Appended, AppendError> {
        self.run(|t| verbs::commit(t, actor, &commit))
    }

    fn read_log(&self, actor: &Actor, read: ReadLog) -> Reply<LogPage, ReadError> {
        self.run(|t| verbs::read_log(t, actor, &read))
    }

    fn position(&self, actor: &Actor, log: &ConversationName, after: Seq) -> Reply<Position, ReadError> {
        self.run(|t| verbs::position(t, actor, log, after))
    }

    fn list_conversations(
        &self,
        actor: &Actor,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Reply<Vec<ConversationInfo>, Refusal> {
        self.run(|t| verbs::list_conversations(t, actor, after, limit))
    }

    fn record_cursors(&self, actor: &Actor, cursors: Vec<(ConversationName, Seq)>) -> Reply<(), Refusal> {
        self.run(|t| verbs::record_cursors(t, actor, &cursors))
    }

    fn retention_step(&self, retention: Retention) -> Reply<bool, StoreFault> {
        self.run(|t| verbs::retention_step(t, &retention))
    }

    fn figures(&self, seen_since_ms: u64, _now_ms: u64) -> Reply<StoreFigures, StoreFault> {
        self.run(|t| verbs::figures(t, seen_since_ms, 0))
    }

    fn probe(&self) -> Reply<(), StoreFault> {
        self.run(|t| verbs::probe(t))
    }

    fn close(&self) -> Reply<(), StoreFault> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        Reply::ready(Ok(()))
    }
}
