//! Finding messages by their words, while these are typed.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use qpc_client::api::Found;
use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    text::{Line, Span},
};
use unicode_width::UnicodeWidthStr;

use super::{
    draw::put,
    state::{Asked, Focus, View},
};
use crate::cli::{table::cut, terminal};

/// Messages that are found at once, the newest.
pub(super) const FOUND_MAX: u32 = 100;
/// Bytes of the words.
const WORDS_MAX: usize = 256;

/// What is looked for, and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Find {
    pub(super) words: String,
    /// In the open conversation alone?
    pub(super) here: bool,
    found: Vec<Found>,
    marked: usize,
    /// Was it looked for by now? What was wrong with it, if anything.
    answered: bool,
    problem: Option<String>,
}

/// Opens or closes it.
pub(super) fn toggle(view: &mut View) {
    view.page = None;
    view.find = match view.find {
        Some(_) => None,
        None => Some(Find::default()),
    };
    if view.focus == Focus::List {
        view.focus = Focus::Input;
    }
}

/// A key of it.
pub(super) fn pressed(view: &mut View, key: KeyEvent) {
    let room = usize::from(view.areas().page().height.saturating_sub(1)).max(1);
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let opened = view.open.is_some();
    let Some(find) = &mut view.find else { return };
    let last = find.found.len().saturating_sub(1);
    match (key.code, control) {
        (KeyCode::Esc, _) => view.find = None,
        (KeyCode::Enter, _) => {
            let goal = find.found.get(find.marked).map(|found| Asked::GoTo {
                conversation: found.message.conversation.clone(),
                title: found.message.title.clone(),
                local: found.message.local,
            });
            if let Some(goal) = goal {
                view.find = None;
                view.want(goal);
            }
        }
        (KeyCode::Up, _) => find.marked = find.marked.saturating_sub(1),
        (KeyCode::Down, _) => find.marked = find.marked.saturating_add(1).min(last),
        (KeyCode::PageUp, _) => find.marked = find.marked.saturating_sub(room),
        (KeyCode::PageDown, _) => find.marked = find.marked.saturating_add(room).min(last),
        (KeyCode::Home, _) => find.marked = 0,
        (KeyCode::End, _) => find.marked = last,
        (KeyCode::Tab, _) if opened => {
            find.here = !find.here;
            look(view);
        }
        (KeyCode::Backspace, _) | (KeyCode::Char('h'), true) => {
            find.words.pop();
            look(view);
        }
        (KeyCode::Char('u'), true) => {
            find.words.clear();
            look(view);
        }
        (KeyCode::Char(c), false) => add(view, c.encode_utf8(&mut [0; 4])),
        _ => {}
    }
}

/// Words are typed, or pasted.
pub(super) fn add(view: &mut View, words: &str) {
    let Some(find) = &mut view.find else { return };
    for c in words.chars().filter(|c| !terminal::harmful(*c)) {
        if find.words.len().saturating_add(c.len_utf8()) <= WORDS_MAX {
            find.words.push(c);
        }
    }
    look(view);
}

/// The last words are looked for; those before them are not, if that has not begun.
fn look(view: &mut View) {
    let to = view.open.as_ref().map(|open| open.place.to.clone());
    let Some(find) = &mut view.find else { return };
    find.answered = false;
    let asked = Asked::Find { words: find.words.clone(), to: to.filter(|_| find.here) };
    view.ask_last(asked, |asked| matches!(asked, Asked::Find { .. }));
}

impl View {
    /// What came of looking for some words, if they are still looked for.
    pub(super) fn found(&mut self, words: &str, found: Result<Vec<Found>, String>) {
        let Some(find) = self.find.as_mut().filter(|find| find.words == words) else { return };
        find.answered = true;
        find.marked = 0;
        (find.found, find.problem) = match found {
            Ok(found) => (found, None),
            Err(problem) => (Vec::new(), Some(problem)),
        };
    }
}

/// Draws it over the messages; says where the cursor stands.
pub(super) fn draw(view: &View, find: &Find, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let theme = view.look.theme;
    let width = usize::from(area.width);
    let place = if find.here { "find here: " } else { "find: " };
    let keys = if view.open.is_some() { "  (Enter, Tab: here or everywhere, Esc)" } else { "  (Enter, Esc)" };
    let words = tail(&find.words, width.saturating_sub(place.len().saturating_add(1)));
    let typed = place.len().saturating_add(words.width());
    let keys = if typed.saturating_add(keys.len()) < width { keys } else { "" };
    let line = Line::from(vec![Span::styled(place, theme.bold()), Span::raw(words), Span::styled(keys, theme.dim())]);
    put(buffer, area, 0, &line);
    let room = usize::from(area.height.saturating_sub(1)).max(1);
    let note = match (&find.problem, find.found.is_empty(), find.answered) {
        (Some(problem), ..) => Some(terminal::line(problem).into_owned()),
        (None, true, _) if find.words.trim().is_empty() => {
            Some("words, or their beginnings; \"a phrase\" as it stands".to_owned())
        }
        (None, true, true) => Some("nothing found".to_owned()),
        _ => None,
    };
    if let Some(note) = note {
        put(buffer, area, 1, &Line::styled(cut(&note, width), theme.dim()));
    }
    let top = find.marked.saturating_add(1).saturating_sub(room);
    for (row, (n, found)) in (1..area.height).zip(find.found.iter().enumerate().skip(top)) {
        let line = one(found, find.here, view);
        put(buffer, area, row, &if n == find.marked { line.style(theme.marked()) } else { line });
    }
    let x = area.x.saturating_add(u16::try_from(typed).unwrap_or(u16::MAX)).min(area.right().saturating_sub(1));
    (!area.is_empty()).then_some(Position::new(x, area.y))
}

/// The end of what is too long.
fn tail(words: &str, width: usize) -> String {
    let mut begin = 0;
    while words.get(begin..).unwrap_or_default().width() > width {
        begin = begin.saturating_add(words.get(begin..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8));
    }
    words.get(begin..).unwrap_or_default().to_owned()
}

fn one<'a>(found: &Found, here: bool, view: &View) -> Line<'a> {
    let (look, message) = (&view.look, &found.message);
    let theme = look.theme;
    let row = view.list.place(&message.conversation, &message.title).and_then(|at| view.list.rows.get(at));
    let place = row.map_or_else(|| look.render.name(&message.title), |row| row.shown.clone());
    let place = if here { String::new() } else { format!("{place} ") };
    let who = if message.own { "you".to_owned() } else { look.render.name(&message.sender) };
    // Between two, the place says who.
    let who = if !here && !message.own && message.title == message.sender { String::new() } else { format!("{who}: ") };
    let mut spans = vec![
        Span::styled(format!("{} ", terminal::line(&look.clock.brief(&message.time))), theme.dim()),
        Span::styled(place, theme.name(&message.title)),
        Span::styled(who, theme.bold()),
    ];
    for part in &found.excerpt {
        let style = if part.found { theme.fresh() } else { ratatui::style::Style::new() };
        spans.push(Span::styled(terminal::line(&part.text).into_owned(), style));
    }
    Line::from(spans)
}
