//! Where things stand on a screen of any size: beside each other where there is room, one at a time where there is not.

use ratatui::layout::Rect;

use super::{
    draw,
    state::{Focus, View},
};

/// Columns from which on the list stands beside the messages.
const WIDE: u16 = 80;
/// Columns of the list there, at least and at most.
const LIST_MIN: u16 = 24;
const LIST_MAX: u16 = 40;
/// Rows of what is typed, at most.
const INPUT_MAX_ROWS: u16 = 6;
/// What stands before the words being typed.
pub(super) const PROMPT: &str = "> ";

/// The areas; one that is not shown is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Areas {
    pub(super) list: Rect,
    /// Between the list and the rest.
    pub(super) border: Rect,
    pub(super) header: Rect,
    pub(super) messages: Rect,
    /// Below the messages: a page of a few lines.
    pub(super) short: Rect,
    /// The connection, and what is said to the person.
    pub(super) status: Rect,
    pub(super) said: Rect,
    /// What the words being typed are for.
    pub(super) heading: Rect,
    pub(super) input: Rect,
}

impl Areas {
    /// Where a page stands: below the messages if it is short, else over them, or where there are none over the list.
    pub(super) fn page(&self) -> Rect {
        match (self.short.is_empty(), self.messages.is_empty()) {
            (false, _) => self.short,
            (true, false) => self.messages,
            (true, true) => self.list,
        }
    }

    pub(super) fn of(view: &View) -> Self {
        let (width, height) = view.size;
        let whole = Rect::new(0, 0, width, height);
        let status_of = |area: Rect| {
            let y = area.bottom().saturating_sub(1);
            Rect::new(area.x, y, area.width, area.height.min(1))
        };
        if width < WIDE && view.focus == Focus::List {
            let status = status_of(whole);
            let list = Rect::new(0, 0, width, height.saturating_sub(status.height));
            return Self { list, status, said: said(view, status), ..Self::default() };
        }
        let (list, border, right) = if width < WIDE {
            (Rect::default(), Rect::default(), whole)
        } else {
            let columns = (width / 4).clamp(LIST_MIN, LIST_MAX);
            let right = columns.saturating_add(1);
            (
                Rect::new(0, 0, columns, height),
                Rect::new(columns, 0, 1, height),
                Rect::new(right, 0, width.saturating_sub(right), height),
            )
        };
        let mut left = height;
        let mut take = |wanted: u16| {
            let taken = wanted.min(left);
            left = left.saturating_sub(taken);
            taken
        };
        let columns = usize::from(right.width.saturating_sub(2));
        let typed = u16::try_from(view.input.rows(columns).len()).unwrap_or(u16::MAX);
        let input = take(typed.clamp(1, (height / 3).clamp(1, INPUT_MAX_ROWS)));
        let messages = take(1);
        let status = take(1);
        let heading = take(u16::from(view.purpose.heading().is_some()));
        let header = take(1);
        let messages = messages.saturating_add(left);
        let mut y = 0_u16;
        let mut rows = |height: u16| {
            let area = Rect::new(right.x, y, right.width, height);
            y = y.saturating_add(height);
            area
        };
        let header = rows(header);
        let short = short(view, right.width, messages);
        let messages = rows(messages.saturating_sub(short));
        let short = rows(short);
        let status = rows(status);
        let heading = rows(heading);
        Self { list, border, header, messages, short, status, said: said(view, status), heading, input: rows(input) }
    }
}

/// Rows of a page that leaves most of the messages in view, with its heading.
fn short(view: &View, width: u16, messages: u16) -> u16 {
    let Some(page) = &view.page else { return 0 };
    let lines = draw::page_lines(page, view.look.theme, usize::from(width)).len().saturating_add(1);
    u16::try_from(lines).ok().filter(|lines| *lines <= messages / 2).unwrap_or(0)
}

fn said(view: &View, status: Rect) -> Rect {
    let state = u16::try_from(draw::state(view).width()).unwrap_or(u16::MAX).saturating_add(2);
    let begin = state.min(status.width);
    Rect::new(status.x.saturating_add(begin), status.y, status.width.saturating_sub(begin), status.height)
}
