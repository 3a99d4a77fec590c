//! What stands on a screen: of 60 by 15, of 200 by 60, and of none.

use qpc_client::api::{Attached, Direction, Mention, OutboxState, Poll, PollOption, Quote, Reaction, Transfer};
use ratatui::style::Modifier;

use super::*;
use crate::cli::chat::{console::Kept, full::state::Said};

/// One of everything.
fn said() -> Vec<Message> {
    let mut first = message(-60 * 24, BOB, BOB, "good morning");
    first.time = "2026-11-19T09:00:00Z".to_owned();
    first.details.reactions = vec![
        Reaction { emoji: "👍".to_owned(), count: 2, own: false },
        Reaction { emoji: "🎉".to_owned(), count: 1, own: true },
    ];
    first.details.other_reactions = 3;
    let mut answer = message(1, BOB, ALICE, "and to you");
    answer.details.reply_to = Some(Quote {
        id: first.id.clone(),
        sender: Some(BOB.to_owned()),
        body: Some("good morning".to_owned()),
        own: false,
    });
    let mut edited = message(2, BOB, BOB, "ask @alice, not me");
    edited.details.edited = Some("2026-11-20T00:03:00Z".to_owned());
    edited.details.mentions = vec![Mention { address: ALICE.to_owned(), start: 4, length: 6 }];
    edited.details.mentioned = true;
    let mut deleted = message(3, BOB, BOB, "(deleted)");
    deleted.kind = "deleted".to_owned();
    deleted.details.deleted_by = Some(BOB.to_owned());
    let mut poll = message(4, BOB, BOB, "When?");
    poll.kind = "poll".to_owned();
    poll.details.pinned = true;
    let option = |text: &str, votes, own| PollOption { text: text.to_owned(), votes, own };
    poll.details.poll = Some(Poll {
        several: false,
        closed: false,
        voters: 3,
        options: vec![option("Friday", 2, true), option("Saturday", 1, false)],
    });
    let mut file = message(5, BOB, BOB, "garden.jpg (2.3 MB) - our garden");
    file.kind = "attachment".to_owned();
    file.file = Some(Box::new(Attached {
        name: "garden.jpg".to_owned(),
        size: 2_345_678,
        media_type: "image/jpeg".to_owned(),
    }));
    let mut waiting = message(6, BOB, ALICE, "on my way");
    waiting.seq = 0;
    vec![first, answer, edited, deleted, poll, file, waiting]
}

#[test]
fn a_small_screen_shows_one_thing_at_a_time() {
    let mut view = chat(said(), (60, 15));
    view.input.insert("half a li");
    assert_eq!(
        rows(&mut view),
        [
            "bob                                         4 unread F1 help",
            "       👍 2  [🎉 1]  +3",
            " ────────────────────────── today ──────────────────────────",
            " 00:01 you: > bob: good morning",
            "       and to you ✓",
            " 00:02 bob: ask @alice, not me (edited)",
            " 00:03 bob: (deleted)",
            " 00:04 bob: When? (pinned)",
            "       1. Friday: 2 (yours)",
            "       2. Saturday: 1",
            "       3 have voted; one can be chosen",
            " 00:05 bob: [file garden.jpg · 2.3 MB] our garden",
            " 00:06 you: on my way …",
            "● online",
            "> half a li",
        ]
    );
    key(&mut view, KeyCode::F(2));
    assert_eq!(
        rows(&mut view)[..5],
        [
            "3 conversations",
            "▌bob                see you                       01:00",
            " #friends           bob: lunch, @alice?           00:50   @3",
            " carol                                                     1",
            "",
        ]
    );
}

#[test]
fn a_large_screen_shows_the_list_beside_the_messages() {
    let mut view = chat(said(), (200, 60));
    let rows = rows(&mut view);
    let beside = |row: &str| row.split_once('│').map(|(left, right)| (left.trim_end().to_owned(), right.to_owned()));
    let (left, right): (Vec<_>, Vec<_>) = rows.iter().map(|row| beside(row).unwrap()).unzip();
    assert_eq!(
        left[..7],
        [
            "3 conversations",
            "▌bob                               01:00",
            "▌see you",
            " #friends                          00:50",
            " bob: lunch, @alice?                  @3",
            " carol",
            "                                       1",
        ]
    );
    assert!(right[0].starts_with("bob ") && right[0].ends_with("4 unread F1 help"), "{right:?}");
    let at = right.iter().position(|row| row.contains("Thursday, 19 November 2026")).unwrap();
    assert_eq!(right[at + 1..at + 3], [" 09:00 bob: good morning", "       👍 2  [🎉 1]  +3"]);
    assert_eq!(right[58..], ["● online", ">"]);
}

#[test]
fn names_have_colours_and_a_mention_stands_out() {
    let mut view = chat(said(), (60, 15));
    let (terminal, cursor) = drawn(&mut view);
    let buffer = terminal.backend().buffer();
    let y = rows(&mut view).iter().position(|row| row.contains("ask @alice")).unwrap();
    let y = u16::try_from(y).unwrap();
    assert_eq!(buffer[(7, y)].fg, view.look.theme.name(BOB).fg.unwrap());
    assert!(buffer[(16, y)].modifier.contains(Modifier::REVERSED), "{:?}", buffer[(16, y)]);
    assert_eq!(cursor, Some(Position::new(2, 14)));
    view.look.theme.colours = false;
    let mut plain = chat(said(), (60, 15));
    plain.look.theme.colours = false;
    plain.opened(open(said(), Some(2)));
    let (terminal, _) = drawn(&mut plain);
    let colours = terminal.backend().buffer().content.iter().filter(|cell| cell.fg != ratatui::style::Color::Reset);
    assert_eq!(colours.count(), 0);
}

#[test]
fn what_becomes_of_a_message_and_of_a_file_is_seen() {
    let mut view = chat(said(), (60, 20));
    let id = message(6, BOB, ALICE, "").id;
    for (state, mark) in [(OutboxState::Queued, "·"), (OutboxState::Refused, "✗ not sent"), (OutboxState::Sent, "✓")]
    {
        view.delivered(&id, state);
        assert!(rows(&mut view).contains(&format!(" 00:06 you: on my way {mark}")), "{mark}");
    }
    let mut file = Transfer { id: message(5, BOB, BOB, "").id, direction: Direction::Down, done: 40, total: 100 };
    view.transfer(&file);
    assert!(rows(&mut view).contains(&"       ████░░░░░░ 40%".to_owned()), "{:?}", rows(&mut view));
    file.done = 100;
    view.transfer(&file);
    assert!(!rows(&mut view).iter().any(|row| row.contains('%')));
    let mut other = said().remove(2);
    other.body = "never mind".to_owned();
    *other.details = Default::default();
    view.changed(&other);
    assert!(rows(&mut view).contains(&" 00:02 bob: never mind".to_owned()));
}

#[test]
fn the_status_tells_the_connection_and_what_waits() {
    let mut view = chat(said(), (60, 15));
    view.connected(false, Some("no route\u{1b}[2J".to_owned()), "2026-11-20T14:03:00Z");
    view.waiting = 2;
    assert_eq!(rows(&mut view)[13], "○ offline 14:03 2 waiting  no route␛[2J");
    view.connected(false, None, "2026-11-20T14:09:00Z");
    assert!(rows(&mut view)[13].starts_with("○ offline 14:03"), "it is since the first");
    view.connected(true, None, "2026-11-20T14:10:00Z");
    view.waiting = 0;
    view.said = Some(Said { text: "saved: a.jpg".to_owned(), loud: false });
    assert_eq!(rows(&mut view)[13], "● online  saved: a.jpg");
}

#[test]
fn a_long_answer_of_a_command_is_a_page_and_a_word_is_none() {
    let mut view = chat(said(), (60, 15));
    let kept =
        |lines: &[&str]| Kept { lines: lines.iter().map(|line| (*line).to_owned()).collect(), ..Default::default() };
    view.printed(kept(&["-- accepted carol"]));
    assert_eq!(rows(&mut view)[13], "● online  accepted carol");
    view.printed(kept(&["-- a.jpg is on its way", "-- a.jpg is there"]));
    assert_eq!(rows(&mut view)[13], "● online  a.jpg is there");
    view.printed(kept(&["WHO  ROLE", "bob  owner"]));
    let shown = rows(&mut view);
    assert_eq!(shown[10..13], ["(Esc closes)", "WHO  ROLE", "bob  owner"]);
    key(&mut view, KeyCode::Esc);
    assert!(view.page.is_none());
}

#[test]
fn a_code_to_be_scanned_is_light_on_dark_whatever_the_terminal_is() {
    let mut view = chat(said(), (60, 15));
    let lines = ["████ ▄▄▄ ██   12345".to_owned(), "words ██".to_owned()];
    view.printed(Kept { lines: lines.into(), ..Default::default() });
    let (terminal, _) = drawn(&mut view);
    let buffer = terminal.backend().buffer();
    let dark = |x, y| buffer[(x, y)].bg == ratatui::style::Color::Indexed(16);
    assert_eq!([dark(0, 11), dark(4, 11), dark(10, 11), dark(14, 11), dark(6, 12)], [true, true, true, false, false]);
}

#[test]
fn the_help_fits_a_small_screen_by_scrolling() {
    let mut view = chat(said(), (60, 15));
    key(&mut view, KeyCode::Char('?'));
    assert!(rows(&mut view)[1].starts_with("help  (Esc closes;"));
    let mut seen = rows(&mut view).join("\n");
    for _ in 0..12 {
        key(&mut view, KeyCode::PageDown);
        seen.push_str(&rows(&mut view).join("\n"));
    }
    for (keys, _) in crate::cli::chat::full::help::KEYS {
        assert!(seen.contains(keys), "{keys}");
    }
    assert!(seen.contains("/quit: end"));
    key(&mut view, KeyCode::F(1));
    assert!(view.page.is_none());
}

#[test]
fn no_screen_is_too_small() {
    for width in 0..30 {
        for height in 0..10 {
            let mut view = chat(said(), (width, height));
            key(&mut view, KeyCode::F(1));
            drawn(&mut view);
            key(&mut view, KeyCode::F(2));
            drawn(&mut view);
        }
    }
}

#[test]
fn a_few_lines_stand_below_the_messages_and_many_over_them() {
    let mut view = chat(vec![message(1, BOB, BOB, "the first words")], (60, 15));
    view.printed(Kept {
        lines: vec!["-- bob is asked".to_owned(), "a line of something else".to_owned()].into(),
        rang: true,
        columns: 60,
    });
    let screen = rows(&mut view);
    assert!(screen.iter().any(|row| row.contains("the first words")), "{screen:#?}");
    assert!(screen.iter().any(|row| row.contains("a line of something else")), "{screen:#?}");
    // What comes meanwhile is seen.
    view.arrived(message(2, BOB, BOB, "and others"));
    assert!(settle(&mut view).contains(&Asked::Seen(2)));
    assert!(rows(&mut view).iter().any(|row| row.contains("and others")));
    key(&mut view, KeyCode::F(1));
    key(&mut view, KeyCode::F(1));
    let screen = rows(&mut view).concat();
    assert!(screen.contains("help  (Esc closes") && !screen.contains("the first words"), "{screen}");
    view.arrived(message(3, BOB, BOB, "unseen"));
    assert!(!settle(&mut view).contains(&Asked::Seen(3)), "nobody has seen what is behind a page");
}
