//! Values that a configuration file spells in its own way: spans of time and secrets.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use zeroize::Zeroizing;

/// A span of time, written as a whole number and a unit: `250ms`, `30s`, `5m`, `12h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

/// Text that is no span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a span of time is a whole number and a unit, such as 250ms, 30s, 5m, 12h or 7d")]
pub struct PeriodError;

/// Units and their milliseconds, longest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Period {
    /// So many seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// So many days.
    #[must_use]
    pub const fn days(days: u32) -> Self {
        // Never near 2^64 milliseconds.
        Self(Duration::from_secs((days as u64).saturating_mul(24 * 60 * 60)))
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or(PeriodError)?;
        let (number, unit) = text.split_at_checked(digits).ok_or(PeriodError)?;
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim_start()).ok_or(PeriodError)?;
        let number: u64 = number.parse().map_err(|_| PeriodError)?;
        Ok(Self(Duration::from_millis(number.checked_mul(*factor).ok_or(PeriodError)?)))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let exact = |factor: u64| ms.checked_rem(factor) == Some(0) && ms >= factor;
        match UNITS.iter().find(|(_, factor)| exact(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", ms.checked_div(*factor).unwrap_or(0)),
            None => f.write_str("0s"),
        }
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// A secret of the configuration: wiped when dropped, shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a secret.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(redacted)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str("(redacted)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_read_back() {
        for text in ["250ms", "30s", "90s", "5m", "12h", "7d", "0s"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
        assert_eq!("120s".parse::<Period>().unwrap().to_string(), "2m");
        for bad in ["", "5", "s", "-5s", "1.5h", "5 weeks", "99999999999999999999d", "18446744073709551615d"] {
            assert_eq!(bad.parse::<Period>(), Err(PeriodError), "{bad:?}");
        }
    }

    #[test]
    fn a_secret_shows_itself_to_nobody() {
        let secret = Secret::new("hunter2".into());
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&secret).unwrap().contains("hunter2"));
    }
}
