//! The built program beside a driver that the test plays, so that every turn of it can be had at
//! will. The same program with a real server is in `qpc-server/tests/server/program.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
#![allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, reason = "tests")]

#[path = "program/driver.rs"]
mod driver;
#[path = "program/emulator.rs"]
mod emulator;
#[path = "program/full.rs"]
mod full;
#[path = "program/terminal.rs"]
mod terminal;

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    process::{Child, Command as Process, Output, Stdio},
};

use qpc_client::api::{Command, CommandError, Event, Place, Waiting};

use self::{
    driver::{ALICE, BOB, Driver, Full, Home, State, program, run},
    terminal::Terminal,
};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn with_messages(bodies: &[&str]) -> State {
    let mut state = State::default();
    for body in bodies {
        state.message(BOB, BOB, body);
    }
    state
}

// ---- send

#[test]
fn each_line_of_the_input_is_one_message_in_order() {
    let home = Home::taken();
    let driver = Driver::start(&home, State::default());
    let input: String = (0..2_000).map(|n| format!("line {n}\n\n")).collect();
    let output = home.run(&["send", "bob", "-"], &input);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let sent = driver.change(|state| std::mem::take(&mut state.sent));
    let expected: Vec<_> = (0..2_000).map(|n| ("bob".to_owned(), format!("line {n}"))).collect();
    assert_eq!(sent, expected);
    assert_eq!((text(&output.stdout), text(&output.stderr)), (String::new(), String::new()));
}

#[test]
fn what_waits_is_told_with_a_code_of_its_own() {
    let home = Home::taken();
    let waiting =
        Waiting { to: BOB.to_owned(), messages: 1, reason: "bob has not accepted yet".to_owned(), queued: false };
    let _driver = Driver::start(&home, State { waiting: vec![waiting], ..State::default() });
    let output = home.run(&["send", "bob", "hello"], "");
    assert_eq!(code(&output), 75);
    assert!(text(&output.stderr).contains("1 message to bob waits: bob has not accepted yet"), "{output:?}");
    let output = home.run(&["send", "bob", "hello", "--json"], "");
    assert_eq!(code(&output), 75);
    assert_eq!(
        text(&output.stdout),
        "{\"id\":\"id-2\",\"state\":\"waiting\",\"reason\":\"bob has not accepted yet\"}\n"
    );
    assert!(text(&output.stderr).starts_with("{\"error\":\"try_later\""), "{output:?}");
}

#[test]
fn what_can_not_be_sent_is_told_with_its_code() {
    let home = Home::taken();
    let driver = Driver::start(&home, State { refuse: Some("you were removed".to_owned()), ..State::default() });
    let output = home.run(&["send", "bob", "hello"], "");
    assert_eq!(code(&output), 77);
    assert!(text(&output.stderr).contains("1 of 1 not sent: you were removed"), "{output:?}");

    let message = "no answer\nsent 3 packets".to_owned();
    driver.change(|state| state.fail = Some(CommandError::Unreachable { message }));
    let output = home.run(&["send", "bob", "hello"], "");
    assert_eq!(code(&output), 69);
    assert!(text(&output.stderr).starts_with("qpc-client: no answer\n  sent 3 packets\n"), "{output:?}");
    driver.change(|state| state.fail = None);
    let output = home.run(&["send", "bob", "-"], &format!("good\n{}\nnever\n", "x".repeat(40_000)));
    assert_eq!(code(&output), 65);
    assert!(text(&output.stderr).contains("line 2"), "{output:?}");
    assert_eq!(driver.change(|state| state.sent.last().cloned()).unwrap().1, "good");
}

#[test]
fn a_full_outbox_is_waited_for_while_it_drains() {
    let home = Home::taken();
    let driver = Driver::start(&home, State { full: Some(Full::UntilFlushed), ..State::default() });
    let output = home.run(&["send", "bob", "-"], "one\ntwo\n");
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(driver.change(|state| state.sent.len()), 2);
    driver.change(|state| state.full = Some(Full::ForGood));
    let output = home.run(&["send", "bob", "-"], "three\nfour\n");
    assert_eq!(code(&output), 75, "{output:?}");
    assert!(text(&output.stderr).contains("the outbox is full"), "{output:?}");
    assert_eq!(driver.change(|state| state.sent.len()), 2);
}

// ---- file

#[test]
fn files_are_sent_by_paths_that_mean_the_same_to_whoever_drives_the_home() {
    let home = Home::taken();
    let driver = Driver::start(&home, State::default());
    let output = home.run(&["file", "send", "bob", "photo.jpg", "../b.txt", "--json"], "");
    assert_eq!(code(&output), 0, "{output:?}");
    let sent = driver.change(|state| state.sent.clone());
    assert!(sent.iter().all(|(to, path)| to == "bob" && path.starts_with('/')), "{sent:?}");
    assert!(sent[0].1.ends_with("/photo.jpg") && sent[1].1.ends_with("/b.txt"), "{sent:?}");
    let lines = text(&output.stdout);
    for line in [
        r#"{"id":"id-1","file":"photo.jpg","state":"queued","reason":null}"#,
        r#"{"id":"id-1","file":"photo.jpg","state":"sent","reason":null}"#,
        r#"{"id":"id-2","file":"b.txt","state":"sent","reason":null}"#,
    ] {
        assert!(lines.lines().any(|one| one == line), "{line} is not in {lines}");
    }
    home.run(&["file", "get", "0198"], "");
    let asked = driver.change(|state| state.done.pop());
    let Some(Command::FileGet { id, place: Place::Directory(dir) }) = asked else { panic!("{asked:?}") };
    assert!(id == "0198" && dir.starts_with('/'), "{dir}");
    home.run(&["file", "get", "0198", "-o", "new"], "");
    let asked = driver.change(|state| state.done.pop());
    assert!(matches!(&asked, Some(Command::FileGet { place: Place::File(path), .. }) if path.ends_with("/new")));
}

#[test]
fn a_file_that_is_not_sent_is_told_with_its_code() {
    let home = Home::taken();
    let driver = Driver::start(&home, State { refuse: Some("it is too large".to_owned()), ..State::default() });
    let output = home.run(&["file", "send", "bob", "photo.jpg"], "");
    assert_eq!(code(&output), 77);
    assert!(text(&output.stderr).contains("not sent: photo.jpg: it is too large"), "{output:?}");
    let waiting =
        Waiting { to: "bob@localhost".to_owned(), messages: 1, reason: "storage is full".to_owned(), queued: false };
    driver.change(|state| (state.refuse, state.waiting) = (None, vec![waiting]));
    let output = home.run(&["file", "send", "bob", "photo.jpg"], "");
    assert_eq!(code(&output), 75);
    assert!(text(&output.stderr).contains("it waits: photo.jpg: storage is full"), "{output:?}");
    let message = "photo.jpg is not sent: it is no file".to_owned();
    driver.change(|state| state.fail = Some(CommandError::Usage { message }));
    assert_eq!(code(&home.run(&["file", "send", "bob", "photo.jpg"], "")), 2);
}

// ---- listen

#[test]
fn listen_prints_what_waits_once() {
    let home = Home::taken();
    let driver = Driver::start(&home, with_messages(&["one", "two\u{1b}[2J\nlines"]));
    let output = home.run(&["listen"], "");
    assert_eq!(code(&output), 0);
    assert_eq!(text(&output.stdout), "2026-01-02 03:04 bob: one\n2026-01-02 03:04 bob: two␛[2J\n      lines\n");
    assert_eq!(driver.change(|state| state.shown), 2);
    assert_eq!(text(&home.run(&["listen"], "").stdout), "");
}

#[test]
fn listen_json_is_one_object_a_line_with_the_documented_fields_first() {
    let home = Home::taken();
    let _driver = Driver::start(&home, with_messages(&["one\u{9b}\u{202e}"]));
    let output = home.run(&["listen", "--json"], "");
    assert_eq!(
        text(&output.stdout),
        "{\"conversation\":\"conversation-bob@localhost\",\"seq\":1,\"id\":\"id-1\",\"sender\":\"bob@localhost\",\
         \"time\":\"2026-01-02T03:04:05.006Z\",\"kind\":\"text\",\"body\":\"one\\u009b\\u202e\",\
         \"title\":\"bob@localhost\",\"own\":false,\"local\":1}\n"
    );
}

/// Follows in a process of its own, and gives its lines.
fn follow(home: &Home) -> (Child, impl Iterator<Item = serde_json::Value>) {
    let mut child = home
        .program(&["listen", "--follow", "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = terminal::lines(child.stdout.take().unwrap());
    (child, lines.map(|line| serde_json::from_str(&line).unwrap()))
}

fn signal(child: &Child, name: &str) {
    assert!(Process::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn a_follower_prints_what_arrives_and_ends_cleanly_when_told() {
    let home = Home::taken();
    let driver = Driver::start(&home, with_messages(&["before"]));
    let (mut child, mut lines) = follow(&home);
    assert_eq!(lines.next().unwrap()["body"], "before");
    for n in 0..100 {
        driver.receive(BOB, BOB, &format!("message {n}"));
    }
    for n in 0..100 {
        assert_eq!(lines.next().unwrap()["body"], format!("message {n}"));
    }
    driver.until("marking", |state| (state.shown == 101).then_some(()));
    signal(&child, "-TERM");
    assert!(lines.next().is_none());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_killed_follower_has_lost_nothing() {
    let home = Home::taken();
    let bodies: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let _driver = Driver::start(&home, with_messages(&bodies));
    let (mut child, mut lines) = follow(&home);
    let mut seen: Vec<_> = lines.by_ref().take(200).collect();
    signal(&child, "-KILL");
    seen.extend(lines);
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    let rest = text(&home.run(&["listen", "--json"], "").stdout);
    seen.extend(rest.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()));
    // At most the last line before the kill stands there twice, with the same id.
    assert!(seen.len() <= 501);
    seen.dedup_by(|a, b| a["id"] == b["id"]);
    assert_eq!(seen.iter().map(|m| m["body"].as_str().unwrap()).collect::<Vec<_>>(), bodies);
}

#[test]
fn a_follower_outlives_the_process_that_drives_the_home() {
    let home = Home::taken();
    let driver = Driver::start(&home, with_messages(&["first"]));
    let (mut child, mut lines) = follow(&home);
    assert_eq!(lines.next().unwrap()["body"], "first");
    driver.until("marking", |state| (state.shown == 1).then_some(()));
    driver.end();
    let _next = Driver::start(&home, State { shown: 1, ..with_messages(&["first", "while away"]) });
    assert_eq!(lines.next().unwrap()["body"], "while away");
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

// ---- history

#[test]
fn a_long_history_is_printed_whole_and_in_order() {
    let home = Home::taken();
    let bodies: Vec<String> = (1..=2_600).map(|n| format!("number {n}")).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let _driver = Driver::start(&home, with_messages(&bodies));
    let printed = |limit: &str| -> Vec<String> {
        let output = home.run(&["history", "bob", "--json", "--limit", limit], "");
        assert_eq!(code(&output), 0, "{output:?}");
        let lines = text(&output.stdout);
        let objects = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        objects.map(|message| message["body"].as_str().unwrap().to_owned()).collect()
    };
    for (limit, first) in [("1", 2_599), ("500", 2_100), ("501", 2_099), ("2300", 300), ("2600", 0), ("9999", 0)] {
        assert_eq!(printed(limit), bodies[first..], "{limit}");
    }
}

// ---- chat

fn chat(home: &Home, arguments: &[&str]) -> Terminal {
    Terminal::open(home.program(arguments))
}

#[test]
fn a_line_being_typed_survives_what_arrives_meanwhile() {
    let home = Home::taken();
    let driver = Driver::start(&home, with_messages(&["hello alice"]));
    let mut chat = chat(&home, &["chat", "bob"]);
    chat.sees("bob: hello alice");
    chat.sees("bob> ");
    chat.types("half a li");
    chat.sees("half a li");
    driver.receive(BOB, BOB, "are you \u{1b}]0;there\u{7}?");
    chat.sees("bob: are you ␛]0;there␇?");
    // The line stands there again, whole, below the message.
    chat.sees("bob> half a li");
    chat.types("ne\r");
    let sent = driver.until("sending", |state| state.sent.first().cloned());
    assert_eq!(sent, (format!("conversation-{BOB}"), "half a line".to_owned()));
    chat.types("/quit\r");
    let rest = chat.ends();
    // What was typed stands there; it does not come back as a message.
    assert!(!rest.contains("you: half"), "{rest}");
    assert_eq!(driver.change(|state| state.shown), 3);
}

#[test]
fn a_chat_tells_what_waits_what_fails_and_alarms() {
    let home = Home::taken();
    let driver = Driver::start(&home, with_messages(&["hello"]));
    let mut chat = chat(&home, &["chat", "bob"]);
    chat.sees("bob> ");
    let waiting =
        Waiting { to: BOB.to_owned(), messages: 1, reason: "bob has not accepted yet".to_owned(), queued: false };
    driver.change(|state| state.waiting = vec![waiting]);
    chat.types("one\r");
    chat.sees("-- waiting: bob has not accepted yet");
    driver.change(|state| state.refuse = Some("you are blocked".to_owned()));
    chat.types("two\r");
    chat.sees("-- not sent: you are blocked");
    driver.tell(Event::Online { online: false, problem: Some("no answer".to_owned()) });
    chat.sees("-- not connected: no answer");
    driver.tell(Event::Online { online: true, problem: None });
    chat.sees("-- connected again");
    driver.tell(Event::Alarm { text: "the server rolled back".to_owned() });
    chat.sees("\u{7}ALARM: the server rolled back");
    driver.receive("friends", "carol@localhost", "psst");
    chat.sees("carol in friends: psst   (/open #friends)");
    chat.types("/accept carol\r");
    chat.sees("-- accepted carol");
    let done = driver.until("accepting", |state| state.done.last().cloned());
    assert!(matches!(done, Command::Accept { who } if who == "carol"));
    chat.types("\u{4}");
    chat.ends();
}

#[test]
fn a_chat_outlives_the_process_that_drives_the_home() {
    let home = Home::taken();
    let driver = Driver::start(&home, with_messages(&["first"]));
    let mut chat = chat(&home, &["chat", "bob"]);
    chat.sees("bob: first");
    chat.sees("bob> ");
    driver.until("marking", |state| (state.shown == 1).then_some(()));
    driver.end();
    let next = Driver::start(&home, State { shown: 1, ..with_messages(&["first", "while away"]) });
    chat.sees("bob: while away");
    chat.types("still here\r");
    assert_eq!(next.until("sending", |state| state.sent.first().cloned()).1, "still here");
    chat.types("/quit\r");
    chat.ends();
}

#[test]
fn the_list_is_numbered_and_rings() {
    let home = Home::taken();
    let driver = Driver::start(&home, with_messages(&["hello"]));
    let mut chat = chat(&home, &[]);
    chat.sees("1  bob");
    chat.sees("> ");
    driver.receive(BOB, BOB, "ding");
    chat.sees("\u{7}-- 2026-01-02 03:04 bob: ding   (/open bob)");
    chat.types("nobody hears this\r");
    chat.sees("-- to whom?");
    chat.types("/open 1\r");
    chat.sees("bob: ding");
    chat.sees("bob> ");
    chat.types("\u{3}");
    chat.ends();
    assert!(driver.change(|state| state.sent.is_empty()));
}

#[test]
fn a_chat_without_a_terminal_is_lines_in_and_lines_out() {
    let home = Home::taken();
    let driver = Driver::start(&home, with_messages(&["hello"]));
    let output = home.run(&["chat", "bob"], "hi\n/nonsense\n/quit\n");
    assert_eq!(code(&output), 0);
    let lines = text(&output.stdout);
    assert!(lines.starts_with("2026-01-02 03:04 #id-1 bob: hello\n"), "{lines}");
    assert!(lines.contains("-- /nonsense is no command"), "{lines}");
    assert!(!lines.contains('\u{1b}'), "{lines}");
    assert_eq!(driver.change(|state| state.sent.clone()), [(format!("conversation-{BOB}"), "hi".to_owned())]);
}

// ---- the rest

#[test]
fn simple_commands_ask_and_print() {
    let home = Home::taken();
    let driver = Driver::start(&home, with_messages(&["hello"]));
    let output = home.run(&["whoami"], "");
    assert_eq!(
        text(&output.stdout),
        "account      alice@localhost\naccount key  aaaa bbbb\ndevice       device\nserver       localhost:7000\n"
    );
    let output = home.run(&["conversations", "--json"], "");
    let line: serde_json::Value = serde_json::from_str(text(&output.stdout).trim()).unwrap();
    assert_eq!((&line["title"], &line["kind"]), (&BOB.into(), &"direct".into()));
    assert_eq!(text(&home.run(&["history", "bob", "-n", "1"], "").stdout), "2026-01-02 03:04 bob: hello\n");
    assert_eq!(code(&home.run(&["group", "create", "friends", "bob", "carol"], "")), 0);
    assert_eq!(code(&home.run(&["password", "change"], "old\nnew\n")), 0);
    let done = driver.change(|state| std::mem::take(&mut state.done));
    assert!(matches!(&done[0], Command::GroupCreate { name, members, .. } if name == "friends" && members.len() == 2));
    assert!(matches!(&done[1], Command::PasswordChange { old, new } if old.0 == "old" && new.0 == "new"));
}

#[test]
fn what_is_wrong_is_told_with_what_to_do_next() {
    let empty = tempfile::tempdir().unwrap();
    let output = run(program(empty.path(), &["whoami"]), "");
    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).contains("register NAME"), "{output:?}");
    let output = run(program(empty.path(), &[]), "");
    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).contains("throw-away"), "{output:?}");
    let output = run(program(empty.path(), &["register", "alice"]), "secret\n");
    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).contains("--server"), "{output:?}");
    let output = run(program(empty.path(), &["--server", "localhost", "register", "alice"]), "");
    assert_eq!(code(&output), 65);
    assert!(text(&output.stderr).contains("there is no password"), "{output:?}");
    let missing = ["--password-file", "/nonexistent", "--server", "localhost", "login", "alice", "--json"];
    let output = run(program(empty.path(), &missing), "");
    assert_eq!(code(&output), 65);
    let failure: serde_json::Value = serde_json::from_str(text(&output.stderr).trim()).unwrap();
    assert_eq!((&failure["error"], &failure["exit"]), (&"data".into(), &65.into()));

    let home = Home::taken();
    let _driver = Driver::start(&home, State::default());
    let output = home.run(&["--server", "localhost", "register", "carol"], "secret\n");
    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).contains("this home belongs to alice@localhost"), "{output:?}");
    // Nothing secret was written anywhere.
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);
}

#[test]
fn a_question_that_is_interrupted_ends_as_any_command_does() {
    let home = Home::taken();
    let driver = Driver::start(&home, State::default());
    let mut asked = Terminal::open(home.program(&["password", "change"]));
    asked.sees("The password in force: ");
    asked.types("half of i\u{3}");
    let rest = asked.ends_with(75);
    assert!(rest.contains("stopped before it was done") && !rest.contains("no password"), "{rest}");
    assert!(driver.change(|state| state.done.is_empty()));
}

#[test]
fn lines_to_type_name_the_home_that_was_typed() {
    let home = Home::taken();
    let _driver = Driver::start(&home, State::default());
    let named = |from_environment: bool, words: &[&str]| {
        let mut command = home.program(words);
        let dir = command.get_envs().find(|(name, _)| *name == "QPC_HOME").unwrap().1.unwrap().to_owned();
        if !from_environment {
            command.env_remove("QPC_HOME").arg("--home").arg(&dir);
        }
        (text(&run(command, "").stderr), dir.into_string().unwrap())
    };
    let (said, dir) = named(false, &["conversations"]);
    assert!(said.contains(&format!("qpc-client --home {dir} chat NAME")), "{said}");
    let (said, _) = named(true, &["conversations"]);
    assert!(said.contains("or qpc-client chat NAME"), "{said}");
}

#[test]
fn an_output_that_nobody_reads_ends_the_program_and_marks_nothing() {
    let home = Home::taken();
    let driver = Driver::start(&home, with_messages(&["one", "two"]));
    let mut child = home
        .program(&["listen", "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(driver.change(|state| state.shown), 0);
}

#[test]
fn own_messages_of_another_program_are_shown() {
    let home = Home::taken();
    let driver = Driver::start(&home, with_messages(&["hello"]));
    let mut chat = chat(&home, &["chat", "bob"]);
    chat.sees("bob> ");
    assert_eq!(code(&home.run(&["send", "bob", "from elsewhere"], "")), 0);
    chat.sees("you: from elsewhere");
    chat.types("/quit\r");
    chat.ends();
    assert_eq!(driver.change(|state| state.messages.last().cloned()).unwrap().sender, ALICE);
}

#[test]
fn a_person_is_told_what_was_done_and_a_script_is_not() {
    let home = Home::taken();
    let driver = Driver::start(&home, with_messages(&[]));
    let words: [(&[&str], &str); 11] = [
        (&["contacts", "accept", "bob@localhost"], "accepted bob: you can write to each other"),
        (&["contacts", "decline", "bob"], "declined bob; they are not told"),
        (&["contacts", "block", "bob"], "blocked bob; they are not told"),
        (&["contacts", "unblock", "bob"], "unblocked bob"),
        (&["group", "create", "friends", "bob", "carol"], "made the group friends with bob, carol"),
        (&["group", "add", "friends", "dave"], "added dave to friends"),
        (&["group", "remove", "friends", "dave"], "removed dave from friends"),
        (&["group", "role", "friends", "bob", "owner"], "made bob owner in friends"),
        (&["group", "leave", "friends"], "left friends"),
        (&["devices", "revoke", "0198"], "revoked the device 0198: it is cut off"),
        (&["listen"], "no new messages"),
    ];
    for (command, told) in words {
        let terminal = Terminal::open(home.program(command));
        assert_eq!(terminal.ends().trim_end(), told, "{command:?}");
        let output = home.run(command, "");
        assert_eq!((code(&output), text(&output.stdout), text(&output.stderr)), (0, String::new(), String::new()));
    }
    let mut terminal = Terminal::open(home.program(&["password", "change"]));
    for _ in ["old", "new", "the new one again"] {
        terminal.sees(": ");
        terminal.types("secret\r");
    }
    assert!(terminal.ends().contains("the password is changed"));
    let terminal = Terminal::open(home.program(&["send", "bob", "hello"]));
    assert!(terminal.ends().contains("sent to bob: the server has stored it\r\n"));
    // In JSON the answer is an object, wherever it goes.
    driver.change(|state| state.done.clear());
    let json = Terminal::open(home.program(&["group", "leave", "friends", "--json"]));
    assert!(json.ends().contains("\"result\":\"done\""));
}
