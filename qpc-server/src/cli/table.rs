//! Tables for people: aligned columns, times in UTC.

use std::time::Duration;

use x509_cert::der::DateTime;

/// What stands where there is nothing.
pub(super) const NOTHING: &str = "-";

/// Rows below a head, each column as wide as its widest cell.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = head.map(|title| title.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[String; N]| {
        let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    let head = line(&head.map(str::to_owned));
    rows.iter().fold(head, |text, row| text + &line(row))
}

/// A day, of milliseconds since 1970.
pub(super) fn day(ms: u64) -> String {
    moment(ms).split('T').next().unwrap_or(NOTHING).to_owned()
}

/// A time to the second, of milliseconds since 1970.
pub(super) fn moment(ms: u64) -> String {
    // Beyond the year 9999 there is no such text.
    DateTime::from_unix_duration(Duration::from_millis(ms)).map_or_else(|_| NOTHING.into(), |at| at.to_string())
}

/// What is there, or a dash.
pub(super) fn or_nothing<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| NOTHING.into(), show)
}

/// Text that people have chosen, without what would move a terminal's cursor.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A number of things, in words.
pub(super) fn count(number: impl Into<u64>, one: &str) -> String {
    let number = number.into();
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["alice".into(), "active".into()], ["bö".into(), plain("\u{1b}[2J")]];
        assert_eq!(table(["name", "state"], &rows), "name   state\nalice  active\nbö     \u{fffd}[2J\n");
        assert_eq!(table(["name", "state"], &[]), "name  state\n");
    }

    #[test]
    fn times_are_of_the_calendar() {
        assert_eq!(moment(1_700_000_000_999), "2023-11-14T22:13:20Z");
        assert_eq!(day(1_700_000_000_999), "2023-11-14");
        assert_eq!(moment(u64::MAX), "-");
        assert_eq!([count(1_u64, "device"), count(2_u64, "device")], ["1 device", "2 devices"]);
    }
}
