//! A length of time as people write it: `30s`, `5m`, `2h`, `1d`, `1w`.

/// Seconds of what was typed; `off` is 0.
///
/// # Errors
/// What to write instead.
pub(crate) fn seconds(typed: &str) -> Result<u32, String> {
    let wrong = || format!("{typed:?} is no length of time: write 30s, 5m, 2h, 1d or 1w, or off");
    if typed == "off" {
        return Ok(0);
    }
    let digits = typed.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u32 = match typed.strip_prefix(digits) {
        Some("s") => 1,
        Some("m") => 60,
        Some("h") => 3_600,
        Some("d") => 86_400,
        Some("w") => 7 * 86_400,
        _ => return Err(wrong()),
    };
    let count: u32 = digits.parse().map_err(|_| wrong())?;
    count.checked_mul(unit).filter(|seconds| *seconds > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_a_number_and_a_unit() {
        for (typed, read) in [("30s", 30), ("5m", 300), ("2h", 7_200), ("1d", 86_400), ("1w", 604_800), ("off", 0)] {
            assert_eq!(seconds(typed), Ok(read), "{typed}");
        }
        for typed in ["", "5", "m", "0s", "-1d", "1 d", "1y", "1dd", "99999999w", "off off", "1.5h", "٣d"] {
            assert!(seconds(typed).is_err(), "{typed}");
        }
    }
}
