//! Finding messages.

use qpc_client::api::{Found, Part};

use super::*;

fn found(message: Message, excerpt: &[(&str, bool)]) -> Found {
    let part = |(text, found): &(&str, bool)| Part { text: (*text).to_owned(), found: *found };
    Found { message, excerpt: excerpt.iter().map(part).collect() }
}

fn finding(size: (u16, u16)) -> View {
    let mut view = chat(vec![message(1, BOB, BOB, "hello")], size);
    control(&mut view, 'r');
    types(&mut view, "din");
    view
}

#[test]
fn words_are_looked_for_while_they_are_typed_and_the_last_of_them_count() {
    let mut view = finding((80, 20));
    let asked = |words: &str, to: Option<&str>| Asked::Find { words: words.into(), to: to.map(str::to_owned) };
    assert_eq!(settle(&mut view), [asked("din", None)], "what was typed before is not looked for");
    view.found("di", Ok(vec![found(message(7, BOB, BOB, "x"), &[("late", true)])]));
    assert!(!rows(&mut view).concat().contains("late"), "what was looked for before is shown no more");
    let group = Message { conversation: "id-friends".into(), ..message(8, "friends", BOB, "dinner at eight") };
    let excerpt = [("dinner", true), (" at eight", false)];
    view.found("din", Ok(vec![found(group, &excerpt), found(message(9, BOB, ALICE, "dinghy"), &[("dinghy", true)])]));
    let screen = rows(&mut view);
    assert!(screen.iter().any(|row| row.contains("find: din")), "{screen:#?}");
    assert!(screen.iter().any(|row| row.contains("#friends bob: dinner at eight")), "{screen:#?}");
    assert!(screen.iter().any(|row| row.contains("bob you: dinghy")), "{screen:#?}");
    key(&mut view, KeyCode::Tab);
    assert_eq!(settle(&mut view), [asked("din", Some("id-bob@localhost"))]);
    key(&mut view, KeyCode::Backspace);
    assert_eq!(settle(&mut view), [asked("di", Some("id-bob@localhost"))]);
    view.found("di", Err("a search has at most 32 words".into()));
    assert!(rows(&mut view).concat().contains("at most 32 words"));
    view.found("di", Ok(Vec::new()));
    assert!(rows(&mut view).concat().contains("nothing found"));
    key(&mut view, KeyCode::Esc);
    types(&mut view, "words");
    assert_eq!((view.find.is_none(), view.input.text()), (true, "words"));
}

#[test]
fn enter_goes_to_the_marked_one_and_it_is_selected_among_those_around_it() {
    let mut view = finding((60, 15));
    settle(&mut view);
    let all = (1..40).map(|n| found(message(n, BOB, BOB, "dinner"), &[("dinner", true)])).collect();
    view.found("din", Ok(all));
    for _ in 0..20 {
        key(&mut view, KeyCode::Down);
    }
    assert!(rows(&mut view).iter().any(|row| row.contains("bob dinner")));
    key(&mut view, KeyCode::Enter);
    let goal = Asked::GoTo { conversation: format!("id-{BOB}"), title: BOB.into(), local: 21 };
    assert_eq!(settle(&mut view), [goal]);
    let said: Vec<_> = (1..40).map(|n| message(n, BOB, BOB, &format!("dinner {n}"))).collect();
    view.opened(open(said, None));
    view.goes_to(21);
    let screen = rows(&mut view);
    let at = screen.iter().position(|row| row.starts_with('▌')).unwrap();
    assert!(screen[at].contains("dinner 21") && (3..10).contains(&at), "{screen:#?}");
    assert_eq!(view.focus, crate::cli::chat::full::state::Focus::Message);
}

#[test]
fn it_is_bounded_and_closes_without_a_trace() {
    let mut view = chat(Vec::new(), (60, 15));
    types(&mut view, "half written");
    key(&mut view, KeyCode::F(6));
    given::take(&mut view, Event::Paste("ä\u{1b}[2J".repeat(1_000)));
    let words = view.find.as_ref().unwrap().words.clone();
    assert!(words.len() <= 256 && words.starts_with("ä[2J"), "{words}");
    rows(&mut view);
    control(&mut view, 'c');
    assert_eq!((view.find.is_none(), view.input.text()), (true, "half written"));
}
