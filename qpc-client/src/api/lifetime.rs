//! How long messages stay.

use serde::{Deserialize, Serialize};

/// How long what is said in a conversation stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifetime {
    /// The person's address, or the group's title.
    pub title: String,
    /// Seconds from when the server has stored it; 0 for ever.
    #[serde(rename = "lifetime_s")]
    pub seconds: u32,
}

/// A length of time, for a person.
#[must_use]
pub fn span(seconds: u32) -> String {
    const UNITS: [(u32, &str); 5] =
        [(7 * 86_400, "week"), (86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let whole = |&(unit, word): &(u32, &'static str)| match (seconds.checked_rem(unit), seconds.checked_div(unit)) {
        (Some(0), Some(count)) if count > 0 => Some((count, word)),
        _ => None,
    };
    let (count, word) = UNITS.iter().find_map(whole).unwrap_or((seconds, "second"));
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_has_the_largest_unit_that_fits() {
        for (seconds, words) in [
            (1, "1 second"),
            (90, "90 seconds"),
            (120, "2 minutes"),
            (3_600, "1 hour"),
            (86_400, "1 day"),
            (1_209_600, "2 weeks"),
        ] {
            assert_eq!(span(seconds), words);
        }
    }
}
