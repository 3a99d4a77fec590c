//! What keys and the mouse do.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use proptest::prelude::*;

use super::*;
use crate::cli::chat::{deed::Deed, full::state::Focus};

fn asked(view: &mut View) -> Vec<Asked> {
    std::iter::from_fn(|| view.next()).collect()
}

fn few() -> Vec<Message> {
    vec![message(1, BOB, BOB, "one"), message(2, BOB, ALICE, "two"), message(3, BOB, BOB, "three")]
}

fn line(text: &str) -> Vec<Asked> {
    vec![Asked::Line(text.to_owned())]
}

#[test]
fn what_is_typed_is_said_and_can_have_lines() {
    let mut view = chat(few(), (60, 15));
    types(&mut view, "hello :tada:");
    press(&mut view, KeyCode::Enter, KeyModifiers::ALT);
    types(&mut view, "again");
    control(&mut view, 'j');
    given::take(&mut view, Event::Paste("pasted\r\nlines".to_owned()));
    assert!(asked(&mut view).is_empty());
    key(&mut view, KeyCode::Enter);
    assert_eq!(asked(&mut view), line("hello 🎉\nagain\npasted\nlines"));
    assert!(view.input.is_empty());
    key(&mut view, KeyCode::Enter);
    assert!(asked(&mut view).is_empty(), "nothing is not said");
    key(&mut view, KeyCode::Up);
    assert_eq!(view.input.text(), "hello 🎉\nagain\npasted\nlines");
    for _ in 0..4 {
        key(&mut view, KeyCode::Down);
    }
    assert!(view.input.is_empty());
}

#[test]
fn a_message_is_selected_and_something_is_done_to_it() {
    let mut view = chat(few(), (60, 15));
    types(&mut view, "half");
    let id = |n| message(n, BOB, BOB, "").id;
    press(&mut view, KeyCode::Up, KeyModifiers::CONTROL);
    assert_eq!((view.focus, asked(&mut view)), (Focus::Message, vec![]));
    assert!(rows(&mut view)[13].contains("#0003 bob: r e d"), "{:?}", rows(&mut view));
    key(&mut view, KeyCode::Char('r'));
    assert!(rows(&mut view).iter().any(|row| row == "reply to bob: three"));
    types(&mut view, "yes");
    key(&mut view, KeyCode::Enter);
    assert_eq!(asked(&mut view), [Asked::Do { message: id(3), deed: Deed::Reply("yes".to_owned()) }]);
    assert_eq!(view.input.text(), "half", "what was half written is there again");
    control(&mut view, 'c');
    key(&mut view, KeyCode::Esc);
    key(&mut view, KeyCode::Char('e'));
    assert!(view.said.take().unwrap().text.contains("only who said it"));
    key(&mut view, KeyCode::Up);
    key(&mut view, KeyCode::Char('e'));
    assert_eq!(view.input.text(), "two");
    types(&mut view, "!");
    key(&mut view, KeyCode::Enter);
    assert_eq!(asked(&mut view), [Asked::Do { message: id(2), deed: Deed::Edit("two!".to_owned()) }]);
    for (keys, deed) in [
        ("dy", Some(Deed::Delete)),
        ("dn", None),
        ("+:heart:", Some(Deed::React { emoji: "❤️".to_owned(), removed: false })),
        ("-x", Some(Deed::React { emoji: "x".to_owned(), removed: true })),
        ("fcarol", Some(Deed::Forward("carol".to_owned()))),
    ] {
        key(&mut view, KeyCode::Esc);
        types(&mut view, keys);
        key(&mut view, KeyCode::Enter);
        let expected = deed.map(|deed| Asked::Do { message: id(3), deed });
        assert_eq!(asked(&mut view), expected.into_iter().collect::<Vec<_>>(), "{keys}");
        assert_eq!(view.focus, Focus::Input);
    }
    key(&mut view, KeyCode::Esc);
    key(&mut view, KeyCode::Char('p'));
    assert_eq!(asked(&mut view), [Asked::Do { message: id(3), deed: Deed::Pin { removed: false } }]);
    key(&mut view, KeyCode::Char('g'));
    assert!(asked(&mut view).is_empty());
    types(&mut view, "/pins");
    assert_eq!((view.focus, view.input.text()), (Focus::Input, "/pins"));
}

fn opens(conversation: &str) -> Vec<Asked> {
    vec![Asked::Open { conversation: format!("id-{conversation}"), title: conversation.to_owned() }]
}

#[test]
fn conversations_are_chosen_by_arrows_letters_and_order() {
    let mut view = chat(few(), (60, 15));
    control(&mut view, 'o');
    key(&mut view, KeyCode::Down);
    key(&mut view, KeyCode::Enter);
    assert_eq!(asked(&mut view), opens("friends"));
    control(&mut view, 'o');
    types(&mut view, "car");
    assert_eq!(rows(&mut view)[0], "find: car");
    key(&mut view, KeyCode::Enter);
    assert_eq!(asked(&mut view), opens("carol@localhost"));
    control(&mut view, 'o');
    types(&mut view, "dave");
    key(&mut view, KeyCode::Enter);
    assert_eq!(asked(&mut view), line("/open dave"));
    control(&mut view, 'n');
    assert_eq!(asked(&mut view), opens("friends"));
    control(&mut view, 'p');
    assert_eq!(asked(&mut view), opens("carol@localhost"));
    key(&mut view, KeyCode::F(3));
    assert_eq!(asked(&mut view), opens("friends"));
}

#[test]
fn a_picture_is_looked_into_when_it_is_asked_for() {
    let with_file = pictured(3);
    let id = with_file.id.clone();
    let mut view = chat(vec![message(2, BOB, BOB, "no file"), with_file], (60, 15));
    let thumb = thumb();
    let pictures = |view: &mut View| rows(view).iter().filter(|row| row.contains("▀▀▀")).count();
    key(&mut view, KeyCode::Esc);
    key(&mut view, KeyCode::Char('s'));
    assert_eq!((asked(&mut view), pictures(&mut view)), (vec![Asked::Preview(id.clone())], 0));
    view.open.as_mut().unwrap().window.picture(&id, Some(thumb));
    assert_eq!(pictures(&mut view), 10);
    key(&mut view, KeyCode::Char('s'));
    assert_eq!((asked(&mut view), pictures(&mut view)), (vec![], 0));
    key(&mut view, KeyCode::Up);
    key(&mut view, KeyCode::Char('s'));
    assert!(view.said.take().unwrap().text.contains("no picture"));
}

#[test]
fn what_is_marked_stays_marked_while_others_write() {
    let mut view = chat(few(), (60, 15));
    control(&mut view, 'o');
    key(&mut view, KeyCode::Down);
    view.arrived(message(90, "carol@localhost", "carol@localhost", "hi"));
    view.listed(&conversations());
    view.arrived(message(91, BOB, BOB, "hi"));
    key(&mut view, KeyCode::Enter);
    assert_eq!(asked(&mut view), opens("friends"));
}

#[test]
fn a_conversation_that_begins_is_the_one_that_is_open() {
    let mut view = chat(Vec::new(), (60, 15));
    let mut opened = open(Vec::new(), None);
    opened.place = crate::cli::chat::place::find(&[], &view.look.render, "dave").unwrap();
    view.opened(opened);
    let said = message(1, "dave@localhost", ALICE, "hello dave");
    view.arrived(said.clone());
    assert_eq!(asked(&mut view), [Asked::Refresh]);
    let mut list = conversations();
    list.insert(0, conversation("dave@localhost", ConversationKind::Direct, 0, Some(said.clone())));
    view.listed(&list);
    assert_eq!(asked(&mut view), [Asked::Reload { unread: false }]);
    view.arrived(said);
    assert!(rows(&mut view).iter().any(|row| row.ends_with("you: hello dave ✓")));
    assert!(asked(&mut view).iter().all(|asked| matches!(asked, Asked::Seen(_))));
}

#[test]
fn a_notification_names_the_sender_safely_and_nothing_more() {
    let said = crate::cli::chat::full::notification("bob;x\u{1b}\\\u{7}");
    assert_eq!(said, "\u{1b}]9;quicprochat: bob x␛\\␇ has written\u{7}");
}

#[test]
fn what_is_half_written_waits_in_its_conversation() {
    let mut view = chat(few(), (60, 15));
    types(&mut view, "half to bob");
    let carol = conversation("carol@localhost", ConversationKind::Direct, 0, None);
    let mut other = open(Vec::new(), None);
    other.place = Place::of(&carol, &view.look.render);
    view.opened(other);
    assert!(view.input.is_empty());
    types(&mut view, "to carol");
    view.opened(open(few(), None));
    assert_eq!(view.input.text(), "half to bob");
}

#[test]
fn the_end_takes_more_than_one_key_where_something_is_typed() {
    let mut view = chat(few(), (60, 15));
    types(&mut view, "half");
    control(&mut view, 'd');
    control(&mut view, 'c');
    assert!(asked(&mut view).is_empty() && view.input.is_empty());
    control(&mut view, 'c');
    assert_eq!(asked(&mut view), [Asked::Leave]);
    control(&mut view, 'd');
    assert_eq!(asked(&mut view), [Asked::Leave]);
    control(&mut view, 'z');
    control(&mut view, 'l');
    key(&mut view, KeyCode::F(5));
    assert_eq!(asked(&mut view), [Asked::Suspend, Asked::Redraw, Asked::Mouse(false)]);
}

#[test]
fn what_is_asked_for_is_bounded_and_the_end_is_heard() {
    let mut view = chat(few(), (60, 15));
    for n in 0..100 {
        types(&mut view, &n.to_string());
        key(&mut view, KeyCode::Enter);
        if n >= 32 {
            assert_eq!(view.input.text(), (32..=n).map(|n| n.to_string()).collect::<String>(), "nothing is lost");
        }
    }
    view.input.take();
    control(&mut view, 'c');
    assert!(view.leaves());
    assert_eq!(asked(&mut view).len(), 33);
}

fn mouse(view: &mut View, kind: MouseEventKind, column: u16, row: u16) {
    view.prepare();
    given::take(view, Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }));
}

#[test]
fn a_click_opens_a_conversation_or_selects_a_message_and_the_wheel_scrolls() {
    let many = (0..80).map(|n| message(n, BOB, BOB, &format!("number {n}"))).collect();
    let mut view = chat(many, (200, 60));
    let click = MouseEventKind::Down(MouseButton::Left);
    mouse(&mut view, click, 3, 4);
    assert_eq!(asked(&mut view), opens("friends"));
    mouse(&mut view, click, 3, 40);
    assert!(asked(&mut view).is_empty());
    let row = rows(&mut view).iter().position(|row| row.contains("number 70")).unwrap();
    let row = u16::try_from(row).unwrap();
    mouse(&mut view, click, 100, row);
    assert_eq!(view.open.as_ref().unwrap().window.selected().unwrap().body, "number 70");
    mouse(&mut view, MouseEventKind::ScrollUp, 100, 20);
    assert!(!rows(&mut view).iter().any(|row| row.contains("number 79")));
    mouse(&mut view, MouseEventKind::ScrollDown, 100, 20);
    assert!(rows(&mut view).iter().any(|row| row.contains("number 79")));
    mouse(&mut view, click, 100, 59);
    assert_eq!(view.focus, Focus::Input);
}

#[test]
fn a_message_elsewhere_rings_and_one_here_does_not_unless_it_calls() {
    let mut view = chat(few(), (60, 15));
    view.arrived(message(61, BOB, BOB, "here"));
    assert_eq!(view.ring, None);
    let mut calls = message(62, BOB, BOB, "@alice");
    calls.details.mentioned = true;
    view.arrived(calls.clone());
    assert_eq!(view.ring.take().as_deref(), Some("bob"));
    view.arrived(message(63, "friends", BOB, "there"));
    assert_eq!(view.ring.take().as_deref(), Some("bob"));
    assert_eq!(view.said.take().unwrap().text, "bob has written in friends");
    let row = &view.list.rows[0];
    assert_eq!((row.shown.as_str(), row.unread, row.last.as_str()), ("#friends", 4, "bob: there"));
    view.arrived(message(64, "friends", ALICE, "mine"));
    assert_eq!((view.ring.take(), view.list.rows[0].unread), (None, 4));
    for row in &mut view.list.rows {
        row.muted = true;
    }
    for mut muted in [message(65, "friends", BOB, "there"), calls] {
        muted.id.push('x');
        muted.details.mentioned = true;
        view.arrived(muted);
        assert_eq!((view.ring.take(), view.said.take()), (None, None));
    }
}

#[test]
fn the_cursor_stays_on_the_screen_where_a_row_is_full() {
    for length in 50..140 {
        let mut view = chat(few(), (60, 15));
        types(&mut view, &"x".repeat(length));
        let (terminal, cursor) = drawn(&mut view);
        assert!(terminal.backend().buffer().area.contains(cursor.unwrap()), "{length}: {cursor:?}");
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    let code = prop_oneof![
        4 => any::<char>().prop_map(KeyCode::Char),
        4 => "[a-z:?@/+-]".prop_map(|text| KeyCode::Char(text.chars().next().unwrap())),
        1 => (1_u8..6).prop_map(KeyCode::F),
        6 => prop::sample::select(vec![
            KeyCode::Enter, KeyCode::Esc, KeyCode::Tab, KeyCode::Up, KeyCode::Down, KeyCode::Left, KeyCode::Right,
            KeyCode::PageUp, KeyCode::PageDown, KeyCode::Home, KeyCode::End, KeyCode::Backspace, KeyCode::Delete,
        ]),
    ];
    let modifiers =
        prop::sample::select(vec![KeyModifiers::NONE, KeyModifiers::NONE, KeyModifiers::CONTROL, KeyModifiers::ALT]);
    let kind = prop::sample::select(vec![
        MouseEventKind::ScrollUp,
        MouseEventKind::ScrollDown,
        MouseEventKind::Down(MouseButton::Left),
    ]);
    prop_oneof![
        8 => (code, modifiers).prop_map(|(code, modifiers)| Event::Key(KeyEvent::new(code, modifiers))),
        1 => "\\PC{0,20}\r\n.{0,20}".prop_map(Event::Paste),
        2 => (kind, 0_u16..250, 0_u16..80).prop_map(|(kind, column, row)| {
            Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
        }),
        1 => (0_u16..220, 0_u16..70).prop_map(|(width, height)| Event::Resize(width, height)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_typed_the_cursor_stays_on_the_screen(events in prop::collection::vec(any_event(), 0..60)) {
        let mut view = chat((0..40).map(|n| message(n, BOB, BOB, &"word ".repeat(usize::try_from(n).unwrap()))).collect(), (60, 15));
        for (n, event) in (100..).zip(events) {
            view.prepare();
            given::take(&mut view, event);
            view.next();
            if n % 7 == 0 {
                view.arrived(message(n, BOB, BOB, "meanwhile"));
            }
            let (terminal, cursor) = drawn(&mut view);
            if let Some(cursor) = cursor {
                prop_assert!(terminal.backend().buffer().area.contains(cursor), "{:?} {:?}", cursor, view.size);
            }
        }
    }
}
