//! Times for people: local, short today, with the date otherwise.

use jiff::{Timestamp, tz::TimeZone};

/// What "now" and "here" are, so that rendering is a function of its arguments.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    /// Now; `None` asks the system each time.
    fixed: Option<Timestamp>,
    zone: TimeZone,
}

impl Clock {
    /// The system's.
    pub(super) fn system() -> Self {
        Self { fixed: None, zone: TimeZone::system() }
    }

    /// One that stands still, for tests.
    #[cfg(test)]
    pub(super) fn fixed(now: &str) -> Self {
        Self { fixed: Some(now.parse().unwrap()), zone: TimeZone::UTC }
    }

    /// An RFC 3339 time as a person reads it; text that is none is given back.
    pub(super) fn local(&self, time: &str) -> String {
        let Ok(time) = time.parse::<Timestamp>() else { return time.to_owned() };
        let now = self.fixed.unwrap_or_else(Timestamp::now).to_zoned(self.zone.clone());
        let time = time.to_zoned(self.zone.clone());
        let format = if time.date() == now.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
        time.strftime(format).to_string()
    }

    /// The hour and minute of an RFC 3339 time; text that is none is given back.
    pub(super) fn minute(&self, time: &str) -> String {
        let Ok(time) = time.parse::<Timestamp>() else { return time.to_owned() };
        time.to_zoned(self.zone.clone()).strftime("%H:%M").to_string()
    }

    /// An RFC 3339 time in as few signs as tell it: the minute today, the day this year, the year; text that is none is given
    /// back.
    pub(super) fn brief(&self, time: &str) -> String {
        let Ok(time) = time.parse::<Timestamp>() else { return time.to_owned() };
        let now = self.fixed.unwrap_or_else(Timestamp::now).to_zoned(self.zone.clone());
        let time = time.to_zoned(self.zone.clone());
        let format = match time.date() {
            day if day == now.date() => "%H:%M",
            day if day.year() == now.year() => "%d %b",
            _ => "%Y",
        };
        time.strftime(format).to_string()
    }

    /// The day of an RFC 3339 time in words; text that is none is given back.
    pub(super) fn day_in_words(&self, time: &str) -> String {
        let Ok(time) = time.parse::<Timestamp>() else { return time.to_owned() };
        let now = self.fixed.unwrap_or_else(Timestamp::now).to_zoned(self.zone.clone());
        let time = time.to_zoned(self.zone.clone());
        if time.date() == now.date() { "today".to_owned() } else { time.strftime("%A, %-d %B %Y").to_string() }
    }

    /// The day of an RFC 3339 time; text that is none is given back.
    pub(super) fn day(&self, time: &str) -> String {
        let Ok(time) = time.parse::<Timestamp>() else { return time.to_owned() };
        time.to_zoned(self.zone.clone()).strftime("%Y-%m-%d").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn today_is_short_and_other_days_have_their_date() {
        let clock = Clock::fixed("2026-11-20T15:00:00Z");
        assert_eq!(clock.local("2026-11-20T09:05:01.5Z"), "09:05");
        assert_eq!(clock.local("2026-11-19T23:59:00+00:00"), "2026-11-19 23:59");
        assert_eq!(clock.local("today"), "today");
        assert_eq!(clock.day("2026-11-19T23:59:00Z"), "2026-11-19");
        assert_eq!(clock.minute("2026-11-19T23:59:00Z"), "23:59");
        let brief = ["2026-11-20T09:05:00Z", "2026-11-09T09:05:00Z", "2025-11-20T09:05:00Z"].map(|at| clock.brief(at));
        assert_eq!(brief, ["09:05", "09 Nov", "2025"]);
        assert_eq!(clock.day_in_words("2026-11-20T09:05:00Z"), "today");
        assert_eq!(clock.day_in_words("2026-11-09T09:05:00Z"), "Monday, 9 November 2026");
    }
}
