//! Two people, a hub that a test can make lie, and what they make of what it shows them.

mod anew;
mod changed;
mod continued;
mod ending;
mod history;
mod lies;
mod unheard;

use qpc_proto::{
    address::Address,
    chain::{ChainValue, EntryContent, EntryKind},
    content::{Content, Kind as Said},
    id::{ConversationName, Counter, DeviceId, Epoch, MessageId},
    v1::{self, ContactState, request::Method},
};
use rusqlite::Connection;

use super::*;
use crate::{
    driver::pending::{accepted, stage_between},
    fresh,
    home::HomeKey,
    identity::{AccountSecret, Identity},
    mls::Device,
    store::{
        contact,
        conversation::{New, State},
        entry, outbox,
        pending::Pending,
        schema, unjoined,
    },
};

/// One person's home, without a driver.
struct Desk {
    me: Me,
    database: Connection,
    inbox: Ledger,
    dir: tempfile::TempDir,
}

impl Desk {
    fn of(name: &str) -> Self {
        Self::of_account(name, &AccountSecret::generate().unwrap())
    }

    fn of_account(name: &str, secret: &AccountSecret) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let database = schema::open(&dir.path().join("client.db"), &HomeKey::for_tests()).unwrap();
        let address = Address::parse_at(name, &Address::parse("x@a.example").unwrap().domain).unwrap();
        let identity = Identity::certified(secret, address.clone(), "a.example:7000".into()).unwrap();
        let device = Device::new(&identity.certificate, &identity.device_secret.seed()).unwrap();
        let name = ConversationName::inbox(address.domain, identity.device);
        let me = Me { identity: identity.into(), device: device.into() };
        let mut desk = Self { me, database, inbox: Ledger::of(name.clone()), dir };
        let new = New { name: Some(name), kind: Kind::Inbox, peer: None, title: String::new(), state: State::Active };
        desk.tx(|tx, _| conversation::insert(tx, &new).unwrap());
        desk
    }

    fn tx<T>(&mut self, work: impl FnOnce(&Transaction<'_>, &Me) -> T) -> T {
        let tx = self.database.transaction().unwrap();
        let result = work(&tx, &self.me);
        tx.commit().unwrap();
        result
    }

    /// As after a restart.
    fn reopen(&mut self) {
        let path = self.dir.path().join("client.db");
        self.database = schema::open(&path, &HomeKey::for_tests()).unwrap();
    }

    fn key_package(&mut self) -> Vec<u8> {
        self.tx(|tx, me| {
            me.with_mls(tx, |mls| mls.make_key_packages(Suite::Classical, 1, false).unwrap().one_time.remove(0))
        })
    }

    fn take(&mut self, items: impl IntoIterator<Item = Item>) -> Result<Applied, ApplyError> {
        let items = items.into_iter().collect();
        let tx = self.database.transaction().unwrap();
        let applied = batch(&tx, &self.me, items)?;
        tx.commit().unwrap();
        Ok(applied)
    }

    fn conversation(&mut self, name: &ConversationName) -> Conversation {
        self.tx(|tx, _| conversation::by_name(tx, name).unwrap().expect("a conversation"))
    }

    /// Encrypts a text as the driver would, and gives the body and id.
    fn seal(&mut self, name: &ConversationName, text: &str) -> (Vec<u8>, MessageId) {
        self.seal_content(name, &Content::new(1, Said::Text(text.into())))
    }

    fn seal_content(&mut self, name: &ConversationName, content: &Content) -> (Vec<u8>, MessageId) {
        let content = content.encode().unwrap();
        let id = fresh::message_id().unwrap();
        let body = self.tx(|tx, me| me.with_mls(tx, |mls| mls.group(name).encrypt(id, &content).unwrap().bytes));
        (body, id)
    }

    fn texts(&mut self, name: &ConversationName) -> Vec<String> {
        let local = self.conversation(name).local;
        let said = self.tx(|tx, _| messages::last(tx, local, 100, None).unwrap());
        said.into_iter().filter(|message| message.kind == "text").map(|message| message.body).collect()
    }
}

/// A log as an honest hub keeps it.
struct Ledger {
    name: ConversationName,
    seq: Seq,
    chain: ChainValue,
}

impl Ledger {
    fn of(name: ConversationName) -> Self {
        Self { seq: Seq(0), chain: ChainValue::genesis(&name), name }
    }

    /// What the next entry would be; nothing is kept.
    fn would_be(
        &self,
        kind: EntryKind,
        sender: Option<DeviceId>,
        counter: u64,
        id: MessageId,
        body: &[u8],
    ) -> LogEntry {
        let mut entry = LogEntry {
            conversation: self.name.clone(),
            seq: self.seq.next(),
            kind,
            epoch: Epoch(1),
            sender,
            counter: Counter(counter),
            id,
            stored_ms: 7,
            chain: self.chain,
            content: EntryContent::Body(bytes::Bytes::copy_from_slice(body)),
        };
        entry.chain = self.chain.after(&entry.header());
        entry
    }

    fn append(
        &mut self,
        kind: EntryKind,
        sender: Option<DeviceId>,
        counter: u64,
        id: MessageId,
        body: &[u8],
    ) -> LogEntry {
        let entry = self.would_be(kind, sender, counter, id, body);
        (self.seq, self.chain) = (entry.seq, entry.chain);
        entry
    }
}

fn item(entry: &LogEntry) -> Item {
    Item::Entry(Box::new(entry.clone()))
}

fn alarms(applied: &Applied) -> Vec<&str> {
    let texts = applied.events.iter().filter_map(|event| match event {
        Event::Alarm { text } => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// Somebody writes to somebody for the first time, and is given this as the other's key package.
fn writes_first(who: &mut Desk, to: &Desk, key_package: Vec<u8>) -> (Option<Pending>, Applied) {
    let claimed =
        [v1::ClaimedKeyPackage { device_id: to.me.identity.device.to_bytes(), key_package: key_package.into() }];
    who.tx(|tx, me| {
        let wanted = conversation::want_direct(tx, to.me.address()).unwrap();
        outbox::put(tx, wanted.local, fresh::message_id().unwrap(), b"later").unwrap();
        stage_between(tx, me, wanted.local, (&claimed, &[]), None).unwrap()
    })
}

/// Alice has written to bob first, and both have the conversation.
fn met() -> (Ledger, Desk, Desk) {
    let (mut alice, mut bob) = (Desk::of("alice"), Desk::of("bob"));
    let package = bob.key_package();
    let (pending, _) = writes_first(&mut alice, &bob, package);
    let pending = pending.expect("a request");
    let request = <v1::Request as prost::Message>::decode(pending.request.clone()).unwrap();
    let Some(Method::CreateConversation(create)) = request.method else { panic!("a creation") };
    let mut log = Ledger::of(ConversationName::parse(create.conversation.as_ref()).unwrap());
    let bundle = create.commit.unwrap();
    let commit = log.append(EntryKind::Commit, Some(alice.me.identity.device), 1, pending.id, &bundle.commit);
    alice.tx(|tx, _| accepted(tx, &pending, commit.seq, &commit.chain.0).unwrap());
    alice.take([item(&commit)]).unwrap();
    let notice = v1::WelcomeNotice {
        conversation: create.conversation,
        kind: v1::ConversationKind::Direct.into(),
        seq: commit.seq.0,
        chain: commit.chain.to_bytes(),
        welcome: bundle.welcome,
        from: alice.me.address().to_string(),
        contact_request: true,
        without_tree: false,
    };
    let body = prost::Message::encode_to_vec(&notice);
    let welcome = bob.inbox.append(EntryKind::Welcome, None, 0, pending.id, &body);
    let applied = bob.take([item(&welcome)]).unwrap();
    assert!(applied.follow && applied.welcomed);
    (log, alice, bob)
}

/// The next message of alice's in the log.
fn said(log: &mut Ledger, alice: &mut Desk, counter: u64, text: &str) -> LogEntry {
    let (body, id) = alice.seal(&log.name, text);
    log.append(EntryKind::Message, Some(alice.me.identity.device), counter, id, &body)
}

#[test]
fn what_is_read_is_shown_once_however_often_it_comes() {
    // Invariant 5.
    let (mut log, mut alice, mut bob) = met();
    let (one, two) = (said(&mut log, &mut alice, 2, "one"), said(&mut log, &mut alice, 3, "two"));
    let applied = bob.take([item(&one), item(&one), item(&two)]).unwrap();
    assert_eq!(applied.cursors, [(log.name.clone(), Seq(3))]);
    assert!(bob.take([item(&two), item(&one)]).unwrap().events.is_empty());
    assert_eq!(bob.texts(&log.name), ["one", "two"]);
    assert!(bob.conversation(&log.name).request);
}

#[test]
fn a_gap_is_not_passed_over() {
    // Invariant 3.
    let (mut log, mut alice, mut bob) = met();
    let (_, two) = (said(&mut log, &mut alice, 2, "one"), said(&mut log, &mut alice, 3, "two"));
    assert!(matches!(bob.take([item(&two)]), Err(ApplyError::Gap)));
    assert_eq!(bob.conversation(&log.name).seq, Seq(1));
}

#[test]
fn a_forked_log_is_not_read_any_further() {
    // Invariant 4.
    let (mut log, mut alice, mut bob) = met();
    let mut forged = said(&mut log, &mut alice, 2, "one");
    forged.chain = ChainValue([9; 32]);
    let applied = bob.take([item(&forged)]).unwrap();
    assert!(alarms(&applied)[0].contains("rewritten"), "{:?}", alarms(&applied));
    assert_eq!(applied.gone, [log.name.clone()]);
    let after = said(&mut log, &mut alice, 3, "two");
    assert!(bob.take([item(&after)]).unwrap().events.is_empty());
    let conversation = bob.conversation(&log.name);
    assert_eq!((conversation.seq, conversation.trusted), (Seq(1), Trusted::Never));
}

#[test]
fn an_answer_and_the_log_must_not_contradict_each_other() {
    let (mut log, mut alice, _) = met();
    let local = alice.conversation(&log.name).local;
    let entry = said(&mut log, &mut alice, 2, "one");
    let other = ChainValue([9; 32]);
    assert!(alice.tx(|tx, _| entry::promise(tx, local, entry.seq, &other).unwrap()), "nothing to compare with yet");
    let applied = alice.take([item(&entry)]).unwrap();
    assert!(alarms(&applied)[0].contains("rewritten"), "{:?}", alarms(&applied));
    // And the other way round.
    let (log, mut alice, _) = met();
    let local = alice.conversation(&log.name).local;
    assert!(!alice.tx(|tx, _| entry::promise(tx, local, Seq(1), &other).unwrap()));
    assert!(alice.tx(|tx, _| entry::promise(tx, local, Seq(1), &log.chain).unwrap()));
}

#[test]
fn a_log_that_ends_before_what_was_read_was_rolled_back() {
    let (mut log, mut alice, mut bob) = met();
    let entry = said(&mut log, &mut alice, 2, "one");
    bob.take([item(&entry)]).unwrap();
    let rolled_back = Item::Following {
        log: log.name.clone(),
        head: Seq(1),
        after: Seq(1),
        chain: bob.conversation(&log.name).chain.unwrap(),
    };
    let applied = bob.take([rolled_back]).unwrap();
    assert!(alarms(&applied)[0].contains("rolled back"), "{:?}", alarms(&applied));
    assert_eq!(bob.conversation(&log.name).trusted, Trusted::Never);
    assert_eq!(bob.texts(&log.name), ["one"], "what was read stays");
}

#[test]
fn a_server_that_begins_before_what_was_read_has_rolled_nothing_back() {
    let (mut log, mut alice, mut bob) = met();
    let before = (log.seq, log.chain);
    let one = said(&mut log, &mut alice, 2, "one");
    bob.take([item(&one)]).unwrap();
    let two = said(&mut log, &mut alice, 3, "two");
    let begins = Item::Following { log: log.name.clone(), head: two.seq, after: before.0, chain: before.1 };
    assert!(alarms(&bob.take([begins.clone(), item(&one), item(&two)]).unwrap()).is_empty());
    assert_eq!(bob.texts(&log.name), ["one", "two"]);
    // Another history is still found out by its first new entry.
    let mut forged = said(&mut log, &mut alice, 4, "three");
    forged.chain = ChainValue([9; 32]);
    assert!(alarms(&bob.take([begins, item(&forged)]).unwrap())[0].contains("rewritten"));
}

#[test]
fn another_value_at_the_cursor_is_a_fork_and_the_same_is_none() {
    let (log, _, mut bob) = met();
    let at = |chain| Item::Following { log: log.name.clone(), head: Seq(1), after: Seq(1), chain };
    assert!(alarms(&bob.take([at(log.chain)]).unwrap()).is_empty());
    assert!(alarms(&bob.take([at(ChainValue([9; 32]))]).unwrap())[0].contains("rewritten"));
}

#[test]
fn a_device_that_was_passed_over_is_told_and_comes_back() {
    let (mut log, mut alice, mut bob) = met();
    let local = bob.conversation(&log.name).local;
    let (body, id) = bob.seal(&log.name, "mine");
    let sealed = outbox::Sealed { counter: Counter(1), epoch: Epoch(1), body: body.into() };
    let next = |tx: &Transaction<'_>| outbox::next(tx, 10, |_, _| true).unwrap();
    bob.tx(|tx, _| {
        outbox::put(tx, local, id, b"mine").unwrap();
        outbox::seal(tx, next(tx)[0].place, &sealed).unwrap();
    });
    said(&mut log, &mut alice, 2, "too old");
    let floor = Item::Following { log: log.name.clone(), head: Seq(2), after: log.seq, chain: log.chain };
    let applied = bob.take([floor]).unwrap();
    assert!(matches!(&applied.events[0], Event::Message(notice) if notice.body.contains("between entries 1 and 2")));
    assert!(applied.elsewhere && applied.outbox && applied.gone == [log.name.clone()]);
    assert_eq!(bob.conversation(&log.name).state, State::Awaiting);
    bob.tx(|tx, me| {
        assert!(!me.with_mls(tx, |mls| mls.group(&log.name).exists().unwrap()));
        assert_eq!(unjoined::all(tx).unwrap(), [(log.name.clone(), Kind::Direct)]);
        // It may have been taken in between: the server is asked with the same bytes.
        assert_eq!(next(tx)[0].sealed.as_ref().map(|sealed| &sealed.body), Some(&sealed.body));
    });
    // What comes now is read once it is back.
    let after = said(&mut log, &mut alice, 3, "two");
    bob.take([item(&after)]).unwrap();
    assert!(bob.texts(&log.name).is_empty());
}

#[test]
fn what_this_device_is_said_to_have_sent_and_has_not_raises_the_alarm() {
    let (mut log, mut alice, _) = met();
    let entry = said(&mut log, &mut alice, 2, "from a copy of this home");
    let applied = alice.take([item(&entry)]).unwrap();
    assert!(alarms(&applied)[0].contains("this home has not"), "{:?}", alarms(&applied));
    assert_eq!(alice.conversation(&log.name).counter, Counter(2), "its counter is used up all the same");
}

#[test]
fn a_message_under_another_id_than_its_senders_is_dropped() {
    let (mut log, mut alice, mut bob) = met();
    let (body, _) = alice.seal(&log.name, "one");
    let other = fresh::message_id().unwrap();
    let entry = log.append(EntryKind::Message, Some(alice.me.identity.device), 2, other, &body);
    let applied = bob.take([item(&entry)]).unwrap();
    assert!(matches!(&applied.events[..], [Event::Message(notice)] if notice.kind == "notice"));
    assert!(bob.texts(&log.name).is_empty());
}

#[test]
fn what_a_block_withholds_is_not_even_mentioned() {
    let (mut log, mut alice, mut bob) = met();
    let mut entry = said(&mut log, &mut alice, 2, "you!");
    entry.content = EntryContent::Removed(entry.header().digest);
    let mut other = entry.clone();
    let peer = alice.me.address().clone();
    bob.tx(|tx, _| contact::set_state(tx, &peer, ContactState::Blocked).unwrap());
    let applied = bob.take([item(&entry)]).unwrap();
    assert!(applied.events.is_empty());
    assert_eq!(applied.cursors, [(log.name.clone(), Seq(2))]);
    // Of anybody else it is.
    bob.tx(|tx, _| contact::set_state(tx, &peer, ContactState::Accepted).unwrap());
    (other.seq, other.chain) = (Seq(3), log.chain);
    other.chain = log.chain.after(&other.header());
    assert_eq!(bob.take([item(&other)]).unwrap().events.len(), 1);
}

#[test]
fn an_inbox_that_was_rewritten_is_told_about_and_read_on() {
    let (_, _, mut bob) = met();
    let mut strange = bob.inbox.append(EntryKind::Contact, None, 0, fresh::message_id().unwrap(), b"");
    strange.chain = ChainValue([9; 32]);
    let applied = bob.take([item(&strange)]).unwrap();
    assert_eq!(alarms(&applied).len(), 1);
    assert_eq!(applied.cursors, [(bob.inbox.name.clone(), Seq(2))]);
}

#[test]
fn a_log_that_the_server_does_not_show_any_more_has_ended() {
    let (log, mut alice, _) = met();
    let applied = alice.take([Item::NotFollowed(log.name.clone())]).unwrap();
    assert_eq!(alice.conversation(&log.name).state, State::Ended);
    let refused = |event: &Event| matches!(event, Event::Outbox { state: crate::api::OutboxState::Refused, .. });
    assert!(applied.events.iter().any(refused), "what was queued is refused: {:?}", applied.events);
}
