//! The words being typed: several lines of them, moved through sign by sign, and what was typed before.
//!
//! A sign is what a person takes for one (a grapheme cluster), whatever it is made of. Nothing is drawn here.

use std::collections::VecDeque;

use qpc_proto::limits::TEXT_MAX;
use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};
use unicode_width::UnicodeWidthStr;

use super::wrap;
use crate::cli::terminal;

/// Lines that are remembered.
const HISTORY_MAX: usize = 100;
/// Bytes that can be typed: as many as a message has at most.
pub(super) const INPUT_MAX: usize = TEXT_MAX;

/// A row of what is typed, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) text: String,
    /// Where each sign of it begins: its column, and its place in the text.
    signs: Vec<(usize, usize)>,
    /// Where it ends in the text, its line break apart.
    end: usize,
    width: usize,
}

/// What is being typed.
#[derive(Debug, Clone, Default)]
pub(super) struct Editor {
    text: String,
    /// A place between two signs.
    cursor: usize,
    history: VecDeque<String>,
    /// Which of the history stands there, counted from the newest.
    recalled: Option<usize>,
    /// What stood there before anything was recalled.
    aside: String,
}

impl Editor {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// What stands before the cursor.
    pub(super) fn before(&self) -> &str {
        self.text.get(..self.cursor).unwrap_or_default()
    }

    /// Replaces everything; the cursor stands behind it.
    pub(super) fn set(&mut self, text: impl Into<String>) {
        self.text = text.into();
        self.cursor = self.text.len();
        self.recalled = None;
    }

    /// Takes everything away, and keeps it for later.
    pub(super) fn take(&mut self) -> String {
        self.cursor = 0;
        self.recalled = None;
        std::mem::take(&mut self.text)
    }

    /// Notes what was said, to be recalled.
    pub(super) fn remember(&mut self, text: &str) {
        if text.trim().is_empty() || self.history.back().is_some_and(|last| last == text) {
            return;
        }
        if self.history.len() >= HISTORY_MAX {
            self.history.pop_front();
        }
        self.history.push_back(text.to_owned());
    }

    /// Puts text where the cursor is; says whether there was room. What controls a terminal stays outside.
    pub(super) fn insert(&mut self, text: &str) -> bool {
        let text: String = text.replace("\r\n", "\n").replace('\r', "\n");
        let text: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
        if self.text.len().saturating_add(text.len()) > INPUT_MAX {
            return false;
        }
        self.text.insert_str(self.cursor, &text);
        self.cursor = self.boundary(self.cursor.saturating_add(text.len()));
        true
    }

    /// Puts text in place of what stands between `start` and the cursor.
    pub(super) fn replace(&mut self, start: usize, text: &str) {
        if self.text.get(start..self.cursor).is_some() {
            self.text.replace_range(start..self.cursor, "");
            self.cursor = start;
            self.insert(text);
        }
    }

    /// The next place between two signs, if this is none.
    fn boundary(&self, at: usize) -> usize {
        let at = at.min(self.text.len());
        let mut cursor = GraphemeCursor::new(at, self.text.len(), true);
        match cursor.is_boundary(&self.text, 0) {
            Ok(true) => at,
            _ => cursor.next_boundary(&self.text, 0).ok().flatten().unwrap_or(self.text.len()),
        }
    }

    fn previous(&self) -> usize {
        let mut cursor = GraphemeCursor::new(self.cursor, self.text.len(), true);
        cursor.prev_boundary(&self.text, 0).ok().flatten().unwrap_or(0)
    }

    fn next(&self) -> usize {
        let mut cursor = GraphemeCursor::new(self.cursor, self.text.len(), true);
        cursor.next_boundary(&self.text, 0).ok().flatten().unwrap_or(self.text.len())
    }

    fn cut(&mut self, from: usize, to: usize) {
        if self.text.get(from..to).is_some() {
            self.text.replace_range(from..to, "");
            // What is left may have grown together.
            self.cursor = self.boundary(from);
        }
    }

    pub(super) fn left(&mut self) {
        self.cursor = self.previous();
    }

    pub(super) fn right(&mut self) {
        self.cursor = self.next();
    }

    pub(super) fn backspace(&mut self) {
        self.cut(self.previous(), self.cursor);
    }

    pub(super) fn delete(&mut self) {
        self.cut(self.cursor, self.next());
    }

    /// To the beginning of the line.
    pub(super) fn home(&mut self) {
        self.cursor = self.before().rfind('\n').map_or(0, |at| at.saturating_add(1));
    }

    /// To the end of the line.
    pub(super) fn end(&mut self) {
        let rest = self.text.get(self.cursor..).unwrap_or_default();
        self.cursor = self.cursor.saturating_add(rest.find('\n').unwrap_or(rest.len()));
    }

    fn word_start(&self) -> usize {
        let words = self.before().trim_end().split_word_bound_indices();
        words.into_iter().next_back().map_or(0, |(at, _)| at)
    }

    fn word_end(&self) -> usize {
        let rest = self.text.get(self.cursor..).unwrap_or_default();
        let word = rest.split_word_bound_indices().find(|(_, word)| !word.trim().is_empty());
        word.map_or(self.text.len(), |(at, word)| self.cursor.saturating_add(at).saturating_add(word.len()))
    }

    pub(super) fn word_left(&mut self) {
        self.cursor = self.word_start();
    }

    pub(super) fn word_right(&mut self) {
        self.cursor = self.boundary(self.word_end());
    }

    pub(super) fn cut_word(&mut self) {
        self.cut(self.word_start(), self.cursor);
    }

    pub(super) fn cut_to_home(&mut self) {
        let to = self.cursor;
        self.home();
        self.cut(self.cursor, to);
    }

    pub(super) fn cut_to_end(&mut self) {
        let from = self.cursor;
        self.end();
        self.cut(from, self.cursor);
    }

    /// The rows of what is typed in so many columns, at least one.
    pub(super) fn rows(&self, width: usize) -> Vec<Row> {
        let width = width.max(1);
        let mut rows = Vec::new();
        let mut row = Row { text: String::new(), signs: Vec::new(), end: 0, width: 0 };
        for (at, cluster) in self.text.grapheme_indices(true) {
            if cluster == "\n" {
                row.end = at;
                let begin = Row { text: String::new(), signs: Vec::new(), end: at.saturating_add(1), width: 0 };
                rows.push(std::mem::replace(&mut row, begin));
                continue;
            }
            let shown = if cluster == "\t" { "    ".into() } else { terminal::line(wrap::sign(cluster)) };
            let columns = shown.width();
            if row.width.saturating_add(columns) > width && row.width > 0 {
                row.end = at;
                let begin = Row { text: String::new(), signs: Vec::new(), end: at, width: 0 };
                rows.push(std::mem::replace(&mut row, begin));
            }
            row.signs.push((row.width, at));
            row.text.push_str(&shown);
            row.width = row.width.saturating_add(columns);
            row.end = at.saturating_add(cluster.len());
        }
        rows.push(row);
        rows
    }

    /// Where the cursor stands among the rows: its column, and its row.
    pub(super) fn place(&self, rows: &[Row]) -> (usize, usize) {
        let last = rows.len().saturating_sub(1);
        for (y, row) in rows.iter().enumerate() {
            if let Some((column, _)) = row.signs.iter().find(|(_, at)| *at == self.cursor) {
                return (*column, y);
            }
            let next = rows.get(y.saturating_add(1)).map_or(usize::MAX, |next| next.start());
            // Behind the last sign of a row, unless the next row goes on with it.
            if self.cursor <= row.end && next != self.cursor {
                return (row.width, y);
            }
        }
        (rows.last().map_or(0, |row| row.width), last)
    }

    /// A row up or down, in so many columns; says whether there was one.
    pub(super) fn vertical(&mut self, down: bool, width: usize) -> bool {
        let rows = self.rows(width);
        let (column, y) = self.place(&rows);
        let to = if down { y.checked_add(1) } else { y.checked_sub(1) };
        let Some((y, row)) = to.and_then(|y| Some((y, rows.get(y)?))) else { return false };
        // Behind its last sign, a row that goes on in the next is that one's beginning.
        let goes_on = rows.get(y.saturating_add(1)).is_some_and(|next| next.start() == row.end);
        let sign = row.signs.iter().rev().find(|(at, _)| *at <= column);
        self.cursor = match sign {
            Some((_, place)) if column < row.width || goes_on => *place,
            _ => row.end,
        };
        true
    }

    /// What was typed before, or after that again; says whether there was any.
    pub(super) fn recall(&mut self, older: bool) -> bool {
        let to = match (self.recalled, older) {
            (None, true) => Some(0),
            (Some(at), true) => at.checked_add(1),
            (None, false) => return false,
            (Some(at), false) => at.checked_sub(1),
        };
        let text = match to {
            None => std::mem::take(&mut self.aside),
            Some(at) => {
                let last = self.history.len().saturating_sub(1);
                let Some(text) = last.checked_sub(at).and_then(|at| self.history.get(at)).cloned() else {
                    return false;
                };
                if self.recalled.is_none() {
                    self.aside = std::mem::take(&mut self.text);
                }
                text
            }
        };
        self.set(text);
        self.recalled = to;
        true
    }
}

impl Row {
    fn start(&self) -> usize {
        self.signs.first().map_or(self.end, |(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Editor {
        let mut editor = Editor::default();
        assert!(editor.insert(text));
        editor
    }

    #[test]
    fn the_cursor_moves_over_what_a_person_takes_for_one_sign() {
        let mut editor = typed("a👩‍👩‍👧é");
        editor.left();
        editor.left();
        assert_eq!(editor.before(), "a");
        editor.delete();
        assert_eq!(editor.text(), "aé");
        editor.right();
        editor.backspace();
        assert_eq!(editor.text(), "a");
        editor.backspace();
        editor.backspace();
        assert!(editor.is_empty());
    }

    #[test]
    fn words_and_lines_are_cut() {
        let mut editor = typed("one two  three");
        editor.cut_word();
        assert_eq!(editor.text(), "one two  ");
        editor.cut_word();
        assert_eq!(editor.text(), "one ");
        let mut editor = typed("first\nsecond");
        editor.home();
        assert_eq!(editor.before(), "first\n");
        editor.cut_to_end();
        assert_eq!(editor.text(), "first\n");
        editor.cut_to_home();
        assert_eq!(editor.text(), "first\n");
        let mut editor = typed("one two");
        editor.home();
        editor.word_right();
        assert_eq!(editor.before(), "one");
        editor.word_left();
        assert_eq!(editor.before(), "");
    }

    #[test]
    fn what_is_pasted_controls_nothing_and_is_bounded() {
        assert_eq!(typed("a\r\nb\u{1b}[31mc\td").text(), "a\nb[31mc\td");
        let mut editor = typed(&"x".repeat(INPUT_MAX));
        assert!(!editor.insert("y"));
        assert_eq!(editor.text().len(), INPUT_MAX);
    }

    #[test]
    fn the_cursor_is_where_the_next_sign_goes() {
        let editor = typed("abcd");
        let rows = editor.rows(4);
        assert_eq!(editor.place(&rows), (4, 0));
        let mut editor = typed("abcdef\ngh");
        let rows = editor.rows(4);
        assert_eq!(rows.iter().map(|row| row.text.as_str()).collect::<Vec<_>>(), ["abcd", "ef", "gh"]);
        assert_eq!(editor.place(&rows), (2, 2));
        assert!(editor.vertical(false, 4));
        assert_eq!(editor.before(), "abcdef");
        assert!(editor.vertical(false, 4));
        assert_eq!(editor.before(), "ab");
        assert!(!editor.vertical(false, 4));
        assert!(editor.vertical(true, 4));
        assert_eq!(editor.place(&editor.rows(4)), (2, 1));
        let mut editor = typed("a\n");
        assert_eq!(editor.place(&editor.rows(4)), (0, 1));
        editor.left();
        assert_eq!(editor.place(&editor.rows(4)), (1, 0));
        let editor = typed("你好");
        assert_eq!(editor.place(&editor.rows(80)), (4, 0));
    }

    #[test]
    fn what_was_typed_before_comes_back_and_so_does_what_was_being_typed() {
        let mut editor = Editor::default();
        (0..HISTORY_MAX + 5).for_each(|n| editor.remember(&n.to_string()));
        editor.remember(&(HISTORY_MAX + 4).to_string());
        assert_eq!(editor.history.len(), HISTORY_MAX);
        editor.insert("half");
        assert!(editor.recall(true));
        assert_eq!(editor.text(), (HISTORY_MAX + 4).to_string());
        assert!(editor.recall(true));
        assert_eq!(editor.text(), (HISTORY_MAX + 3).to_string());
        assert!(editor.recall(false) && editor.recall(false));
        assert_eq!(editor.text(), "half");
        assert!(!editor.recall(false));
    }
}
