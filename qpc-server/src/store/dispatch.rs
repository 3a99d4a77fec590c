//! The port on top of an adapter's transactions: which verb reads, which writes, and what it weighs.

use std::sync::Arc;

use qpc_proto::{
    address::{AccountName, Address, Domain},
    chain::LogEntry,
    id::{AccountId, ConversationId, ConversationName, DeviceId, Epoch, MessageId, Seq},
    suite::Suite,
};

use super::{tables::Tables, verbs, *};

/// What an adapter does: runs verbs in transactions of its own.
pub(super) trait Transact: Send + Sync + 'static {
    /// Sets who is told of committed entries.
    fn tell(&self, sink: Arc<dyn CommitSink>);

    /// Queues a verb that writes about so many bytes. It may be run again where a transaction
    /// is undone, so it must not give away what it holds.
    fn write<T, E, F>(&self, bytes: usize, verb: F) -> Reply<T, E>
    where
        T: Send + 'static,
        E: VerbError,
        F: FnMut(&mut dyn Tables) -> Result<T, E> + Send + 'static;

    /// Queues a verb that only reads.
    fn read<T, E, F>(&self, verb: F) -> Reply<T, E>
    where
        T: Send + 'static,
        E: VerbError,
        F: FnMut(&mut dyn Tables) -> Result<T, E> + Send + 'static;

    /// Verbs that wait to write.
    fn queued(&self) -> u64;

    /// Finishes what is queued and stops.
    fn stop(&self) -> Reply<(), StoreFault>;
}

fn weight(bundle: &CommitBundle) -> usize {
    let welcomes = bundle.welcome.len().saturating_mul(bundle.welcome_devices.len());
    let state = bundle.judged.as_ref().map_or(0, |judged| {
        let tree = judged.change.welcome_tree.as_ref().map_or(0, bytes::Bytes::len);
        state_weight(&judged.change.state).saturating_add(tree)
    });
    bundle.commit.len().saturating_add(bundle.group_info.len()).saturating_add(welcomes).saturating_add(state)
}

fn state_weight(state: &GroupState) -> usize {
    state.core.len().saturating_add(state.tree.as_ref().map_or(0, bytes::Bytes::len))
}

fn copied_weight(append: &CopyAppend) -> usize {
    let change = append.change.as_ref();
    let state = change.map_or(0, |change| {
        let trees = change.trees.iter().map(|(_, tree)| tree.len()).sum::<usize>();
        state_weight(&change.state).saturating_add(trees)
    });
    append.entries.iter().map(|copied| copied.entry.body_len()).sum::<usize>().saturating_add(state)
}

impl<A: Transact> Store for A {
    fn set_sink(&self, sink: Arc<dyn CommitSink>) {
        self.tell(sink);
    }

    fn create_account(&self, new: NewAccount) -> Reply<AccountId, CreateAccountError> {
        self.write(0, move |tables| verbs::create_account(tables, &new))
    }

    fn login_record(&self, name: &AccountName) -> Reply<LoginRecord, StoreFault> {
        let name = name.clone();
        self.read(move |tables| verbs::login_record(tables, &name))
    }

    fn set_decoy(&self, password: PasswordRecord) -> Reply<(), StoreFault> {
        self.write(0, move |tables| verbs::set_decoy(tables, &password))
    }

    fn enrol_device(&self, account: AccountId, device: NewDevice, most: usize) -> Reply<Enrolled, EnrolDeviceError> {
        self.write(0, move |tables| verbs::enrol_device(tables, account, &device, most))
    }

    fn device(&self, device: DeviceId) -> Reply<Option<DeviceRecord>, StoreFault> {
        self.read(move |tables| verbs::device(tables, device))
    }

    fn list_devices(&self, actor: &Actor) -> Reply<Vec<DeviceInfo>, Refusal> {
        let actor = actor.clone();
        self.read(move |tables| verbs::list_devices(tables, &actor))
    }

    fn certificates(&self, actor: &Actor) -> Reply<Vec<bytes::Bytes>, Refusal> {
        let actor = actor.clone();
        self.read(move |tables| verbs::certificates(tables, &actor))
    }

    fn revoke_device(&self, actor: &Actor, device: DeviceId) -> Reply<(), Refusal> {
        let actor = actor.clone();
        self.write(0, move |tables| verbs::revoke_device(tables, &actor, device))
    }

    fn touch_device(&self, actor: &Actor, now_ms: u64) -> Reply<(), Refusal> {
        let actor = actor.clone();
        self.write(0, move |tables| verbs::touch_device(tables, &actor, now_ms))
    }

    fn change_password(
        &self,
        actor: &Actor,
        was: bytes::Bytes,
        password: PasswordRecord,
    ) -> Reply<(), ChangePasswordError> {
        let actor = actor.clone();
        self.write(0, move |tables| verbs::change_password(tables, &actor, &was, &password))
    }

    fn delete_account(&self, actor: &Actor, now_ms: u64) -> Reply<(), Refusal> {
        let actor = actor.clone();
        self.write(0, move |tables| verbs::delete_account(tables, &actor, now_ms))
    }

    fn reset_account(&self, reset: AccountReset) -> Reply<(), ResetAccountError> {
        self.write(0, move |tables| verbs::reset_account(tables, &reset))
    }

    fn check_invite(&self, token: InviteToken, name: &AccountName, now_ms: u64) -> Reply<(), InviteError> {
        let name = name.clone();
        self.read(move |tables| verbs::check_invite(tables, token, &name, now_ms))
    }

    fn create_invite(&self, invite: NewInvite) -> Reply<(), StoreFault> {
        self.write(0, move |tables| verbs::create_invite(tables, &invite))
    }

    fn admit_guest(&self, guest: Guest) -> Reply<AccountId, AdmitError> {
        self.write(0, move |tables| verbs::admit_guest(tables, &guest))
    }

    fn publish_key_packages(&self, actor: &Actor, packages: NewKeyPackages) -> Reply<KeyPackageCount, Refusal> {
        let actor = actor.clone();
        let bytes = packages.one_time.iter().map(bytes::Bytes::len).sum();
        self.write(bytes, move |tables| verbs::publish_key_packages(tables, &actor, &packages))
    }

    fn claim_key_packages(&self, actor: &Actor, target: &Address, suite: Suite) -> Reply<Claimed, ClaimError> {
        let (actor, target) = (actor.clone(), target.clone());
        self.write(0, move |tables| verbs::claim_key_packages(tables, &actor, &target, suite))
    }

    fn claim_key_packages_for_peer(&self, target: &Address, suite: Suite) -> Reply<ClaimedByPeer, ClaimError> {
        let target = target.clone();
        self.write(0, move |tables| verbs::claim_key_packages_for_peer(tables, &target, suite))
    }

    fn count_key_packages(&self, actor: &Actor, suite: Suite) -> Reply<KeyPackageCount, Refusal> {
        let actor = actor.clone();
        self.read(move |tables| verbs::count_key_packages(tables, &actor, suite))
    }

    fn answer_contact(&self, actor: &Actor, answer: ContactDecision) -> Reply<(), ContactError> {
        let actor = actor.clone();
        self.write(0, move |tables| verbs::answer_contact(tables, &actor, &answer))
    }

    fn list_contacts(&self, actor: &Actor, after: Option<Address>, limit: usize) -> Reply<Vec<ContactInfo>, Refusal> {
        let actor = actor.clone();
        self.read(move |tables| verbs::list_contacts(tables, &actor, after.as_ref(), limit))
    }

    fn set_link(&self, actor: &Actor, setting: LinkSetting) -> Reply<(), LinkError> {
        let actor = actor.clone();
        self.write(0, move |tables| verbs::set_link(tables, &actor, &setting))
    }

    fn ask_to_join(&self, actor: &Actor, ask: Ask) -> Reply<u64, AskError> {
        let actor = actor.clone();
        self.write(0, move |tables| verbs::ask_to_join(tables, &actor, &ask))
    }

    fn join_requests(
        &self,
        actor: &Actor,
        conversation: &ConversationName,
        now_ms: u64,
    ) -> Reply<Vec<WaitingRequest>, LinkError> {
        let (actor, conversation) = (actor.clone(), conversation.clone());
        self.read(move |tables| verbs::join_requests(tables, &actor, &conversation, now_ms))
    }

    fn create_conversation(&self, actor: &Actor, new: NewConversation) -> Reply<Appended, CreateConversationError> {
        let actor = actor.clone();
        self.write(new.commit.as_ref().map_or(0, weight), move |tables| {
            verbs::create_conversation(tables, &actor, &new)
        })
    }

    fn append(&self, actor: &Actor, append: Append) -> Reply<Appended, AppendError> {
        let actor = actor.clone();
        let state = append.group.as_ref().map_or(0, |judged| state_weight(&judged.change));
        self.write(append.body.len().saturating_add(state), move |tables| verbs::append(tables, &actor, &append))
    }

    fn commit(&self, actor: &Actor, commit: CommitAppend) -> Reply<Appended, AppendError> {
        let actor = actor.clone();
        self.write(weight(&commit.bundle), move |tables| verbs::commit(tables, &actor, &commit))
    }

    fn public_group(
        &self,
        actor: &Actor,
        conversation: &ConversationName,
        known: Option<GroupVersion>,
    ) -> Reply<StoredGroup, ReadError> {
        let (actor, conversation) = (actor.clone(), conversation.clone());
        self.read(move |tables| verbs::public_group(tables, &actor, &conversation, known))
    }

    fn welcome_tree(
        &self,
        actor: &Actor,
        conversation: &ConversationName,
        seq: Seq,
        part: (usize, usize),
    ) -> Reply<TreePage, ReadError> {
        let (actor, conversation) = (actor.clone(), conversation.clone());
        self.read(move |tables| verbs::welcome_tree(tables, &actor, &conversation, seq, part))
    }

    fn departures(&self, limit: usize) -> Reply<Vec<Departure>, StoreFault> {
        self.read(move |tables| verbs::departures(tables, limit))
    }

    fn hub_group(
        &self,
        conversation: &ConversationName,
        known: Option<GroupVersion>,
    ) -> Reply<Option<StoredGroup>, StoreFault> {
        let conversation = conversation.clone();
        self.read(move |tables| verbs::hub_group(tables, &conversation, known))
    }

    fn propose_removal(&self, removal: Removal) -> Reply<(), RemovalError> {
        let state = state_weight(&removal.judged.change);
        let bytes = removal.body.len().saturating_add(state);
        self.write(bytes, move |tables| verbs::propose_removal(tables, &removal))
    }

    fn settle_departure(
        &self,
        conversation: &ConversationName,
        device: DeviceId,
        until_after: Option<Epoch>,
    ) -> Reply<(), StoreFault> {
        let conversation = conversation.clone();
        self.write(0, move |tables| verbs::settle_departure(tables, &conversation, device, until_after))
    }

    fn read_log(&self, actor: &Actor, read: ReadLog) -> Reply<LogPage, ReadError> {
        let actor = actor.clone();
        self.read(move |tables| verbs::read_log(tables, &actor, &read))
    }

    fn presence(&self, actor: &Actor, conversation: &ConversationName) -> Reply<Presence, ReadError> {
        let (actor, conversation) = (actor.clone(), conversation.clone());
        self.read(move |tables| verbs::presence(tables, &actor, &conversation))
    }

    fn hearers(&self, actor: &Actor, conversation: &ConversationName) -> Reply<Hearers, ReadError> {
        let (actor, conversation) = (actor.clone(), conversation.clone());
        self.read(move |tables| verbs::hearers(tables, &actor, &conversation))
    }

    fn positions(
        &self,
        actor: &Actor,
        cursors: Arc<[(ConversationName, Seq)]>,
    ) -> Reply<Vec<Option<Position>>, Refusal> {
        let actor = actor.clone();
        self.read(move |tables| verbs::positions(tables, &actor, &cursors))
    }

    fn list_conversations(
        &self,
        actor: &Actor,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Reply<Vec<ConversationInfo>, Refusal> {
        let actor = actor.clone();
        self.read(move |tables| verbs::list_conversations(tables, &actor, after, limit))
    }

    fn record_cursors(&self, cursors: Vec<Acknowledged>) -> Reply<(), StoreFault> {
        self.write(0, move |tables| verbs::record_cursors(tables, &cursors))
    }

    fn feed(&self, domain: &Domain, after: LogPlace, limit: usize) -> Reply<(Vec<Feed>, Option<LogPlace>), StoreFault> {
        let domain = domain.clone();
        self.read(move |tables| verbs::feed(tables, &domain, after, limit))
    }

    fn feed_page(
        &self,
        domain: &Domain,
        log: &ConversationName,
        with_info: bool,
        most: (usize, usize),
    ) -> Reply<FeedPage, ReadError> {
        let (domain, log) = (domain.clone(), log.clone());
        self.read(move |tables| verbs::feed_page(tables, (&domain, &log), with_info, most))
    }

    fn base_tree(&self, domain: &Domain, log: &ConversationName, part: (usize, usize)) -> Reply<TreePage, ReadError> {
        let (domain, log) = (domain.clone(), log.clone());
        self.read(move |tables| verbs::base_tree(tables, (&domain, &log), part))
    }

    fn follows(&self, domain: &Domain, log: &ConversationName) -> Reply<bool, StoreFault> {
        let (domain, log) = (domain.clone(), log.clone());
        self.read(move |tables| verbs::follows(tables, &domain, &log))
    }

    fn followers_have(&self, domain: &Domain, places: Vec<(ConversationName, Seq)>) -> Reply<(), StoreFault> {
        let domain = domain.clone();
        self.write(0, move |tables| verbs::followers_have(tables, &domain, &places))
    }

    fn await_offers(&self, restored: Restored) -> Reply<(), StoreFault> {
        self.write(0, move |tables| verbs::await_offers(tables, restored))
    }

    fn restored(&self) -> Reply<Option<Restored>, StoreFault> {
        self.read(verbs::restored)
    }

    fn awaited(&self) -> Reply<Awaited, StoreFault> {
        self.read(verbs::awaited)
    }

    fn log_end(&self, actor: &Actor, log: &ConversationName) -> Reply<LogEnd, OfferError> {
        let (actor, log) = (actor.clone(), log.clone());
        self.read(move |tables| verbs::log_end(tables, &actor, &log))
    }

    fn offer(&self, actor: &Actor, offered: Offered) -> Reply<Seq, OfferError> {
        let actor = actor.clone();
        self.write(copied_weight(&offered.append), move |tables| verbs::offer(tables, &actor, &offered))
    }

    fn awaited_of(
        &self,
        domain: &Domain,
        after: LogPlace,
        limit: usize,
    ) -> Reply<(Vec<Feed>, Option<LogPlace>), StoreFault> {
        let domain = domain.clone();
        self.read(move |tables| verbs::awaited_of(tables, &domain, after, limit))
    }

    fn take_back(&self, domain: &Domain, offered: Offered) -> Reply<Seq, OfferError> {
        let domain = domain.clone();
        self.write(copied_weight(&offered.append), move |tables| verbs::take_back(tables, &domain, &offered))
    }

    fn peer_restored(&self, domain: &Domain, at_ms: u64) -> Reply<bool, StoreFault> {
        let domain = domain.clone();
        self.write(0, move |tables| verbs::peer_restored(tables, &domain, at_ms))
    }

    fn follower_lacks(&self, domain: &Domain, log: &ConversationName, ends_at: Seq) -> Reply<bool, StoreFault> {
        let (domain, log) = (domain.clone(), log.clone());
        self.write(0, move |tables| verbs::follower_lacks(tables, (&domain, &log), ends_at))
    }

    fn read_copy(&self, log: &ConversationName, after: Seq, most: (usize, usize)) -> Reply<Vec<LogEntry>, ReadError> {
        let log = log.clone();
        self.read(move |tables| verbs::read_copy(tables, &log, after, most))
    }

    fn copy_place(&self, log: &ConversationName) -> Reply<Option<CopyPlace>, StoreFault> {
        let log = log.clone();
        self.read(move |tables| verbs::copy_place(tables, &log))
    }

    fn copy(&self, append: CopyAppend) -> Reply<Seq, CopyError> {
        self.write(copied_weight(&append), move |tables| verbs::copy(tables, &append))
    }

    fn take_notices(
        &self,
        domain: &Domain,
        device: DeviceId,
        entries: Vec<LogEntry>,
        now_ms: u64,
    ) -> Reply<(Seq, usize), StoreFault> {
        let domain = domain.clone();
        let bytes = entries.iter().map(LogEntry::body_len).sum();
        self.write(bytes, move |tables| verbs::take_notices(tables, (&domain, device), &entries, now_ms))
    }

    fn queue(&self, actor: &Actor, outgoing: Outgoing) -> Reply<Queued, QueueError> {
        let actor = actor.clone();
        self.write(outgoing.request.len(), move |tables| verbs::queue(tables, &actor, &outgoing))
    }

    fn unqueue(&self, actor: &Actor, conversation: &ConversationName, id: MessageId) -> Reply<(), Refusal> {
        let (actor, conversation) = (actor.clone(), conversation.clone());
        self.write(0, move |tables| verbs::unqueue(tables, &actor, (&conversation, id)))
    }

    fn due(&self, domain: &Domain, after: i64, limit: usize) -> Reply<Due, StoreFault> {
        let domain = domain.clone();
        self.read(move |tables| verbs::due(tables, &domain, after, limit))
    }

    fn settle(&self, settled: Vec<Settled>, now_ms: u64) -> Reply<bool, StoreFault> {
        self.write(0, move |tables| verbs::settle(tables, &settled, now_ms))
    }

    fn announced(&self, rows: Vec<i64>) -> Reply<(), StoreFault> {
        self.write(0, move |tables| verbs::announced(tables, &rows))
    }

    fn guest_gone(&self, address: &Address, now_ms: u64) -> Reply<(), StoreFault> {
        let address = address.clone();
        self.write(0, move |tables| verbs::guest_gone(tables, &address, now_ms))
    }

    fn backlog(&self, domain: &Domain) -> Reply<Backlog, StoreFault> {
        let domain = domain.clone();
        self.read(move |tables| verbs::backlog(tables, &domain))
    }

    fn retention_step(&self, retention: Retention) -> Reply<bool, StoreFault> {
        self.write(0, move |tables| verbs::retention_step(tables, &retention))
    }

    fn figures(&self, seen_since_ms: u64, _now_ms: u64) -> Reply<StoreFigures, StoreFault> {
        let queue = self.queued();
        self.read(move |tables| verbs::figures(tables, seen_since_ms, queue))
    }

    fn count_accounts(&self) -> Reply<u64, StoreFault> {
        self.read(verbs::count_accounts)
    }

    fn probe(&self) -> Reply<(), StoreFault> {
        self.write(0, |tables| verbs::probe(tables))
    }

    fn close(&self) -> Reply<(), StoreFault> {
        self.stop()
    }
}
