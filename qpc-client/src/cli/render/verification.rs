//! How things stand with people's keys, and what they compare: as lines for people.

use qpc_client::api::{Contact, SafetyNumber, Standing, Verification};

use super::{Render, qr};
use crate::cli::{hint, table::pad, terminal};

/// Groups of digits in a line.
const GROUPS: usize = 4;
/// Words in a line, and the columns of the longest.
const WORDS: (usize, usize) = (3, 8);
/// Blanks beside a QR code.
const GAP: &str = "   ";
/// Columns that what stands beside a QR code may take.
const BESIDE: usize = 40;

impl Render {
    /// How things stand, in a cell of a list.
    pub(super) fn verified(&self, standing: &Standing) -> String {
        match (standing.verification, &standing.verified_at) {
            (Verification::Verified, Some(when)) => self.clock.day(when),
            (Verification::Verified, None) => "yes".to_owned(),
            (Verification::Unverified, _) => "no".to_owned(),
            (Verification::Changed, _) => "CHANGED".to_owned(),
            (Verification::Earlier, _) => "OLD KEY".to_owned(),
        }
    }

    /// What stands behind a person's name; groups have none, and a name can't hold it.
    pub(in crate::cli) fn mark(standing: Option<&Standing>) -> &'static str {
        match standing.map(|standing| standing.verification) {
            Some(Verification::Verified) => " ✓",
            Some(Verification::Changed | Verification::Earlier) => " !",
            Some(Verification::Unverified) | None => "",
        }
    }

    /// The loud line about somebody whose key is not the known one; `None` where all is as it was.
    pub(in crate::cli) fn key_alarm(&self, who: &str, standing: &Standing) -> Option<String> {
        let name = self.name(who);
        let (program, typed) = (hint::program(), hint::quoted(&name));
        let since = standing.changed_at.as_ref().map(|when| format!(" since {}", self.clock.local(when)));
        let since = since.unwrap_or_default();
        let text = match (standing.verification, &standing.verified_at) {
            (Verification::Unverified | Verification::Verified, _) => return None,
            (Verification::Earlier, _) => format!(
                "{name} is here with an earlier account key than the one you have accepted. Whoever has that one reads \
                 along; have it removed from the group, or begin anew"
            ),
            (Verification::Changed, Some(when)) => format!(
                "the account key of {name} is another one{since}. You had verified the earlier one on {}. Nothing is sent \
                 to {name} until you have compared the new one with them: {program} verify {typed}",
                self.clock.day(when)
            ),
            (Verification::Changed, None) => format!(
                "the account key of {name} is another one{since}. The earlier one was never verified. They may have been \
                 reset, or somebody is in between: compare it with them: {program} verify {typed}\nor believe it unseen: \
                 {program} contacts trust {typed}"
            ),
        };
        Some(self.alarm(&text))
    }

    /// The same of a contact in a list.
    pub(in crate::cli) fn contact_alarm(&self, contact: &Contact) -> Option<String> {
        self.key_alarm(&contact.address, &contact.standing)
    }

    /// What has become of somebody's mark, as an event.
    pub(in crate::cli) fn standing_event(&self, who: &str, standing: &Standing) -> String {
        format!("{}: {}", self.name(who), self.standing(standing).join("; "))
    }

    /// How things stand, in short lines.
    fn standing(&self, standing: &Standing) -> Vec<String> {
        let earlier = standing.verified_at.as_ref().map(|when| self.clock.day(when));
        match (standing.verification, earlier) {
            (Verification::Verified, None) => vec!["verified".to_owned()],
            (Verification::Verified, Some(day)) => vec![format!("verified on {day}")],
            (Verification::Unverified, None) => vec!["not verified".to_owned()],
            (Verification::Unverified, Some(day)) => {
                vec!["not verified".to_owned(), format!("an earlier key was, on {day}")]
            }
            (Verification::Changed | Verification::Earlier, earlier) => {
                let since = standing.changed_at.as_ref().map(|when| format!(" SINCE {}", self.clock.local(when)));
                let earlier = earlier.map_or_else(
                    || "the earlier key was never verified".to_owned(),
                    |day| format!("the earlier key was verified {day}"),
                );
                vec![format!("ANOTHER KEY{}", since.unwrap_or_default()), earlier]
            }
        }
    }

    /// The same, painted.
    fn standing_painted(&self, standing: &Standing) -> Vec<String> {
        let paint = |line: String| match standing.verification {
            Verification::Verified => self.paint.good(&line),
            Verification::Changed | Verification::Earlier => self.paint.loud(&line),
            Verification::Unverified => line,
        };
        self.standing(standing).into_iter().map(paint).collect()
    }

    /// A safety number as label and value, without the code.
    pub(in crate::cli) fn safety_number(&self, number: &SafetyNumber) -> Vec<String> {
        let mut lines = Vec::new();
        for (label, values) in [
            ("contact", vec![self.paint.bold(&terminal::line(&number.address))]),
            ("state", vec![self.standing_painted(&number.standing).join("; ")]),
            ("number", digits(number)),
            ("words", words(number)),
        ] {
            let labels = std::iter::once(label).chain(std::iter::repeat(""));
            lines.extend(labels.zip(values).map(|(label, value)| format!("{label:<12} {value}")));
        }
        lines
    }

    /// A safety number for a terminal of so many columns, with the code drawn where there is room; for a pipe without.
    pub(in crate::cli) fn safety_page(&self, number: &SafetyNumber, columns: Option<usize>) -> Vec<String> {
        let Some(columns) = columns else {
            let mut lines = self.safety_number(number);
            lines.push(format!("{:<12} {}", "code", number.code));
            return lines;
        };
        let drawn = qr::draw(&number.code, self.paint);
        let mut lines = if drawn.width > 0 && columns >= drawn.width.saturating_add(GAP.len()).saturating_add(BESIDE) {
            let mut beside = vec![format!("you and {}", self.paint.bold(&self.name(&number.address))), String::new()];
            beside.extend(digits(number));
            beside.push(String::new());
            beside.extend(words(number));
            beside.push(String::new());
            beside.extend(self.standing_painted(&number.standing));
            let beside = std::iter::once(String::new()).chain(beside).chain(std::iter::repeat(String::new()));
            drawn.lines.into_iter().zip(beside).map(|(code, text)| format!("{code}{GAP}{text}")).collect()
        } else {
            let mut lines = self.safety_number(number);
            // A code that wraps is none.
            if columns >= drawn.width {
                lines.extend(drawn.lines);
            }
            lines
        };
        lines.extend(self.advice(number));
        lines
    }

    fn advice(&self, number: &SafetyNumber) -> Vec<String> {
        let (name, program) = (self.name(&number.address), hint::program());
        let typed = hint::quoted(&name);
        let compare = format!(
            "Compare with {name} in person or by a voice you know, not in this chat. They run\n\
             `verify` with your name: digits, words and what you scan must be the same."
        );
        let next = match number.standing.verification {
            Verification::Verified => format!("to take it back: {program} verify {typed} --undo"),
            _ => format!("if they are: {program} verify {typed} --confirm"),
        };
        compare.lines().chain(std::iter::once(next.as_str())).map(str::to_owned).collect()
    }
}

fn digits(number: &SafetyNumber) -> Vec<String> {
    rows(&number.number, GROUPS, 0)
}

fn words(number: &SafetyNumber) -> Vec<String> {
    rows(&number.words, WORDS.0, WORDS.1)
}

/// Words in rows of so many, each filled up to a width.
fn rows(text: &str, count: usize, width: usize) -> Vec<String> {
    let words: Vec<String> = text.split(' ').map(|word| pad(&terminal::line(word), width)).collect();
    words.chunks(count).map(|row| row.join(" ").trim_end().to_owned()).collect()
}
