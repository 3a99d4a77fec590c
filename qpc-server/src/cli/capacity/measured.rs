//! What was measured, and what the worksheet counts with: the figures of `docs/sizing.md` and `docs/performance.md`, each with
//! where and when. A test compares them with those documents.

/// A figure with its source.
pub(super) struct Figure {
    /// What it is.
    pub(super) what: &'static str,
    /// Its value, in the unit that `what` names.
    pub(super) value: f64,
    /// The document.
    pub(super) source: &'static str,
    /// When it was measured; of a limit that is configured, nothing.
    pub(super) date: &'static str,
}

/// One row of the first table of `docs/sizing.md`: the server under the `seed` profile.
pub(super) struct Row {
    pub(super) users: f64,
    pub(super) messages_per_s: f64,
    pub(super) deliveries_per_s: f64,
    /// Percent of a core.
    pub(super) cpu: f64,
    /// Mbit/s, IP and UDP headers included.
    pub(super) network_in: f64,
    pub(super) network_out: f64,
}

/// Where that table is.
pub(super) const ROWS_SOURCE: &str = "docs/sizing.md, by users";
/// When it was measured.
pub(super) const ROWS_DATE: &str = "2026-11-27";

/// The table, the fewest users first.
pub(super) const ROWS: [Row; 5] = [
    Row { users: 100.0, messages_per_s: 6.8, deliveries_per_s: 63.0, cpu: 1.1, network_in: 0.09, network_out: 0.32 },
    Row {
        users: 1_000.0,
        messages_per_s: 66.8,
        deliveries_per_s: 843.7,
        cpu: 7.9,
        network_in: 1.00,
        network_out: 4.57,
    },
    Row {
        users: 5_000.0,
        messages_per_s: 336.5,
        deliveries_per_s: 3_592.5,
        cpu: 25.3,
        network_in: 4.65,
        network_out: 19.54,
    },
    Row {
        users: 10_000.0,
        messages_per_s: 672.2,
        deliveries_per_s: 7_131.7,
        cpu: 38.0,
        network_in: 9.20,
        network_out: 37.57,
    },
    Row {
        users: 20_000.0,
        messages_per_s: 1_334.0,
        deliveries_per_s: 14_363.9,
        cpu: 72.0,
        network_in: 18.76,
        network_out: 78.14,
    },
];

const RULES: &str = "docs/sizing.md, rules of thumb";
const DISK: &str = "docs/sizing.md, disk";
const BLOBS: &str = "docs/performance.md, figures";

/// Memory without anybody.
pub(super) const MEMORY: Figure =
    Figure { what: "memory without users, MiB", value: 90.0, source: RULES, date: ROWS_DATE };
/// Memory of each.
pub(super) const MEMORY_PER_USER: Figure =
    Figure { what: "memory of each connected user, KiB", value: 57.0, source: RULES, date: ROWS_DATE };
/// CPU of those who say nothing.
pub(super) const IDLE_CPU: Figure =
    Figure { what: "CPU of 10,000 idle connections, % of a core", value: 1.1, source: RULES, date: ROWS_DATE };
/// Disk of a message besides its body.
pub(super) const BESIDES_BODY: Figure =
    Figure { what: "stored besides a message's body, bytes", value: 177.0, source: DISK, date: ROWS_DATE };
/// Mean body of that profile.
pub(super) const BODY_MEAN: Figure = Figure {
    what: "mean body of the profile that was measured, bytes",
    value: 399.0,
    source: ROWS_SOURCE,
    date: ROWS_DATE,
};
/// The write-ahead log.
pub(super) const LOG: Figure =
    Figure { what: "largest write-ahead log that is kept, MiB", value: 64.0, source: DISK, date: "a limit" };
/// What of a message stays at least so long.
pub(super) const COMMITS_DAYS: Figure = Figure {
    what: "days that entries are kept (retention.commits_days)",
    value: 180.0,
    source: DISK,
    date: "a default",
};
/// A core is to be used so much.
pub(super) const USE: Figure =
    Figure { what: "planned use of a core, %", value: 50.0, source: ROWS_SOURCE, date: "a rule" };
/// CPU for what comes of files.
pub(super) const BLOB_CPU_IN: Figure =
    Figure { what: "CPU for a MB of attachments received, ms", value: 7.1, source: BLOBS, date: "2026-11-28" };
/// CPU for what goes out.
pub(super) const BLOB_CPU_OUT: Figure =
    Figure { what: "CPU for a MB of attachments served, ms", value: 2.9, source: BLOBS, date: "2026-11-28" };
/// What ciphertext of a file adds.
pub(super) const BLOB_PADDING: Figure = Figure {
    what: "padding of an attachment, at most, %",
    value: 2.0,
    source: "config/qpc-server.toml, [blobs]",
    date: "a rule",
};

/// All that are not rows of the table.
pub(super) const FIGURES: [&Figure; 11] = [
    &MEMORY,
    &MEMORY_PER_USER,
    &IDLE_CPU,
    &BESIDES_BODY,
    &BODY_MEAN,
    &LOG,
    &COMMITS_DAYS,
    &USE,
    &BLOB_CPU_IN,
    &BLOB_CPU_OUT,
    &BLOB_PADDING,
];

/// What the table says for so many messages a second: straight lines between its rows and down to nothing, and beyond the last one
/// as much for each message as there.
pub(super) fn at(messages_per_s: f64, of: impl Fn(&Row) -> f64) -> f64 {
    let (mut from_x, mut from_y) = (0.0, 0.0);
    for row in &ROWS {
        let (x, y) = (row.messages_per_s, of(row));
        if messages_per_s <= x {
            return from_y + (messages_per_s - from_x) / (x - from_x) * (y - from_y);
        }
        (from_x, from_y) = (x, y);
    }
    from_y / from_x * messages_per_s
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZING: &str = include_str!("../../../../docs/sizing.md");
    const PERFORMANCE: &str = include_str!("../../../../docs/performance.md");
    const CONFIG: &str = include_str!("../../../../config/qpc-server.toml");

    /// The numbers in a cell of a table.
    fn numbers(cell: &str) -> Vec<f64> {
        cell.split('/').map(|part| part.trim().replace(',', "").parse().unwrap()).collect()
    }

    #[test]
    fn the_rows_are_those_of_the_document() {
        let (_, table) = SIZING.split_once("## By users").unwrap();
        let (table, _) = table.split_once("\n## ").unwrap();
        let rows = table.lines().filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit());
        let rows: Vec<Vec<&str>> = rows.map(|line| line.trim_matches('|').split(" | ").collect()).collect();
        assert_eq!(rows.len(), ROWS.len());
        for (cells, row) in rows.iter().zip(&ROWS) {
            assert_eq!(numbers(cells[0]), [row.users]);
            assert_eq!(numbers(cells[1]), [row.messages_per_s, row.deliveries_per_s]);
            assert_eq!(numbers(cells[2]), [row.cpu]);
            assert_eq!(numbers(cells[8]), [row.network_in, row.network_out]);
            // The mean body, from what the messages of a day take.
            let body = numbers(cells[7])[0] * 1_073_741_824.0 / 86_400.0 / row.messages_per_s - BESIDES_BODY.value;
            assert!((body - BODY_MEAN.value).abs() < 0.03 * BODY_MEAN.value, "{body} for {}", row.users);
        }
        assert!(SIZING.contains(&format!("Measured on {ROWS_DATE} ")));
    }

    #[test]
    fn the_figures_are_those_of_the_documents() {
        let sizing = SIZING.replace('\n', " ");
        for (figure, text) in [
            (&MEMORY, "| V MiB + 57 KiB for each connected user"),
            (&MEMORY_PER_USER, "| 90 MiB + V KiB for each connected user"),
            (&IDLE_CPU, "10,000 idle connections take V % of a core"),
            (&BESIDES_BODY, "*What is stored with it* is V bytes"),
            (&LOG, "V MiB is the largest write-ahead log that is kept"),
            (&COMMITS_DAYS, "whole entries after `retention.commits_days` (V)"),
            (&USE, "*vCPU at V % use*"),
        ] {
            let text = text.replacen('V', &figure.value.to_string(), 1);
            assert!(sizing.contains(&text), "{text}");
        }
        let blobs = format!("server CPU {} and {} ms per MB", BLOB_CPU_IN.value, BLOB_CPU_OUT.value);
        let row = PERFORMANCE.lines().find(|line| line.contains(&blobs)).unwrap();
        assert!(row.contains(BLOB_CPU_IN.date), "{row}");
        assert!(CONFIG.contains(&format!("up to {} % at 100 MiB", BLOB_PADDING.value)));
    }

    #[test]
    fn between_the_rows_are_straight_lines() {
        let cpu = |rate: f64| at(rate, |row| row.cpu);
        for row in &ROWS {
            assert!((cpu(row.messages_per_s) - row.cpu).abs() < 1e-9);
        }
        // Half way to the first row, half way between the first two, and twice the last.
        assert!((cpu(3.4) - 0.55).abs() < 1e-9);
        assert!((cpu(36.8) - 4.5).abs() < 1e-9);
        assert!((cpu(2_668.0) - 144.0).abs() < 1e-9);
    }
}
