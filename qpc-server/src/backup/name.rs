//! What a backup is called: when it was made, and of which kind it is. Names sort by time.

use std::{fmt, str::FromStr, time::Duration};

use x509_cert::der::DateTime;

use super::BackupError;

/// What is in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Everything.
    Full,
    /// What is not in the full one that it stands on.
    Incremental,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
        })
    }
}

/// The name of a backup, such as `20261129T020000Z-full`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// When it was begun, in seconds since 1970.
    seconds: u64,
    /// Of which kind it is.
    pub kind: Kind,
}

impl Name {
    /// One of a kind for a moment, in milliseconds since 1970.
    #[must_use]
    pub fn new(unix_ms: u64, kind: Kind) -> Self {
        Self { seconds: unix_ms / 1000, kind }
    }

    /// When it was begun, in milliseconds since 1970.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        self.seconds.saturating_mul(1000)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = DateTime::from_unix_duration(Duration::from_secs(self.seconds)).map_err(|_| fmt::Error)?;
        // 2026-11-29T02:00:00Z, which a file may not be called everywhere.
        let at = at.to_string().replace(['-', ':'], "");
        write!(f, "{at}-{}", self.kind)
    }
}

impl FromStr for Name {
    type Err = BackupError;

    fn from_str(text: &str) -> Result<Self, BackupError> {
        let parsed = || {
            let (at, kind) = text.split_once('-')?;
            let kind = match kind {
                "full" => Kind::Full,
                "incremental" => Kind::Incremental,
                _ => return None,
            };
            let digits = |from: usize, to: usize| at.get(from..to);
            let shown = format!(
                "{}-{}-{}T{}:{}:{}Z",
                digits(0, 4)?,
                digits(4, 6)?,
                digits(6, 8)?,
                digits(9, 11)?,
                digits(11, 13)?,
                digits(13, 15)?
            );
            let seconds = shown.parse::<DateTime>().ok()?.unix_duration().as_secs();
            let name = Self { seconds, kind };
            (name.to_string() == text).then_some(name)
        };
        parsed().ok_or_else(|| BackupError::Name(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_say_when() {
        let name = Name::new(1_795_975_200_123, Kind::Incremental);
        assert_eq!(name.to_string(), "20261129T180000Z-incremental");
        for wrong in [
            "",
            "latest",
            "20261129T180000Z",
            "20261129T180000Z-half",
            "20261329T180000Z-full",
            "2026-full",
            "../x-full",
        ] {
            assert!(matches!(wrong.parse::<Name>(), Err(BackupError::Name(_))), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn each_name_is_read_again_and_sorts_by_time(a in 0_u64..4_000_000_000_000, b in 0_u64..4_000_000_000_000) {
            let (a, b) = (Name::new(a, Kind::Full), Name::new(b, Kind::Incremental));
            prop_assert_eq!(&a.to_string().parse::<Name>().unwrap(), &a);
            prop_assert_eq!(a.unix_ms() < b.unix_ms(), a < b && a.unix_ms() != b.unix_ms());
            prop_assert_eq!(a.to_string() < b.to_string(), a < b);
        }
    }
}
