//! As much of a terminal as a full screen needs: where signs stand after moves of the cursor. Attributes are passed over.

use crate::terminal::{COLUMNS, ROWS};

/// A screen.
pub(crate) struct Emulator {
    cells: Vec<Vec<char>>,
    row: usize,
    column: usize,
    /// What came of a sequence, or of a sign, that is not whole yet.
    begun: Vec<u8>,
}

impl Emulator {
    pub(crate) fn new() -> Self {
        let cells = vec![vec![' '; usize::from(COLUMNS)]; usize::from(ROWS)];
        Self { cells, row: 0, column: 0, begun: Vec::new() }
    }

    /// The rows, without the blanks at their ends.
    pub(crate) fn text(&self) -> String {
        let row = |row: &Vec<char>| row.iter().collect::<String>().trim_end().to_owned();
        self.cells.iter().map(row).collect::<Vec<_>>().join("\n")
    }

    /// Takes what a program writes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let mut rest = std::mem::take(&mut self.begun);
        rest.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(&byte) = rest.get(at) {
            let Some(length) = self.length(&rest[at..]) else { break };
            let token = String::from_utf8_lossy(&rest[at..at + length]).into_owned();
            match byte {
                0x1b => self.escape(&token),
                b'\r' => self.column = 0,
                b'\n' => self.row = (self.row + 1).min(self.cells.len() - 1),
                0..0x20 => {}
                _ => self.put(token.chars().next().unwrap_or(' ')),
            }
            at += length;
        }
        self.begun = rest.split_off(at);
    }

    /// Bytes of what begins here, if it is whole.
    fn length(&self, rest: &[u8]) -> Option<usize> {
        match rest {
            [0x1b, b'[', more @ ..] => Some(more.iter().position(|byte| (0x40..0x7f).contains(byte))? + 3),
            [0x1b, b']', more @ ..] => Some(more.iter().position(|byte| *byte == 7)? + 3),
            [0x1b, _, ..] => Some(2),
            [0x1b] => None,
            [byte, ..] => {
                let whole = match byte {
                    0xf0.. => 4,
                    0xe0.. => 3,
                    0xc0.. => 2,
                    _ => 1,
                };
                (rest.len() >= whole).then_some(whole)
            }
            [] => None,
        }
    }

    fn escape(&mut self, sequence: &str) {
        let Some(body) = sequence.strip_prefix("\u{1b}[") else { return };
        let (numbers, what) = body.split_at(body.len() - 1);
        let number = |place| numbers.split(';').nth(place).and_then(|n| n.parse::<usize>().ok()).unwrap_or(1).max(1);
        match what {
            "H" => {
                self.row = (number(0) - 1).min(self.cells.len() - 1);
                self.column = (number(1) - 1).min(usize::from(COLUMNS) - 1);
            }
            "J" => self.cells.iter_mut().for_each(|row| row.fill(' ')),
            _ => {}
        }
    }

    fn put(&mut self, sign: char) {
        if let Some(cell) = self.cells[self.row].get_mut(self.column) {
            *cell = sign;
        }
        self.column += 1;
    }
}
