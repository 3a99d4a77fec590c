//! Styled text cut into rows of a width: at blanks where that is possible, inside a word that is longer than a row.
//!
//! Text that comes here is clean (see `cli/terminal.rs`). It takes one look at each sign, however long the text is; a sign with
//! a heap of marks on it is cut, and so is what has too many rows.

use ratatui::{
    style::Style,
    text::{Line, Span},
};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Rows of one text, at most.
const ROWS_MAX: usize = 1_000;
/// Bytes of one sign with its marks, at most: a family of emoji has 41.
const SIGN_MAX: usize = 64;

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) style: Style,
}

impl Piece {
    pub(super) fn new(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }
}

/// A sign as it is shown: without the marks that are too many.
pub(super) fn sign(sign: &str) -> &str {
    if sign.len() <= SIGN_MAX {
        return sign;
    }
    let end = (0..=SIGN_MAX).rev().find(|end| sign.is_char_boundary(*end)).unwrap_or(0);
    sign.get(..end).unwrap_or_default()
}

struct Rows {
    width: usize,
    indent: usize,
    done: Vec<Line<'static>>,
    row: Vec<Span<'static>>,
    used: usize,
    /// A word that is not placed yet, and its width.
    word: Vec<(String, Style)>,
    word_width: usize,
    cut: bool,
}

impl Rows {
    fn push(row: &mut Vec<Span<'static>>, text: &str, style: Style) {
        match row.last_mut() {
            Some(last) if last.style == style => last.content.to_mut().push_str(text),
            _ => row.push(Span::styled(text.to_owned(), style)),
        }
    }

    fn end_row(&mut self) {
        if self.done.len() >= ROWS_MAX {
            self.cut = true;
            self.row.clear();
        } else {
            self.done.push(Line::from(std::mem::take(&mut self.row)));
        }
        if self.indent > 0 {
            self.row.push(Span::raw(" ".repeat(self.indent)));
        }
        self.used = self.indent;
    }

    fn end_word(&mut self) {
        let word = std::mem::take(&mut self.word);
        let width = std::mem::take(&mut self.word_width);
        if self.used.saturating_add(width) > self.width && self.used > self.indent {
            self.end_row();
        }
        for (text, style) in word {
            Self::push(&mut self.row, &text, style);
        }
        self.used = self.used.saturating_add(width);
    }

    fn take(&mut self, sign: &str, style: Style) {
        if sign == "\n" {
            self.end_word();
            self.end_row();
            return;
        }
        let width = sign.width();
        if width == 0 {
            return;
        }
        if sign.trim().is_empty() {
            self.end_word();
            if self.used.saturating_add(width) <= self.width {
                Self::push(&mut self.row, sign, style);
                self.used = self.used.saturating_add(width);
            } else {
                self.end_row();
            }
            return;
        }
        // A word that fills a row by itself is placed as far as it fits.
        if self.indent.saturating_add(self.word_width).saturating_add(width) > self.width {
            self.end_word();
            if self.used.saturating_add(width) > self.width && self.used > self.indent {
                self.end_row();
            }
        }
        match self.word.last_mut() {
            Some((text, last)) if *last == style => text.push_str(sign),
            _ => self.word.push((sign.to_owned(), style)),
        }
        self.word_width = self.word_width.saturating_add(width);
    }
}

/// The rows of a text. Each but the first is indented; where a row is too narrow for that, none is.
pub(super) fn wrap(pieces: &[Piece], width: usize, indent: usize) -> Vec<Line<'static>> {
    // The widest sign has two columns.
    let indent = if indent.saturating_mul(2) > width || indent.saturating_add(2) > width { 0 } else { indent };
    let mut rows = Rows {
        width: width.max(1),
        indent,
        done: Vec::new(),
        row: Vec::new(),
        used: 0,
        word: Vec::new(),
        word_width: 0,
        cut: false,
    };
    'all: for piece in pieces {
        for cluster in piece.text.graphemes(true) {
            rows.take(sign(cluster), piece.style);
            if rows.cut {
                break 'all;
            }
        }
    }
    if rows.cut {
        rows.done.push(Line::from("  (it goes on: `history` prints it whole)"));
        return rows.done;
    }
    rows.end_word();
    rows.done.push(Line::from(rows.row));
    rows.done
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    fn rows(text: &str, width: usize, indent: usize) -> Vec<String> {
        wrap(&[Piece::new(text, Style::new())], width, indent).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn words_stay_whole_where_they_can_and_long_ones_are_cut() {
        assert_eq!(rows("one two three", 8, 0), ["one two ", "three"]);
        assert_eq!(rows("one two three", 8, 2), ["one two ", "  three"]);
        assert_eq!(rows("abcdefghij", 4, 0), ["abcd", "efgh", "ij"]);
        assert_eq!(rows("a abcdefgh", 4, 0), ["a ", "abcd", "efgh"]);
        assert_eq!(rows("你好你好", 5, 0), ["你好", "你好"]);
        assert_eq!(rows("a\n\nb", 5, 1), ["a", " ", " b"]);
        assert_eq!(rows("", 5, 1), [""]);
    }

    #[test]
    fn the_longest_lines_take_no_time_and_a_heap_of_marks_is_cut() {
        let begin = Instant::now();
        for text in ["x".repeat(65_536), "x ".repeat(32_768), "\n".repeat(65_536), "👩‍👩‍👧".repeat(3_000)] {
            let rows = rows(&text, 50, 6);
            assert!(rows.len() <= ROWS_MAX + 1, "{}", rows.len());
        }
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        let heap = format!("a{}", "\u{301}".repeat(30_000));
        assert!(rows(&heap, 10, 0).concat().len() <= SIGN_MAX);
    }

    proptest! {
        #[test]
        fn no_row_is_wider_than_asked(text in "[a-z 你👍\n]{0,80}", width in 2_usize..20, indent in 0_usize..6) {
            for row in rows(&text, width, indent) {
                prop_assert!(row.width() <= width, "{row:?}");
            }
        }
    }
}
