//! A member whose changes nobody can follow, though the server can find nothing wrong with them: what the others are told,
//! and that they talk to each other again.

use std::path::Path;

use qpc_client::api::{Command, Role};

use crate::{
    inside,
    net::{Net, Person, new_group},
};

const GROUP: &str = "tea";

/// Gives every group of a home the epoch secrets of another one: what it commits is right in all that is public, and its
/// confirmation is wrong.
fn poison(home: &Path) {
    let database = inside::database(home);
    // `Kind::EpochSecrets` of the client's table of MLS values.
    let rows = {
        let mut query = database.prepare("SELECT rowid, value FROM mls_values WHERE kind = 9 ORDER BY rowid").unwrap();
        let rows = query.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))).unwrap();
        rows.collect::<Result<Vec<_>, _>>().unwrap()
    };
    assert!(rows.len() > 1, "secrets to swap");
    for ((row, _), (_, value)) in rows.iter().zip(rows.iter().cycle().skip(1)) {
        database.execute("UPDATE mls_values SET value = ?1 WHERE rowid = ?2", rusqlite::params![value, row]).unwrap();
    }
}

fn reads(person: &Person, text: &str) {
    person.until(text, |me| me.history_if_any(GROUP).iter().any(|said| said.body == text));
}

#[test]
fn members_come_back_from_a_change_that_nobody_can_follow() {
    let net = Net::start();
    let [alice, bob, carol, mallory] = ["alice", "bob", "carol", "mallory"].map(|name| net.person(name));
    for other in [&bob, &carol, &mallory] {
        net.acquaint(&alice, other);
    }
    alice.do_it(new_group(GROUP, ["bob", "carol", "mallory"]));
    alice.do_it(Command::GroupRole { group: GROUP.into(), member: "mallory".into(), role: Role::Admin });
    alice.write(GROUP, ["hello"]);
    for person in [&bob, &mallory] {
        reads(person, "hello");
    }
    mallory.disconnect();
    poison(&net.home_dir("mallory"));
    mallory.connect();
    mallory.do_it(Command::GroupRemove { group: GROUP.into(), members: vec!["carol".into()] });
    // Before she can put in anew whoever says that they can't follow: nobody else could.
    mallory.disconnect();
    for person in [&alice, &bob] {
        let told = |me: &Person| {
            let alarms = me.status().alarms;
            alarms
                .iter()
                .any(|alarm| alarm.contains("mallory@localhost changed it in a way that this device can't follow"))
        };
        person.until("the alarm", told);
    }
    // Each is in the group, and who was there first has seen the other come.
    let told = |me: &Person, what: &str| me.history(GROUP).iter().any(|said| said.body == what);
    for person in [&alice, &bob] {
        person.until("its place", |me| told(me, "This device has come back."));
        // What the commit that it could not read has done.
        assert!(told(person, "carol@localhost has gone meanwhile."), "{:?}", person.history(GROUP));
    }
    let sees = |me: &Person, other: &str| told(me, &format!("{other}@localhost brought back a device."));
    alice.until("each other", |_| sees(&alice, "bob") || sees(&bob, "alice"));
    alice.write(GROUP, ["can you read me?"]);
    reads(&bob, "can you read me?");
    bob.write(GROUP, ["I can"]);
    reads(&alice, "I can");
    // What was said before is still here, and a person can do what the alarm says.
    reads(&bob, "hello");
    alice.do_it(Command::GroupRemove { group: GROUP.into(), members: vec!["mallory".into()] });
    bob.write(GROUP, ["we are two"]);
    reads(&alice, "we are two");
    assert_eq!(alice.members(GROUP), ["alice", "bob"]);
}
