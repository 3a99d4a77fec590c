//! What a check has found.

use serde::Serialize;

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// As it should be.
    Ok,
    /// It works, and will or may not go on so.
    Warning,
    /// Something does not work, or is about to fail.
    Bad,
}

impl Mark {
    /// As people are shown it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

/// One line of the report: what was looked at, what was found, what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, in one word.
    pub check: &'static str,
    /// How it stands.
    pub mark: Mark,
    /// What was found.
    pub found: String,
    /// What to do about it, where something is to be done.
    #[serde(rename = "do")]
    pub remedy: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, mark: Mark::Ok, found: found.into(), remedy: None }
    }

    pub(super) fn warning(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, mark: Mark::Warning, found: found.into(), remedy: Some(remedy.into()) }
    }

    pub(super) fn bad(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, mark: Mark::Bad, found: found.into(), remedy: Some(remedy.into()) }
    }
}

/// A number of bytes in the largest unit that keeps it readable.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [(u32, &str); 3] = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    for (bits, unit) in UNITS {
        let whole = count >> bits;
        if whole > 0 {
            let tenths = (count.saturating_sub(whole << bits)).saturating_mul(10) >> bits;
            return if whole < 10 { format!("{whole}.{tenths} {unit}") } else { format!("{whole} {unit}") };
        }
    }
    format!("{count} bytes")
}

/// A span in its largest unit, in words.
pub(crate) fn span(seconds: u64) -> String {
    let (number, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_are_read_at_a_glance() {
        let sizes = [7, 212_992, 4_194_304, 26_214_400, 1_610_612_736];
        assert_eq!(sizes.map(bytes), ["7 bytes", "208 KiB", "4.0 MiB", "25 MiB", "1.5 GiB"]);
        assert_eq!([1, 119, 7_199, 172_800].map(span), ["1 second", "119 seconds", "119 minutes", "2 days"]);
    }
}
