//! Which of its limits a server keeps while it is prepared or measured, and what of that is said.

use std::fmt::Write as _;

/// Many, for a rate a minute and for a burst.
const MANY: &str = "60000000";

/// What only the place of a load generator brings about: thousands of clients at a few addresses.
const ADDRESSES: [(&str, &str); 5] = [
    ("limits.unauthenticated_per_prefix", "100000"),
    ("limits.login_prefix.rate", MANY),
    ("limits.login_prefix.burst", MANY),
    ("limits.registration.rate", MANY),
    ("limits.registration.burst", MANY),
];

/// What would make preparing, and looking for faults, take long.
const RATES: [(&str, &str); 21] = [
    ("limits.handshakes_retry", "100000"),
    ("limits.handshakes_max", "100000"),
    ("limits.handshake_deadline", "\"60s\""),
    ("limits.login_deadline", "\"60s\""),
    ("limits.logins_max", "100000"),
    ("limits.message.rate", MANY),
    ("limits.message.burst", MANY),
    ("limits.change.rate", MANY),
    ("limits.change.burst", MANY),
    ("limits.login_account.rate", MANY),
    ("limits.login_account.burst", MANY),
    ("limits.contact.rate", MANY),
    ("limits.contact.burst", MANY),
    ("limits.blob.rate", MANY),
    ("limits.blob.burst", MANY),
    ("limits.transfer.rate", MANY),
    ("limits.transfer.burst", MANY),
    ("limits.lookup.rate", MANY),
    ("limits.lookup.burst", MANY),
    ("limits.request.rate", MANY),
    ("limits.request.burst", MANY),
];

/// Which limits are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// No rates: for preparing accounts and conversations, and for looking for faults.
    Free,
    /// All but those for one address and for registrations.
    Measured,
    /// All, as an operator gets them.
    Kept,
}

impl Profile {
    /// What it sets.
    fn settings(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let addresses = ADDRESSES.iter().filter(move |_| self != Self::Kept);
        addresses.chain(RATES.iter().filter(move |_| self == Self::Free)).copied()
    }

    /// The configuration of a server that is measured.
    #[must_use]
    pub fn configuration(self, token: &str, set: &[String]) -> String {
        let mut text = format!("server.auth_token = \"{token}\"\n");
        for (key, value) in self.settings() {
            // Writing to a string can't fail.
            _ = writeln!(text, "{key} = {value}");
        }
        for line in set {
            _ = writeln!(text, "{line}");
        }
        text
    }

    /// The keys that are not as an operator gets them.
    #[must_use]
    pub fn lifted(self) -> String {
        let keys: Vec<_> = self.settings().map(|(key, _)| key).collect();
        if keys.is_empty() { "none".to_owned() } else { keys.join(" ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measured_server_keeps_what_is_not_for_addresses_and_one_with_all_limits_keeps_all() {
        assert_eq!(Profile::Kept.lifted(), "none");
        assert_eq!(Profile::Kept.configuration("t", &[]), "server.auth_token = \"t\"\n");
        let measured = Profile::Measured.lifted();
        assert!(measured.split(' ').all(|key| key.contains("prefix") || key.contains("registration")), "{measured}");
        assert!(Profile::Free.lifted().contains("limits.message.rate"));
        let text = Profile::Measured.configuration("t", &["runtime.threads = 1".into()]);
        assert!(text.ends_with("runtime.threads = 1\n"));
    }
}
