//! What people do at the moment, and what they have read: from one real client to the other, and what becomes of it when
//! some of it is lost.

use qpc_client::api::{Command, Details, Ephemeral, Event, Outcome, Reader, Tell, Told};
use qpc_server::metrics::labels::EphemeralDrop;

use crate::net::{Net, Person, new_group};

impl Person {
    fn types(&self, to: &str, typing: bool) {
        self.do_it(Command::Ephemeral(Ephemeral::Typing { to: to.into(), typing }));
    }

    /// Waits until somebody is writing, or is no more.
    #[track_caller]
    fn sees_typing(&self, who: &str, typing: bool) {
        self.sees("typing", |event| {
            matches!(event, Event::Typing { address, typing: is, .. } if address.starts_with(who) && *is == typing)
        });
    }

    fn tells(&self, what: Tell, on: bool) -> Told {
        match self.do_it(Command::Ephemeral(Ephemeral::Tell { change: Some((what, on)) })) {
            Outcome::Told(told) => told,
            other => panic!("{other:?}"),
        }
    }

    fn readers(&self, to: &str, message: &str) -> Vec<Reader> {
        match self.do_it(Command::Ephemeral(Ephemeral::Readers { to: to.into(), message: message.into() })) {
            Outcome::Readers { readers } => readers,
            other => panic!("{other:?}"),
        }
    }

    /// How many have the last message there, and have read it.
    fn counts(&self, with: &str) -> (u64, u64) {
        let last = self.history(with).into_iter().rfind(|message| message.kind == "text").unwrap();
        let Details { delivered_to, read_by, .. } = *last.details;
        (delivered_to, read_by)
    }

    #[track_caller]
    fn until_counted(&self, with: &str, counts: (u64, u64)) {
        self.until(&format!("{counts:?} receipts"), |me| me.counts(with) == counts);
    }
}

#[test]
fn typing_is_seen_until_it_ends_or_the_message_comes() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.types("bob", true);
    bob.sees_typing("alice", true);
    alice.types("bob", false);
    bob.sees_typing("alice", false);
    alice.types("bob", true);
    bob.sees_typing("alice", true);
    alice.send(["hello"]);
    bob.sees_typing("alice", false);
    bob.expects(["hello"]);
    // Nothing of it is in what was said.
    assert_eq!(bob.history("alice").into_iter().filter(|message| message.kind == "text").count(), 2);
}

#[test]
fn receipts_say_who_has_a_message_and_who_has_read_it() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.send(["one"]);
    bob.expects_among("one");
    alice.until_counted("bob", (1, 0));
    bob.expects(["one"]);
    alice.until_counted("bob", (1, 1));
    let readers = alice.readers("bob", "mine");
    assert_eq!((readers.len(), readers[0].address.as_str()), (1, "bob@localhost"));
    assert!(readers[0].delivered.is_some() && readers[0].read.is_some());
    // What the other one has said is nobody's to count.
    bob.send(["two"]);
    alice.expects(["two"]);
    assert_eq!(alice.counts("bob"), (0, 0));
    assert_eq!(alice.readers("bob", "last"), []);
}

#[test]
fn a_receipt_that_was_lost_is_said_again_when_its_reader_or_its_sender_comes_back() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.send(["one"]);
    alice.do_it(Command::Flush);
    alice.disconnect();
    // Nobody is there to hear that it was read.
    bob.expects(["one"]);
    net.block(async { tokio::time::sleep(std::time::Duration::from_millis(2_500)).await });
    alice.connect();
    alice.until_counted("bob", (1, 1));
    alice.send(["two"]);
    alice.do_it(Command::Flush);
    bob.until("it is here", |bob| bob.unshown().len() == 1);
    // What is read while the reader is away is said when they come.
    net.stop_server();
    bob.expects(["two"]);
    net.start_server();
    alice.until_counted("bob", (1, 1));
}

#[test]
fn without_datagrams_all_of_it_comes_on_the_stream() {
    let net = Net::start();
    let (alice, mut bob) = net.pair();
    bob.disconnect();
    bob.options.datagrams = false;
    bob.connect();
    bob.do_it(Command::CatchUp);
    alice.types("bob", true);
    bob.sees_typing("alice", true);
    bob.types("alice", true);
    alice.sees_typing("bob", true);
    alice.send(["one"]);
    bob.expects(["one"]);
    alice.until_counted("bob", (1, 1));
}

#[test]
fn what_is_switched_off_is_not_told() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let usual = Told { presence: false, typing: true, delivered: true, read: true };
    assert_eq!(bob.tells(Tell::Read, false), Told { read: false, ..usual });
    alice.send(["one"]);
    bob.expects(["one"]);
    alice.until_counted("bob", (1, 0));
    bob.tells(Tell::Delivered, false);
    bob.tells(Tell::Typing, false);
    alice.send(["two"]);
    bob.expects(["two"]);
    bob.types("alice", true);
    // What is told is told with all else that would be.
    bob.tells(Tell::Presence, true);
    alice.sees("presence", |event| {
        assert!(!matches!(event, Event::Typing { .. }), "typing was told");
        matches!(event, Event::Presence { address, online: true } if address == "bob@localhost")
    });
    assert_eq!(alice.counts("bob"), (0, 0), "a receipt was told");
    bob.tells(Tell::Presence, false);
    alice.sees("absence", |event| matches!(event, Event::Presence { online: false, .. }));
    // From now on.
    bob.tells(Tell::Read, true);
    alice.until_counted("bob", (1, 1));
}

#[test]
fn in_a_group_each_is_counted_and_who_is_out_hears_nothing() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let carol = net.person("carol");
    net.acquaint(&alice, &carol);
    alice.do_it(new_group("team", ["bob", "carol"]));
    bob.until("the group", |bob| bob.conversations().iter().any(|one| one.title == "team"));
    carol.until("the group", |carol| carol.conversations().iter().any(|one| one.title == "team"));
    alice.write("team", ["all here?"]);
    bob.expects(["all here?"]);
    carol.expects_among("all here?");
    alice.until_counted("team", (2, 1));
    let read = |reader: &Reader| (reader.address.clone(), reader.read.is_some());
    let readers: Vec<_> = alice.readers("team", "mine").iter().map(read).collect();
    assert_eq!(readers, [("bob@localhost".to_owned(), true), ("carol@localhost".to_owned(), false)]);
    alice.do_it(Command::GroupRemove { group: "team".into(), members: vec!["carol".into()] });
    carol.until("she is out", |carol| carol.conversations().iter().any(|one| one.title == "team" && !one.active));
    let delivered = net.metrics().ephemeral.delivered.get();
    alice.types("team", true);
    bob.sees_typing("alice", true);
    assert_eq!(net.metrics().ephemeral.delivered.get(), delivered + 1, "somebody else was told");
}

#[test]
fn who_is_blocked_neither_hears_nor_is_heard() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.send(["one"]);
    bob.expects(["one"]);
    alice.until_counted("bob", (1, 1));
    bob.do_it(Command::Block { who: "alice".into() });
    let forbidden = || net.metrics().ephemeral.dropped(EphemeralDrop::Forbidden);
    let before = (net.metrics().ephemeral.delivered.get(), forbidden());
    alice.types("bob", true);
    bob.types("alice", true);
    alice.until("both were dropped", |_| forbidden() >= before.1 + 2);
    assert_eq!(net.metrics().ephemeral.delivered.get(), before.0);
}

#[test]
fn the_server_writes_nothing_of_it() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.send(["one"]);
    bob.expects(["one"]);
    alice.until_counted("bob", (1, 1));
    let files = || {
        let read = |name: &str| std::fs::read(net.server_dir().join(name)).unwrap_or_default();
        ["qpc.db", "qpc.db-wal", "qpc-blobs.db", "qpc-blobs.db-wal"].map(read)
    };
    let before = files();
    assert!(before[0].len() + before[1].len() > 4096, "no database");
    for _ in 0..10 {
        for typing in [true, false] {
            alice.types("bob", typing);
            bob.sees_typing("alice", typing);
        }
    }
    assert!(before == files(), "something was written");
}
