//! A whole screen in memory: what people see, and what their keys do.

mod find;
mod hostile;
mod keys;
mod moments;
mod screens;
mod windows;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use qpc_client::api::{Attached, Conversation, ConversationKind, Message};
use ratatui::{Terminal, backend::TestBackend, layout::Position};

use super::{
    draw, keys as given,
    look::Look,
    state::{Asked, Open, View},
    theme::Theme,
    thumb::{Depth, Thumb},
    window::Window,
};
use crate::cli::{
    chat::place::Place,
    clock::Clock,
    render::Render,
    screen::{Paint, Screen},
};

const ALICE: &str = "alice@localhost";
const BOB: &str = "bob@localhost";

fn look() -> Look {
    let clock = Clock::fixed("2026-11-20T15:00:00Z");
    let screen = Screen { clock: clock.clone(), paint: Paint(false), ..Screen::new(false) };
    Look {
        render: Render::new(&screen, ALICE),
        clock,
        theme: Theme { colours: true },
        depth: Depth::True,
        me: ALICE.to_owned(),
    }
}

/// A message of a conversation; its number is its place, and the end of its id.
fn message(number: i64, title: &str, sender: &str, body: &str) -> Message {
    Message {
        conversation: format!("id-{title}"),
        seq: 1,
        id: format!("0198c1de-0000-0000-0000-{number:012}"),
        sender: sender.to_owned(),
        time: format!("2026-11-20T{:02}:{:02}:00Z", (number / 60).rem_euclid(15), number.rem_euclid(60)),
        kind: "text".to_owned(),
        body: body.to_owned(),
        title: title.to_owned(),
        own: sender == ALICE,
        local: number,
        file: None,
        details: Box::default(),
    }
}

fn conversation(title: &str, kind: ConversationKind, unread: u64, last: Option<Message>) -> Conversation {
    Conversation {
        conversation: format!("id-{title}"),
        title: title.to_owned(),
        topic: String::new(),
        kind,
        members: vec![ALICE.to_owned(), BOB.to_owned()],
        unread,
        last,
        standing: None,
        request: false,
        active: true,
        post_quantum: false,
        picture: false,
        muted: false,
        lifetime_s: 0,
        continues: None,
        continued_in: None,
    }
}

fn conversations() -> Vec<Conversation> {
    let mut called = message(50, "friends", BOB, "lunch, @alice?");
    called.details.mentioned = true;
    vec![
        conversation(BOB, ConversationKind::Direct, 0, Some(message(60, BOB, BOB, "see you"))),
        conversation("friends", ConversationKind::Group, 3, Some(called)),
        conversation("carol@localhost", ConversationKind::Direct, 1, None),
    ]
}

fn open(messages: Vec<Message>, new_from: Option<i64>) -> Open {
    let look = look();
    let bob = conversation(BOB, ConversationKind::Direct, 0, None);
    Open {
        place: Place::of(&bob, &look.render),
        topic: String::new(),
        people: vec!["alice".to_owned(), "bob".to_owned()],
        request: false,
        active: true,
        mark: "",
        window: Window::new(messages, true, true, new_from),
    }
}

/// A chat with bob in which these things were said.
fn chat(messages: Vec<Message>, size: (u16, u16)) -> View {
    let mut view = View::new(look(), size);
    view.listed(&conversations());
    view.opened(open(messages, None));
    view.connected(true, None, "2026-11-20T14:00:00Z");
    settle(&mut view);
    view
}

/// A message with the file of a picture.
fn pictured(number: i64) -> Message {
    let file = Attached { name: "a.jpg".to_owned(), size: 9, media_type: "image/jpeg".to_owned() };
    let kind = "attachment".to_owned();
    Message { kind, file: Some(Box::new(file)), ..message(number, BOB, BOB, "a.jpg (9 bytes)") }
}

/// A small picture.
fn thumb() -> Thumb {
    let mut jpeg = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(40, 20).write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    Thumb::decode(&jpeg.into_inner()).unwrap()
}

/// Lays out, and does what the state asks for by itself.
fn settle(view: &mut View) -> Vec<Asked> {
    view.prepare();
    std::iter::from_fn(|| view.next()).collect()
}

fn drawn(view: &mut View) -> (Terminal<TestBackend>, Option<Position>) {
    let (width, height) = view.size;
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    view.prepare();
    let mut cursor = None;
    terminal.draw(|frame| cursor = draw::draw(view, frame.buffer_mut())).unwrap();
    (terminal, cursor)
}

/// The rows of the screen without the blanks at their ends.
fn rows(view: &mut View) -> Vec<String> {
    let (terminal, _) = drawn(view);
    let buffer = terminal.backend().buffer();
    let row = |y| {
        let mut row = String::new();
        let mut hidden = 0_usize;
        for x in 0..buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            if hidden == 0 {
                row.push_str(symbol);
                hidden = unicode_width::UnicodeWidthStr::width(symbol).max(1);
            }
            hidden = hidden.saturating_sub(1);
        }
        row.trim_end().to_owned()
    };
    (0..buffer.area.height).map(row).collect()
}

fn press(view: &mut View, code: KeyCode, modifiers: KeyModifiers) {
    view.prepare();
    given::take(view, Event::Key(KeyEvent::new(code, modifiers)));
}

fn key(view: &mut View, code: KeyCode) {
    press(view, code, KeyModifiers::NONE);
}

fn control(view: &mut View, c: char) {
    press(view, KeyCode::Char(c), KeyModifiers::CONTROL);
}

fn types(view: &mut View, text: &str) {
    text.chars().for_each(|c| key(view, KeyCode::Char(c)));
}
