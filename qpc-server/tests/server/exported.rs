//! What a home holds, written out and taken in again by the built program.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    inside,
    people::{Somebody, Town},
};

/// SQLCipher's pages, in bytes.
const PAGE: usize = 4096;

fn lines(directory: &Path) -> Vec<Value> {
    let text = fs::read_to_string(directory.join("messages.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The messages as anybody would export them, whose home it may be.
fn messages(directory: &Path) -> Vec<Value> {
    let all = lines(directory).into_iter().filter(|line| line["what"] == "message");
    all.map(|mut line| {
        line.as_object_mut().unwrap().remove("own");
        if line["file"].is_object() {
            line["file"].as_object_mut().unwrap().remove("saved");
        }
        line
    })
    .collect()
}

fn exported(who: &Somebody<'_>, directory: &Path, more: &[&str]) -> (i32, String, String) {
    let mut arguments = vec!["export", directory.to_str().unwrap()];
    arguments.extend(more);
    who.tries(&arguments)
}

fn imported(who: &Somebody<'_>, directory: &Path) -> Value {
    serde_json::from_str(&who.does(&["--json", "import", directory.to_str().unwrap()])).unwrap()
}

/// Two people who have said all kinds of things, to each other and in a group.
fn a_life(town: &Town) -> (Somebody<'_>, Somebody<'_>) {
    let (alice, bob) = town.friends();
    bob.does(&["send", "alice", "<script>alert(1)</script> & \u{202e}more"]);
    alice.does(&["listen"]);
    alice.does(&["send", "bob", "an answer", "--reply-to", "last"]);
    alice.does(&["react", "bob", "last", "👍"]);
    alice.does(&["edit", "bob", "mine", "a better answer, @bob"]);
    let picture = town.path("a b#1.png");
    fs::write(&picture, "not quite a picture").unwrap();
    alice.does(&["file", "send", "bob", picture.to_str().unwrap(), "--caption", "a picture"]);
    alice.does(&["group", "create", "friends", "bob"]);
    alice.does(&["poll", "friends", "When?", "Friday", "Saturday"]);
    alice.does(&["pin", "friends", "last"]);
    alice.does(&["send", "friends", "to be deleted"]);
    alice.does(&["delete", "friends", "mine"]);
    bob.does(&["listen"]);
    bob.does(&["vote", "friends", "last", "2"]);
    alice.does(&["listen"]);
    alice.does(&["send", "alice", "a note to self"]);
    (alice, bob)
}

#[test]
fn what_was_exported_is_there_again_in_another_home() {
    let town = Town::found();
    let (alice, bob) = a_life(&town);
    let (first, second) = (town.path("first"), town.path("second"));
    let (code, said, problem) = exported(&alice, &first, &[]);
    assert_eq!((code, problem.as_str()), (0, ""), "{said}");
    assert_eq!(fs::read(first.join("files/a b#1.png")).unwrap(), fs::read(town.path("a b#1.png")).unwrap());
    let end = lines(&first).pop().unwrap();
    assert_eq!(end, serde_json::json!({ "what": "end", "messages": 7, "files": 1, "failed": 0 }));

    // Somebody else reads it.
    let carol = town.newcomer("carol");
    let all = u64::try_from(messages(&first).len()).unwrap();
    assert_eq!(imported(&carol, &first), serde_json::json!({ "imported": all, "not_new": 0, "failed": 0 }));
    assert_eq!(imported(&carol, &first), serde_json::json!({ "imported": 0, "not_new": all, "failed": 0 }));
    let (code, ..) = exported(&carol, &second, &["--no-files"]);
    assert_eq!(code, 0);
    assert_eq!(messages(&second), messages(&first));
    assert!(carol.does(&["history", "friends"]).contains("2. Saturday: 1"));
    // What it holds of a conversation is no conversation of hers.
    carol.does(&["send", "bob", "may I, too?"]);
    assert_eq!(bob.hears(1)[0]["body"], "may I, too?");

    // It goes into the same conversation where that is known, before what was said since.
    fs::remove_dir_all(town.path("alice")).unwrap();
    let again = town.device("alice", "again");
    let mut follower = again.follows();
    bob.does(&["send", "alice", "welcome back"]);
    assert_eq!(follower.hears(1)[0]["body"], "welcome back");
    drop(follower);
    imported(&again, &first);
    let knows: Vec<_> = again.knows("bob").into_iter().map(|(_, words)| words).collect();
    assert_eq!(knows, ["may I?", "<script>alert(1)</script> & \u{202e}more", "a better answer, @bob", "welcome back"]);
}

#[test]
fn a_part_is_exported_where_only_that_is_asked_for_and_nothing_is_overwritten() {
    let town = Town::found();
    let (alice, _bob) = a_life(&town);
    let out = town.path("out");
    let (code, ..) = exported(&alice, &out, &["--of", "friends", "--no-files"]);
    assert_eq!(code, 0);
    let told: Vec<_> = lines(&out).iter().map(|line| line["what"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, ["export", "conversation", "message", "message", "end"]);
    let (code, _, problem) = exported(&alice, &out, &[]);
    assert!(code == 2 && problem.contains("not empty"), "{code} {problem}");
    let (code, _, problem) = exported(&alice, &town.path("other"), &["--of", "nobody"]);
    assert!(code == 2 && problem.contains("nobody"), "{code} {problem}");
    // A page holds no markup but its own.
    let (code, ..) = exported(&alice, &town.path("page"), &["--no-files"]);
    assert_eq!(code, 0);
    let page = fs::read_to_string(town.path("page").join("index.html")).unwrap();
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert(1)"));
}

/// A page of the file without which messages can't be read, neither the first nor the last of them, and everything else can.
fn page_of_messages(home: &Path, scratch: &Path) -> usize {
    let file = fs::read(home.join("client.db")).unwrap();
    fs::create_dir_all(scratch).unwrap();
    fs::copy(home.join("key"), scratch.join("key")).unwrap();
    let read = |page: usize, what: &str| {
        fs::write(scratch.join("client.db"), damaged(&file, page)).unwrap();
        let whole = format!("SELECT max(quote({what}");
        inside::database(scratch).query_one(&whole, [], |_| Ok(())).is_ok()
    };
    let others = [
        "title)) FROM conversation",
        "value)) FROM mls_values",
        "content)) FROM outbox",
        "at_ms)) FROM receipt",
        "body)) FROM message WHERE local < 30",
        "body)) FROM message WHERE local > 270",
    ];
    let wanted =
        |page: &usize| !read(*page, "body)) FROM message NOT INDEXED") && others.iter().all(|what| read(*page, what));
    (1..file.len() / PAGE).find(wanted).expect("a page of messages alone")
}

fn damaged(file: &[u8], page: usize) -> Vec<u8> {
    let mut damaged = file.to_vec();
    damaged[page * PAGE + 100..][..200].fill(0x55);
    damaged
}

#[test]
fn a_damaged_home_is_exported_with_a_list_of_what_could_not_be_read() {
    let town = Town::found();
    let (alice, bob) = town.friends();
    let said = |nr: usize| format!("{nr} and some words that take room in a page of the database");
    alice.says("bob", (0..300).map(said));
    bob.does(&["contacts", "list"]);
    let home = town.path("alice");
    // One row that holds something impossible.
    let database = inside::database(&home);
    let broken = "UPDATE message SET id = x'00' WHERE body LIKE '7 and%'";
    assert_eq!(database.execute(broken, []).unwrap(), 1);
    database.query_one("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(database);
    let out = town.path("one");
    let (code, _, problem) = exported(&alice, &out, &[]);
    assert_eq!(code, 65, "{problem}");
    assert_eq!(messages(&out).len(), 300, "{problem}");
    let failed = fs::read_to_string(out.join("failed.txt")).unwrap();
    assert!(failed.starts_with("bob@localhost: message ") && failed.lines().count() == 1, "{failed}");

    // A page that is not what was written.
    let page = page_of_messages(&home, &town.path("scratch"));
    let file = fs::read(home.join("client.db")).unwrap();
    fs::write(home.join("client.db"), damaged(&file, page)).unwrap();
    let out = town.path("two");
    let (code, _, problem) = exported(&alice, &out, &[]);
    assert_eq!(code, 65, "{problem}");
    let left = messages(&out);
    assert!((200..300).contains(&left.len()), "{} {problem}", left.len());
    // They are on both sides of what is lost, in order.
    let numbers: Vec<u32> =
        left.iter().filter_map(|line| line["body"].as_str()?.split(' ').next()?.parse().ok()).collect();
    assert!(numbers.is_sorted() && numbers.contains(&1) && numbers.contains(&299), "{numbers:?}");
    let page = fs::read_to_string(out.join("index.html")).unwrap();
    assert!(page.contains("Could not be exported") && page.contains("the home&#39;s database"));
    assert_eq!(imported(&bob, &out)["failed"], 0);
}

fn tampered(town: &Town, name: &str, text: &str) -> PathBuf {
    let path = town.path(name);
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn what_is_no_export_is_refused_and_what_is_wrong_in_one_is_told_line_by_line() {
    let town = Town::found();
    let (alice, bob) = town.friends();
    bob.does(&["send", "alice", "one"]);
    alice.does(&["listen"]);
    let out = town.path("out");
    assert_eq!(exported(&alice, &out, &[]).0, 0);
    let carol = town.newcomer("carol");
    let text = fs::read_to_string(out.join("messages.jsonl")).unwrap();
    let import = |path: &Path| carol.tries(&["import", path.to_str().unwrap()]);
    for (name, text, says) in [
        ("empty", "", "no export"),
        ("other", "hello\n", "no export"),
        ("headless", text.split_once('\n').unwrap().1, "no export"),
        ("later", &text.replacen("\"format\":1", "\"format\":2", 1), "form 2"),
    ] {
        let (code, _, problem) = import(&tampered(&town, name, text));
        assert!(code == 65 && problem.contains(says), "{name}: {code} {problem}");
    }
    let (code, _, problem) = import(&town.path("nowhere"));
    assert!(code == 65 && problem.contains("nowhere"), "{code} {problem}");

    let broken = text.replacen("\"sender\":\"bob@localhost\"", "\"sender\":\"bob\"", 1)
        + "{\"what\":\"message\"}\n"
        + &"x".repeat(500_000)
        + "\n\n";
    let (code, said, problem) = import(&tampered(&town, "broken", &broken));
    assert_eq!(code, 65);
    assert!(said.starts_with("1 messages are new here"), "{said}");
    for says in ["3 records could not be taken in", "its sender is no name@domain", "no record", "too long"] {
        assert!(problem.contains(says), "{says}: {problem}");
    }

    let whole = text.lines().count() - 1;
    let cut: String = text.lines().take(whole).map(|line| format!("{line}\n")).collect();
    let (code, said, problem) = import(&tampered(&town, "cut", &cut));
    assert!(code == 0 && said.starts_with("1 messages are new") && problem.contains("cut off"), "{said} {problem}");
}
