//! Tables for people: columns as wide as their widest cell, measured as a terminal shows it.

use unicode_width::UnicodeWidthStr;

use super::terminal;

/// A heading and rows; cells are neutralised on the way in.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(super) fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|h| (*h).to_owned()).collect()] }
    }

    /// Adds a row.
    pub(super) fn row<C: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(cells.into_iter().map(|cell| terminal::line(cell.as_ref()).into_owned()).collect());
    }

    /// The lines, headings first, without trailing blanks.
    pub(super) fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().filter_map(|row| row.get(column)).map(|c| c.width()).max().unwrap_or(0))
            .collect();
        let line = |row: &Vec<String>| {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| pad(cell, *width)).collect();
            cells.join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }
}

/// The text with blanks up to a width in terminal columns.
pub(super) fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width())))
}

/// The beginning of a text, at most so many terminal columns wide, with an ellipsis where it was cut.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        kept.push(c);
        // One column is the ellipsis's.
        if kept.width() >= width {
            kept.pop();
            break;
        }
    }
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_by_what_a_terminal_shows() {
        let mut table = Table::new(&["WHO", "LAST"]);
        table.row(["bob", "hi"]);
        table.row(["你好", "wide"]);
        table.row(["a\u{1b}[1m", "escaped"]);
        assert_eq!(table.lines(), ["WHO    LAST", "bob    hi", "你好   wide", "a␛[1m  escaped"]);
    }

    #[test]
    fn a_cut_text_fits() {
        assert_eq!(cut("hello", 5), "hello");
        assert_eq!(cut("hello!", 5), "hell…");
        assert_eq!(cut("你好吗", 5), "你好…");
        assert!(cut("你好吗", 4).width() <= 4);
    }
}
