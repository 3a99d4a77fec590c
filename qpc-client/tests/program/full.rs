//! A full-screen chat as a program, at a terminal that the test sits at.

use std::process::Command;

use crate::{
    driver::{ALICE, BOB, Driver, Home, State},
    emulator::Emulator,
    terminal::Terminal,
};

/// What switches a terminal to its other screen, and back.
const OTHER_SCREEN: (&str, &str) = ("\u{1b}[?1049h", "\u{1b}[?1049l");

fn command(home: &Home, arguments: &[&str]) -> Command {
    let mut command = home.program(arguments);
    command.env_remove("QPC_CHAT_LINES");
    command
}

fn chat(home: &Home, arguments: &[&str]) -> Terminal {
    let terminal = Terminal::open(command(home, arguments));
    terminal.sees(OTHER_SCREEN.0);
    terminal
}

fn said(texts: &[&str]) -> State {
    let mut state = State::default();
    for text in texts {
        state.message(BOB, BOB, text);
    }
    state
}

#[test]
fn a_terminal_has_the_whole_screen_and_is_given_back() {
    let home = Home::taken();
    let driver = Driver::start(&home, said(&["hello alice"]));
    let mut chat = chat(&home, &["chat", "bob"]);
    let mut screen = Emulator::new();
    chat.shows(&mut screen, "03:04 bob: hello alice");
    driver.until("reading", |state| (state.shown == 1).then_some(()));
    chat.types("half a li");
    chat.shows(&mut screen, "> half a li");
    driver.receive(BOB, BOB, "are you \u{1b}]0;there\u{7}?");
    chat.shows(&mut screen, "03:04 bob: are you ␛]0;there␇?");
    chat.types("ne\r");
    let sent = driver.until("sending", |state| state.sent.first().cloned());
    assert_eq!(sent, (format!("conversation-{BOB}"), "half a line".to_owned()));
    chat.shows(&mut screen, "03:04 you: half a line ✓");
    driver.receive("friends", BOB, "elsewhere");
    chat.shows(&mut screen, "bob has written in friends");
    chat.types("/members\r");
    chat.shows(&mut screen, "bob and you");
    // Above it, everything stands as it stood.
    chat.types("\u{c}");
    chat.shows(&mut screen, "03:04 bob: hello alice");
    // Nothing is typed: the end.
    chat.types("\u{3}");
    let rest = chat.ends();
    assert!(rest.contains(OTHER_SCREEN.1) && rest.contains("\u{1b}[?2004l"), "{rest:?}");
}

#[test]
fn much_that_is_unread_is_read_from_its_beginning() {
    let home = Home::taken();
    let mut state = State::default();
    for number in 1..=200 {
        state.message(BOB, BOB, &format!("number {number}."));
    }
    state.shown = 50;
    let driver = Driver::start(&home, state);
    let mut chat = chat(&home, &["chat", "bob"]);
    let mut screen = Emulator::new();
    chat.shows(&mut screen, "number 51.");
    let rows: Vec<String> = screen.text().lines().map(str::to_owned).collect();
    assert!(rows[1].contains("─ new ─") && rows[2].contains("number 51."), "{rows:?}");
    // Its end is not seen yet.
    assert_eq!(driver.change(|state| state.shown), 50);
    chat.types("\u{1b}[F");
    chat.shows(&mut screen, "number 200.");
    driver.until("reading", |state| (state.shown == 200).then_some(()));
    chat.types("\u{4}");
    chat.ends();
}

#[test]
fn what_is_pasted_is_not_sent_line_by_line() {
    let home = Home::taken();
    let driver = Driver::start(&home, said(&["hello"]));
    let mut chat = chat(&home, &["chat", "bob"]);
    chat.sees("hello");
    chat.types("\u{1b}[200~one\rtwo\u{1b}[201~");
    chat.sees("two");
    chat.types("\r");
    let sent = driver.until("sending", |state| state.sent.first().cloned());
    assert_eq!(sent.1, "one\ntwo");
    chat.types("/quit\r");
    chat.ends();
}

#[test]
fn a_failure_gives_the_terminal_back_before_it_is_told() {
    let home = Home::taken();
    let driver = Driver::start(&home, said(&["hello"]));
    let chat = chat(&home, &["chat", "bob"]);
    chat.sees("hello");
    // Nobody drives the home any more, and its lock is held: no other session can be had.
    driver.end();
    chat.sees(OTHER_SCREEN.1);
    chat.sees("qpc-client: ");
}

#[test]
fn a_chat_without_a_name_begins_with_the_list_and_dumb_terminals_have_lines() {
    let home = Home::taken();
    let mut state = said(&["hello"]);
    state.message("friends", ALICE, "mine");
    let _driver = Driver::start(&home, state);
    let mut chat = chat(&home, &["chat"]);
    chat.sees("2 conversations");
    chat.types("fri\r");
    chat.sees("mine");
    chat.types("\u{4}");
    chat.ends();
    for lines in [&["chat", "bob", "--lines"][..], &["chat", "bob"]] {
        let mut command = command(&home, lines);
        if lines.len() == 2 {
            command.env("TERM", "dumb");
        }
        let mut chat = Terminal::open(command);
        let before = chat.sees("bob: hello");
        assert!(!before.contains(OTHER_SCREEN.0), "{before:?}");
        chat.types("/quit\r");
        chat.ends();
    }
}
