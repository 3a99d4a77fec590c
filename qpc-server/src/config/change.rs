//! What differs between two configurations, and what of it a running server takes.

use serde_json::Value as Json;

use super::{Config, source};

/// What stands for a value that is not set.
const NOT_SET: &str = "not set";
/// What stands for a secret.
const SECRET: &str = "(a secret)";

/// A key with another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// By its full name.
    pub key: String,
    /// As it is written in a file; secrets are not shown.
    pub before: String,
    /// The same.
    pub after: String,
}

impl Change {
    /// Whether a running server takes it. Everything else counts from the next start on.
    #[must_use]
    pub fn is_taken_at_once(&self) -> bool {
        is_rate(&self.key) || self.key == "log.level" || self.is_of_peers()
    }

    /// Whether it is about with whom this server federates.
    #[must_use]
    pub fn is_of_peers(&self) -> bool {
        ["federation.access", "federation.deny", "federation.peers"].contains(&self.key.as_str())
    }
}

/// Whether a key is of one of the rates: they have sections of their own.
fn is_rate(key: &str) -> bool {
    key.strip_prefix("limits.").is_some_and(|rest| rest.contains('.'))
}

/// The keys whose values differ, in the order of their names.
#[must_use]
pub fn changes(before: &Config, after: &Config) -> Vec<Change> {
    let (old, new) = (source::values(before), source::values(after));
    let pairs = old.into_iter().zip(new);
    let differ = pairs.filter_map(|((key, old), (_, new))| {
        let of_secret = secret(&key, before) != secret(&key, after);
        let (before, after) = if secret(&key, before).is_some() || secret(&key, after).is_some() {
            (shown_secret(&old), shown_secret(&new))
        } else {
            (shown(&old), shown(&new))
        };
        (of_secret || old != new).then_some(Change { key, before, after })
    });
    differ.collect()
}

/// The text of a key that holds a secret, to be compared and never shown.
fn secret<'c>(key: &str, of: &'c Config) -> Option<&'c str> {
    let secret = match key {
        "server.auth_token" => of.server.auth_token.as_ref(),
        "acme.eab_key" => of.acme.eab_key.as_ref(),
        "blobs.s3_access_key" => of.blobs.s3_access_key.as_ref(),
        "backup.s3_access_key" => of.backup.s3_access_key.as_ref(),
        _ => None,
    };
    secret.map(super::Secret::expose)
}

fn shown_secret(value: &Json) -> String {
    if value.is_null() { NOT_SET.into() } else { SECRET.into() }
}

fn shown(value: &Json) -> String {
    if value.is_null() { NOT_SET.into() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{FederationAccess, FederationPeer, Secret},
        *,
    };

    fn changed(of: impl FnOnce(&mut Config)) -> Vec<Change> {
        let mut config = Config::default();
        of(&mut config);
        changes(&Config::default(), &config)
    }

    #[test]
    fn what_differs_is_named_with_both_values_and_no_secret() {
        assert!(changed(|_| {}).is_empty());
        let all = changed(|config| {
            config.log.level = "debug".into();
            config.limits.message.rate = 7;
            config.server.auth_token = Some(Secret::new("open sesame".into()));
            config.server.listen = "0.0.0.0:7000".parse().unwrap();
            config.federation.access = FederationAccess::DenyList;
            config.federation.deny = vec!["c.example".into()];
            let address = "10.0.0.2:7001".into();
            config.federation.peers = vec![FederationPeer { domain: "b.example".into(), address, max_in_flight: 64 }];
        });
        let lines: Vec<_> = all.iter().map(|one| format!("{}: {} -> {}", one.key, one.before, one.after)).collect();
        assert_eq!(
            lines,
            [
                "federation.access: \"allow_list\" -> \"deny_list\"",
                "federation.deny: [] -> [\"c.example\"]",
                "federation.peers: [] -> [{\"address\":\"10.0.0.2:7001\",\"domain\":\"b.example\",\"max_in_flight\":64}]",
                "limits.message.rate: 6000 -> 7",
                "log.level: \"info\" -> \"debug\"",
                "server.auth_token: not set -> (a secret)",
                "server.listen: \"127.0.0.1:7000\" -> \"0.0.0.0:7000\"",
            ]
        );
        let taken: Vec<_> = all.iter().filter(|one| one.is_taken_at_once()).map(|one| one.key.as_str()).collect();
        let peers = ["federation.access", "federation.deny", "federation.peers"];
        assert_eq!(taken, [&peers[..], &["limits.message.rate", "log.level"]].concat());
    }

    #[test]
    fn a_secret_that_is_another_one_differs() {
        let with = |token: &str| {
            let mut config = Config::default();
            config.server.auth_token = Some(Secret::new(token.into()));
            config.blobs.s3_access_key = Some(Secret::new(token.into()));
            config
        };
        let all = changes(&with("one"), &with("two"));
        let keys: Vec<_> = all.iter().map(|one| one.key.as_str()).collect();
        assert_eq!(keys, ["blobs.s3_access_key", "server.auth_token"]);
        assert!(all.iter().all(|one| one.before == SECRET && one.after == SECRET));
        assert!(changes(&with("one"), &with("one")).is_empty());
    }

    #[test]
    fn every_rate_is_taken_at_once() {
        let rates = source::keys().iter().filter(|(key, _)| is_rate(key));
        assert_eq!(rates.count(), 30, "rate and burst of each");
    }
}
