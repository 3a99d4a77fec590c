//! Every metric of the server, under the names that operators build dashboards on.
//!
//! Labels come from small fixed sets ([`labels`]); nothing here names a person, a device or an
//! address. Whoever measures holds the one [`Metrics`] and calls a field's own verb; the page for
//! Prometheus is [`Metrics::text`].

mod acme;
mod ephemeral;
mod federation;
mod flow;
pub mod labels;
mod machine;
mod restore;

use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
    core::{Collector, MetricVec, MetricVecBuilder},
    process_collector::ProcessCollector,
};
use qpc_proto::error::{CloseCode, Code};

use self::labels::Label;
pub use self::{
    acme::AcmeMetrics,
    ephemeral::EphemeralMetrics,
    federation::FederationMetrics,
    flow::{Flow, Transfer},
    machine::MachineLimits,
    restore::RestoreMetrics,
};
use crate::{blob_store::BlobFigures, policy::access, tasks};

/// Seconds, from what a busy core does in one go to what nobody should wait for.
const SECONDS: [f64; 15] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Seconds between two readings of the wall clock, which has whole milliseconds.
const WALL_SECONDS: [f64; 12] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Rows of one commit.
const BATCH: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// All metrics, registered. Fields without labels are used directly; those with labels through the
/// methods below, which take the label's own type.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Messages, proposals and commits stored.
    pub enqueue: IntCounter,
    /// Bytes of their bodies.
    pub enqueue_bytes: IntCounter,
    /// Pages read from the store by readers that are behind.
    pub fetch: IntCounter,
    /// Logins that proved their password.
    pub login_success: IntCounter,
    /// Logins that were begun and never proved themselves.
    pub login_failure: IntCounter,
    /// Passwords that went over to the newest OPAQUE setup.
    pub opaque_renewed: IntCounter,
    /// Key packages that were uploaded, last-resort ones included.
    pub key_package_upload: IntCounter,
    /// Connections that exist, handshakes included.
    pub connections_active: IntGauge,
    /// As many connections as the server takes.
    pub connections_max: IntGauge,
    /// People who are expected to be connected at once; 0 where nobody has said.
    pub users_planned: IntGauge,
    /// Authenticated connections.
    pub sessions_active: IntGauge,
    /// Streams of the sync call.
    pub syncs_active: IntGauge,
    /// Age of the oldest stored and unacknowledged entry, in seconds; 0 where there is none.
    pub delivery_oldest: Gauge,
    /// Sessions that were marked behind because their queue was full.
    pub behind: IntCounter,
    /// Cores the process may use.
    pub cpu_limit: Gauge,
    /// Bytes of memory the process may use.
    pub memory_limit: IntGauge,
    certificate_expires: IntGauge,
    backup_newest: IntGauge,
    /// Backups that the server was to make by itself and did not.
    pub backup_failed: IntCounter,
    /// Size of the disk with the data directory, in bytes.
    pub disk_size: IntGauge,
    /// Bytes free there for this process.
    pub disk_free: IntGauge,
    /// From the first packet to the end of the handshake.
    pub tls_handshake: Histogram,
    /// From `LoginStart` to the answer to `LoginFinish`.
    pub login: Histogram,
    /// One transaction of the store, without the sync.
    pub store_commit: Histogram,
    /// The sync that makes it durable.
    pub store_fsync: Histogram,
    /// Verbs in one transaction.
    pub store_batch: Histogram,
    /// One change of a group judged, or a group read from the store.
    pub group_judge: Histogram,
    /// Groups read from the store, because they were not in memory.
    pub group_loads: IntCounter,
    /// Groups in memory.
    pub groups_kept: IntGauge,
    /// Devices that got a turn to change a group, after races that they lost.
    pub group_turns: IntCounter,
    /// Leaves of devices that are gone, proposed for removal.
    pub removals_proposed: IntCounter,
    /// Commits that a member has reported as impossible to follow: somebody's client is hostile or broken.
    pub failures_reported: IntCounter,
    /// Requests to be let into a group by a link.
    pub joins_asked: IntCounter,
    /// Accounts that commits have let in so.
    pub joins_admitted: IntCounter,
    /// Of an ACME authority.
    pub acme: AcmeMetrics,
    /// After a restore.
    pub restore: RestoreMetrics,
    /// Of what is never stored.
    pub ephemeral: EphemeralMetrics,
    /// From a `Send` being read to its entry being handed to the readers' sessions.
    pub send_to_delivery: Histogram,
    request: HistogramVec,
    depth: IntGaugeVec,
    rate_limited: IntCounterVec,
    refused: IntCounterVec,
    closed: IntCounterVec,
    errors: IntCounterVec,
    panics: IntCounterVec,
    admin_actions: IntCounterVec,
    queue: IntGaugeVec,
    udp_datagrams: IntCounterVec,
    udp_bytes: IntCounterVec,
    /// Finished blobs, each once.
    pub blobs_stored: IntGauge,
    /// Bytes in them.
    pub blobs_stored_bytes: IntGauge,
    /// Unfinished uploads.
    pub uploads: IntGauge,
    /// Bytes stored of those.
    pub uploads_bytes: IntGauge,
    /// One transaction of the store of blobs, the sync included.
    pub blob_commit: Histogram,
    blob_bytes: IntCounterVec,
    blob_transfers: IntGaugeVec,
    blob_rejected: IntCounterVec,
}

impl Metrics {
    /// Makes and registers all of them.
    ///
    /// # Errors
    /// Two metrics of one name: a bug that the first test of this file meets.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let new = Builder(&registry);
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let version =
            IntGaugeVec::new(Opts::new("qpc_build_info", "Always 1; the label is the version."), &["version"])?;
        version.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(version))?;
        Ok(Self {
            enqueue: new.counter("qpc_enqueue_total", "Messages, proposals and commits stored.")?,
            enqueue_bytes: new.counter("qpc_enqueue_bytes_total", "Bytes of the bodies stored.")?,
            fetch: new.counter("qpc_fetch_total", "Pages read from the store by readers that are behind.")?,
            login_success: new.counter("qpc_auth_login_success_total", "Logins that proved their password.")?,
            login_failure: new.counter("qpc_auth_login_failure_total", "Logins begun that never proved themselves.")?,
            opaque_renewed: new.counter("qpc_opaque_renewed_total", "Passwords that went over to the newest setup.")?,
            key_package_upload: new.counter("qpc_key_package_upload_total", "Key packages uploaded.")?,
            connections_active: new.gauge("qpc_connections_active", "Connections, handshakes included.")?,
            connections_max: new.gauge("qpc_connections_max", "As many connections as the server takes.")?,
            users_planned: new.gauge(
                "qpc_users_planned",
                "People expected to be connected at once (server.users_planned); 0: not said.",
            )?,
            sessions_active: new.gauge("qpc_sessions_active", "Authenticated connections.")?,
            syncs_active: new.gauge("qpc_syncs_active", "Open sync calls.")?,
            delivery_oldest: new
                .float("qpc_delivery_oldest_seconds", "Age of the oldest stored and unacknowledged entry.")?,
            behind: new.counter("qpc_behind_total", "Times that a reader's queue was full.")?,
            cpu_limit: new.float("qpc_cpu_limit_cores", "Cores the process may use.")?,
            memory_limit: new.gauge("qpc_memory_limit_bytes", "Memory the process may use.")?,
            backup_newest: new.gauge(
                "qpc_backup_newest_timestamp_seconds",
                "When the newest backup that the server knows of was begun; 0 where there is none.",
            )?,
            backup_failed: new
                .counter("qpc_backup_failed_total", "Backups that the server was to make by itself and did not.")?,
            certificate_expires: new.gauge(
                "qpc_certificate_expires_timestamp_seconds",
                "When the certificate that clients are shown ends, in seconds since 1970.",
            )?,
            disk_size: new.gauge("qpc_data_disk_size_bytes", "Size of the disk with the data directory.")?,
            disk_free: new.gauge("qpc_data_disk_free_bytes", "Free space there for the server.")?,
            tls_handshake: new.histogram("qpc_tls_handshake_seconds", "First packet to end of handshake.", &SECONDS)?,
            login: new.histogram("qpc_login_seconds", "LoginStart to the answer to LoginFinish.", &SECONDS)?,
            store_commit: new.histogram(
                "qpc_store_commit_seconds",
                "One transaction of the store, without the sync that makes it durable.",
                &SECONDS,
            )?,
            store_fsync: new.histogram("qpc_store_fsync_seconds", "The sync that makes it durable.", &SECONDS)?,
            store_batch: new.histogram("qpc_store_batch_size", "Verbs in one transaction.", &BATCH)?,
            group_judge: new.histogram(
                "qpc_group_judge_seconds",
                "One change of a group judged, or a group read from the store.",
                &SECONDS,
            )?,
            group_loads: new.counter("qpc_group_load_total", "Groups that were not in memory when they changed.")?,
            groups_kept: new.gauge("qpc_groups_kept", "Groups in memory.")?,
            group_turns: new
                .counter("qpc_group_turn_total", "Turns to change a group, given to devices that had lost races.")?,
            removals_proposed: new.counter(
                "qpc_group_removal_proposed_total",
                "Leaves of devices that are gone, which the server has proposed to remove.",
            )?,
            failures_reported: new.counter(
                "qpc_group_failure_reported_total",
                "Reports of members that they can't follow a commit: the client that made it is hostile or broken.",
            )?,
            joins_asked: new.counter("qpc_join_asked_total", "Requests to be let into a group by a link.")?,
            joins_admitted: new.counter("qpc_join_admitted_total", "Accounts let into a group by a link.")?,
            acme: AcmeMetrics::new(&new)?,
            restore: RestoreMetrics::new(&new)?,
            ephemeral: EphemeralMetrics::new(&new)?,
            send_to_delivery: new.histogram(
                "qpc_send_to_delivery_seconds",
                "From a Send being read to its entry being handed to sessions, in whole milliseconds.",
                &WALL_SECONDS,
            )?,
            request: new.histograms(
                "qpc_request_seconds",
                "From a request being read to its answer.",
                "method",
                access::NAMES,
            )?,
            depth: new.gauges(
                "qpc_delivery_queue_depth",
                "Stored and unacknowledged entries of devices seen of late.",
                "state",
                &all::<labels::Presence>(),
            )?,
            rate_limited: new.counters(
                "qpc_rate_limit_hit_total",
                "Times that a rate was exceeded.",
                "limit",
                &all::<labels::Limit>(),
            )?,
            refused: new.counters(
                "qpc_handshake_refused_total",
                "Connections refused at the door.",
                "reason",
                &all::<labels::Refused>(),
            )?,
            closed: new.counters(
                "qpc_connection_closed_total",
                "Connections that the server closed.",
                "code",
                &all::<CloseCode>(),
            )?,
            errors: new.counters(
                "qpc_request_error_total",
                "Requests answered by an error.",
                "code",
                &all::<Code>(),
            )?,
            admin_actions: new.counters(
                "qpc_admin_actions_total",
                "What the operator asked for through the admin socket, by request.",
                "action",
                &[],
            )?,
            panics: new.counters(
                "qpc_panic_total",
                "Panics: each is a bug of the server.",
                "task",
                &tasks::SESSION_KINDS,
            )?,
            queue: new.gauges(
                "qpc_queue_depth",
                "What waits in a queue of the server.",
                "queue",
                &all::<labels::Queue>(),
            )?,
            udp_datagrams: new.counters(
                "qpc_udp_datagrams_total",
                "Datagrams of clients.",
                "direction",
                &all::<labels::Direction>(),
            )?,
            udp_bytes: new.counters(
                "qpc_udp_bytes_total",
                "Bytes in them, without the headers of IP and UDP.",
                "direction",
                &all::<labels::Direction>(),
            )?,
            blobs_stored: new.gauge("qpc_blobs_stored", "Finished blobs, each once.")?,
            blobs_stored_bytes: new.gauge("qpc_blobs_stored_bytes", "Bytes in them.")?,
            uploads: new.gauge("qpc_blob_uploads", "Unfinished uploads.")?,
            uploads_bytes: new.gauge("qpc_blob_uploads_bytes", "Bytes stored of unfinished uploads.")?,
            blob_commit: new.histogram(
                "qpc_blob_commit_seconds",
                "One transaction of the store of blobs, the sync included.",
                &SECONDS,
            )?,
            blob_bytes: new.counters(
                "qpc_blob_bytes_total",
                "Bytes of blobs stored and read.",
                "direction",
                &all::<labels::Direction>(),
            )?,
            blob_transfers: new.gauges(
                "qpc_blob_transfers_active",
                "Parts and ranges of blobs on their way into the store and out of it.",
                "direction",
                &all::<labels::Direction>(),
            )?,
            blob_rejected: new.counters(
                "qpc_blob_rejected_total",
                "Requests about blobs that were refused.",
                "reason",
                &all::<labels::BlobRejection>(),
            )?,
            registry,
        })
    }

    /// A request of this method was answered after so many seconds.
    pub fn request(&self, method: &'static str, seconds: f64) {
        self.request.with_label_values(&[method]).observe(seconds);
    }

    /// Sets the number of stored and unacknowledged entries of devices in this state.
    pub fn set_depth(&self, state: labels::Presence, entries: u64) {
        self.depth.with_label_values(&[state.label()]).set(gauge_value(entries));
    }

    /// A rate was exceeded.
    pub fn rate_limited(&self, limit: labels::Limit) {
        self.rate_limited.with_label_values(&[limit.label()]).inc();
    }

    /// Counts datagrams that go this way.
    #[must_use]
    pub fn udp(&self, direction: labels::Direction) -> Flow {
        let label = [direction.label()];
        Flow {
            datagrams: self.udp_datagrams.with_label_values(&label),
            bytes: self.udp_bytes.with_label_values(&label),
        }
    }

    /// So many bytes of a blob were stored, or read.
    pub fn blob_bytes(&self, direction: labels::Direction, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.blob_bytes.with_label_values(&[direction.label()]).inc_by(bytes);
    }

    /// A part or range is on its way for as long as what is given is kept.
    #[must_use]
    pub fn transfer(&self, direction: labels::Direction) -> Transfer {
        let gauge = self.blob_transfers.with_label_values(&[direction.label()]);
        Transfer::begin(gauge)
    }

    /// A request about a blob was refused.
    pub fn blob_rejected(&self, reason: labels::BlobRejection) {
        self.blob_rejected.with_label_values(&[reason.label()]).inc();
    }

    /// How often requests about blobs were refused for a reason so far.
    #[must_use]
    pub fn blob_rejections(&self, reason: labels::BlobRejection) -> u64 {
        self.blob_rejected.with_label_values(&[reason.label()]).get()
    }

    /// A connection was refused at the door.
    pub fn refused(&self, reason: labels::Refused) {
        self.refused.with_label_values(&[reason.label()]).inc();
    }

    /// The server closed a connection.
    pub fn closed(&self, code: CloseCode) {
        self.closed.with_label_values(&[code.label()]).inc();
    }

    /// A request was answered by an error.
    pub fn error(&self, code: Code) {
        self.errors.with_label_values(&[code.label()]).inc();
    }

    /// The operator asked for something.
    pub fn admin_action(&self, action: &str) {
        self.admin_actions.with_label_values(&[action]).inc();
    }

    /// A task of this kind panicked.
    pub fn panicked(&self, task: &'static str) {
        self.panics.with_label_values(&[task]).inc();
    }

    /// What has panicked so far, tasks of this kind only.
    #[must_use]
    pub fn panics(&self, task: &'static str) -> u64 {
        self.panics.with_label_values(&[task]).get()
    }

    /// How often a rate was exceeded so far.
    #[must_use]
    pub fn rate_limit_hits(&self, limit: labels::Limit) -> u64 {
        self.rate_limited.with_label_values(&[limit.label()]).get()
    }

    /// Sets how much waits in a queue.
    pub fn set_queue(&self, queue: labels::Queue, waiting: u64) {
        self.queue.with_label_values(&[queue.label()]).set(gauge_value(waiting));
    }

    /// Sets what the machine allows and has; see [`MachineLimits::read`].
    pub fn set_machine(&self, machine: &MachineLimits) {
        self.cpu_limit.set(machine.cores);
        self.memory_limit.set(gauge_value(machine.memory));
        self.disk_size.set(gauge_value(machine.disk_size));
        self.disk_free.set(gauge_value(machine.disk_free));
    }

    /// Sets when the certificate that clients are shown ends, in seconds since 1970; 0 where it does not say.
    pub fn set_certificate_expires(&self, seconds: Option<u64>) {
        self.certificate_expires.set(gauge_value(seconds.unwrap_or(0)));
    }

    /// Sets when the newest backup was begun, in milliseconds since 1970.
    pub fn set_backup_newest(&self, unix_ms: Option<u64>) {
        self.backup_newest.set(gauge_value(unix_ms.unwrap_or(0) / 1000));
    }

    /// Sets what the store of blobs holds.
    pub fn set_blobs(&self, figures: &BlobFigures) {
        self.blobs_stored.set(gauge_value(figures.blobs.blobs));
        self.blobs_stored_bytes.set(gauge_value(figures.blobs.bytes));
        self.uploads.set(gauge_value(figures.uploads.blobs));
        self.uploads_bytes.set(gauge_value(figures.uploads.bytes));
    }

    /// The page for Prometheus, in its text format.
    ///
    /// # Errors
    /// The encoder's, which a metric without a name or value would cause.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        let mut page = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut page)?;
        Ok(String::from_utf8_lossy(&page).into_owned())
    }

    /// Registers a metric that somebody else keeps.
    ///
    /// # Errors
    /// Its name is in use.
    pub fn register(&self, collector: Box<dyn Collector>) -> Result<(), prometheus::Error> {
        self.registry.register(collector)
    }
}

/// A gauge holds an `i64`; what is above shows as the greatest.
fn gauge_value(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Makes a metric and registers it.
struct Builder<'a>(&'a Registry);

impl Builder<'_> {
    fn keep<C: Collector + Clone + 'static>(&self, made: Result<C, prometheus::Error>) -> Result<C, prometheus::Error> {
        let metric = made?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.keep(IntCounter::new(name, help))
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.keep(IntGauge::new(name, help))
    }

    fn float(&self, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
        self.keep(Gauge::new(name, help))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, prometheus::Error> {
        self.keep(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.each(IntCounterVec::new(Opts::new(name, help), &[label]), values)
    }

    fn gauges(&self, name: &str, help: &str, label: &str, values: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        self.each(IntGaugeVec::new(Opts::new(name, help), &[label]), values)
    }

    fn histograms(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: &[&str],
    ) -> Result<HistogramVec, prometheus::Error> {
        self.each(HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), &[label]), values)
    }

    /// Keeps a metric of one label, with each of the label's values on the page.
    fn each<B: MetricVecBuilder + 'static>(
        &self,
        made: Result<MetricVec<B>, prometheus::Error>,
        values: &[&str],
    ) -> Result<MetricVec<B>, prometheus::Error> {
        let metric = self.keep(made)?;
        for value in values {
            metric.get_metric_with_label_values(&[value])?;
        }
        Ok(metric)
    }
}

/// What a label of one kind can say.
fn all<L: Label>() -> Vec<&'static str> {
    L::ALL.iter().map(|value| value.label()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_carries_the_names_that_operators_know() {
        // Of a server on which nothing has happened.
        let page = Metrics::new().unwrap().text().unwrap();
        for name in [
            "qpc_enqueue_total",
            "qpc_enqueue_bytes_total",
            "qpc_fetch_total",
            "qpc_delivery_queue_depth{state=\"online\"} 0",
            "qpc_delivery_queue_depth{state=\"offline\"} 0",
            "qpc_delivery_oldest_seconds",
            "qpc_rate_limit_hit_total{limit=\"message\"} 0",
            "qpc_rate_limit_hit_total{limit=\"keys\"} 0",
            "qpc_handshake_refused_total{reason=\"retry\"} 0",
            "qpc_connection_closed_total{code=\"revoked\"} 0",
            "qpc_request_error_total{code=\"WRONG_EPOCH\"} 0",
            "qpc_panic_total{task=\"stream\"} 0",
            "qpc_queue_depth{queue=\"logins\"} 0",
            "qpc_udp_datagrams_total{direction=\"in\"} 0",
            "qpc_udp_bytes_total{direction=\"out\"} 0",
            "qpc_request_seconds_bucket{method=\"acknowledge\"",
            "qpc_backup_newest_timestamp_seconds",
            "qpc_backup_failed_total",
            "qpc_auth_login_success_total",
            "qpc_auth_login_failure_total",
            "qpc_opaque_renewed_total",
            "qpc_key_package_upload_total",
            "qpc_connections_active",
            "qpc_connections_max",
            "qpc_users_planned 0",
            "qpc_sessions_active",
            "qpc_cpu_limit_cores",
            "qpc_memory_limit_bytes",
            "qpc_data_disk_size_bytes",
            "qpc_data_disk_free_bytes",
            "qpc_tls_handshake_seconds_bucket",
            "qpc_login_seconds_bucket",
            "qpc_request_seconds_bucket{method=\"send\"",
            "qpc_store_commit_seconds_bucket",
            "qpc_store_fsync_seconds_bucket",
            "qpc_store_batch_size_bucket",
            "qpc_send_to_delivery_seconds_bucket",
            "process_resident_memory_bytes",
        ] {
            assert!(page.contains(name), "{name} is missing from\n{page}");
        }
    }
}
