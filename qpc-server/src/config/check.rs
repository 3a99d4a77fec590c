//! What a configuration must be as a whole, and what production refuses.

use std::{collections::BTreeSet, fmt, time::Duration};

use qpc_proto::{
    address::Domain,
    limits::{BLOB_MAX, DEVICES_PER_ACCOUNT_MAX},
};
use tracing_subscriber::EnvFilter;

use super::{Federation, FederationPeer, Loaded, Period, Server, source};

/// Shortest standing token in production, in characters.
const TOKEN_MIN: usize = 16;
/// Most peers of a configuration.
const PEERS_MAX: usize = 256;
/// Most requests under way to one of them.
const IN_FLIGHT_MAX: usize = 4096;
/// Most people who can be planned for: more than one server carries, by far.
const USERS_PLANNED_MAX: u32 = 1_000_000;

/// Something wrong with the value of a key, at its place where the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    key: &'static str,
    place: Option<String>,
    message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// Whether it is host:port, with an IPv6 address in brackets.
fn is_address(text: &str) -> bool {
    let named = |(host, port): (&str, &str)| Domain::parse(host).is_ok() && port.parse::<u16>().is_ok_and(|p| p > 0);
    text.parse::<std::net::SocketAddr>().is_ok_and(|at| at.port() > 0) || text.rsplit_once(':').is_some_and(named)
}

/// Whether it says what to log. A single word is a level: the library takes any other for the name of a module, and logs nothing.
fn is_filter(text: &str) -> bool {
    let word = text.chars().all(|c| c.is_ascii_alphanumeric());
    EnvFilter::try_new(text).is_ok() && (!word || text.parse::<tracing::level_filters::LevelFilter>().is_ok())
}

/// The key for whose sake another one has to be set, or be as large; the key itself where none is.
fn wanted_by(key: &str) -> &str {
    match key {
        "retention.commits_days" => "retention.days",
        key if key.starts_with("blobs.s3_") => "blobs.backend",
        key if key.starts_with("backup.s3_") => "backup.s3_bucket",
        "backup.keep_full" => "backup.full_every",
        "backup.keep_incremental" => "backup.incremental_every",
        key => key,
    }
}

impl Loaded {
    /// Everything that is wrong with the values; nothing when the server may start.
    #[must_use]
    pub fn check(&self) -> Vec<Fault> {
        let value = |(key, message): (&'static str, String)| {
            let default = source::default_of(key).map(|default| format!("; the default is {default}"));
            self.fault_or_at(key, wanted_by(key), message + &default.unwrap_or_default())
        };
        let mut faults: Vec<Fault> = self.check_values().into_iter().map(value).collect();
        faults.extend(self.check_peers());
        faults.extend(self.check_acme());
        if self.config.server.production {
            let production = self.check_production().into_iter();
            faults.extend(production.map(|(key, message)| self.fault_or_at(key, "server.production", message)));
        }
        faults
    }

    /// With where the key is set, or else what wants it: another key.
    pub(super) fn fault_or_at(&self, key: &'static str, other: &str, message: String) -> Fault {
        let at = if self.set_by(key).is_some() { key } else { other };
        self.fault(key, at, message)
    }

    /// With where `at` is set, which is the key or an entry of its list: a place in the file, or a variable or option.
    pub(super) fn fault(&self, key: &'static str, at: &str, message: String) -> Fault {
        Fault { key, place: self.set_by(at), message }
    }

    fn check_values(&self) -> Vec<(&'static str, String)> {
        let config = &self.config;
        let mut faults = Vec::new();
        let mut must = |holds: bool, key: &'static str, message: &str| {
            if !holds {
                faults.push((key, message.to_owned()));
            }
        };
        let server = &config.server;
        must(Domain::parse(&server.domain).is_ok(), "server.domain", "not a host name, such as chat.example.org");
        let token = server.auth_token.as_ref();
        must(
            token.is_none_or(|token| !token.expose().is_empty()),
            "server.auth_token",
            "is empty: write one, or take the key out",
        );
        let token_fits = token.is_none_or(|token| token.expose().len() <= qpc_proto::limits::TOKEN_MAX);
        must(token_fits, "server.auth_token", "is longer than a token may be (128 bytes)");
        must(
            server.certificate_file.is_some() == server.certificate_key_file.is_some(),
            if server.certificate_file.is_some() { "server.certificate_file" } else { "server.certificate_key_file" },
            "certificate_file and certificate_key_file go together: set both, or neither",
        );
        must(server.drain <= Period::seconds(600), "server.drain", "more than 10m");
        must(server.users_planned <= USERS_PLANNED_MAX, "server.users_planned", "more than 1000000");
        must(config.runtime.threads <= 256, "runtime.threads", "more than 256");
        must(config.storage.pool_size <= 64, "storage.pool_size", "more than 64");
        must(config.storage.wal_autocheckpoint > 0, "storage.wal_autocheckpoint", "is 0: the log would never end");
        let gather = config.storage.commit_gather;
        must(gather <= Period(Duration::from_millis(100)), "storage.commit_gather", "more than 100ms");
        let blobs = &config.blobs;
        if let Some(key) = blobs.missing() {
            must(false, key, "is not set, and blobs.backend is \"s3\"");
        }
        must(blobs.max_size <= BLOB_MAX, "blobs.max_size", "more than 16 GiB");
        must(blobs.upload_expiry >= Period::seconds(1), "blobs.upload_expiry", "less than 1s");
        let backup = &config.backup;
        if let Some(key) = backup.missing() {
            must(false, key, "is not set, and backup.s3_bucket is: set both, or neither");
        }
        let often = Period::seconds(60);
        must(backup.full_every >= often, "backup.full_every", "less than 1m");
        must(backup.incremental_every >= often, "backup.incremental_every", "less than 1m");
        must(
            backup.keep_full >= backup.full_every,
            "backup.keep_full",
            "less than backup.full_every: keep each until the next is there",
        );
        must(
            backup.keep_incremental >= backup.incremental_every,
            "backup.keep_incremental",
            "less than backup.incremental_every: keep each until the next is there",
        );
        let retention = &config.retention;
        let keeps_longer =
            retention.commits_days == 0 || (retention.days > 0 && retention.commits_days >= retention.days);
        must(keeps_longer, "retention.commits_days", "less than retention.days: set it to as many days, or to 0");
        must((1..=10_000).contains(&retention.batch), "retention.batch", "not from 1 to 10000");
        must(retention.interval >= Period::seconds(1), "retention.interval", "less than 1s");
        let level = "neither error, warn, info, debug or trace nor directives such as qpc_server=debug";
        must(is_filter(&config.log.level), "log.level", level);

        let federation = &config.federation;
        must(federation.reload >= Period::seconds(1), "federation.reload", "less than 1s");
        must(federation.peers.len() <= PEERS_MAX, "federation.peers", "more than 256");

        let transport = &config.transport;
        must((1..=10).contains(&transport.send_segments), "transport.send_segments", "not from 1 to 10");
        must((1..=10).contains(&transport.bulk_segments), "transport.bulk_segments", "not from 1 to 10");
        let (least, most) = (Period(Duration::from_millis(1)), Period::seconds(1));
        must((least..=most).contains(&transport.ack_delay), "transport.ack_delay", "not from 1ms to 1s");
        // A new connection may have ten packets on their way: it must not have to wait for the delay to send more.
        must((1..=8).contains(&transport.ack_packets), "transport.ack_packets", "not from 1 to 8");
        must(transport.max_connections > 0, "transport.max_connections", "is 0: nobody could connect");
        // Memory is reserved for every stream that may be opened.
        let bidi = (2..=1024).contains(&transport.max_concurrent_bidi_streams);
        must(bidi, "transport.max_concurrent_bidi_streams", "not from 2 to 1024");
        let uni = transport.max_concurrent_uni_streams <= 1024;
        must(uni, "transport.max_concurrent_uni_streams", "more than 1024");
        must(transport.max_idle_timeout >= Period::seconds(1), "transport.max_idle_timeout", "less than 1s");
        let limits = &config.limits;
        must(limits.handshakes_max > 0, "limits.handshakes_max", "is 0: nobody could connect");
        must(limits.unauthenticated_per_prefix > 0, "limits.unauthenticated_per_prefix", "is 0: nobody could log in");
        let some_time = Period(Duration::from_millis(100));
        must(limits.handshake_deadline >= some_time, "limits.handshake_deadline", "less than 100ms");
        must(limits.login_deadline >= some_time, "limits.login_deadline", "less than 100ms");
        must(limits.logins_max > 0, "limits.logins_max", "is 0: nobody could log in");
        let devices = 1..=DEVICES_PER_ACCOUNT_MAX;
        must(devices.contains(&limits.devices_per_account), "limits.devices_per_account", "not from 1 to 16");
        must(limits.sessions_per_device > 0, "limits.sessions_per_device", "is 0: nobody could log in");
        must(limits.offers_per_device > 0, "limits.offers_per_device", "is 0");
        must(limits.rate_keys_max > 0, "limits.rate_keys_max", "is 0");
        for (key, rate) in [
            ("limits.message", limits.message),
            ("limits.change", limits.change),
            ("limits.login_account", limits.login_account),
            ("limits.login_prefix", limits.login_prefix),
            ("limits.registration", limits.registration),
            ("limits.claim_requester", limits.claim_requester),
            ("limits.claim_target", limits.claim_target),
            ("limits.peer_request", limits.peer_request),
            ("limits.peer_guest", limits.peer_guest),
            ("limits.contact", limits.contact),
            ("limits.lookup", limits.lookup),
            ("limits.blob", limits.blob),
            ("limits.transfer", limits.transfer),
            ("limits.ephemeral", limits.ephemeral),
            ("limits.request", limits.request),
        ] {
            must(rate.rate > 0 && rate.burst > 0, key, "rate and burst are at least 1");
        }
        faults
    }

    /// What is wrong with the names in `[federation]`. Domains are compared byte by byte with what certificates name.
    fn check_peers(&self) -> Vec<Fault> {
        let Federation { domain, peers, deny, .. } = &self.config.federation;
        let own = self.config.server.domain.to_ascii_lowercase();
        let mut faults = Vec::new();
        if let Some(domain) = domain.as_ref().filter(|domain| **domain != own) {
            let message =
                format!("is {domain}, but accounts of this server end in {own}: set server.domain to the same");
            faults.push(self.fault("federation.domain", "federation.domain", message));
        }
        let canonical = |domain: &str| Domain::parse(domain).is_ok_and(|parsed| parsed.as_str() == domain);
        let mut seen = BTreeSet::new();
        for (at, FederationPeer { domain, address, max_in_flight }) in peers.iter().enumerate() {
            let wrong = if !canonical(domain) {
                "not a host name in lower case".into()
            } else if *domain == own {
                "this server's own domain: take it out".into()
            } else if deny.contains(domain) {
                "also in federation.deny: take it out of one of the two".into()
            } else if !seen.insert(domain) {
                "named twice: keep one of the two".into()
            } else if !is_address(address) {
                format!("address {address:?} is not host:port, such as node2.chat.example.com:7001")
            } else if !(1..=IN_FLIGHT_MAX).contains(max_in_flight) {
                "max_in_flight is not from 1 to 4096".into()
            } else {
                continue;
            };
            let place = format!("federation.peers.{at}");
            faults.push(self.fault("federation.peers", &place, format!("{domain}: {wrong}")));
        }
        let denied = deny.iter().enumerate().filter(|(_, domain)| !canonical(domain));
        faults.extend(denied.map(|(at, domain)| {
            let message = format!("{domain}: not a host name in lower case");
            self.fault("federation.deny", &format!("federation.deny.{at}"), message)
        }));
        faults
    }

    fn check_production(&self) -> Vec<(&'static str, String)> {
        let server = &self.config.server;
        let mut faults = Vec::new();
        let mut must = |holds: bool, key: &'static str, message: &str| {
            if !holds {
                faults.push((key, format!("server.production = true {message}")));
            }
        };
        must(
            server.domain != Server::default().domain,
            "server.domain",
            "needs a domain of its own, such as chat.example.org",
        );
        must(
            server.certificate_file.is_some() || self.config.acme.directory.is_some(),
            "server.certificate_file",
            "needs a certificate: name its file, or an authority in acme.directory",
        );
        must(self.config.storage.key_file.is_some(), "storage.key_file", "needs an explicit key file: name it");
        must(self.db_key.is_none(), "storage.key_file", "takes no key from QPC_DB_KEY: use a file or a credential");
        let long = |token: &super::Secret| token.expose().chars().count() >= TOKEN_MIN;
        must(
            server.auth_token.as_ref().is_none_or(long),
            "server.auth_token",
            "needs a token of at least 16 characters",
        );
        faults
    }
}
