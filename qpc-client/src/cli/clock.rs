//! Times for people: local, short today, with the date otherwise.

use jiff::{
    Timestamp,
    civil::{DateTime, Time},
    tz::TimeZone,
};

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
        let now = self.now().to_zoned(self.zone.clone());
        let time = time.to_zoned(self.zone.clone());
        let format = if time.date() == now.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
        time.strftime(format).to_string()
    }

    /// The day and the time of day of an RFC 3339 time; text that is none is given back as a day.
    pub(super) fn parts(&self, time: &str) -> (String, String) {
        let Ok(time) = time.parse::<Timestamp>() else { return (time.to_owned(), String::new()) };
        let time = time.to_zoned(self.zone.clone());
        (time.strftime("%Y-%m-%d").to_string(), time.strftime("%H:%M").to_string())
    }

    /// The day and the time of an RFC 3339 time, to the millisecond; text that is none is made safe.
    pub(super) fn exact(&self, time: &str) -> String {
        match time.parse::<Timestamp>() {
            Ok(time) => time.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
            Err(_) => super::terminal::line(time).into_owned(),
        }
    }

    /// Now, RFC 3339.
    pub(super) fn stamp(&self) -> String {
        format!("{:.0}", self.now())
    }

    /// A day (its beginning here) or a time of day as a person writes it, or an RFC 3339 time, in milliseconds since 1970; `None` for
    /// what is neither, and for what is before then.
    pub(super) fn read(&self, text: &str) -> Option<u64> {
        let at = match text.parse::<Timestamp>() {
            Ok(at) => at,
            Err(_) => text.parse::<DateTime>().ok()?.to_zoned(self.zone.clone()).ok()?.timestamp(),
        };
        u64::try_from(at.as_millisecond()).ok()
    }

    /// Now, milliseconds since 1970.
    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.now().as_millisecond()).unwrap_or_default()
    }

    fn now(&self) -> Timestamp {
        self.fixed.unwrap_or_else(Timestamp::now)
    }

    /// A time that is to come, as [`Self::read`] reads it, or as a time of the next 24 hours (`18:30`).
    pub(super) fn coming(&self, text: &str) -> Option<u64> {
        let now = self.now().to_zoned(self.zone.clone());
        let at = match text.parse::<Time>() {
            Ok(time) if !text.contains('-') => {
                let today = now.date().to_datetime(time).to_zoned(self.zone.clone()).ok()?;
                let at = if today <= now {
                    now.date().tomorrow().ok()?.to_datetime(time).to_zoned(self.zone.clone()).ok()?
                } else {
                    today
                };
                u64::try_from(at.timestamp().as_millisecond()).ok()?
            }
            _ => self.read(text)?,
        };
        (at > self.now_ms()).then_some(at)
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
        let now = self.now().to_zoned(self.zone.clone());
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
        let now = self.now().to_zoned(self.zone.clone());
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

    #[test]
    fn a_time_to_come_is_of_today_or_tomorrow_and_never_past() {
        let clock = Clock::fixed("1970-01-02T12:00:00Z");
        let hours = |count: u64| Some(count * 3_600_000);
        assert_eq!(clock.coming("18:00"), hours(42));
        assert_eq!(clock.coming("11:00"), hours(59));
        assert_eq!(clock.coming("12:00"), hours(60), "now is past");
        assert_eq!(clock.coming("1970-01-04"), hours(72));
        assert_eq!(clock.coming("1970-01-02T13:00"), hours(37));
        for none in ["1970-01-02", "25:00", "soon", "", "1970-01-01T18:00"] {
            assert_eq!(clock.coming(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_day_or_a_time_is_read_as_it_is_here() {
        let clock = Clock { zone: TimeZone::fixed(jiff::tz::offset(2)), ..Clock::fixed("2026-11-20T15:00:00Z") };
        assert_eq!(clock.read("1970-01-02"), Some(22 * 3_600_000));
        assert_eq!(clock.read("1970-01-02T03:00"), Some(25 * 3_600_000));
        assert_eq!(clock.read("1970-01-02T03:00:00Z"), Some(27 * 3_600_000));
        for none in ["", "yesterday", "1970-13-01", "1969-12-31T00:00:00Z", "10"] {
            assert_eq!(clock.read(none), None, "{none:?}");
        }
    }
}
