//! Two people at full screens, with a real server: what one does, the other sees.

use std::fs;

use serde_json::Value;

use crate::{
    emulator::Emulator,
    people::{Somebody, Town},
    terminal::Terminal,
};

/// A red picture of 16 by 8 pixels.
const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x10\x00\x00\x00\x08\x08\x02\x00\x00\x00\x7f\x14\xe8\xc0\x00\
\x00\x00\x13IDATx\xdac\xf8\xcf\xc0@\x12b\x18\xd5@\x0b\r\x00$\xc6\x7f\x811P\xadg\x00\x00\x00\x00IEND\xaeB`\x82";

/// Somebody's screen.
struct Sitting {
    terminal: Terminal,
    screen: Emulator,
}

impl Sitting {
    fn of(somebody: &Somebody<'_>, with: &str) -> Self {
        let mut command = somebody.command(&["chat", with]);
        command.env_remove("QPC_CHAT_LINES");
        let mut sitting = Self { terminal: Terminal::open(command), screen: Emulator::new() };
        sitting.shows("● online");
        sitting
    }

    fn shows(&mut self, what: &str) {
        self.terminal.shows(&mut self.screen, what);
    }

    fn types(&mut self, keys: &str) {
        self.terminal.types(keys);
    }

    fn leaves(mut self) {
        self.types("/quit\r");
        self.terminal.ends();
    }
}

#[test]
fn two_people_at_full_screens_see_what_the_other_does() {
    let town = Town::found();
    let (alice, bob) = town.friends();
    let (mut at_alice, mut at_bob) = (Sitting::of(&alice, "bob"), Sitting::of(&bob, "alice"));
    at_alice.types("tea at :coffee: time?\r");
    at_bob.shows("alice: tea at ☕");
    at_alice.shows("you: tea at ☕");
    // Selects the last message, and answers it.
    at_bob.types("\u{1b}[1;5Ar");
    at_bob.shows("reply to alice: tea at");
    at_bob.types("make it six\r");
    at_alice.shows("bob: > you: tea at ☕");
    at_alice.shows("make it six");
    at_alice.types("\u{1b}[1;5A+:heart:\r");
    at_bob.shows("❤");
    at_bob.types("\u{1b}[1;5Ae\u{15}make it seven\r");
    at_alice.shows("make it seven (edited)");
    // Found while it is typed, and gone to.
    at_alice.types("\u{12}sev");
    at_alice.shows("bob make it seven");
    at_alice.types("\r");
    at_alice.shows("r e d + - p f v s g");
    at_alice.types("\u{1b}");
    // A picture, looked at by who wants to.
    fs::write(town.path("red.png"), PNG).unwrap();
    at_alice.types(&format!("/file {}\r", town.path("red.png").display()));
    at_bob.shows("[file red.png · 76 bytes]");
    at_bob.types("\u{1b}[1;5As");
    at_bob.shows("░░░░░░░░");
    at_bob.leaves();
    at_alice.leaves();
    // What was said while nobody sat there comes to who sits down again.
    alice.does(&["send", "bob", "still there?"]);
    let mut at_bob = Sitting::of(&bob, "alice");
    at_bob.shows("still there?");
    at_bob.leaves();
}

#[test]
fn a_conversation_is_muted_for_this_home() {
    let town = Town::found();
    let (alice, bob) = town.friends();
    bob.does(&["send", "alice", "hello"]);
    let muted = |who: &Somebody<'_>| {
        let listed = who.does(&["conversations", "--json"]);
        let listed: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        listed.iter().map(|one| one["muted"].as_bool().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(muted(&alice), [false]);
    alice.does(&["mute", "bob"]);
    assert_eq!((muted(&alice), muted(&bob)), (vec![true], vec![false]));
    assert!(alice.does(&["conversations"]).contains("bob (muted)"));
    alice.does(&["unmute", "bob", "--json"]);
    assert_eq!(muted(&alice), [false]);
    let (code, _, told) = alice.tries(&["mute", "nobody"]);
    assert!(code != 0 && told.contains("nobody"), "{told}");
}
