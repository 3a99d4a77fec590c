//! `verify` as people have it, with the built programs: what is shown in a pipe and in a terminal, what marks, what
//! refuses with which code, and how loudly another key is told.

use std::fs;

use serde_json::Value;

use crate::{
    people::{Somebody, Town},
    program::program as server,
};

fn json(text: &str) -> Value {
    serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn number(somebody: &Somebody<'_>, who: &str) -> Value {
    json(&somebody.does(&["verify", who, "--json"]))
}

/// A field that is text.
fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} of {value}"))
}

/// Bob's account is reset, and registered anew in another home: alice's client hears of it when it next asks.
fn replace_bob(town: &Town) {
    let output = server(&town.path("data")).args(["account", "reset", "bob", "--json"]).output().unwrap();
    let token = json(&String::from_utf8(output.stdout).unwrap());
    let listen = town.server.listen.to_string();
    let mut command = town.client("bob's new home", &["register", "bob", "--server", &listen]);
    command.args(["--pin", &town.server.fingerprint, "--auth-token", text(&token, "token"), "--password-file"]);
    let output = command.arg(town.path("bob.password")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn a_number_is_shown_compared_marked_and_taken_back() {
    let town = Town::found();
    let (alice, bob) = town.friends();
    let (here, there) = (number(&alice, "bob"), number(&bob, "alice@localhost"));
    assert_eq!((&here["number"], &here["words"]), (&there["number"], &there["words"]));
    assert_eq!((text(&here, "address"), text(&here, "verification")), ("bob@localhost", "unverified"));
    assert_eq!(text(&there, "code").len(), 77);

    // In a pipe nothing is drawn, and the code is there as text.
    let piped = alice.does(&["verify", "bob"]);
    assert!(piped.contains("state        not verified\n"), "{piped}");
    assert!(piped.contains(text(&here, "code")) && !piped.contains(['█', '▀', '▄', '\u{1b}']), "{piped}");

    // A slip, and a question where nobody is.
    let (code, _, stderr) = alice.tries(&["verify", "bob", "--confirm", &"12345 ".repeat(12)]);
    assert_eq!(code, 76, "{stderr}");
    assert!(stderr.contains("THE NUMBERS DIFFER") && stderr.contains("next:"), "{stderr}");
    let (code, _, stderr) = alice.tries(&["verify", "bob", "--confirm"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("--confirm NUMBER"), "{stderr}");
    assert_eq!(text(&number(&alice, "bob"), "verification"), "unverified");

    // With blanks, as words of the command line.
    let digits: Vec<&str> = text(&there, "number").split(' ').collect();
    alice.does(&[&["verify", "bob", "--confirm"], digits.as_slice()].concat());
    assert_eq!(text(&number(&alice, "bob"), "verification"), "verified");
    let contact = json(&alice.does(&["contacts", "list", "--json"]));
    assert_eq!((text(&contact, "verification"), &contact["key_changed"]), ("verified", &false.into()));
    assert!(alice.does(&["conversations"]).contains("bob ✓"));
    alice.does(&["group", "create", "we", "bob"]);
    let members = alice.does(&["group", "members", "we"]);
    let day = text(&contact, "verified_at").split_at(10).0;
    assert!(members.contains(&format!("bob    member  1        {day}")), "{members}");

    alice.does(&["verify", "bob", "--undo"]);
    assert_eq!(alice.tries(&["verify", "bob", "--undo"]).0, 2);
    assert!(!alice.does(&["conversations"]).contains('✓'));

    // What another program has scanned comes through a pipe.
    fs::write(town.path("scanned"), format!("{}\n", text(&there, "code"))).unwrap();
    let mut command = alice.command(&["verify", "bob", "--scanned", "-"]);
    let scanned = command.stdin(fs::File::open(town.path("scanned")).unwrap()).output().unwrap();
    assert_eq!(scanned.status.code(), Some(0), "{scanned:?}");
    let (code, _, stderr) = alice.tries(&["verify", "bob", "--scanned", text(&here, "code")]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("you show yourself"), "{stderr}");
}

#[test]
fn a_person_at_a_terminal_sees_the_code_and_is_asked() {
    let town = Town::found();
    let (alice, bob) = town.friends();
    let number = number(&bob, "alice");
    let terminal = alice.chats(&["verify", "bob"]);
    let shown = terminal.ends();
    assert!(shown.contains('█') && shown.contains("you and bob"), "{shown}");
    let groups: Vec<&str> = text(&number, "number").split(' ').collect();
    assert!(groups.chunks(4).all(|row| shown.contains(&row.join(" "))), "{shown}");

    let mut terminal = alice.chats(&["verify", "bob", "--confirm"]);
    terminal.sees("Type yes or no: ");
    terminal.types("no\r");
    assert!(terminal.ends_with(76).contains("THE NUMBERS DIFFER"));
    let mut terminal = alice.chats(&["verify", "bob", "--confirm"]);
    terminal.sees("Type yes or no: ");
    terminal.types("perhaps\r");
    terminal.sees("Type yes or no: ");
    terminal.types("yes\r");
    assert!(terminal.ends().contains("bob is verified"));

    // While a chat drives the home, another program's word reaches it.
    let mut chat = alice.chats(&["chat", "bob"]);
    chat.sees("bob ✓> ");
    alice.does(&["verify", "bob", "--undo"]);
    chat.sees("bob: not verified");
    chat.types("/verify\r");
    chat.sees(groups[11]);
    chat.types("/quit\r");
    chat.ends();
}

#[test]
fn another_key_of_somebody_verified_is_loud_everywhere_and_stops_what_is_sent() {
    let town = Town::found();
    let (alice, bob) = town.friends();
    let there = number(&bob, "alice");
    alice.does(&["verify", "bob", "--confirm", text(&there, "number")]);
    replace_bob(&town);

    let (code, _, stderr) = alice.tries(&["listen"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("ALARM: The account of bob@localhost was reset"), "{stderr}");
    let day = text(&number(&alice, "bob"), "verified_at").split_at(10).0.to_owned();
    let loud = format!("You had verified the earlier one on {day}");
    let (code, _, stderr) = alice.tries(&["listen"]);
    assert!(code == 0 && stderr.contains(&loud), "again, until it is settled: {stderr}");
    let listed = alice.does(&["contacts", "list"]);
    assert!(listed.contains("CHANGED") && listed.contains(&loud), "{listed}");

    let (code, _, stderr) = alice.tries(&["send", "bob", "is that you?"]);
    assert_eq!(code, 76, "{stderr}");
    for part in ["bob@localhost has another account key since", "You had compared", "--confirm", "--accept-new-key"] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
    let (code, _, stderr) = alice.tries(&["contacts", "trust", "bob"]);
    assert_eq!(code, 76, "{stderr}");
    let (code, _, stderr) = alice.tries(&["send", "bob", "is that you?", "--json"]);
    assert_eq!((code, text(&json(&stderr), "error")), (76, "key_differs"));

    let mut chat = alice.chats(&["chat", "bob"]);
    chat.sees(&loud);
    chat.sees("bob !> ");
    chat.types("is that you?\r");
    chat.sees("-- not sent: bob@localhost has another account key");
    chat.types("/quit\r");
    chat.ends();

    alice.does(&["verify", "bob", "--accept-new-key"]);
    let now = number(&alice, "bob");
    assert_eq!((text(&now, "verification"), text(&now, "verified_at").split_at(10).0), ("unverified", day.as_str()));
    assert!(alice.does(&["verify", "bob"]).contains("not verified; an earlier key was, on "));
    let (_, _, stderr) = alice.tries(&["send", "bob", "I hope it is you"]);
    assert!(!stderr.contains("ALARM") && !stderr.contains("account key"), "{stderr}");
}

#[test]
fn another_key_of_somebody_never_verified_waits_for_one_word() {
    let town = Town::found();
    let (alice, _bob) = town.friends();
    replace_bob(&town);
    alice.does(&["listen"]);
    let (code, _, stderr) = alice.tries(&["send", "bob", "is that you?"]);
    assert_eq!(code, 76, "{stderr}");
    assert!(stderr.contains("never compared") && stderr.contains("contacts trust bob"), "{stderr}");
    alice.does(&["contacts", "trust", "bob"]);
    let (code, _, stderr) = alice.tries(&["send", "bob", "I hope it is you"]);
    assert_ne!(code, 76, "{stderr}");
}
