//! What a server had acknowledged, to a client that ended before it came back, and lost with a restore.

use std::path::Path;

use qpc_client::api::OutboxState;
use qpc_proto::content::{Content, Kind};
use rusqlite::params;

use crate::{
    inside,
    net::{Net, Person},
    restored::{WAIT, alarms, back_up, restore, was_told},
};

/// More than a client has read when its first message is acknowledged.
const BACKLOG: i64 = 2_000;

fn bodies(person: &Person, with: &str) -> Vec<String> {
    person.history(with).into_iter().map(|message| message.body).collect()
}

/// Makes of a home one that was closed before the last entry of a conversation, a text of its own, came back.
fn before_it_came_back(home: &Path, peer: &str, text: &str) {
    let database = inside::database(home);
    let (local, seq): (i64, i64) = database
        .query_one("SELECT local, seq FROM conversation WHERE kind = 1 AND peer = ?1", [peer], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    let content = Content::new(1, Kind::Text(text.into())).encode().unwrap();
    let answered = "INSERT INTO answered SELECT conversation, seq, received_ms, ?3, bytes FROM entry \
                    WHERE conversation = ?1 AND seq = ?2";
    assert_eq!(database.execute(answered, params![local, seq, content]).unwrap(), 1);
    for statement in [
        "INSERT INTO promise SELECT conversation, seq, chain FROM entry WHERE conversation = ?1 AND seq = ?2",
        "DELETE FROM entry WHERE conversation = ?1 AND seq = ?2",
        "UPDATE conversation SET seq = ?2 - 1, chain = (SELECT chain FROM entry e WHERE e.conversation = ?1 AND e.seq = ?2 - 1) \
         WHERE local = ?1",
    ] {
        assert_eq!(database.execute(statement, [local, seq]).unwrap(), 1, "{statement}");
    }
}

#[test]
fn what_was_acknowledged_and_had_not_come_back_is_sent_again() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    back_up(&net);
    alice.disconnect();
    let backlog: Vec<_> = (0..BACKLOG).map(|nr| format!("{nr}")).collect();
    bob.send_all_to("alice", &backlog);
    bob.until("sent", |bob| bob.status().outbox == 0);
    bob.disconnect();
    alice.connect();
    alice.write("bob", ["mine"]);
    alice.sees_outbox(OutboxState::Sent);
    alice.disconnect();
    assert!(count(&net, &alice, "own = 0") < BACKLOG, "the answer was to come before all was read");

    restore(&net);
    alice.connect();
    alice.until("waiting again", |alice| alice.status().outbox == 1);
    bob.connect();
    bob.expects(["mine"]);
    alice.until("sent again", |alice| alice.status().outbox == 0);
    alice.until("all of it", |alice| bodies(alice, "bob").contains(&format!("{}", BACKLOG - 1)));
    bob.say(&alice, ["thanks"]);
    alice.until("it goes on", |alice| bodies(alice, "bob").contains(&"thanks".to_owned()));
    alice.say(&bob, ["welcome"]);
    bob.expects(["welcome"]);
    assert_eq!((alarms(&alice), alarms(&bob)), (vec![], vec![]));
    alice.disconnect();
    assert_eq!(count(&net, &alice, "own = 1 AND seq > 0 AND body = 'mine'"), 1);
}

/// How many such messages a home holds that nobody drives.
fn count(net: &Net, person: &Person, which: &str) -> i64 {
    let database = inside::database(&net.home_dir(&person.name));
    database.query_one(&format!("SELECT count(*) FROM message WHERE {which}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn what_was_acknowledged_is_given_back_where_the_log_goes_on_with_it() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    back_up(&net);
    alice.say(&bob, ["mine"]);
    bob.expects(["mine"]);
    alice.until("back", |alice| alice.history("bob").iter().any(|message| message.body == "mine"));
    bob.disconnect();
    alice.disconnect();
    before_it_came_back(&net.home_dir("alice"), "bob@localhost", "mine");

    // Bob comes when nobody waits for him any more: where others could have written, it has its place.
    restore(&net);
    alice.connect();
    alice.until("told", was_told);
    assert_eq!(alice.status().outbox, 0, "the server has it again");
    net.pass(WAIT);
    alice.say(&bob, ["and this"]);
    alice.until("sent", |alice| alice.status().outbox == 0);
    bob.connect();
    bob.expects(["and this"]);
    assert_eq!((alarms(&alice), alarms(&bob)), (vec![], vec![]));
    assert_eq!(bodies(&alice, "bob").iter().filter(|body| *body == "mine").count(), 1);
}

#[test]
fn what_was_acknowledged_is_there_once_if_the_backup_has_it() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.say(&bob, ["mine"]);
    bob.expects(["mine"]);
    back_up(&net);
    alice.until("back", |alice| alice.status().outbox == 0);
    alice.disconnect();
    before_it_came_back(&net.home_dir("alice"), "bob@localhost", "mine");
    restore(&net);
    alice.connect();
    alice.say(&bob, ["and this"]);
    bob.expects(["and this"]);
    alice.until("sent", |alice| alice.status().outbox == 0);
    assert_eq!((alarms(&alice), alarms(&bob)), (vec![], vec![]));
    assert_eq!(bodies(&alice, "bob"), ["may I?", "mine", "and this"]);
}
