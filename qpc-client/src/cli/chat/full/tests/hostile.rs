//! What others write reaches the screen as something one can see, whatever it is.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use qpc_client::api::{Attached, Mention, Poll, PollOption, Quote, Reaction};

use super::*;
use crate::cli::terminal::harmful;

/// A message in which every field that others write holds this.
fn all_of(text: &str) -> Message {
    let mut message = message(1, BOB, BOB, text);
    message.sender = text.to_owned();
    message.details.reply_to =
        Some(Quote { id: text.to_owned(), sender: Some(text.to_owned()), body: Some(text.to_owned()), own: false });
    message.details.mentions = vec![Mention { address: text.to_owned(), start: 1, length: usize::MAX }];
    message.details.deleted_by = Some(text.to_owned());
    message.details.edited = Some(text.to_owned());
    message.details.reactions = vec![Reaction { emoji: text.to_owned(), count: u64::MAX, own: true }];
    let option = PollOption { text: text.to_owned(), votes: 1, own: false };
    message.details.poll = Some(Poll { several: false, closed: false, voters: 1, options: vec![option] });
    message
}

fn shown(text: &str, size: (u16, u16)) -> Vec<String> {
    let mut messages = vec![all_of(text)];
    for (n, kind) in (2..).zip(["deleted", "attachment", "notice", "edit", text]) {
        let mut message = all_of(text);
        (message.local, message.id, message.kind) = (n, format!("{text}{n}"), kind.to_owned());
        message.details.edits = Some(text.to_owned());
        if kind == "attachment" {
            let media_type = text.to_owned();
            message.file = Some(Box::new(Attached { name: text.to_owned(), size: u64::MAX, media_type }));
        }
        messages.push(message);
    }
    let mut view = chat(messages, size);
    let mut list = conversations();
    for one in &mut list {
        (one.title, one.topic) = (text.to_owned(), text.to_owned());
        one.last = Some(all_of(text));
    }
    view.listed(&list);
    let mut opened = open(Vec::new(), None);
    std::mem::swap(&mut opened.window, &mut view.open.as_mut().unwrap().window);
    opened.place = Place::of(&list[1], &view.look.render);
    opened.topic = text.to_owned();
    view.opened(opened);
    view.arrived(Message { title: text.to_owned(), conversation: "other".to_owned(), ..all_of(text) });
    view.connected(false, Some(text.to_owned()), text);
    let mut all = rows(&mut view);
    key(&mut view, KeyCode::Esc);
    all.extend(rows(&mut view));
    key(&mut view, KeyCode::Char('r'));
    all.extend(rows(&mut view));
    given::take(&mut view, Event::Paste(text.to_owned()));
    all.extend(rows(&mut view));
    key(&mut view, KeyCode::F(2));
    all.extend(rows(&mut view));
    all
}

#[test]
fn no_control_reaches_the_screen_and_every_one_is_seen() {
    let text = "a\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}gpj\u{200b}\u{2066}\rb\u{e0041}";
    for size in [(60, 15), (200, 60)] {
        let rows = shown(text, size);
        let bad: Vec<_> = rows.iter().filter(|row| row.chars().any(harmful)).collect();
        assert!(bad.is_empty(), "{bad:?}");
        assert!(rows.iter().any(|row| row.contains("␛]0;owned␇<U+009B>31m")), "{rows:?}");
    }
}

#[test]
fn the_longest_of_everything_takes_no_time() {
    let begin = Instant::now();
    for text in ["x".repeat(65_536), "\u{1b}".repeat(65_536), "a\u{301}\u{302}".repeat(13_000), "\n".repeat(65_536)] {
        shown(&text, (60, 15));
    }
    let mut view = chat((0..50).map(|n| message(n, BOB, BOB, &"word ".repeat(13_000))).collect(), (60, 15));
    drawn(&mut view);
    // Laid out once, however often it is drawn.
    let again = Instant::now();
    for _ in 0..20 {
        key(&mut view, KeyCode::PageUp);
        drawn(&mut view);
    }
    assert!(again.elapsed() < Duration::from_secs(5), "{:?}", again.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
}

/// Text in which everything dangerous is frequent.
fn hostile() -> impl Strategy<Value = String> {
    let any = prop_oneof![
        3 => any::<char>(),
        2 => (0_u32..0xa0).prop_map(|n| char::from_u32(n).unwrap()),
        2 => (0x2000_u32..0x2070).prop_map(|n| char::from_u32(n).unwrap()),
    ];
    prop::collection::vec(any, 0..64).prop_map(|chars| chars.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_others_write_nothing_harmful_is_drawn(text in hostile(), small in any::<bool>()) {
        let rows = shown(&text, if small { (60, 15) } else { (120, 30) });
        prop_assert!(!rows.iter().any(|row| row.chars().any(harmful)), "{:?}", rows);
    }
}
