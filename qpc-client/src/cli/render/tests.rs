//! What people see, kept as plain text.

use qpc_client::api::{
    Details, LeftOut, Mention, Message, Poll, PollOption, Quote, Reaction, SafetyNumber, Standing, Verification,
};

use super::*;

fn render() -> Render {
    Render { clock: Clock::fixed("2026-11-20T15:00:00Z"), paint: Paint(false), home: "@localhost".to_owned() }
}

fn message(sender: &str, title: &str, body: &str) -> Message {
    Message {
        file: None,
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
        details: Box::default(),
    }
}

fn standing(verification: Verification) -> Standing {
    let verified_at = Some("2026-11-18T09:05:00Z".to_owned());
    match verification {
        Verification::Changed => {
            Standing { verification, verified_at, changed_at: Some("2026-11-20T09:05:00Z".to_owned()) }
        }
        _ => Standing { verification, verified_at, changed_at: None },
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

fn with(details: Details) -> Message {
    Message { details: Box::new(details), ..message("bob@localhost", "bob@localhost", "hello") }
}

fn quote(sender: Option<&str>, body: &str) -> Option<Quote> {
    let (sender, body) = (sender.map(str::to_owned), sender.map(|_| body.to_owned()));
    Some(Quote { id: "x".to_owned(), sender, body, own: false })
}

fn reaction(emoji: &str, count: u64, own: bool) -> Reaction {
    Reaction { emoji: emoji.to_owned(), count, own }
}

#[test]
fn what_became_of_a_message_stands_with_it() {
    let r = render();
    let shown = |details| r.message(&with(details));
    let edited = Some("2026-11-20T09:06:00Z".to_owned());
    assert_eq!(shown(Details { edited, pinned: true, ..Details::default() }), "09:05 bob: hello (edited) (pinned)");
    assert_eq!(shown(Details { forwarded: true, ..Details::default() }), "09:05 bob: (forwarded) hello");
    assert_eq!(shown(Details { mentioned: true, ..Details::default() }), "09:05 bob [@you]: hello");
    let reply_to = quote(Some("carol@localhost"), "shall we?");
    assert_eq!(shown(Details { reply_to, ..Details::default() }), "09:05 bob: > carol: shall we?\n      hello");
    let reply_to = quote(None, "");
    assert_eq!(
        shown(Details { reply_to, ..Details::default() }),
        "09:05 bob: > (a message that is not here)\n      hello"
    );
    let reactions = vec![reaction("👍", 3, true), reaction("🎉", 1, false)];
    assert_eq!(
        shown(Details { reactions, other_reactions: 7, ..Details::default() }),
        "09:05 bob: hello\n      [👍 3]  🎉 1  +7"
    );
    assert_eq!(r.message_named(&with(Details::default())), "09:05 #0002 bob: hello");

    let deleted = |by: &str| {
        let details = Details { deleted_by: Some(by.to_owned()), ..Details::default() };
        r.message(&Message { kind: "deleted".to_owned(), body: "(deleted)".to_owned(), ..with(details) })
    };
    assert_eq!(deleted("bob@localhost"), "09:05 bob: (deleted)");
    assert_eq!(deleted("carol@localhost"), "09:05 bob: (deleted by carol)");
    let edits = Some("x".to_owned());
    let orphan = Message { kind: "edit".to_owned(), ..with(Details { edits, ..Details::default() }) };
    assert_eq!(r.message(&orphan), "09:05 bob [edit of a message that is not here]: hello");
}

#[test]
fn a_poll_is_shown_with_its_counts() {
    let option = |text: &str, votes, own| PollOption { text: text.to_owned(), votes, own };
    let options = vec![option("yes", 2, true), option("no", 0, false)];
    let poll = Some(Poll { several: false, closed: false, voters: 2, options });
    let asked = Message { kind: "poll".to_owned(), ..with(Details { poll, ..Details::default() }) };
    let lines = ["09:05 bob [poll]: hello", "1. yes: 2 (yours)", "2. no: 0", "2 have voted; one can be chosen"];
    assert_eq!(render().message(&asked), lines.join("\n      "));
}

#[test]
fn whatever_others_send_beside_their_words_is_shown_safely() {
    let evil = "\u{1b}[2J\n09:06 carol: \u{202e}pay\u{200b}";
    let many = evil.repeat(100);
    let options = vec![PollOption { text: many.clone(), votes: 1, own: false }];
    let details = Details {
        reply_to: quote(Some(evil), &many),
        deleted_by: Some(evil.to_owned()),
        mentions: vec![Mention { address: evil.to_owned(), start: 0, length: usize::MAX }],
        reactions: vec![reaction(evil, u64::MAX, true), reaction("\u{301}", 1, false)],
        other_reactions: u64::MAX,
        poll: Some(Poll { several: true, closed: true, voters: u64::MAX, options }),
        ..Details::default()
    };
    for kind in ["text", "poll", "deleted", "edit", evil] {
        let hostile = Message { kind: kind.to_owned(), ..with(details.clone()) };
        for shown in [render().message(&hostile), render().message_anywhere(&hostile), render().message_named(&hostile)]
        {
            assert!(!shown.chars().any(|c| c != '\n' && terminal::harmful(c)), "{shown:?}");
            assert!(shown.lines().skip(1).all(|line| line.starts_with("      ")), "{shown:?}");
            assert!(shown.lines().all(|line| line.chars().count() < 200), "{shown:?}");
        }
    }
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
        topic: String::new(),
        conversation: String::new(),
        title: title.to_owned(),
        kind,
        members: vec!["alice@localhost".to_owned(), "bob@localhost".to_owned()],
        unread,
        last,
        standing: (kind == ConversationKind::Direct).then(|| standing(Verification::Verified)),
        post_quantum: title == "old",
        picture: title == "old",
        lifetime_s: 0,
        continues: None,
        continued_in: (title == "moved").then(|| "0198@b.example".to_owned()),
        request,
        active,
        muted: false,
    };
    let (direct, group) = (ConversationKind::Direct, ConversationKind::Group);
    let bob = message("bob@localhost", "bob@localhost", "a long message that goes on\nand on and on");
    let lines = render().conversations(&[
        conversation("bob@localhost", direct, 2, Some(bob), false, true),
        conversation("bob@localhost", group, 0, None, false, true),
        conversation("eve@evil.example", direct, 1, None, true, true),
        conversation("old", group, 0, None, false, false),
        conversation("moved", group, 0, None, false, true),
        Conversation {
            continues: Some("0197@a.example".to_owned()),
            ..conversation("moved", group, 0, None, false, true)
        },
    ]);
    assert_eq!(
        lines,
        [
            "   WITH                           UNREAD  LAST                                            MEMBERS",
            "1  bob ✓                          2       09:05 bob: a long message that goes on␊and on…  alice, bob",
            "2  #bob@localhost                                                                         alice, bob",
            "3  eve@evil.example ✓             1       wants to talk to you: accept, decline or block  alice, bob",
            "4  #old (post-quantum) (picture)          (you are not in it any more)                    alice, bob",
            "5  #moved (continued)                                                                     alice, bob",
            "6  #moved (the second)                                                                    alice, bob",
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
    let contact = |address: &str, state: &str, standing: Standing| Contact {
        address: address.to_owned(),
        state: state.to_owned(),
        account_key: None,
        key_changed: standing.verification == Verification::Changed,
        standing,
    };
    let contacts = vec![
        contact("bob@localhost", "accepted", standing(Verification::Verified)),
        contact("eve@x.example", "pending", Standing::default()),
    ];
    assert_eq!(
        render().outcome(&Outcome::Contacts { contacts }),
        [
            "WHO            STATE                VERIFIED    ACCOUNT KEY",
            "bob            accepted             2026-11-18  not known yet",
            "eve@x.example  asks to talk to you  no          not known yet",
        ]
    );
    let member = |name: &str, disputed, standing| Member {
        address: format!("{name}@localhost"),
        role: "owner".to_owned(),
        devices: 1,
        disputed,
        standing,
    };
    let members = vec![member("alice", false, None), member("bob", true, Some(standing(Verification::Verified)))];
    assert_eq!(
        render().outcome(&Outcome::Members { members, picture: true }),
        [
            "WHO    ROLE   DEVICES  VERIFIED",
            "alice  owner  1",
            "bob    owner  1        2026-11-18",
            "ALARM: the group and the server disagree on whether bob is a member",
            "the group has a picture",
        ]
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
fn another_key_is_told_loudly_with_whose_since_when_and_what_to_do() {
    let contact = |standing: Standing| Contact {
        address: "bob@localhost".to_owned(),
        state: "accepted".to_owned(),
        account_key: Some("aaaa bbbb".to_owned()),
        key_changed: true,
        standing,
    };
    let contacts = vec![contact(standing(Verification::Changed))];
    assert_eq!(
        render().outcome(&Outcome::Contacts { contacts }),
        [
            "WHO  STATE     VERIFIED  ACCOUNT KEY",
            "bob  accepted  CHANGED   aaaa bbbb",
            "ALARM: the account key of bob is another one since 09:05. You had verified the earlier one on 2026-11-18. \
             Nothing is sent to bob until you have compared the new one with them: qpc-client verify bob",
        ]
    );
    let never = Standing { verified_at: None, ..standing(Verification::Changed) };
    let alarm = render().contact_alarm(&contact(never)).unwrap();
    assert!(alarm.contains("never verified") && alarm.contains("contacts trust bob"), "{alarm}");
    assert_eq!(render().contact_alarm(&contact(standing(Verification::Verified))), None);
    let earlier = render().key_alarm("bob@localhost", &standing(Verification::Earlier)).unwrap();
    assert!(earlier.starts_with("ALARM: bob is here with an earlier account key"), "{earlier}");
}

fn number(verification: Verification) -> SafetyNumber {
    SafetyNumber {
        address: "bob@localhost".to_owned(),
        standing: standing(verification),
        number: ["01234"; 12].join(" "),
        words: ["abandon"; 18].join(" "),
        code: format!("QPC-VERIFY:1:{}", "AB".repeat(32)),
        account_key: "aaaa bbbb".to_owned(),
    }
}

#[test]
fn a_safety_number_in_a_pipe_is_labels_and_values() {
    let lines = render().safety_page(&number(Verification::Changed), None);
    assert_eq!(lines[0], "contact      bob@localhost");
    assert_eq!(lines[1], "state        ANOTHER KEY SINCE 09:05; the earlier key was verified 2026-11-18");
    assert_eq!(lines[2..4], ["number       01234 01234 01234 01234", "             01234 01234 01234 01234"]);
    assert_eq!(lines[5], "words        abandon  abandon  abandon");
    assert_eq!(lines[11], format!("code         {}", number(Verification::Changed).code));
    assert_eq!(lines.len(), 12);
}

#[test]
fn a_safety_number_fits_a_terminal_and_its_code_is_never_wrapped() {
    for (columns, drawn) in [(80, true), (60, true), (36, false)] {
        let lines = render().safety_page(&number(Verification::Verified), Some(columns));
        assert!(lines.len() <= 34, "{columns}");
        assert_eq!(lines.iter().any(|line| line.contains('█')), drawn, "{columns}");
        let code = lines.iter().filter(|line| line.contains('█'));
        assert!(
            code.into_iter().all(|line| unicode_width::UnicodeWidthStr::width(line.as_str()) <= columns),
            "{columns}"
        );
    }
    let lines = render().safety_page(&number(Verification::Verified), Some(80));
    assert!(lines.len() <= 23, "on a screen of 24 lines: {}", lines.len());
    assert!(lines[3].ends_with("01234 01234 01234 01234"), "{}", lines[3]);
}

#[test]
fn what_waits_says_for_what() {
    let waiting = Waiting {
        to: "bob@localhost".to_owned(),
        messages: 2,
        reason: "bob has not accepted yet".to_owned(),
        queued: false,
    };
    assert_eq!(render().waiting(&waiting), "2 messages to bob wait: bob has not accepted yet");
}

#[test]
fn a_group_that_was_moved_says_where_it_is_and_who_is_missing() {
    let left_out = LeftOut { address: "eve@evil.example".to_owned(), reason: "the server\nis away".to_owned() };
    let moved = Moved {
        conversation: "0197@evil.example".to_owned(),
        continued_in: "0198@localhost".to_owned(),
        title: "crew".to_owned(),
        members: vec!["alice@localhost".to_owned(), "bob@localhost".to_owned()],
        left_out: vec![left_out],
        note: Some("2 of your messages wait".to_owned()),
    };
    assert_eq!(
        render().outcome(&Outcome::Moved(moved.clone())),
        [
            "crew goes on in 0198@localhost with alice, bob",
            "left out: eve@evil.example (the server␊is away)",
            "`qpc-client group add crew MEMBER` adds them later",
            "2 of your messages wait",
        ]
    );
    let whole = Moved { left_out: Vec::new(), note: None, ..moved };
    assert_eq!(render().outcome(&Outcome::Moved(whole)).len(), 1);
}
