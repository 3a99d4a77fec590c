//! The part of a conversation that is in memory: a page or a few of it around what is looked at, however long it is.
//!
//! What is looked at is held by a message, not by a number of rows, so that what comes above or below, or another width, moves
//! nothing.

use std::collections::{HashMap, VecDeque};

use qpc_client::api::{Message, OutboxState, Transfer};
use ratatui::text::Line;

use super::{
    lay::{self, Around, Delivery},
    look::Look,
    thumb::Thumb,
};

/// Messages in memory.
pub(super) const WINDOW_MAX: usize = 400;
/// Messages taken from the store at once.
pub(super) const PAGE: u32 = 100;
/// Rows above what is shown below which older messages are asked for.
const AHEAD: usize = 10;

struct Entry {
    message: Message,
    /// Its day where this person is, once it was laid out.
    day: Option<String>,
    delivery: Option<Delivery>,
    thumb: Option<Thumb>,
    /// For which width, whether with a line for its day, and with one for what is new.
    laid: Option<(usize, bool, bool)>,
    rows: Vec<Line<'static>>,
}

/// What is held at the bottom of the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Anchor {
    /// The newest, whatever comes.
    Bottom,
    /// This message, of which so many rows are below the view.
    At { local: i64, hidden: usize },
}

/// A part of a conversation.
pub(super) struct Window {
    entries: VecDeque<Entry>,
    /// Is there nothing older, or newer, than what is here?
    pub(super) at_start: bool,
    pub(super) at_end: bool,
    /// The first message that nobody had seen when it was opened.
    pub(super) new_from: Option<i64>,
    /// Messages that came while older ones were looked at.
    pub(super) came: u64,
    anchor: Anchor,
    selected: Option<i64>,
    transfers: HashMap<String, Transfer>,
    width: usize,
}

/// A row to be drawn.
pub(super) struct Row<'a> {
    pub(super) line: &'a Line<'static>,
    pub(super) selected: bool,
}

impl Window {
    pub(super) fn new(messages: Vec<Message>, at_start: bool, at_end: bool, new_from: Option<i64>) -> Self {
        let mut window = Self {
            entries: VecDeque::new(),
            at_start,
            at_end,
            new_from,
            came: 0,
            anchor: Anchor::Bottom,
            selected: None,
            transfers: HashMap::new(),
            width: 0,
        };
        window.entries.extend(messages.into_iter().map(Entry::new));
        window.trim_front();
        window
    }

    /// Takes what was known of files on their way, and what was new, from the window before; and of messages that are in both,
    /// which is selected and which show their pictures.
    pub(super) fn after(mut self, before: Self) -> Self {
        self.transfers = before.transfers;
        self.new_from = self.new_from.or(before.new_from);
        self.selected = before.selected.filter(|local| self.entries.iter().any(|one| one.message.local == *local));
        for pictured in before.entries.into_iter().filter(|one| one.thumb.is_some()) {
            let same = |one: &&mut Entry| one.message.id == pictured.message.id && one.message.file.is_some();
            if let Some(entry) = self.entries.iter_mut().find(same) {
                entry.thumb = pictured.thumb;
                entry.laid = None;
            }
        }
        self
    }

    fn trim_front(&mut self) {
        while self.entries.len() > WINDOW_MAX {
            self.entries.pop_front();
            self.at_start = false;
        }
    }

    fn trim_back(&mut self) {
        while self.entries.len() > WINDOW_MAX {
            self.entries.pop_back();
            self.at_end = false;
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn oldest(&self) -> Option<i64> {
        self.entries.front().map(|entry| entry.message.local)
    }

    pub(super) fn newest(&self) -> Option<i64> {
        self.entries.back().map(|entry| entry.message.local)
    }

    /// Is the newest message looked at?
    pub(super) fn follows(&self) -> bool {
        self.at_end && self.anchor == Anchor::Bottom
    }

    /// Lays out what is not laid out yet for this width.
    pub(super) fn prepare(&mut self, width: usize, look: &Look) {
        self.width = width;
        let mut last: Option<&String> = None;
        for entry in &mut self.entries {
            let day = &*entry.day.get_or_insert_with(|| look.clock.day(&entry.message.time));
            let begins = last != Some(day);
            let new = self.new_from == Some(entry.message.local);
            if entry.laid != Some((width, begins, new)) {
                let delivery = entry.delivery.unwrap_or_else(|| Delivery::of(&entry.message));
                let transfer = self.transfers.get(&entry.message.id);
                let around = Around { day: begins, new, delivery, transfer, thumb: entry.thumb.as_ref() };
                entry.rows = lay::lay(&entry.message, around, look, width);
                entry.laid = Some((width, begins, new));
            }
            last = Some(day);
        }
    }

    fn total(&self) -> usize {
        self.entries.iter().map(|entry| entry.rows.len()).sum()
    }

    /// The row behind the last one of a message.
    fn end_of(&self, local: i64) -> Option<usize> {
        let mut end = 0_usize;
        for entry in &self.entries {
            end = end.saturating_add(entry.rows.len());
            if entry.message.local == local {
                return Some(end);
            }
        }
        None
    }

    /// The row behind the last one that is shown.
    fn bottom(&self, height: usize) -> usize {
        let total = self.total();
        let bottom = match self.anchor {
            Anchor::Bottom => total,
            Anchor::At { local, hidden } => self.end_of(local).map_or(total, |end| end.saturating_sub(hidden)),
        };
        bottom.max(height).min(total)
    }

    fn set_bottom(&mut self, bottom: usize, height: usize) {
        let total = self.total();
        let bottom = bottom.max(height).min(total);
        if bottom == total && self.at_end {
            self.anchor = Anchor::Bottom;
            self.came = 0;
            return;
        }
        let mut end = 0_usize;
        for entry in &self.entries {
            end = end.saturating_add(entry.rows.len());
            if end >= bottom {
                self.anchor = Anchor::At { local: entry.message.local, hidden: end.saturating_sub(bottom) };
                return;
            }
        }
    }

    /// Looks so many rows further up, or down.
    pub(super) fn scroll(&mut self, up: bool, rows: usize, height: usize) {
        let bottom = self.bottom(height);
        self.set_bottom(if up { bottom.saturating_sub(rows) } else { bottom.saturating_add(rows) }, height);
    }

    /// Looks at the newest of what is here.
    pub(super) fn show_last(&mut self) {
        if self.at_end {
            self.anchor = Anchor::Bottom;
            self.came = 0;
        }
    }

    /// Has what was not seen when the conversation was opened at the top, if it does not fit.
    pub(super) fn show_new(&mut self, height: usize) {
        let Some(new) = self.new_from else { return };
        let rows = |entry: &Entry| if entry.message.local < new { entry.rows.len() } else { 0 };
        let before: usize = self.entries.iter().map(rows).sum();
        self.set_bottom(before.saturating_add(height), height);
    }

    /// Should older messages be asked for?
    pub(super) fn wants_older(&self, height: usize) -> bool {
        !self.at_start && self.bottom(height).saturating_sub(height) < AHEAD
    }

    /// Should newer ones?
    pub(super) fn wants_newer(&self, height: usize) -> bool {
        !self.at_end && self.total().saturating_sub(self.bottom(height)) < AHEAD
    }

    /// The rows of the view, the topmost first.
    pub(super) fn shown(&self, height: usize) -> Vec<Row<'_>> {
        let bottom = self.bottom(height);
        let top = bottom.saturating_sub(height);
        let rows = self.entries.iter().flat_map(|entry| {
            let selected = self.selected == Some(entry.message.local);
            entry.rows.iter().map(move |line| Row { line, selected })
        });
        rows.skip(top).take(bottom.saturating_sub(top)).collect()
    }

    /// The message at a row of the view.
    pub(super) fn at(&self, row: usize, height: usize) -> Option<i64> {
        let bottom = self.bottom(height);
        let wanted = bottom.saturating_sub(height).saturating_add(row);
        let mut end = 0_usize;
        for entry in &self.entries {
            end = end.saturating_add(entry.rows.len());
            if wanted < end {
                return Some(entry.message.local);
            }
        }
        None
    }

    pub(super) fn selected(&self) -> Option<&Message> {
        let local = self.selected?;
        self.entries.iter().map(|entry| &entry.message).find(|message| message.local == local)
    }

    pub(super) fn select(&mut self, local: Option<i64>) {
        self.selected = local;
    }

    /// Selects the last message that is shown.
    pub(super) fn select_last(&mut self, height: usize) {
        self.selected = self.at(height.min(self.total()).saturating_sub(1), height).or(self.newest());
    }

    /// Selects the message before or after the selected one, and has it in view.
    pub(super) fn select_next(&mut self, older: bool, height: usize) {
        let at = self.entries.iter().position(|entry| Some(entry.message.local) == self.selected);
        let to = match (at, older) {
            (Some(at), true) => at.checked_sub(1),
            (Some(at), false) => at.checked_add(1),
            (None, _) => self.entries.len().checked_sub(1),
        };
        if let Some(entry) = to.and_then(|to| self.entries.get(to)) {
            self.selected = Some(entry.message.local);
        }
        self.show_selected(height);
    }

    /// Selects a message, and has it in the middle of the view.
    pub(super) fn show(&mut self, local: i64, height: usize) {
        self.selected = Some(local).filter(|local| self.end_of(*local).is_some());
        if let Some(end) = self.end_of(local) {
            self.set_bottom(end.saturating_add(height / 2), height);
        }
    }

    fn show_selected(&mut self, height: usize) {
        let Some(local) = self.selected else { return };
        let Some(end) = self.end_of(local) else { return };
        let rows = self.entries.iter().find(|entry| entry.message.local == local).map_or(0, |entry| entry.rows.len());
        let (start, bottom) = (end.saturating_sub(rows), self.bottom(height));
        if end > bottom {
            // Its beginning, where it is longer than the view.
            self.set_bottom(end.min(start.saturating_add(height)), height);
        } else if start < bottom.saturating_sub(height) {
            self.set_bottom(start.saturating_add(height), height);
        }
    }

    /// Something was said. It is here where the newest messages are.
    pub(super) fn arrive(&mut self, message: Message) {
        if self.replace(&message) {
            return;
        }
        let follows = self.follows();
        if !follows && !message.own {
            self.came = self.came.saturating_add(1);
        }
        if !self.at_end || self.newest().is_some_and(|newest| message.local < newest) {
            return;
        }
        self.entries.push_back(Entry::new(message));
        if follows { self.trim_front() } else { self.trim_back() }
    }

    /// A message is another one now; says whether it is here.
    pub(super) fn replace(&mut self, message: &Message) -> bool {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.message.id == message.id) else { return false };
        let delivery = entry.delivery.filter(|_| message.seq == 0);
        let thumb = entry.thumb.take().filter(|_| message.file.is_some());
        *entry = Entry { delivery, thumb, ..Entry::new(message.clone()) };
        true
    }

    /// Older messages have come from the store.
    pub(super) fn add_older(&mut self, messages: Vec<Message>, at_start: bool) {
        let oldest = self.oldest().unwrap_or(i64::MAX);
        for message in messages.into_iter().rev().filter(|message| message.local < oldest) {
            self.entries.push_front(Entry::new(message));
        }
        self.at_start = at_start;
        // Something is looked at that goes: the anchor is a message that stays.
        if self.anchor == Anchor::Bottom && self.entries.len() > WINDOW_MAX {
            return self.trim_front();
        }
        self.trim_back();
    }

    /// Newer ones have.
    pub(super) fn add_newer(&mut self, messages: Vec<Message>, at_end: bool) {
        for message in messages {
            if !self.replace(&message) && self.newest().is_none_or(|newest| newest < message.local) {
                self.entries.push_back(Entry::new(message));
            }
        }
        self.at_end = at_end;
        self.trim_front();
    }

    /// What became of a message of one's own.
    pub(super) fn delivered(&mut self, id: &str, state: OutboxState) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.message.id == id) {
            entry.delivery = Some(match state {
                OutboxState::Sent => Delivery::Sent,
                OutboxState::Queued => Delivery::Queued,
                OutboxState::Waiting => Delivery::Waiting,
                OutboxState::Refused => Delivery::Refused,
            });
            entry.laid = None;
        }
    }

    /// A message has disappeared.
    pub(super) fn remove(&mut self, id: &str) {
        let Some(place) = self.entries.iter().position(|entry| entry.message.id == id) else { return };
        let gone = self.entries.remove(place).map(|entry| entry.message.local);
        if self.selected == gone {
            self.selected = None;
        }
        // What is next to it is held in its place.
        if let Anchor::At { local, .. } = self.anchor
            && Some(local) == gone
        {
            let next = self.entries.get(place.min(self.entries.len().saturating_sub(1)));
            self.anchor = next.map_or(Anchor::Bottom, |entry| Anchor::At { local: entry.message.local, hidden: 0 });
        }
        // The first of its day may be another one now.
        for entry in &mut self.entries {
            entry.laid = None;
        }
    }

    /// How far a file is. What has come is not told any more.
    pub(super) fn transfer(&mut self, transfer: &Transfer) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.message.id == transfer.id) {
            entry.laid = None;
            if transfer.done >= transfer.total {
                self.transfers.remove(&transfer.id);
            } else {
                self.transfers.insert(transfer.id.clone(), transfer.clone());
            }
        }
    }

    /// Shows the small picture of a file, or none.
    pub(super) fn picture(&mut self, id: &str, thumb: Option<Thumb>) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.message.id == id) {
            entry.thumb = thumb;
            entry.laid = None;
        }
    }

    /// Is the small picture of a file shown?
    pub(super) fn is_pictured(&self, id: &str) -> bool {
        self.entries.iter().any(|entry| entry.message.id == id && entry.thumb.is_some())
    }

    /// What stood below is read.
    pub(super) fn nothing_new(&mut self) {
        self.new_from = None;
    }
}

impl Entry {
    fn new(message: Message) -> Self {
        Self { message, day: None, delivery: None, thumb: None, laid: None, rows: Vec::new() }
    }
}
