//! What people see, kept as plain text.

use super::*;

fn render() -> Render {
    Render { clock: Clock::fixed("2026-11-20T15:00:00Z"), paint: Paint(false), home: "@localhost".to_owned() }
}

fn message(sender: &str, title: &str, body: &str) -> Message {
    Message {
        conversation: "0199e1e0-0000-7000-8000-000000000001@localhost".to_owned(),
        title: title.to_owned(),
        seq: 3,
        id: "0199e1e0-0000-7000-8000-000000000002".to_owned(),
        sender: sender.to_owned(),
        own: sender == "alice@localhost",
        time: "2026-11-20T09:05:00Z".to_owned(),
        kind: "text".to_owned(),
        body: body.to_owned(),
        local: 7,
    }
}

#[test]
fn messages_say_when_who_where_and_what() {
    let r = render();
    let bob = "bob@localhost";
    assert_eq!(r.message(&message(bob, bob, "hi")), "09:05 bob: hi");
    assert_eq!(r.message_anywhere(&message(bob, bob, "hi")), "09:05 bob: hi");
    assert_eq!(r.message_anywhere(&message(bob, "friends", "hi")), "09:05 bob in friends: hi");
    assert_eq!(r.message_anywhere(&message("alice@localhost", bob, "hi")), "09:05 you to bob: hi");
    assert_eq!(r.message(&message("eve@evil.example", bob, "hi")), "09:05 eve@evil.example: hi");
    let edit = Message { kind: "edit".to_owned(), ..message(bob, bob, "ho") };
    assert_eq!(r.message(&edit), "09:05 bob [edit]: ho");
    let notice = Message { kind: "notice".to_owned(), ..message(bob, "friends", "carol joined") };
    assert_eq!(r.message_anywhere(&notice), "09:05 in friends * carol joined");
}

#[test]
fn a_message_can_not_forge_another_or_move_the_cursor() {
    let hostile = message("bob@localhost", "x\n09:05 carol", "one\n09:06 carol: pay him\u{1b}[1A\u{202e}");
    assert_eq!(
        render().message_anywhere(&hostile),
        "09:05 bob in x␊09:05 carol: one\n      09:06 carol: pay him␛[1A<U+202E>"
    );
}

#[test]
fn the_list_of_conversations() {
    let conversation = |title: &str, kind, unread, last, request, active| Conversation {
        conversation: String::new(),
        title: title.to_owned(),
        kind,
        members: vec!["alice@localhost".to_owned(), "bob@localhost".to_owned()],
        unread,
        last,
        request,
        active,
    };
    let (direct, group) = (ConversationKind::Direct, ConversationKind::Group);
    let bob = message("bob@localhost", "bob@localhost", "a long message that goes on\nand on and on");
    let lines = render().conversations(&[
        conversation("bob@localhost", direct, 2, Some(bob), false, true),
        conversation("bob@localhost", group, 0, None, false, true),
        conversation("eve@evil.example", direct, 1, None, true, true),
        conversation("old", group, 0, None, false, false),
    ]);
    assert_eq!(
        lines,
        [
            "   WITH              UNREAD  LAST                                            MEMBERS",
            "1  bob               2       09:05 bob: a long message that goes on␊and on…  alice, bob",
            "2  #bob@localhost                                                            alice, bob",
            "3  eve@evil.example  1       wants to talk to you: accept, decline or block  alice, bob",
            "4  #old                      (you are not in it any more)                    alice, bob",
        ]
    );
}

#[test]
fn the_status() {
    let status = Status {
        whoami: Whoami {
            address: "alice@localhost".to_owned(),
            device: "0199".to_owned(),
            account_key: "aaaa bbbb".to_owned(),
            server: "localhost:7000".to_owned(),
        },
        online: false,
        problem: Some("no answer\nsent 3 packets".to_owned()),
        key_exchange: None,
        fingerprint: Some("sha256:ab".to_owned()),
        outbox: 1,
        alarms: vec!["the server rolled back a conversation".to_owned()],
    };
    assert_eq!(
        render().outcome(&Outcome::Status(status)),
        [
            "account      alice@localhost",
            "account key  aaaa bbbb",
            "device       0199",
            "server       localhost:7000",
            "connection   offline: no answer\n             sent 3 packets",
            "certificate  sha256:ab",
            "outbox       1 message waits",
            "ALARM: the server rolled back a conversation",
            "done with an alarm? qpc-client alarms list, then: alarms acknowledge NUMBER",
        ]
    );
}

#[test]
fn alarms_have_numbers_and_what_is_known_is_not_loud() {
    let alarm = |number, acknowledged: Option<&str>| Alarm {
        number,
        raised: "2026-11-20T09:05:00Z".to_owned(),
        acknowledged: acknowledged.map(str::to_owned),
        text: "rolled back\u{1b}[2J".to_owned(),
    };
    let alarms = vec![alarm(3, Some("2026-11-20T10:05:00Z")), alarm(4, None)];
    assert_eq!(
        render().outcome(&Outcome::Alarms { alarms }),
        ["3  09:05  acknowledged 10:05: rolled back␛[2J", "4  09:05  ALARM: rolled back␛[2J"]
    );
}

#[test]
fn people_and_devices() {
    let contact = |address: &str, state: &str, key_changed| Contact {
        address: address.to_owned(),
        state: state.to_owned(),
        account_key: None,
        key_changed,
    };
    let contacts = vec![contact("bob@localhost", "accepted", true), contact("eve@x.example", "pending", false)];
    assert_eq!(
        render().outcome(&Outcome::Contacts { contacts }),
        [
            "WHO            STATE                ACCOUNT KEY",
            "bob            accepted             not known yet",
            "eve@x.example  asks to talk to you  not known yet",
            "ALARM: the account key of bob changed. Compare the new one with them, then: qpc-client contacts trust bob",
        ]
    );
    let members =
        vec![Member { address: "bob@localhost".to_owned(), role: "owner".to_owned(), devices: 1, disputed: true }];
    assert_eq!(
        render().outcome(&Outcome::Members { members }),
        ["WHO  ROLE   DEVICES", "bob  owner  1", "ALARM: the group and the server disagree on whether bob is a member",]
    );
    let device = Device {
        device: "0199".to_owned(),
        name: "laptop".to_owned(),
        enrolled: "2026-11-20T09:05:00Z".to_owned(),
        last_seen: "2026-11-20".to_owned(),
        current: true,
    };
    assert_eq!(
        render().outcome(&Outcome::Devices { devices: vec![device] }),
        ["DEVICE  NAME    ENROLLED  LAST SEEN", "0199    laptop  09:05     2026-11-20  this one"]
    );
}

#[test]
fn what_waits_says_for_what() {
    let waiting =
        Waiting { to: "bob@localhost".to_owned(), messages: 2, reason: "bob has not accepted yet".to_owned() };
    assert_eq!(render().waiting(&waiting), "2 messages to bob wait: bob has not accepted yet");
}
