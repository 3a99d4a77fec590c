//! What people do with messages that were said: with real clients, several devices, and a server in between that knows
//! nothing of it.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use qpc_client::api::{Command, CommandError, Details, Event, Message, Outcome, Place, Role};

use crate::{
    net::{Net, Person, new_group},
    people::Town,
};

const CREW: &str = "crew";

fn of(to: &str, message: &str) -> (String, String) {
    (to.to_owned(), message.to_owned())
}

fn edit(to: &str, message: &str, text: &str) -> Command {
    let (to, message) = of(to, message);
    Command::Edit { to, message, text: text.into() }
}

fn delete(to: &str, message: &str) -> Command {
    let (to, message) = of(to, message);
    Command::Delete { to, message }
}

fn react(to: &str, message: &str, emoji: &str, removed: bool) -> Command {
    let (to, message) = of(to, message);
    Command::React { to, message, emoji: emoji.into(), removed }
}

fn reply(to: &str, message: &str, text: &str) -> Command {
    let (to, message) = of(to, message);
    Command::Reply { to, message, text: text.into() }
}

fn pin(to: &str, message: &str, removed: bool) -> Command {
    let (to, message) = of(to, message);
    Command::Pin { to, message, removed }
}

fn forward(from: &str, message: &str, to: &str) -> Command {
    let (from, message) = of(from, message);
    Command::Forward { from, message, to: to.into() }
}

fn vote(to: &str, message: &str, choices: &[u32]) -> Command {
    let (to, message) = of(to, message);
    Command::Vote { to, message, choices: choices.to_vec() }
}

/// What was said; nothing where a device does not know the conversation yet.
fn history(who: &Person, with: &str) -> Vec<Message> {
    match who.attempt(Command::History { to: with.into(), limit: 1_000, before: None }) {
        Ok(Outcome::Messages { messages }) => messages,
        _ => Vec::new(),
    }
}

/// The last of these words in a conversation.
fn said(who: &Person, with: &str, body: &str) -> Option<Message> {
    history(who, with).into_iter().rev().find(|message| message.body == body)
}

fn pins(who: &Person, with: &str) -> Vec<String> {
    match who.do_it(Command::Pins { to: with.into() }) {
        Outcome::Messages { messages } => messages.into_iter().map(|message| message.body).collect(),
        other => panic!("{other:?}"),
    }
}

fn refused(who: &Person, command: Command) -> String {
    match who.attempt(command) {
        Err(CommandError::Usage { message } | CommandError::Denied { message }) => message,
        other => panic!("{other:?}"),
    }
}

/// What all see alike, in the order of the log.
fn shared(who: &Person, with: &str) -> Vec<(String, String, String, Details)> {
    let shared = history(who, with).into_iter().filter(|message| message.kind != "notice");
    shared
        .map(|mut message| {
            message.details.mentioned = false;
            // Each home knows what it has heard of the others.
            (message.details.delivered_to, message.details.read_by) = (0, 0);
            message.details.reactions.iter_mut().for_each(|one| one.own = false);
            message.details.reply_to.iter_mut().for_each(|quote| quote.own = false);
            message.details.poll.iter_mut().flat_map(|poll| &mut poll.options).for_each(|option| option.own = false);
            (message.id, message.kind, message.body, *message.details)
        })
        .collect()
}

fn agree(what: &str, one: &Person, (with, other): (&str, &Person), as_called: &str) {
    let wanted = shared(one, with);
    other.until(what, |other| shared(other, as_called) == wanted);
}

#[test]
fn two_people_and_three_devices_see_the_same() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let desk = net.device("alice", "desk");
    desk.until("in the conversation", |desk| desk.conversations().iter().any(|one| one.title == "bob@localhost"));
    alice.send(["one", "two"]);
    bob.expects(["one", "two"]);
    let first = said(&bob, "alice", "one").unwrap().id;
    let end: String = first.chars().skip(first.len() - 4).collect();
    bob.do_it(reply("alice", &end, "to the first"));
    bob.do_it(react("alice", "last", "👍", false));
    alice.until("the answer", |alice| said(alice, "bob", "to the first").is_some());
    let answer = said(&alice, "bob", "to the first").unwrap();
    let quote = answer.details.reply_to.unwrap();
    assert_eq!((quote.id, quote.body.as_deref(), quote.own), (first.clone(), Some("one"), true));

    // A quote follows its message, and what one does is seen at once.
    alice.do_it(edit("bob", &first, "the first"));
    let now = said(&alice, "bob", "the first").unwrap();
    assert!(now.details.edited.is_some());
    bob.until("the edit", |bob| said(bob, "alice", "the first").is_some());
    let quoted = |who: &Person, with: &str| said(who, with, "to the first").unwrap().details.reply_to.unwrap().body;
    bob.until("the quote", |bob| quoted(bob, "alice").as_deref() == Some("the first"));

    // The other device's changes are the account's own.
    desk.until("both are there", |desk| said(desk, "bob", "two").is_some() && said(desk, "bob", "the first").is_some());
    desk.do_it(edit("bob", "mine", "the second"));
    alice.until("edited elsewhere", |alice| said(alice, "bob", "the second").is_some());
    alice.do_it(react("bob", "mine", "🎉", false));
    desk.until("the reaction", |desk| said(desk, "bob", "the second").unwrap().details.reactions.len() == 1);
    desk.do_it(react("bob", "mine", "🎉", true));
    alice.until("taken back", |alice| said(alice, "bob", "the second").unwrap().details.reactions.is_empty());
    let from_bob = said(&alice, "bob", "to the first").unwrap();
    alice.do_it(react("bob", &from_bob.id, "👍", false));
    bob.until("two thumbs", |bob| {
        let mine = said(bob, "alice", "to the first").unwrap().details;
        mine.reactions.iter().any(|one| (one.emoji.as_str(), one.count, one.own) == ("👍", 2, true))
    });

    alice.do_it(delete("bob", &first));
    bob.until("deleted", |bob| said(bob, "alice", "(deleted)").is_some());
    assert_eq!(quoted(&bob, "alice").as_deref(), Some("(deleted)"));
    let gone = said(&bob, "alice", "(deleted)").unwrap();
    assert_eq!((gone.kind.as_str(), gone.details.deleted_by.as_deref()), ("deleted", Some("alice@localhost")));
    alice.do_it(Command::Flush);
    agree("the same", &alice, ("bob", &desk), "bob");
    agree("the same", &alice, ("bob", &bob), "alice");

    // A device that comes later is told what became of all that.
    let late = net.device("alice", "late");
    late.until("history", |late| {
        said(late, "bob", "to the first").is_some() && said(late, "bob", "(deleted)").is_some()
    });
    agree("the same on a new device", &alice, ("bob", &late), "bob");
}

#[test]
fn what_is_not_ones_own_is_left_alone() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.send(["mine"]);
    bob.expects(["mine"]);
    for (command, why) in [
        (edit("alice", "last", "forged"), "only who sent a message can edit it in alice"),
        (delete("alice", "last"), "only who sent a message can delete it"),
        (edit("alice", "mine", "hello"), "nothing of yours has been said in alice"),
        (react("alice", "last", "ok", false), "is no emoji"),
        (react("alice", "last", "\u{1b}[2J", false), "is no emoji"),
        (reply("alice", "beef", "to nothing"), "there is no message beef in alice"),
        (reply("alice", "x", "to nothing"), "is no message"),
        (vote("alice", "last", &[1]), "is no poll"),
    ] {
        let told = refused(&bob, command);
        assert!(told.contains(why), "{told}");
    }
    assert_eq!(*said(&bob, "alice", "mine").unwrap().details, Details::default());
    assert!(refused(&alice, edit("bob", "mine", " ")).contains("without words"));
}

#[test]
fn what_has_not_left_is_taken_out_and_nobody_has_seen_it() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    net.stop_server();
    alice.send(["a secret", "the rest"]);
    let secret = said(&alice, "bob", "a secret").unwrap().id;
    alice.do_it(edit("bob", &secret, "still a secret"));
    alice.do_it(react("bob", &secret, "🤫", false));
    assert_eq!(said(&alice, "bob", "still a secret").unwrap().details.reactions.len(), 1);
    let told = alice.do_it(delete("bob", &secret));
    assert!(matches!(&told, Outcome::Done { note: Some(note) } if note.contains("nobody has seen it")), "{told:?}");
    assert_eq!(alice.history("bob").iter().find(|one| one.id == secret).unwrap().body, "(deleted)");
    net.start_server();
    bob.expects(["the rest"]);
    assert!(bob.history("alice").iter().all(|one| one.id != secret));
}

#[test]
fn in_a_group_owners_and_admins_delete_and_pin_and_people_are_named() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let carol = net.person("carol");
    net.acquaint(&alice, &carol);
    alice.do_it(new_group(CREW, ["bob", "carol"]));
    for one in [&bob, &carol] {
        one.until("in the group", |one| one.conversations().iter().any(|known| known.title == CREW));
    }
    bob.write(CREW, ["hello @Carol and @dave"]);
    carol.until("named", |carol| said(carol, CREW, "hello @Carol and @dave").is_some());
    let named = said(&carol, CREW, "hello @Carol and @dave").unwrap().details;
    assert!(named.mentioned);
    let places: Vec<_> = named.mentions.iter().map(|one| (one.address.as_str(), one.start, one.length)).collect();
    assert_eq!(places, [("carol@localhost", 6, 6)]);
    alice.until("the same", |alice| said(alice, CREW, "hello @Carol and @dave").is_some());
    assert!(!said(&alice, CREW, "hello @Carol and @dave").unwrap().details.mentioned);

    for command in [delete(CREW, "last"), pin(CREW, "last", false)] {
        let told = refused(&carol, command);
        assert!(told.contains("owners and admins") && told.contains(CREW), "{told}");
    }
    alice.do_it(Command::GroupRole { group: CREW.into(), member: "carol".into(), role: Role::Admin });
    carol.until("an admin", |carol| carol.history(CREW).iter().any(|one| one.body.contains("made carol")));
    carol.do_it(pin(CREW, "last", false));
    bob.until("pinned", |bob| pins(bob, CREW) == ["hello @Carol and @dave"]);
    carol.do_it(delete(CREW, "last"));
    for one in [&alice, &bob, &carol] {
        one.until("deleted", |one| pins(one, CREW).is_empty() && said(one, CREW, "(deleted)").is_some());
        assert_eq!(said(one, CREW, "(deleted)").unwrap().details.deleted_by.as_deref(), Some("carol@localhost"));
    }
}

#[test]
fn a_poll_counts_the_last_vote_of_each() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let poll = |options: &[&str]| Command::Poll {
        to: "bob".into(),
        question: "tea?".into(),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        several: false,
    };
    assert!(refused(&alice, poll(&["yes"])).contains("2 to 20"));
    alice.do_it(poll(&["yes", "no"]));
    bob.expects(["tea?"]);
    bob.do_it(vote("alice", "last", &[1]));
    bob.do_it(vote("alice", "last", &[2]));
    alice.do_it(vote("bob", "last", &[2]));
    let count = |who: &Person, with: &str| {
        let poll = said(who, with, "tea?").unwrap().details.poll.unwrap();
        (poll.voters, poll.options.iter().map(|option| option.votes).collect::<Vec<_>>(), poll.closed)
    };
    for (who, with) in [(&alice, "bob"), (&bob, "alice")] {
        who.until("two votes", |who| count(who, with) == (2, vec![0, 2], false));
    }
    for (wrong, why) in [(&[3][..], "numbered from 1 to 2"), (&[1, 2], "one answer")] {
        let told = refused(&bob, vote("alice", "last", wrong));
        assert!(told.contains(why), "{told}");
    }
    let close = |to: &str| Command::ClosePoll { to: to.into(), message: "last".into() };
    assert!(refused(&bob, close("alice")).contains("only who asked"));
    alice.do_it(close("bob"));
    bob.until("closed", |bob| count(bob, "alice").2);
    assert!(refused(&bob, vote("alice", "last", &[1])).contains("closed"));
    assert!(refused(&alice, edit("bob", "last", "coffee?")).contains("can't be edited"));
    let late = net.device("alice", "late");
    late.until("told of the poll", |late| said(late, "bob", "tea?").is_some());
    agree("the same votes", &alice, ("bob", &late), "bob");
}

#[test]
fn a_text_and_a_file_are_forwarded_and_who_said_it_is_not_told() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let carol = net.person("carol");
    net.acquaint(&bob, &carol);
    alice.send(["a word for @bob"]);
    bob.expects(["a word for @bob"]);
    bob.do_it(forward("alice", "last", "carol"));
    carol.expects(["a word for @bob"]);
    let there = said(&carol, "bob", "a word for @bob").unwrap();
    assert_eq!(there.sender, "bob@localhost");
    assert_eq!(*there.details, Details { forwarded: true, ..Details::default() }, "nobody is called again");

    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("plan.txt");
    let bytes: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(&source, &bytes).unwrap();
    let path = source.to_str().unwrap().to_owned();
    alice.do_it(Command::FileSend { to: "bob".into(), path, caption: "the plan".into() });
    bob.until("the file", |bob| bob.history("alice").iter().any(|one| one.file.is_some()));
    alice.do_it(edit("bob", "mine", "the only plan"));
    bob.until("the caption", |bob| bob.history("alice").iter().any(|one| one.body.ends_with("the only plan")));
    bob.do_it(forward("alice", "last", "carol"));
    carol.until("the file", |carol| carol.history("bob").iter().any(|one| one.file.is_some() && one.details.forwarded));
    let copy = carol.history("bob").pop().unwrap();
    assert_eq!(copy.file.as_ref().unwrap().name, "plan.txt");
    let place = Place::Directory(dir.path().join("carol").to_str().unwrap().into());
    fs::create_dir(dir.path().join("carol")).unwrap();
    carol.do_it(Command::FileGet { id: copy.id, place });
    assert_eq!(fs::read(dir.path().join("carol/plan.txt")).unwrap(), bytes);

    // What is deleted can't be fetched any more.
    let first = bob.history("alice").pop().unwrap();
    alice.do_it(delete("bob", "mine"));
    bob.until("deleted", |bob| said(bob, "alice", "(deleted)").is_some());
    let place = Place::Directory(dir.path().to_str().unwrap().into());
    assert!(refused(&bob, Command::FileGet { id: first.id, place }).contains("there is no file"));
}

#[test]
fn a_change_that_is_told_is_the_message_as_it_is_now() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    alice.send(["one"]);
    bob.expects(["one"]);
    alice.do_it(edit("bob", "mine", "two"));
    let seen = bob.sees("change", |event| matches!(event, Event::Changed(_)));
    let Event::Changed(now) = seen else { panic!("{seen:?}") };
    assert_eq!((now.body.as_str(), now.own, now.kind.as_str()), ("two", false, "text"));
    // It is no news that nobody has been shown.
    bob.expects_nothing();
    // A program beside the one that drives the home hears the same.
    let line = serde_json::to_string(&Event::Changed(now.clone())).unwrap();
    assert!(line.starts_with("{\"event\":\"changed\""), "{line}");
    assert!(matches!(serde_json::from_str(&line).unwrap(), Event::Changed(read) if read == now));
}

/// The objects that a command prints.
fn objects(printed: &str) -> Vec<serde_json::Value> {
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_programs_do_all_of_it_and_say_it_in_json() {
    let town = Town::found();
    let (alice, bob) = town.friends();
    alice.does(&["send", "bob", "tea at \u{1b}[2Jfive, @bob?"]);
    bob.does(&["listen"]);
    bob.does(&["react", "alice", "last", "👍"]);
    bob.does(&["send", "alice", "make it six", "--reply-to", "last"]);
    bob.does(&["edit", "alice", "mine", "make it seven"]);
    alice.does(&["listen"]);
    let with_ids = alice.does(&["history", "bob", "--ids"]);
    let line = with_ids.lines().find(|line| line.contains("tea at")).unwrap();
    assert!(line.contains("tea at ␛[2Jfive") && !with_ids.contains('\u{1b}'), "{with_ids}");
    assert!(with_ids.contains("> you: tea at ␛[2Jfive, @bob?\n      make it seven (edited)"), "{with_ids}");
    let name = line.split(' ').find_map(|word| word.strip_prefix('#')).unwrap();
    alice.does(&["edit", "bob", name, "tea at six?"]);
    let (code, _, stderr) = alice.tries(&["edit", "bob", "last", "mine now"]);
    assert!(code == 77 && stderr.contains("only who sent a message can edit it in bob"), "{code} {stderr}");
    let (code, _, stderr) = alice.tries(&["delete", "bob", "0000"]);
    assert!(code == 2 && stderr.contains("history --ids"), "{code} {stderr}");
    alice.does(&["pin", "bob", name]);
    assert!(alice.does(&["pins", "bob"]).contains("tea at six? (edited) (pinned)"));
    alice.does(&["unpin", "bob", name]);
    alice.does(&["poll", "bob", "when?", "six", "seven"]);
    bob.does(&["listen"]);
    bob.does(&["vote", "alice", "last", "2"]);
    alice.does(&["listen"]);
    let shown = alice.does(&["history", "bob"]);
    assert!(
        shown.contains("[poll]: when?\n      1. six: 0\n      2. seven: 1\n      1 has voted; one can be chosen"),
        "{shown}"
    );
    alice.does(&["vote", "bob", "last", "--close"]);
    alice.does(&["forward", "bob", name, "alice"]);
    assert!(alice.does(&["history", "alice"]).contains("you: (forwarded) tea at six?"));
    let file = town.path("plan.txt");
    fs::write(&file, "the plan").unwrap();
    alice.does(&["file", "send", "bob", file.to_str().unwrap()]);
    alice.does(&["forward", "bob", "last", "alice"]);
    let forwarded = objects(&alice.does(&["history", "alice", "--json"])).pop().unwrap();
    assert_eq!((&forwarded["file"]["name"], &forwarded["forwarded"]), (&"plan.txt".into(), &true.into()));
    alice.does(&["delete", "bob", "mine"]);

    bob.does(&["listen"]);
    let known = objects(&bob.does(&["history", "alice", "--json"]));
    let of = |body: &str| known.iter().find(|one| one["body"] == body).unwrap_or_else(|| panic!("{known:?}"));
    let asked = of("tea at six?");
    assert!(asked["edited"].is_string() && asked["mentions"].is_null() && asked["pinned"].is_null(), "{asked}");
    assert_eq!(asked["reactions"], serde_json::json!([{"emoji": "👍", "count": 1, "own": true}]));
    let answer = of("make it seven");
    assert_eq!((&answer["reply_to"]["body"], &answer["reply_to"]["id"]), (&"tea at six?".into(), &asked["id"]));
    let poll = &of("when?")["poll"];
    assert_eq!((&poll["closed"], &poll["options"][1]["votes"]), (&true.into(), &1.into()));
    assert_eq!(
        (&of("(deleted)")["kind"], &of("(deleted)")["deleted_by"]),
        (&"deleted".into(), &"alice@localhost".into())
    );
    // A program that wants to know is told of changes.
    let mut listen = bob.command(&["listen", "--follow", "--changes", "--json"]);
    let mut told = listen.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut heard = BufReader::new(told.stdout.take().unwrap()).lines();
    alice.does(&["send", "bob", "a last word"]);
    alice.does(&["edit", "bob", "mine", "the last word"]);
    alice.does(&["send", "bob", "bye"]);
    let mut next = || objects(&heard.next().unwrap().unwrap()).remove(0);
    let (said, changed, bye) = (next(), next(), next());
    assert_eq!((&changed["event"], &changed["body"]), (&"changed".into(), &"the last word".into()));
    assert!(said["event"].is_null() && said["id"] == changed["id"] && bye["body"] == "bye", "{said} {bye}");
    told.kill().unwrap();
    told.wait().unwrap();
    for word in ["edit", "delete", "react", "forward", "pin", "unpin", "pins", "poll", "vote"] {
        let help = alice.does(&[word, "-h"]);
        assert!(help.contains("Example: qpc-client ") && help.lines().count() <= 40, "{help}");
    }
}

#[test]
fn people_do_it_in_a_chat() {
    let town = Town::found();
    let (alice, bob) = town.friends();
    let (mut at_alice, mut at_bob) = (alice.chats(&["chat", "bob"]), bob.chats(&["chat", "alice"]));
    at_alice.sees("bob> ");
    at_bob.sees("alice> ");
    at_alice.types("tea?\r");
    at_bob.sees("alice: tea?");
    at_bob.types("/reply last yes\r");
    at_alice.sees("> you: tea?");
    at_bob.types("/react last 👍\r");
    at_bob.types("/edit mine yes please\r");
    at_alice.sees("yes please");
    at_alice.types("/poll when? | six | seven\r");
    at_bob.sees("2. seven: 0");
    at_bob.types("/vote last 2\r");
    at_alice.sees("2. seven: 1");
    at_alice.types("/delete mine\r");
    at_bob.sees("(deleted)");
    at_bob.types("/pin x\r");
    at_bob.sees("is no message");
    for mut chat in [at_alice, at_bob] {
        chat.types("/quit\r");
        chat.ends();
    }
}
