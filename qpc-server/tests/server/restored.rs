//! A server that was brought back from a backup, under people who have seen more than it knows.

use std::{fs, path::PathBuf, time::Duration};

use qpc_client::api::{Command, Outcome};
use qpc_proto::{
    chain::{ChainValue, Digest, EntryContent, EntryKind, LogEntry},
    error::Code,
    id::{Counter, DeviceId, Epoch, MessageId, Seq},
    v1::{self, answer::Result as Answer, request::Method},
};
use qpc_server::{
    clock::{Clock, SystemClock},
    data_dir::DataDir,
    rng::SystemRng,
    store::{
        Restored, Store,
        sqlite::{DbKey, Dropped, after_restore},
    },
};

use crate::{
    edge::{House, Room},
    net::{Net, Person, new_group},
    person::Device,
    wire::code,
};

/// How long conversations wait here for those who do not come.
pub(crate) const WAIT: Duration = Duration::from_secs(600);

fn saved(net: &Net) -> PathBuf {
    net.home_dir("saved")
}

/// Keeps what the server has now. It is stopped for that, so that its files are whole.
pub(crate) fn back_up(net: &Net) {
    net.stop_server();
    fs::copy(DataDir::database(&net.server_dir()), saved(net)).unwrap();
    net.start_server();
}

/// Brings the server back as it was kept.
pub(crate) fn restore(net: &Net) -> Dropped {
    net.stop_server();
    let dir = net.server_dir();
    let database = DataDir::database(&dir);
    for suffix in ["-wal", "-shm"] {
        let mut beside = database.clone().into_os_string();
        beside.push(suffix);
        fs::remove_file(beside).ok();
    }
    fs::copy(saved(net), &database).unwrap();
    let key = DbKey::parse(DataDir::open(&dir).unwrap().database_key(&SystemRng).unwrap().expose()).unwrap();
    let at_ms = SystemClock.unix_ms();
    let until_ms = at_ms + u64::try_from(WAIT.as_millis()).unwrap();
    let dropped = after_restore(&database, &key, Restored { at_ms, until_ms }).unwrap();
    net.start_server();
    dropped
}

/// What people were told by alarms, without what every restore says.
pub(crate) fn alarms(person: &Person) -> Vec<String> {
    let alarms = person.status().alarms;
    alarms.into_iter().filter(|text| !text.starts_with("The server was restored")).collect()
}

pub(crate) fn was_told(person: &Person) -> bool {
    person.status().alarms.iter().any(|text| text.starts_with("The server was restored"))
}

#[test]
fn what_a_restored_server_lacks_comes_back_from_those_who_have_it() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let carol = net.person("carol");
    net.acquaint(&alice, &carol);
    net.acquaint(&bob, &carol);
    alice.do_it(new_group("crew", ["bob"]));
    bob.until("in the crew", |bob| bob.conversations().iter().any(|one| one.title == "crew"));
    back_up(&net);

    // Since then: messages, a change of the group, and something that bob has not read.
    alice.say(&bob, ["one"]);
    bob.expects(["one"]);
    bob.say(&alice, ["two"]);
    alice.expects(["two"]);
    alice.do_it(Command::GroupAdd { group: "crew".into(), members: vec!["carol".into()] });
    carol.until("in the crew", |carol| carol.conversations().iter().any(|one| one.title == "crew"));
    alice.write("crew", ["welcome"]);
    bob.expects(["welcome"]);
    carol.expects(["welcome"]);
    bob.disconnect();
    alice.say(&bob, ["three"]);
    carol.write("crew", ["hello all"]);
    alice.expects(["hello all"]);

    let dropped = restore(&net);
    assert!(dropped.awaited.devices == 3 && dropped.awaited.conversations >= 4, "{dropped:?}");
    bob.connect();
    bob.expects_among("three");
    bob.expects_among("hello all");
    bob.do_it(Command::MarkShown { to: None, local: bob.unshown().last().unwrap().local });
    // It goes on in both, and for everybody.
    bob.say(&alice, ["four"]);
    alice.expects(["four"]);
    alice.write("crew", ["five"]);
    bob.expects(["five"]);
    carol.expects(["five"]);
    // What the server tells devices goes on as well, though it has told them more than it knows.
    alice.do_it(new_group("second crew", ["bob", "carol"]));
    for person in [&bob, &carol] {
        person.until("in the second crew", |me| me.conversations().iter().any(|one| one.title == "second crew"));
    }
    for person in [&alice, &bob, &carol] {
        assert_eq!(alarms(person), Vec::<String>::new(), "{}", person.name);
    }
    assert!(was_told(&alice));
    assert_eq!(net.block(net.store().awaited()).unwrap().devices, 0);
}

#[test]
fn a_restored_conversation_waits_for_those_who_may_have_more_of_it() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    back_up(&net);
    alice.say(&bob, ["one"]);
    bob.expects(["one"]);
    bob.say(&alice, ["two"]);
    bob.disconnect();
    alice.disconnect();
    restore(&net);
    alice.connect();
    // She has not read the second one: if hers went in now, bob's would be lost.
    alice.write("bob", ["three"]);
    match alice.do_it(Command::Flush) {
        Outcome::Flushed { waiting } => assert!(waiting[0].reason.contains("was restored"), "{waiting:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(alice.status().outbox, 1);
    bob.connect();
    alice.expects(["two"]);
    bob.expects(["three"]);
    assert_eq!((alarms(&alice), alarms(&bob)), (vec![], vec![]));
}

#[test]
fn a_restored_conversation_waits_no_longer_than_it_was_told_to() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    back_up(&net);
    bob.disconnect();
    restore(&net);
    alice.write("bob", ["three"]);
    alice.until("waiting", |alice| alice.status().outbox == 1);
    net.pass(WAIT);
    alice.until("sent", |alice| alice.status().outbox == 0);
    bob.connect();
    bob.expects(["three"]);
}

#[test]
fn conversations_that_were_begun_after_the_backup_are_made_again() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let [carol, dave, eve] = ["carol", "dave", "eve"].map(|name| net.person(name));
    net.acquaint(&alice, &dave);
    net.acquaint(&carol, &eve);
    back_up(&net);

    net.acquaint(&alice, &carol);
    carol.say(&alice, ["two"]);
    alice.expects(["two"]);
    carol.do_it(Command::Block { who: "eve".into() });
    let is_in = |person: &Person| {
        person.until("in the crew", |me| me.conversations().iter().any(|one| one.title == "crew"));
    };
    alice.do_it(new_group("crew", ["bob", "carol"]));
    is_in(&bob);
    is_in(&carol);
    bob.write("crew", ["hello all"]);
    alice.expects(["hello all"]);
    alice.do_it(Command::GroupAdd { group: "crew".into(), members: vec!["dave".into()] });
    is_in(&dave);
    carol.expects(["hello all"]);
    carol.disconnect();
    dave.write("crew", ["glad to be here"]);
    alice.expects(["glad to be here"]);
    bob.expects(["glad to be here"]);
    alice.disconnect();

    // Who made them comes last, and carol has not read what dave has said.
    restore(&net);
    bob.write("crew", ["alice?"]);
    carol.connect();
    carol.say(&alice, ["three"]);
    match carol.do_it(Command::Flush) {
        Outcome::Flushed { waiting } => assert!(waiting[0].reason.contains("was restored"), "{waiting:?}"),
        other => panic!("{other:?}"),
    }
    alice.connect();
    alice.expects_among("three");
    carol.expects_among("glad to be here");
    for person in [&alice, &carol, &dave] {
        person.expects_among("alice?");
    }
    alice.say(&carol, ["four"]);
    carol.expects_among("four");
    dave.write("crew", ["all are here"]);
    for person in [&alice, &bob, &carol] {
        person.expects_among("all are here");
    }
    for person in [&alice, &bob, &carol, &dave] {
        assert_eq!(alarms(person), Vec::<String>::new(), "{}", person.name);
    }
    // Nor is it forgotten whom anybody has blocked.
    eve.say(&carol, ["anybody there?"]);
    eve.until("sent", |eve| eve.status().outbox == 0);
    alice.say(&carol, ["five"]);
    carol.expects_among("five");
    assert!(carol.unshown().iter().all(|message| message.body != "anybody there?"));
    assert_eq!(net.block(net.store().awaited()).unwrap().devices, 0);
}

/// What a device says that it was given before the restore, and the server has not.
fn said_before(room: &Room, seq: u64, counter: u64, sender: DeviceId, chain: ChainValue) -> LogEntry {
    let mut entry = LogEntry {
        conversation: room.name.clone(),
        seq: Seq(seq),
        kind: EntryKind::Message,
        epoch: Epoch(1),
        sender: Some(sender),
        counter: Counter(counter),
        id: MessageId::new(seq, [7; 10]),
        stored_ms: u64::MAX,
        chain,
        content: EntryContent::Body(format!("said before {seq}").into()),
    };
    entry.chain = chain.after(&entry.header());
    entry
}

#[tokio::test]
async fn only_what_carries_a_restored_log_on_is_taken_back() {
    let house = House::new().await;
    let (alice, bob, room) = house.pair().await;
    let offer = |entries: &[&LogEntry], complete| {
        let entries = entries.iter().map(|entry| entry.to_wire()).collect();
        Method::Offer(v1::Offer { conversation: Some(room.name.to_wire()), entries, complete })
    };
    let end = match bob.wire.call(offer(&[], false)).await {
        Answer::Offer(end) => end,
        other => panic!("{other:?}"),
    };
    let (seq, chain) = (end.head_seq, ChainValue::parse(&end.chain).unwrap());
    let one = said_before(&room, seq + 1, 2, alice.device.id, chain);
    let two = said_before(&room, seq + 2, 3, alice.device.id, one.chain);
    assert_eq!(code(&bob.wire.call(offer(&[&one], false)).await), Some(Code::NotAwaited), "it was never restored");

    let at_ms = SystemClock.unix_ms();
    house.store.await_offers(Restored { at_ms, until_ms: at_ms + 600_000 }).await.unwrap();
    assert_eq!(code(&alice.wire.call(room.message(2, "new")).await), Some(Code::ReadOnly));
    let other_chain = said_before(&room, seq + 1, 2, alice.device.id, two.chain);
    let mut bodiless = one.clone();
    bodiless.content = EntryContent::Removed(Digest::of(b"said before"));
    bodiless.chain = chain.after(&bodiless.header());
    let leaves_out = said_before(&room, seq + 1, 3, alice.device.id, chain);
    let stranger = said_before(&room, seq + 1, 1, Device::new().id, chain);
    for (entries, refusal) in [
        (&[&other_chain][..], Code::ChainDiffers),
        (&[&two], Code::ChainDiffers),
        (&[&one, &one], Code::Malformed),
        (&[&bodiless], Code::Malformed),
        (&[&leaves_out], Code::IdConflict),
        (&[&stranger], Code::HandshakeSender),
    ] {
        assert_eq!(code(&bob.wire.call(offer(entries, false)).await), Some(refusal));
    }
    let eve = house.register("eve").await;
    assert_eq!(code(&eve.wire.call(offer(&[&one], false)).await), Some(Code::NotFound));

    let Answer::Offer(given) = bob.wire.call(offer(&[&one, &two], true)).await else { panic!("not taken") };
    assert_eq!((given.head_seq, &given.chain), (seq + 2, &two.chain.to_bytes()));
    let read = v1::ReadLog { conversation: Some(room.name.to_wire()), after_seq: seq, limit: 0 };
    let Answer::ReadLog(page) = alice.wire.call(Method::ReadLog(read)).await else { panic!("not read") };
    let said: Vec<_> = page.entries.into_iter().map(|entry| LogEntry::parse(entry).unwrap()).collect();
    assert!(said.iter().map(LogEntry::header).eq([one.header(), two.header()]));
    // When it was stored is nothing that the chain proves, and in no future.
    assert!(said.iter().all(|entry| entry.stored_ms <= SystemClock.unix_ms()));
    // What the server has is passed over, and says nothing of the rest.
    assert!(matches!(alice.wire.call(offer(&[&one], false)).await, Answer::Offer(_)));
    assert_eq!(code(&alice.wire.call(room.message(4, "new")).await), Some(Code::ReadOnly));
    assert!(matches!(alice.wire.call(offer(&[], true)).await, Answer::Offer(_)));
    assert!(matches!(alice.wire.call(room.message(4, "new")).await, Answer::Send(_)));
    house.assert_sound();
}

#[test]
fn who_comes_too_late_is_told_and_waited_for_no_longer() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    back_up(&net);
    alice.disconnect();
    bob.say(&alice, ["lost"]);
    bob.until("sent", |bob| bob.status().outbox == 0);
    bob.disconnect();
    restore(&net);
    net.pass(WAIT);
    alice.connect();
    alice.write("bob", ["instead of it"]);
    alice.until("sent", |alice| alice.status().outbox == 0);
    bob.connect();
    bob.until("told", |bob| !alarms(bob).is_empty());
    assert!(alarms(&bob)[0].contains("by the server"), "{:?}", alarms(&bob));
    assert_eq!(net.block(net.store().awaited()).unwrap().devices, 0, "what he has is of no use any more");
}
