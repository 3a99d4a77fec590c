//! The part of a conversation that is in memory, and what of it is looked at.

use super::*;
use crate::cli::chat::full::{perform::Done, window::WINDOW_MAX};

fn numbered(numbers: std::ops::Range<i64>) -> Vec<Message> {
    numbers.map(|n| message(n, BOB, BOB, &format!("number {n}"))).collect()
}

fn window(view: &mut View) -> &mut Window {
    &mut view.open.as_mut().unwrap().window
}

/// The numbers on the screen.
fn seen(view: &mut View) -> Vec<i64> {
    let number = |row: &String| row.split_once("number ").and_then(|(_, number)| number.trim_end().parse().ok());
    rows(view).iter().filter_map(number).collect()
}

#[test]
fn what_is_looked_at_stays_while_others_come() {
    let mut view = chat(numbered(0..100), (60, 15));
    assert_eq!(seen(&mut view), (88..100).collect::<Vec<_>>());
    key(&mut view, KeyCode::PageUp);
    let before = seen(&mut view);
    assert_eq!(before.last(), Some(&89));
    view.arrived(message(100, BOB, BOB, "number 100"));
    view.arrived(message(101, BOB, BOB, "number 101"));
    assert_eq!(seen(&mut view), before);
    assert_eq!(rows(&mut view)[13], "● online  ↓ 2 new below: End");
    let unread = |view: &View| view.list.rows[0].unread;
    assert_eq!((unread(&view), settle(&mut view)), (2, vec![]));
    key(&mut view, KeyCode::End);
    assert_eq!(seen(&mut view).last(), Some(&101));
    assert_eq!((settle(&mut view), unread(&view)), (vec![Asked::Seen(101)], 0));
    view.arrived(message(102, BOB, BOB, "number 102"));
    assert_eq!(seen(&mut view).last(), Some(&102), "the newest is followed");
}

#[test]
fn another_width_moves_nothing_away() {
    let mut view = chat(numbered(0..100), (60, 15));
    key(&mut view, KeyCode::PageUp);
    let last = seen(&mut view).last().copied();
    for size in [(200, 60), (24, 15), (61, 15)] {
        given::take(&mut view, Event::Resize(size.0, size.1));
        assert_eq!(seen(&mut view).last().copied(), last, "{size:?}");
    }
}

#[test]
fn older_messages_are_asked_for_and_memory_is_bounded() {
    let mut view = chat(numbered(0..100), (60, 15));
    *window(&mut view) = Window::new(numbered(900..1_000), false, true, None);
    settle(&mut view);
    for _ in 0..8 {
        key(&mut view, KeyCode::PageUp);
    }
    assert_eq!(settle(&mut view), [Asked::Older(900)]);
    let before = seen(&mut view);
    window(&mut view).add_older(numbered(800..900), false);
    assert_eq!(seen(&mut view), before);
    for page in (0..8).rev() {
        while settle(&mut view).is_empty() {
            key(&mut view, KeyCode::PageUp);
        }
        window(&mut view).add_older(numbered(page * 100..page * 100 + 100), page == 0);
        assert!(window(&mut view).len() <= WINDOW_MAX);
    }
    for _ in 0..100 {
        key(&mut view, KeyCode::PageUp);
    }
    assert_eq!(seen(&mut view).first(), Some(&0));
    assert!(window(&mut view).at_start && !window(&mut view).at_end);
    assert!(settle(&mut view).is_empty());
    // Down again, where the newest are not in memory any more.
    view.arrived(message(1_000, BOB, BOB, "number 1000"));
    assert_eq!(window(&mut view).newest(), Some(399));
    key(&mut view, KeyCode::End);
    assert_eq!(settle(&mut view), [Asked::Reload { unread: false }]);
    for _ in 0..50 {
        key(&mut view, KeyCode::PageDown);
    }
    assert_eq!(settle(&mut view), [Asked::Newer(399)]);
    window(&mut view).add_newer(numbered(400..500), false);
    assert!(window(&mut view).len() <= WINDOW_MAX && !window(&mut view).at_start);
}

#[test]
fn what_was_unread_begins_with_a_line_and_is_read_once_its_end_is_seen() {
    let mut view = View::new(look(), (60, 15));
    view.listed(&conversations());
    view.opened(open(numbered(0..60), Some(30)));
    let shown = rows(&mut view);
    assert!(shown[1].contains("── new ──") && shown[2].ends_with("number 30"), "{shown:?}");
    assert!(settle(&mut view).is_empty(), "the last one was not seen");
    key(&mut view, KeyCode::End);
    assert_eq!(settle(&mut view), [Asked::Seen(59)]);
    key(&mut view, KeyCode::F(4));
    assert!(rows(&mut view)[2].ends_with("number 30"));
    // Few of them leave no gap below.
    view.opened(open(numbered(0..60), Some(58)));
    assert_eq!(seen(&mut view).last(), Some(&59));
    assert_eq!(settle(&mut view), [Asked::Seen(59)]);
}

#[test]
fn one_of_our_own_is_there_once_whatever_comes_first() {
    let mut view = chat(numbered(0..3), (60, 15));
    let mut waiting = message(3, BOB, ALICE, "number 3");
    waiting.seq = 0;
    window(&mut view).add_newer(vec![waiting.clone()], true);
    assert!(rows(&mut view).iter().any(|row| row.ends_with("number 3 …")));
    view.arrived(Message { seq: 9, ..waiting });
    let shown = rows(&mut view);
    assert_eq!(shown.iter().filter(|row| row.contains("number 3")).collect::<Vec<_>>(), [" 00:03 you: number 3 ✓"]);
}

#[test]
fn selecting_further_up_has_it_in_view() {
    let mut view = chat(numbered(0..100), (60, 15));
    key(&mut view, KeyCode::Esc);
    for _ in 0..30 {
        key(&mut view, KeyCode::Up);
    }
    assert_eq!(window(&mut view).selected().unwrap().local, 69);
    assert_eq!(seen(&mut view).first(), Some(&69));
    assert!(rows(&mut view)[1].starts_with('▌'));
}

#[test]
fn what_is_selected_and_pictured_stays_so_when_a_receipt_has_it_read_anew() {
    let mut view = chat(vec![message(1, BOB, ALICE, "one"), pictured(2)], (60, 15));
    key(&mut view, KeyCode::Esc);
    view.take(Done::Picture(pictured(2).id, Box::new(thumb())));
    let before = rows(&mut view);
    view.received(&format!("id-{BOB}"));
    assert!(settle(&mut view).contains(&Asked::Reload { unread: false }));
    let again = Window::new(vec![message(1, BOB, ALICE, "one"), pictured(2)], true, true, None);
    view.take(Done::Window(Box::new(again)));
    assert_eq!(rows(&mut view), before);
    assert_eq!(view.open.as_ref().unwrap().window.selected().map(|message| message.local), Some(2));
    // What is not there any more is not selected, and deleted files have no pictures.
    let gone = Message { kind: "deleted".to_owned(), file: None, ..pictured(2) };
    view.take(Done::Window(Box::new(Window::new(vec![gone], true, true, None))));
    assert!(!view.open.as_ref().unwrap().window.is_pictured(&pictured(2).id));
    view.take(Done::Window(Box::new(Window::new(vec![message(1, BOB, ALICE, "one")], true, true, None))));
    assert!(view.open.as_ref().unwrap().window.selected().is_none());
}
