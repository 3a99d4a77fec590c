//! What keys, the mouse and the terminal's size change.
//!
//! Keys go to a page if one is open, else to what has the focus. What takes the library is only asked for.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use super::{
    areas::PROMPT,
    complete::{self, Cycle, Names},
    draw, find, help,
    purpose::{Purpose, What},
    state::{Asked, Focus, View},
};
use crate::cli::chat::deed::Deed;

/// Rows that one turn of the wheel moves.
const WHEEL: usize = 3;

/// Something came from the terminal.
pub(super) fn take(view: &mut View, event: Event) {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => pressed(view, key),
        Event::Paste(text) => {
            if view.find.is_some() {
                find::add(view, &text);
            } else if view.focus == Focus::Input || view.focus == Focus::Message {
                view.focus = Focus::Input;
                insert(view, &text);
            }
        }
        Event::Mouse(mouse) => moused(view, mouse),
        Event::Resize(width, height) => view.size = (width, height),
        Event::Key(_) | Event::FocusGained | Event::FocusLost => {}
    }
}

fn insert(view: &mut View, text: &str) {
    view.cycle = None;
    if !view.input.insert(text) {
        view.say("that is longer than a message may be: it was not taken");
    }
}

fn pressed(view: &mut View, key: KeyEvent) {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let completing = view.cycle.take();
    match (key.code, control) {
        (KeyCode::F(1), _) => {
            view.page = if view.page.is_some() { None } else { Some(help::page()) };
            return;
        }
        (KeyCode::F(2), _) | (KeyCode::Char('o'), true) => return choose(view),
        (KeyCode::F(3), _) => return open_next(view, false, true),
        (KeyCode::F(4), _) => return to_new(view),
        (KeyCode::F(6), _) | (KeyCode::Char('r'), true) => return find::toggle(view),
        (KeyCode::F(5), _) => {
            view.mouse = !view.mouse;
            view.say(if view.mouse { "the mouse is taken" } else { "the mouse is the terminal's: select as ever" });
            view.ask(Asked::Mouse(view.mouse));
            return;
        }
        (KeyCode::Char('n'), true) => return open_next(view, false, false),
        (KeyCode::Char('p'), true) => return open_next(view, true, false),
        (KeyCode::Char('l'), true) => return view.want(Asked::Redraw),
        (KeyCode::Char('z'), true) => return view.want(Asked::Suspend),
        (KeyCode::Char('c'), true) => return interrupt(view),
        _ => {}
    }
    if view.page.is_some() && paged(view, key) {
        return;
    }
    if view.find.is_some() {
        return find::pressed(view, key);
    }
    match view.focus {
        Focus::Input => typed(view, key, completing),
        Focus::List => listed(view, key),
        Focus::Message => selected(view, key),
    }
}

/// Ctrl-C takes back one thing after another; the end comes last.
fn interrupt(view: &mut View) {
    if view.page.take().is_some() || view.find.take().is_some() {
    } else if view.focus != Focus::Input {
        view.focus = Focus::Input;
        view.purpose_over();
    } else if view.purpose != Purpose::Say {
        view.purpose_over();
    } else if view.input.is_empty() {
        view.ask(Asked::Leave);
    } else {
        view.input.take();
    }
}

fn choose(view: &mut View) {
    view.page = None;
    view.find = None;
    if view.focus == Focus::List {
        view.focus = Focus::Input;
    } else {
        view.focus = Focus::List;
        view.list.filter.clear();
    }
}

fn open_next(view: &mut View, back: bool, unread: bool) {
    let at = view
        .open
        .as_ref()
        .and_then(|open| view.list.place(open.place.conversation.as_deref().unwrap_or_default(), &open.place.title));
    match view.list.next(at, back, unread) {
        Some(row) => {
            let (conversation, title) = (row.conversation.clone(), row.title.clone());
            view.ask(Asked::Open { conversation, title });
        }
        None => view.say(if unread { "everything is read" } else { "there is no other conversation" }),
    }
}

fn to_new(view: &mut View) {
    let height = view.height();
    let Some(open) = &mut view.open else { return };
    let Some(new) = open.window.new_from else { return view.say("nothing here was unread") };
    if open.window.oldest().is_some_and(|oldest| oldest <= new) {
        open.window.show_new(height);
    } else {
        view.ask(Asked::Reload { unread: true });
    }
}

fn to_last(view: &mut View) {
    let Some(open) = &mut view.open else { return };
    if open.window.at_end {
        open.window.show_last();
    } else {
        view.ask(Asked::Reload { unread: false });
    }
}

fn scroll(view: &mut View, up: bool, rows: usize) {
    let height = view.height();
    if let Some(open) = &mut view.open {
        open.window.scroll(up, rows, height);
    }
}

/// Keys of a page; says whether this was one.
fn paged(view: &mut View, key: KeyEvent) -> bool {
    let area = view.areas().page();
    let room = usize::from(area.height.saturating_sub(1)).max(1);
    let theme = view.look.theme;
    let Some(page) = &mut view.page else { return false };
    let last = draw::page_lines(page, theme, usize::from(area.width)).len().saturating_sub(room);
    let top = page.top.min(last);
    page.top = match key.code {
        KeyCode::Up => top.saturating_sub(1),
        KeyCode::Down => top.saturating_add(1),
        KeyCode::PageUp => top.saturating_sub(room),
        KeyCode::PageDown => top.saturating_add(room),
        KeyCode::Home => 0,
        KeyCode::End => last,
        // Whoever goes on typing has read it.
        _ => {
            view.page = None;
            return key.code == KeyCode::Esc || (key.code == KeyCode::Enter && view.input.is_empty());
        }
    }
    .min(last);
    true
}

/// Keys of the input.
fn typed(view: &mut View, key: KeyEvent, completing: Option<Cycle>) {
    let (control, alt) = (key.modifiers.contains(KeyModifiers::CONTROL), key.modifiers.contains(KeyModifiers::ALT));
    let width = usize::from(view.areas().input.width).saturating_sub(PROMPT.len());
    let page = view.height().saturating_sub(2).max(1);
    let input = &mut view.input;
    match (key.code, control, alt) {
        (KeyCode::Enter, _, true) | (KeyCode::Char('j'), true, _) => insert(view, "\n"),
        (KeyCode::Enter, ..) => entered(view),
        (KeyCode::Tab, ..) => complete(view, completing),
        (KeyCode::Esc, ..) if view.purpose != Purpose::Say => view.purpose_over(),
        (KeyCode::Esc, ..) if view.said.is_some() => view.said = None,
        (KeyCode::Esc, ..) | (KeyCode::Up, true, _) => select(view),
        (KeyCode::Char('d'), true, _) if input.is_empty() => view.want(Asked::Leave),
        (KeyCode::Char('d'), true, _) | (KeyCode::Delete, ..) => input.delete(),
        (KeyCode::Char('a'), true, _) => input.home(),
        (KeyCode::Char('e'), true, _) => input.end(),
        (KeyCode::Char('w'), true, _) | (KeyCode::Backspace, _, true) => input.cut_word(),
        (KeyCode::Char('u'), true, _) => input.cut_to_home(),
        (KeyCode::Char('k'), true, _) => input.cut_to_end(),
        (KeyCode::Char('b'), _, true) | (KeyCode::Left, true, _) => input.word_left(),
        (KeyCode::Char('f'), _, true) | (KeyCode::Right, true, _) => input.word_right(),
        (KeyCode::Char('b'), true, _) | (KeyCode::Left, ..) => input.left(),
        (KeyCode::Char('f'), true, _) | (KeyCode::Right, ..) => input.right(),
        (KeyCode::Backspace, ..) | (KeyCode::Char('h'), true, _) => input.backspace(),
        (KeyCode::Home, ..) => input.home(),
        (KeyCode::End, ..) if input.is_empty() => to_last(view),
        (KeyCode::End, ..) => input.end(),
        (KeyCode::Up, ..) => drop(input.vertical(false, width) || input.recall(true)),
        (KeyCode::Down, ..) => drop(input.vertical(true, width) || input.recall(false)),
        (KeyCode::PageUp, ..) => scroll(view, true, page),
        (KeyCode::PageDown, ..) => scroll(view, false, page),
        (KeyCode::Char('?'), false, false) if input.is_empty() => view.page = Some(help::page()),
        (KeyCode::Char(c), false, false) => {
            insert(view, c.encode_utf8(&mut [0; 4]));
            if c == ':' {
                complete::emoji_typed(&mut view.input);
            }
        }
        _ => {}
    }
}

fn complete(view: &mut View, going_on: Option<Cycle>) {
    let conversations: Vec<String> = view.list.rows.iter().map(|row| row.shown.clone()).collect();
    let people = view.open.as_ref().map(|open| open.people.as_slice()).unwrap_or_default();
    if matches!(view.purpose, Purpose::To { what: What::Forward, .. }) {
        let typed = view.input.before().to_owned();
        if let Some(name) = conversations.iter().find(|name| name.starts_with(&typed)) {
            view.input.set(name.clone());
        }
        return;
    }
    let names = Names { conversations: &conversations, people };
    view.cycle = Cycle::tab(&mut view.input, going_on, names);
    if let Some(shown) = view.cycle.as_ref().and_then(Cycle::shown) {
        view.say(shown);
    }
}

/// What was typed is said, or does what it is for.
fn entered(view: &mut View) {
    view.said = None;
    match view.purpose.clone() {
        Purpose::Say => {
            let text = view.input.text().to_owned();
            if text.trim().is_empty() {
                return;
            }
            if view.ask(Asked::Line(text.clone())) {
                view.input.take();
                view.input.remember(&text);
            } else {
                view.say("too much at once: wait a little, and press Enter again");
            }
        }
        Purpose::To { message, what, .. } => match Purpose::deed(what, view.input.text()) {
            Ok(Some(deed)) => {
                if view.ask(Asked::Do { message, deed }) {
                    view.purpose_over();
                }
            }
            Ok(None) => view.purpose_over(),
            Err(why) => view.say(why),
        },
    }
}

fn select(view: &mut View) {
    let height = view.height();
    let Some(open) = &mut view.open else { return };
    open.window.select_last(height);
    if open.window.selected().is_some() {
        view.focus = Focus::Message;
    }
}

/// Keys of the list.
fn listed(view: &mut View, key: KeyEvent) {
    let room = usize::from(view.areas().list.height).saturating_sub(2).max(1);
    let at = view.list.marked;
    match key.code {
        KeyCode::Esc => {
            view.list.filter.clear();
            view.focus = Focus::Input;
        }
        KeyCode::Enter => {
            let marked = view.list.marked().map(|row| (row.conversation.clone(), row.title.clone()));
            view.focus = Focus::Input;
            match marked {
                Some((conversation, title)) => view.want(Asked::Open { conversation, title }),
                None => {
                    // Nobody here is called so: somebody else may be.
                    let name = std::mem::take(&mut view.list.filter);
                    view.ask(Asked::Line(format!("/open {name}")));
                }
            }
        }
        KeyCode::Up => view.list.mark(at.saturating_sub(1)),
        KeyCode::Down => view.list.mark(at.saturating_add(1)),
        KeyCode::PageUp => view.list.mark(at.saturating_sub(room)),
        KeyCode::PageDown => view.list.mark(at.saturating_add(room)),
        KeyCode::Home => view.list.mark(0),
        KeyCode::End => view.list.mark(usize::MAX),
        KeyCode::Backspace => view.list.filter(None),
        // No name begins so.
        KeyCode::Char('/') if view.list.filter.is_empty() => {
            view.focus = Focus::Input;
            insert(view, "/");
        }
        KeyCode::Char('?') if view.list.filter.is_empty() => view.page = Some(help::page()),
        KeyCode::Char(c) if !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) => {
            view.list.filter(Some(c));
        }
        _ => {}
    }
}

/// Keys of a selected message.
fn selected(view: &mut View, key: KeyEvent) {
    let height = view.height();
    let Some(open) = &mut view.open else { return view.focus = Focus::Input };
    let Some(message) = open.window.selected().cloned() else { return view.focus = Focus::Input };
    let what = match key.code {
        KeyCode::Esc => {
            open.window.select(None);
            view.focus = Focus::Input;
            return;
        }
        // Whoever begins a command has done with the message.
        KeyCode::Char('/') if view.input.is_empty() => {
            view.purpose_over();
            view.focus = Focus::Input;
            return insert(view, "/");
        }
        KeyCode::Up | KeyCode::Char('k') => return open.window.select_next(true, height),
        KeyCode::Down | KeyCode::Char('j') => return open.window.select_next(false, height),
        KeyCode::PageUp => return scroll(view, true, height.saturating_sub(2).max(1)),
        KeyCode::PageDown => return scroll(view, false, height.saturating_sub(2).max(1)),
        KeyCode::End => return to_last(view),
        KeyCode::Char('?') => return view.page = Some(help::page()),
        KeyCode::Char('p') => {
            let deed = Deed::Pin { removed: message.details.pinned };
            view.ask(Asked::Do { message: message.id, deed });
            return;
        }
        KeyCode::Char('g') => {
            match message.file {
                Some(_) => view.want(Asked::Get(message.id)),
                None => view.say("there is no file in it"),
            }
            return;
        }
        KeyCode::Char('s') => {
            if open.window.is_pictured(&message.id) {
                open.window.picture(&message.id, None);
            } else if message.file.is_some() {
                view.ask(Asked::Preview(message.id));
            } else {
                view.say("there is no picture in it");
            }
            return;
        }
        KeyCode::Char('r') | KeyCode::Enter => What::Reply,
        KeyCode::Char('e') if message.own => What::Edit,
        KeyCode::Char('e') => return view.say("only who said it can change it"),
        KeyCode::Char('d') | KeyCode::Delete => What::Delete,
        KeyCode::Char('+' | 'a') => What::React { removed: false },
        KeyCode::Char('-') => What::React { removed: true },
        KeyCode::Char('f') => What::Forward,
        KeyCode::Char('v') if message.details.poll.is_some() => What::Vote,
        _ => return,
    };
    if message.kind == "notice" {
        return view.say("nobody said that: it is a note of this program");
    }
    let text = match what {
        What::Edit if message.kind == "text" => message.body.clone(),
        _ => String::new(),
    };
    let purpose = Purpose::of(&message, what, &view.look);
    view.begin(purpose, &text);
}

fn moused(view: &mut View, mouse: MouseEvent) {
    let areas = view.areas();
    let at = Position::new(mouse.column, mouse.row);
    let row = |area: Rect| mouse.row.saturating_sub(area.y);
    match mouse.kind {
        MouseEventKind::ScrollUp | MouseEventKind::ScrollDown => {
            let theme = view.look.theme;
            let up = mouse.kind == MouseEventKind::ScrollUp;
            if areas.list.contains(at) && (view.page.is_none() || areas.page() != areas.list) {
                let marked = view.list.marked;
                view.list.mark(if up { marked.saturating_sub(1) } else { marked.saturating_add(1) });
            } else if let Some(page) = &mut view.page {
                let area = areas.page();
                let room = usize::from(area.height.saturating_sub(1));
                let lines = draw::page_lines(page, theme, usize::from(area.width)).len();
                let last = lines.saturating_sub(room);
                let top = if up { page.top.saturating_sub(WHEEL) } else { page.top.saturating_add(WHEEL) };
                page.top = top.min(last);
            } else {
                scroll(view, up, WHEEL);
            }
        }
        MouseEventKind::Down(MouseButton::Left) if areas.list.contains(at) => {
            let Some(n) = draw::list_at(view, areas.list, row(areas.list)) else { return };
            view.list.marked = n;
            if let Some((conversation, title)) =
                view.list.marked().map(|row| (row.conversation.clone(), row.title.clone()))
            {
                view.focus = Focus::Input;
                view.ask(Asked::Open { conversation, title });
            }
        }
        MouseEventKind::Down(MouseButton::Left)
            if areas.messages.contains(at) && view.page.is_none() && view.find.is_none() =>
        {
            let height = usize::from(areas.messages.height);
            let Some(open) = &mut view.open else { return };
            let empty = height.saturating_sub(open.window.shown(height).len());
            let Some(row) = usize::from(row(areas.messages)).checked_sub(empty) else { return };
            let local = open.window.at(row, height);
            open.window.select(local);
            view.focus = if local.is_some() { Focus::Message } else { Focus::Input };
        }
        MouseEventKind::Down(MouseButton::Left) if areas.input.contains(at) => {
            if view.focus == Focus::Message {
                view.purpose_over();
            }
            view.focus = Focus::Input;
        }
        _ => {}
    }
}
