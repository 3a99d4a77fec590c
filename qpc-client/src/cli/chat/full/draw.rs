//! The screen, drawn: a function of the state into a buffer of cells.
//!
//! Text of others is clean when it comes here; the buffer itself takes no control characters either.

use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect},
    style::Style,
    text::{Line, Span},
};
use unicode_width::UnicodeWidthStr;

use super::{
    areas::{Areas, PROMPT},
    find, lay,
    list::Row,
    state::{Connection, Focus, Open, Page, View},
    theme::Theme,
    wrap::{Piece, wrap},
};
use crate::cli::{
    table::{cut, pad},
    terminal,
};

/// Rows of the list from which on each conversation has two.
const TALL: u16 = 24;
/// Columns from which on it stands beside all else who is writing.
const ROOMY: u16 = 100;
/// Columns of a number of unread messages in the list.
const UNREAD: usize = 4;
/// Columns of a time in the list.
const TIME: usize = 6;

/// Draws everything; says where the cursor stands, if it is shown.
pub(super) fn draw(view: &View, buffer: &mut Buffer) -> Option<Position> {
    let areas = view.areas();
    if view.page.is_none() || areas.page() != areas.list {
        list(view, areas.list, buffer);
    }
    for y in areas.border.top()..areas.border.bottom() {
        put(buffer, Rect { y, height: 1, ..areas.border }, 0, &Line::styled("│", view.look.theme.dim()));
    }
    header(view, areas.header, buffer);
    let mut finding = None;
    if let Some(shown) = &view.page {
        page(view, shown, areas.page(), buffer);
    }
    match (&view.page, &view.find, &view.open) {
        (Some(_), ..) if areas.short.is_empty() => {}
        (None, Some(looked), _) => finding = find::draw(view, looked, areas.page(), buffer),
        (.., Some(open)) => messages(view, open, areas.messages, buffer),
        _ => welcome(view, areas.messages, buffer),
    }
    status(view, &areas, buffer);
    if let Some(heading) = view.purpose.heading() {
        let heading = cut(&heading, usize::from(areas.heading.width));
        put(buffer, areas.heading, 0, &Line::styled(heading, view.look.theme.fresh()));
    }
    input(view, areas.input, buffer).filter(|_| view.find.is_none()).or(finding)
}

/// A line in a row of an area, as much of it as fits.
pub(super) fn put(buffer: &mut Buffer, area: Rect, row: u16, line: &Line<'_>) {
    let area = area.intersection(buffer.area);
    let y = area.y.saturating_add(row);
    if row < area.height && area.width > 0 {
        buffer.set_line(area.x, y, line, area.width);
    }
}

fn rows(area: Rect) -> std::ops::Range<u16> {
    0..area.height
}

fn list(view: &View, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let theme = view.look.theme;
    let fitting = view.list.fitting();
    let focused = view.focus == Focus::List;
    let title = if view.list.filter.is_empty() {
        match view.list.rows.len() {
            1 => "1 conversation".to_owned(),
            n => format!("{n} conversations"),
        }
    } else {
        format!("find: {}", view.list.filter)
    };
    put(buffer, area, 0, &Line::styled(cut(&title, usize::from(area.width)), theme.dim()));
    let each = list_rows_each(area);
    let first = list_top(view, area);
    let room = usize::from(area.height.saturating_sub(1)).checked_div(usize::from(each)).unwrap_or(0);
    let mut y = 1_u16;
    let place = view
        .open
        .as_ref()
        .and_then(|open| view.list.place(open.place.conversation.as_deref().unwrap_or_default(), &open.place.title));
    for (n, (at, row)) in fitting.iter().enumerate().skip(first).take(room) {
        let marked = focused && n == view.list.marked;
        let lines = list_row(view, row, Some(*at) == place, usize::from(area.width), each > 1);
        for line in lines {
            let line = if marked { line.style(theme.marked()) } else { line };
            put(buffer, area, y, &line);
            y = y.saturating_add(1);
        }
    }
}

/// Rows of one conversation.
fn list_rows_each(area: Rect) -> u16 {
    if area.height >= TALL { 2 } else { 1 }
}

/// The first conversation that is shown, so that the marked one, or the open one, is.
fn list_top(view: &View, area: Rect) -> usize {
    let each = usize::from(list_rows_each(area));
    let room = usize::from(area.height.saturating_sub(1)).checked_div(each).unwrap_or(0).max(1);
    view.list.marked.saturating_add(1).saturating_sub(room)
}

/// The conversation at a row of the list, among those that fit the filter.
pub(super) fn list_at(view: &View, area: Rect, row: u16) -> Option<usize> {
    let each = list_rows_each(area);
    let place = row.checked_sub(1)?.checked_div(each)?;
    let at = list_top(view, area).saturating_add(usize::from(place));
    (at < view.list.fitting().len()).then_some(at)
}

fn list_row<'a>(view: &View, row: &Row, open: bool, width: usize, two: bool) -> Vec<Line<'a>> {
    let theme = view.look.theme;
    let bar = Span::styled(if open { "▌" } else { " " }, theme.good());
    let unread = match (row.unread, row.calls) {
        (0, _) => String::new(),
        (n, true) => format!("@{n}"),
        (n, false) => n.to_string(),
    };
    let name = format!("{}{}", row.shown, row.mark);
    let muted = if row.muted { "muted " } else { "" };
    let name_style = if row.unread > 0 && !row.muted { theme.bold() } else { Style::new() };
    let unread_style = if row.muted { theme.dim() } else { theme.fresh() };
    let time = if row.time.is_empty() {
        String::new()
    } else {
        terminal::line(&view.look.clock.brief(&row.time)).into_owned()
    };
    let time = format!("{time:>TIME$}");
    let inner = width.saturating_sub(1);
    if two {
        let name_width = inner.saturating_sub(TIME.saturating_add(1));
        let words_width = inner.saturating_sub(unread.width().saturating_add(muted.len()).saturating_add(1));
        return vec![
            Line::from(vec![
                bar.clone(),
                Span::styled(pad(&cut(&name, name_width), name_width), name_style),
                Span::styled(format!(" {time}"), theme.dim()),
            ]),
            Line::from(vec![
                bar,
                Span::styled(pad(&cut(&row.last, words_width), words_width), theme.dim()),
                Span::styled(format!(" {muted}"), theme.dim()),
                Span::styled(unread, unread_style),
            ]),
        ];
    }
    let marks = format!("{muted}{unread:>UNREAD$}");
    let rest = inner.saturating_sub(marks.width().saturating_add(1));
    // Words only where names have enough room beside them.
    let with_words = width >= 50;
    let name_width = if with_words { (rest / 3).min(24) } else { rest };
    let words_width = rest.saturating_sub(name_width).saturating_sub(TIME.saturating_add(2));
    let mut spans = vec![bar, Span::styled(pad(&cut(&name, name_width), name_width), name_style)];
    if with_words {
        spans.push(Span::styled(format!(" {}", pad(&cut(&row.last, words_width), words_width)), theme.dim()));
        spans.push(Span::styled(format!(" {time}"), theme.dim()));
    }
    spans.push(Span::styled(format!(" {marks}"), unread_style));
    vec![Line::from(spans)]
}

fn header(view: &View, area: Rect, buffer: &mut Buffer) {
    let theme = view.look.theme;
    let width = usize::from(area.width);
    let others = match view.list.unread() {
        0 => String::new(),
        n => format!("{n} unread "),
    };
    let right = format!("{others}F1 help");
    let left = width.saturating_sub(right.width().saturating_add(1));
    let line = match &view.open {
        None => Line::from(Span::styled(pad(&cut("quicprochat", left), left), theme.bold())),
        Some(open) => {
            let name = cut(&format!("{}{}", open.place.shown, open.mark), left);
            let mut about = open.topic.replace('\n', " ");
            if open.request {
                about = "asks to talk to you: /accept, /decline or /block".to_owned();
            } else if !open.active {
                about = "over".to_owned();
            }
            let rest = left.saturating_sub(name.width());
            let about = if about.is_empty() { about } else { format!(" · {}", terminal::line(&about)) };
            Line::from(vec![Span::styled(name, theme.bold()), Span::styled(pad(&cut(&about, rest), rest), theme.dim())])
        }
    };
    put(buffer, area, 0, &line);
    let x = u16::try_from(left).unwrap_or(u16::MAX);
    let place = Rect { x: area.x.saturating_add(x), width: area.width.saturating_sub(x), ..area };
    put(buffer, place, 0, &Line::styled(format!(" {right}"), theme.dim()));
}

fn messages(view: &View, open: &Open, area: Rect, buffer: &mut Buffer) {
    let theme = view.look.theme;
    let shown = open.window.shown(usize::from(area.height));
    // Few messages stand above the input.
    let empty = usize::from(area.height).saturating_sub(shown.len());
    let begin = u16::try_from(empty).unwrap_or(0);
    if shown.is_empty() {
        let words = "nothing has been said yet; your first message asks whether they want to talk to you";
        let words = if open.place.conversation.is_some() { "no messages" } else { words };
        for (y, line) in rows(area).zip(wrap(&[Piece::new(words, theme.dim())], usize::from(area.width), 0)) {
            put(buffer, area, y, &line);
        }
        return;
    }
    let inner = Rect { x: area.x.saturating_add(1), width: area.width.saturating_sub(1), ..area };
    for (n, row) in shown.iter().enumerate() {
        let y = begin.saturating_add(u16::try_from(n).unwrap_or(u16::MAX));
        put(buffer, inner, y, row.line);
        if row.selected {
            put(buffer, Rect { width: area.width.min(1), ..area }, y, &Line::styled("▌", theme.fresh()));
        }
    }
}

fn welcome(view: &View, area: Rect, buffer: &mut Buffer) {
    let words = if view.list.rows.is_empty() {
        "no conversations yet: /open NAME begins one"
    } else {
        "F2 or Ctrl-O chooses a conversation, Ctrl-N opens the next; /open NAME begins one"
    };
    for (y, line) in rows(area).zip(wrap(&[Piece::new(words, view.look.theme.dim())], usize::from(area.width), 0)) {
        put(buffer, area, y, &line);
    }
}

/// The lines of a page in so many columns.
pub(super) fn page_lines(page: &Page, theme: Theme, width: usize) -> Vec<Line<'static>> {
    let line = |line: &String| {
        let (code, words) = line.split_at(code_end(line));
        wrap(&[Piece::new(code, theme.code()), Piece::new(words, Style::new())], width, 2)
    };
    page.lines.iter().flat_map(line).collect()
}

/// Where the row of a code to be scanned ends that a line begins with.
fn code_end(line: &str) -> usize {
    let blocks = ['█', '▀', '▄'];
    if !line.starts_with(blocks) {
        return 0;
    }
    let last = line.char_indices().rev().find(|(_, c)| blocks.contains(c));
    last.map_or(0, |(at, c)| at.saturating_add(c.len_utf8()))
}

fn page(view: &View, page: &Page, area: Rect, buffer: &mut Buffer) {
    let theme = view.look.theme;
    let width = usize::from(area.width);
    let lines = page_lines(page, theme, width);
    let room = usize::from(area.height.saturating_sub(1));
    let top = page.top.min(lines.len().saturating_sub(room));
    let more = lines.len().saturating_sub(top.saturating_add(room));
    let head = match (page.title.as_str(), more) {
        (title, 0) => format!("{title}  (Esc closes)"),
        (title, more) => format!("{title}  (Esc closes; {more} more rows: ↓, PgDn)"),
    };
    put(buffer, area, 0, &Line::styled(cut(head.trim_start(), width), theme.fresh()));
    for (y, line) in rows(area).skip(1).zip(lines.iter().skip(top)) {
        put(buffer, area, y, line);
    }
}

/// How the connection is, and what waits for it. A line of who is typing has its place beside it.
pub(super) fn state(view: &View) -> Line<'static> {
    let theme = view.look.theme;
    let mut spans = match &view.connection {
        Connection::Connecting => vec![Span::styled("○ connecting", theme.dim())],
        Connection::Online => vec![Span::styled("● online", theme.good())],
        Connection::Offline { since, .. } => vec![Span::styled(format!("○ offline {since}"), theme.loud())],
    };
    if view.waiting > 0 {
        spans.push(Span::styled(format!(" {} waiting", view.waiting), theme.fresh()));
    }
    // Where there is room it takes it from nothing else.
    if let Some(writing) = view.writing().filter(|_| view.size.0 >= ROOMY) {
        spans.push(Span::styled(format!("  {writing}"), theme.dim()));
    }
    Line::from(spans)
}

fn status(view: &View, areas: &Areas, buffer: &mut Buffer) {
    let theme = view.look.theme;
    put(buffer, areas.status, 0, &state(view));
    let width = usize::from(areas.said.width);
    let came = view.open.as_ref().map_or(0, |open| open.window.came);
    let selected = view.open.as_ref().and_then(|open| open.window.selected());
    let (text, style) = match (&view.said, view.focus, &view.connection) {
        (_, Focus::Message, _) if selected.is_some() => {
            let called = selected.map(|message| lay::called(message, &view.look)).unwrap_or_default();
            (format!("{called}: r e d + - p f v s g  ?: help"), theme.fresh())
        }
        (_, Focus::List, _) => ("Enter opens, type to find, Esc".to_owned(), theme.dim()),
        (Some(said), ..) if said.loud => (said.text.clone(), theme.loud()),
        // It ends by itself, and what was said before is there again.
        _ if view.size.0 < ROOMY && view.writing().is_some() => (view.writing().unwrap_or_default(), theme.dim()),
        (Some(said), ..) => (said.text.clone(), theme.fresh()),
        _ if view.busy => ("working …".to_owned(), theme.dim()),
        _ if came > 0 => (format!("↓ {came} new below: End"), theme.fresh()),
        _ if view.open.as_ref().is_some_and(|open| !open.window.follows()) => {
            ("↓ older messages: End goes to the last".to_owned(), theme.dim())
        }
        (None, _, Connection::Offline { why: Some(why), .. }) => (why.clone(), theme.dim()),
        _ => (String::new(), Style::new()),
    };
    put(buffer, areas.said, 0, &Line::styled(cut(&text, width), style));
}

fn input(view: &View, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    if area.is_empty() {
        return None;
    }
    let theme = view.look.theme;
    let prompt = PROMPT.len();
    let width = usize::from(area.width).saturating_sub(prompt);
    let typed = view.input.rows(width);
    let (x, y) = view.input.place(&typed);
    let top = y.saturating_add(1).saturating_sub(usize::from(area.height));
    for (row, typed) in rows(area).zip(typed.iter().skip(top)) {
        let begin = if row == 0 { PROMPT } else { "  " };
        put(buffer, area, row, &Line::from(vec![Span::styled(begin, theme.bold()), Span::raw(typed.text.clone())]));
    }
    if view.focus != Focus::Input {
        return None;
    }
    let x = u16::try_from(x.saturating_add(prompt)).unwrap_or(u16::MAX).min(area.width.saturating_sub(1));
    let y = u16::try_from(y.saturating_sub(top)).unwrap_or(u16::MAX).min(area.height.saturating_sub(1));
    Some(Position::new(area.x.saturating_add(x), area.y.saturating_add(y)))
}
