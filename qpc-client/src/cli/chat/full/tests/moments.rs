//! What others do at this moment, how far a message of one's own has come, and what disappears.

use super::*;

fn own(number: i64, delivered_to: u64, read_by: u64) -> Message {
    let mut message = message(number, BOB, ALICE, &format!("number {number}"));
    message.details.delivered_to = delivered_to;
    message.details.read_by = read_by;
    message
}

fn last_row(view: &mut View) -> String {
    rows(view).pop().unwrap()
}

fn row_with(view: &mut View, text: &str) -> Option<String> {
    rows(view).into_iter().find(|row| row.contains(text))
}

#[test]
fn a_message_of_ones_own_says_how_far_it_has_come() {
    let mut waiting = own(1, 0, 0);
    waiting.seq = 0;
    let mut view = chat(vec![waiting, own(2, 0, 0), own(3, 1, 0), own(4, 1, 1), own(5, 3, 2)], (60, 15));
    for (number, mark) in [(1, "…"), (2, "✓"), (3, "✓✓"), (4, "✓✓ read"), (5, "✓✓ read by 2")] {
        let row = row_with(&mut view, &format!("number {number}")).unwrap();
        assert!(row.ends_with(&format!("number {number} {mark}")), "{row}");
    }
    view.received(&format!("id-{BOB}"));
    assert_eq!(settle(&mut view), [Asked::Reload { unread: false }]);
    view.received("id-friends");
    assert_eq!(settle(&mut view), []);
}

#[test]
fn who_is_writing_stands_below_until_they_do_not() {
    let mut view = chat(vec![own(1, 0, 0)], (60, 15));
    let writes = |view: &mut View, who: &str, place: &str, typing| {
        view.writes(format!("id-{place}"), format!("{who}@localhost"), typing);
    };
    writes(&mut view, "eve", "friends", true);
    assert!(!last_row(&mut view).contains("writing") && row_with(&mut view, "is writing").is_none());
    writes(&mut view, "bob", BOB, true);
    assert!(row_with(&mut view, "bob is writing …").is_some());
    // A word waits, and one that must not be missed does not.
    view.say("a quiet word");
    assert!(row_with(&mut view, "bob is writing …").is_some());
    view.said.as_mut().unwrap().loud = true;
    assert!(row_with(&mut view, "a quiet word").is_some());
    // With more room both are there.
    view.size = (120, 15);
    let row = row_with(&mut view, "a quiet word").unwrap();
    assert!(row.contains("● online  bob is writing …  a quiet word"), "{row}");
    view.size = (60, 15);
    view.said = None;
    writes(&mut view, "carol", BOB, true);
    assert!(row_with(&mut view, "bob and carol are writing …").is_some());
    writes(&mut view, "bob", BOB, false);
    writes(&mut view, "carol", BOB, false);
    assert!(row_with(&mut view, "writing").is_none());
}

#[test]
fn that_something_is_being_written_is_said_of_words_and_of_no_command() {
    let mut view = chat(vec![own(1, 0, 0)], (60, 15));
    let to = view.open.as_ref().unwrap().place.to.clone();
    let mut said = |text: &str| {
        view.input.set(text);
        view.writes_itself();
        settle(&mut view)
    };
    assert_eq!(said("hello"), [Asked::Typing { to: to.clone(), typing: true }]);
    assert_eq!(said(""), [Asked::Typing { to: to.clone(), typing: false }]);
    assert_eq!(said("/vote last 1"), [Asked::Typing { to, typing: false }]);
}

#[test]
fn what_disappears_goes_from_the_screen_and_what_is_looked_at_stays() {
    let mut view = chat((0..100).map(|number| own(number, 0, 0)).collect(), (60, 15));
    key(&mut view, KeyCode::PageUp);
    let before: Vec<_> = rows(&mut view);
    let gone = |view: &mut View, number: i64| {
        let id = message(number, BOB, ALICE, "").id;
        view.disappeared(&format!("id-{BOB}"), &id);
        assert_eq!(settle(view).last(), Some(&Asked::Refresh));
    };
    gone(&mut view, 99);
    assert_eq!(rows(&mut view), before, "it was below what is looked at");
    let held = row_with(&mut view, "number 89").unwrap();
    assert_eq!(before.iter().position(|row| *row == held), Some(12));
    gone(&mut view, 89);
    assert!(row_with(&mut view, "number 89").is_none());
    for number in 0..100 {
        let id = message(number, BOB, ALICE, "").id;
        view.disappeared(&format!("id-{BOB}"), &id);
        rows(&mut view);
    }
    assert!(row_with(&mut view, "number").is_none());
}
