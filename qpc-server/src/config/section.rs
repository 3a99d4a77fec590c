//! The sections of a configuration file, with today's defaults.
//!
//! `config/qpc-server.toml` shows every key with its default, and a test keeps it so.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::value::{Period, Secret};
use crate::policy::limits::{BlobLimits, EphemeralLimits, FederationLimits};

/// Most threads of a kind that the defaults take: more cost more per operation than they give.
const THREADS_MAX: usize = 4;

/// `[server]`: who it is and where it listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// UDP address of the client endpoint. `[::]` takes IPv4 as well.
    pub listen: SocketAddr,
    /// What comes after the `@` of every account. Can't be changed once there are accounts.
    pub domain: String,
    /// Refuse to start with what is only good for trying out.
    pub production: bool,
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Anybody may register, without a token.
    pub open_registration: bool,
    /// Lets anybody who knows it register, any number of times.
    pub auth_token: Option<Secret>,
    /// A file with that token.
    pub auth_token_file: Option<PathBuf>,
    /// The TLS certificate (PEM chain or DER); by default one that signs itself, made in the data directory.
    pub certificate_file: Option<PathBuf>,
    /// Its private key (PEM or DER, PKCS #8).
    pub certificate_key_file: Option<PathBuf>,
    /// How long a stopping server finishes what runs.
    pub drain: Period,
    /// People who are expected to be connected at once, for alerts to compare with. 0: not said.
    pub users_planned: u32,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], qpc_proto::DEFAULT_PORT)),
            domain: "localhost".into(),
            production: false,
            data_dir: "data".into(),
            open_registration: false,
            auth_token: None,
            auth_token_file: None,
            certificate_file: None,
            certificate_key_file: None,
            drain: Period::seconds(10),
            users_planned: 0,
        }
    }
}

/// `[runtime]`: threads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Runtime {
    /// Threads for connections, besides those of the store. 0: one less than there are cores, at least
    /// one, at most four. One thread costs least per operation.
    pub threads: usize,
}

impl Runtime {
    /// Threads for connections, on a machine with so many cores.
    #[must_use]
    pub fn threads_on(&self, cores: usize) -> usize {
        if self.threads == 0 { cores.saturating_sub(1).clamp(1, THREADS_MAX) } else { self.threads }
    }
}

/// `[storage]`: the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// The database's key: 64 hexadecimal digits, or a passphrase. By default `db.key` in the data directory.
    pub key_file: Option<PathBuf>,
    /// Connections for reading, each with a thread and a page cache; writing has one of its own. 0: as many as there are
    /// cores, at most four.
    pub pool_size: usize,
    /// Pages of the write-ahead log after which it is folded into the database.
    pub wal_autocheckpoint: u32,
    /// How long a message may wait, while many arrive, for others to be stored with it. Longer costs latency,
    /// shorter costs CPU; 0s never waits.
    pub commit_gather: Period,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            key_file: None,
            pool_size: 0,
            wal_autocheckpoint: 1000,
            commit_gather: Period(Duration::from_millis(10)),
        }
    }
}

impl Storage {
    /// Connections for reading, on a machine with so many cores. More than that read no faster, and what each has
    /// allocated at the busiest moment stays with it.
    #[must_use]
    pub fn readers_on(&self, cores: usize) -> usize {
        if self.pool_size == 0 { cores.clamp(1, THREADS_MAX) } else { self.pool_size }
    }
}

/// Where the bytes of blobs are kept; the list of them is always in the database of blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlobBackend {
    /// In that database, encrypted as everything else.
    Database,
    /// Files in a directory.
    Directory,
    /// A bucket of something that speaks S3.
    S3,
}

/// `[blobs]`: attachments, as the ciphertext that they are here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blobs {
    /// `database`, `directory` or `s3`.
    pub backend: BlobBackend,
    /// With `directory`: which one. By default `blobs` in the data directory.
    pub directory: Option<PathBuf>,
    /// With `s3`: the URL of the service, without the bucket.
    pub s3_endpoint: String,
    /// With `s3`: the bucket, which must exist.
    pub s3_bucket: String,
    /// With `s3`: the region that requests are signed for.
    pub s3_region: String,
    /// With `s3`: who asks.
    pub s3_access_key: Option<Secret>,
    /// With `s3`: a file with the secret key.
    pub s3_secret_key_file: Option<PathBuf>,
    /// With `s3`: talk without TLS, inside one machine.
    pub s3_allow_http: bool,
    /// Bytes that blobs leave free on the disk with the data directory, or the one with their own, for messages.
    pub disk_reserve: u64,
    /// Bytes of one blob. A file of 100 MiB takes a little more than that.
    pub max_size: u64,
    /// Bytes that one account may have put into conversations, unfinished uploads included.
    pub account_bytes: u64,
    /// Blobs that one account may have put into conversations.
    pub account_count: u64,
    /// Bytes in one conversation.
    pub conversation_bytes: u64,
    /// Blobs in one conversation.
    pub conversation_count: u64,
    /// Unfinished uploads of one account.
    pub uploads_per_account: u64,
    /// An upload to which nothing was added for so long is thrown away.
    pub upload_expiry: Period,
}

impl Default for Blobs {
    fn default() -> Self {
        let of = BlobLimits::default();
        Self {
            backend: BlobBackend::Database,
            directory: None,
            s3_endpoint: String::new(),
            s3_bucket: String::new(),
            s3_region: "us-east-1".into(),
            s3_access_key: None,
            s3_secret_key_file: None,
            s3_allow_http: false,
            disk_reserve: 256 * 1024 * 1024,
            max_size: of.max_size,
            account_bytes: of.account_bytes,
            account_count: of.account_blobs,
            conversation_bytes: of.conversation_bytes,
            conversation_count: of.conversation_blobs,
            uploads_per_account: of.uploads,
            upload_expiry: Period(of.upload_expiry),
        }
    }
}

impl Blobs {
    /// What of a bucket is not set, where there is to be one.
    #[must_use]
    pub fn missing(&self) -> Option<&'static str> {
        let set = [
            ("blobs.s3_endpoint", !self.s3_endpoint.is_empty()),
            ("blobs.s3_bucket", !self.s3_bucket.is_empty()),
            ("blobs.s3_access_key", self.s3_access_key.is_some()),
            ("blobs.s3_secret_key_file", self.s3_secret_key_file.is_some()),
        ];
        let wanted = self.backend == BlobBackend::S3;
        set.into_iter().find(|(_, is_set)| wanted && !is_set).map(|(key, _)| key)
    }
}

impl From<&Blobs> for BlobLimits {
    fn from(of: &Blobs) -> Self {
        Self {
            max_size: of.max_size,
            account_bytes: of.account_bytes,
            account_blobs: of.account_count,
            conversation_bytes: of.conversation_bytes,
            conversation_blobs: of.conversation_count,
            uploads: of.uploads_per_account,
            upload_expiry: of.upload_expiry.0,
            ..Self::default()
        }
    }
}

/// `[retention]`: how long logs and blobs are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Bodies of messages, in days. 0 keeps them.
    pub days: u32,
    /// Whole entries, commits among them, in days. 0 keeps them. Not less than `days`.
    pub commits_days: u32,
    /// Blobs, in days since they came into a conversation. 0 keeps them.
    pub blobs_days: u32,
    /// How often the server looks for what is due.
    pub interval: Period,
    /// Rows in one transaction of the clean-up.
    pub batch: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self { days: 90, commits_days: 180, blobs_days: 90, interval: Period::seconds(600), batch: 200 }
    }
}

/// `[backup]`: copies of everything, and how long they are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Backup {
    /// Where to, unless it is a bucket. A running server makes backups by itself where this or the bucket is set.
    pub directory: Option<PathBuf>,
    /// The bucket, which must exist. It stands above the directory.
    pub s3_bucket: String,
    /// The URL of its service, without the bucket.
    pub s3_endpoint: String,
    /// The region that requests are signed for.
    pub s3_region: String,
    /// Who asks.
    pub s3_access_key: Option<Secret>,
    /// A file with the secret key.
    pub s3_secret_key_file: Option<PathBuf>,
    /// Talk without TLS, inside one machine.
    pub s3_allow_http: bool,
    /// How often everything is copied.
    pub full_every: Period,
    /// How often what has changed since is.
    pub incremental_every: Period,
    /// How long full backups are kept.
    pub keep_full: Period,
    /// How long incremental ones are.
    pub keep_incremental: Period,
}

impl Default for Backup {
    fn default() -> Self {
        Self {
            directory: None,
            s3_bucket: String::new(),
            s3_endpoint: String::new(),
            s3_region: "us-east-1".into(),
            s3_access_key: None,
            s3_secret_key_file: None,
            s3_allow_http: false,
            full_every: Period::days(1),
            incremental_every: Period::seconds(6 * 60 * 60),
            keep_full: Period::days(30),
            keep_incremental: Period::days(7),
        }
    }
}

impl Backup {
    /// What of a bucket is not set, where there is to be one.
    #[must_use]
    pub fn missing(&self) -> Option<&'static str> {
        let set = [
            ("backup.s3_endpoint", !self.s3_endpoint.is_empty()),
            ("backup.s3_access_key", self.s3_access_key.is_some()),
            ("backup.s3_secret_key_file", self.s3_secret_key_file.is_some()),
        ];
        let wanted = !self.s3_bucket.is_empty();
        set.into_iter().find(|(_, is_set)| wanted && !is_set).map(|(key, _)| key)
    }
}

/// Who of those with a certificate of the federation's CA may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FederationAccess {
    /// The peers of the configuration.
    AllowList,
    /// Everybody but those of `deny`.
    DenyList,
}

/// `[[federation.peers]]`: another server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FederationPeer {
    /// Its domain, as its certificate names it.
    pub domain: String,
    /// Where it listens: host or IP address, and port.
    pub address: String,
    /// Requests that may be under way to it.
    #[serde(default = "max_in_flight")]
    pub max_in_flight: usize,
}

/// What `max_in_flight` is where it is not given.
fn max_in_flight() -> usize {
    64
}

/// `[federation]`: other servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Federation {
    /// Listen for other servers, and connect to those below.
    pub enabled: bool,
    /// This server's domain, as its certificate names it: that of `[server]`, which it must be where it is given.
    pub domain: Option<String>,
    /// UDP address for other servers.
    pub listen: SocketAddr,
    /// The certificate (PEM chain or DER); by default `federation-cert.der` in the data directory.
    pub federation_cert: Option<PathBuf>,
    /// Its private key (PEM or DER, PKCS #8); by default `federation-key.der` there.
    pub federation_key: Option<PathBuf>,
    /// The CA that signs for all servers (PEM, of several one after the other, or DER); by default
    /// `federation-ca.der` there.
    pub federation_ca: Option<PathBuf>,
    /// `allow_list` or `deny_list`.
    pub access: FederationAccess,
    /// Domains that are refused, whatever else holds.
    pub deny: Vec<String>,
    /// How often the files are looked at for new certificates.
    pub reload: Period,
    /// Bytes of one domain's files of which copies are kept.
    pub copied_bytes: u64,
    /// Other servers.
    pub peers: Vec<FederationPeer>,
}

impl Default for Federation {
    fn default() -> Self {
        let of = FederationLimits::default();
        Self {
            enabled: false,
            domain: None,
            listen: SocketAddr::from(([0, 0, 0, 0], qpc_proto::FEDERATION_PORT)),
            federation_cert: None,
            federation_key: None,
            federation_ca: None,
            access: FederationAccess::AllowList,
            deny: Vec::new(),
            reload: Period(of.reload),
            copied_bytes: of.copied_bytes,
            peers: Vec::new(),
        }
    }
}

impl Federation {
    /// Takes what a running server takes of another configuration: with whom it federates.
    pub fn take_peers(&mut self, of: &Self) {
        self.access = of.access;
        self.deny.clone_from(&of.deny);
        self.peers.clone_from(&of.peers);
    }
}

/// `[ephemeral]`: what is handed on to those who are there and never stored: who is typing, what was read, who is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ephemeral {
    /// Hand it on.
    pub enabled: bool,
}

impl Default for Ephemeral {
    fn default() -> Self {
        Self { enabled: EphemeralLimits::default().enabled }
    }
}

/// `[metrics]`: what the operator's HTTP listener shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// TCP address of `/metrics`, `/healthz` and `/readyz`. Keep it private.
    pub listen: SocketAddr,
    /// Devices not seen for so many days do not count in `qpc_delivery_queue_depth`.
    pub seen_days: u32,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9090)), seen_days: 30 }
    }
}

/// `[log]`: what is written to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives as `RUST_LOG` has them, which stands above this.
    pub level: String,
    /// Text or JSON.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Auto }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// One object a line.
    Json,
}
