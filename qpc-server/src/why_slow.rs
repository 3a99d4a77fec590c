//! `qpc-server why-slow`: where time goes on a running server, in sentences, by its own page of metrics.
//!
//! [`explain`] is a function of two pages and the time between them; who fetches them is the command line's business. It
//! judges by the numbers that `docs/operations/incident-response.md` names, and knows the server alone: a network
//! or a client that is slow shows here as nothing.

mod cause;
mod histogram;
mod page;

use std::time::Duration;

use serde::Serialize;

pub use self::{
    cause::Cause,
    histogram::Quantile,
    page::{Page, PageError},
};
use self::{cause::Signs, histogram::Histogram};
use crate::doctor::bytes;

/// What is timed: how it is called here, its metric, and what the time contains.
const TIMED: [(&str, &str, &str); 7] = [
    ("handshake", "qpc_tls_handshake_seconds", "from a connection's first packet to the end of its handshake"),
    ("login", "qpc_login_seconds", "with what the client's Argon2 takes"),
    ("request", "qpc_request_seconds", "from being read to its answer, all kinds together"),
    ("commit", "qpc_store_commit_seconds", "one transaction without its fsync"),
    ("fsync", "qpc_store_fsync_seconds", "every message waits for one"),
    ("blob commit", "qpc_blob_commit_seconds", "one transaction of attachments with its fsync"),
    ("delivery", "qpc_send_to_delivery_seconds", "from a message being read to its hand-over to the readers"),
];

/// What one kind of work took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Time {
    /// What was timed.
    pub what: &'static str,
    /// How often it happened.
    pub count: f64,
    /// Within how long half of them ended, 95 and 99 of 100; in milliseconds. Nothing where there were none.
    pub p50_ms: Option<Quantile>,
    /// See `p50_ms`.
    pub p95_ms: Option<Quantile>,
    /// See `p50_ms`.
    pub p99_ms: Option<Quantile>,
    #[serde(skip)]
    contains: &'static str,
}

/// How much of something is in use.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Share {
    /// In use: cores, or bytes.
    pub used: f64,
    /// As much as there may be.
    pub limit: f64,
    /// Parts of a hundred.
    pub percent: f64,
}

impl Share {
    fn of(used: Option<f64>, limit: Option<f64>) -> Option<Self> {
        let (used, limit) = (used?, limit.filter(|limit| *limit > 0.0)?);
        Some(Self { used, limit, percent: used / limit * 100.0 })
    }
}

/// A number with a name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Count {
    /// Of what.
    pub what: String,
    /// How much.
    pub number: f64,
}

/// Everything that is said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The time that the figures cover, in seconds.
    pub over_seconds: f64,
    /// Whether that is all since the server began.
    pub since_start: bool,
    /// What took how long.
    pub times: Vec<Time>,
    /// What waits now.
    pub queues: Vec<Count>,
    /// Rates that were exceeded, times a minute; those that never were are left out.
    pub limits_hit_per_minute: Vec<Count>,
    /// Cores.
    pub cpu: Option<Share>,
    /// Bytes of memory.
    pub memory: Option<Share>,
    /// Connections.
    pub connections: Option<Share>,
    /// The one that matters most; nothing where nothing is slow.
    pub cause: Option<Cause>,
}

/// What a server did between two pages, so much time apart; without an earlier one, since it began.
#[must_use]
pub fn explain(page: &Page, earlier: Option<&Page>, over: Duration) -> Report {
    let seconds = over.as_secs_f64().max(0.001);
    let grown = |name: &str, label: Option<(&str, &str)>| {
        let before = earlier.and_then(|earlier| earlier.value(name, label)).unwrap_or(0.0);
        // A server that was started again in between counts from nothing.
        page.value(name, label).map(|now| if now < before { now } else { now - before })
    };
    let histogram = |name: &str, only: Option<(&str, &str)>| {
        let now = Histogram::of(page, name, only);
        match earlier {
            Some(earlier) => now.since(&Histogram::of(earlier, name, only)),
            None => now,
        }
    };
    let times: Vec<Time> =
        TIMED.iter().map(|(what, name, contains)| time(what, &histogram(name, None), contains)).collect();
    let mut limits: Vec<Count> = each(page, "qpc_rate_limit_hit_total", "limit")
        .filter_map(|limit| {
            let hits = grown("qpc_rate_limit_hit_total", Some(("limit", limit)))?;
            (hits > 0.0).then(|| Count { what: limit.to_owned(), number: hits * 60.0 / seconds })
        })
        .collect();
    limits.sort_by(|a, b| b.number.total_cmp(&a.number));
    let cpu = grown("process_cpu_seconds_total", None).map(|used| used / seconds);
    let cpu = Share::of(cpu, page.value("qpc_cpu_limit_cores", None));
    let memory =
        Share::of(page.value("process_resident_memory_bytes", None), page.value("qpc_memory_limit_bytes", None));
    let connections = Share::of(page.value("qpc_connections_active", None), page.value("qpc_connections_max", None));
    let slowest = each(page, "qpc_request_seconds_count", "method")
        .map(|method| (method, histogram("qpc_request_seconds", Some(("method", method)))))
        .filter(|(_, times)| times.count() >= cause::FEW)
        .filter_map(|(method, times)| Some((method.to_owned(), times.quantile(0.99)?)))
        .max_by(|(_, a), (_, b)| a.bound().total_cmp(&b.bound()));
    // The others are asked to prove their address, or give up by themselves.
    let refused: f64 = ["handshakes", "prefix", "full"]
        .into_iter()
        .filter_map(|reason| grown("qpc_handshake_refused_total", Some(("reason", reason))))
        .sum();
    let queues = queues(page);
    let p = |what: &str, of: fn(&Time) -> Option<Quantile>| {
        times.iter().find(|time| time.what == what && time.count >= cause::FEW).and_then(of).map(|ms| ms.bound())
    };
    let signs = Signs {
        fsync_p95_ms: p("fsync", |time| time.p95_ms),
        commit_p95_ms: p("commit", |time| time.p95_ms),
        handshake_p95_ms: p("handshake", |time| time.p95_ms),
        delivery_p99_ms: p("delivery", |time| time.p99_ms),
        cpu_percent: cpu.map(|share| share.percent),
        memory_percent: memory.map(|share| share.percent),
        connections_percent: connections.map(|share| share.percent),
        limit: limits.first().map(|limit| (limit.what.clone(), limits.iter().map(|limit| limit.number).sum())),
        refused_per_minute: refused * 60.0 / seconds,
        online: page.value("qpc_delivery_queue_depth", Some(("state", "online"))),
        federation: page.each("qpc_federation_waiting").map(|sample| sample.value).reduce(f64::max),
        slowest: slowest.map(|(method, p99)| (method, p99.bound() * 1_000.0)),
    };
    Report {
        over_seconds: over.as_secs_f64(),
        since_start: earlier.is_none(),
        queues,
        limits_hit_per_minute: limits,
        cpu,
        memory,
        connections,
        cause: cause::likely(&signs),
        times,
    }
}

fn time(what: &'static str, times: &Histogram, contains: &'static str) -> Time {
    let at = |q| times.quantile(q).map(Quantile::in_ms);
    Time { what, count: times.count(), p50_ms: at(0.5), p95_ms: at(0.95), p99_ms: at(0.99), contains }
}

/// The values that a label has on a page.
fn each<'p>(page: &'p Page, name: &'p str, label: &'p str) -> impl Iterator<Item = &'p str> {
    page.each(name).filter_map(move |sample| sample.label(label))
}

/// What waits, as far as it is counted.
fn queues(page: &Page) -> Vec<Count> {
    let named = |name: &'static str, label: &'static str, shown: &'static str| {
        let samples = page.each(name).filter_map(move |sample| Some((sample.label(label)?, sample.value)));
        samples.map(move |(of, number)| Count { what: format!("{shown}{of}"), number })
    };
    named("qpc_delivery_queue_depth", "state", "undelivered, ")
        .chain(named("qpc_queue_depth", "queue", ""))
        .chain(named("qpc_federation_waiting", "peer", "federation, "))
        .collect()
}

impl Report {
    /// In sentences, for people.
    #[must_use]
    pub fn text(&self) -> String {
        let over = match self.since_start {
            true => format!("Since the server began, {} ago:", crate::doctor::span(whole(self.over_seconds))),
            false => format!("In the last {}:", crate::doctor::span(whole(self.over_seconds))),
        };
        let mut lines = vec![over];
        for Time { what, count, p50_ms, p95_ms, p99_ms, contains } in &self.times {
            lines.push(match (p50_ms, p95_ms, p99_ms) {
                (Some(p50), Some(p95), Some(p99)) => format!(
                    "  {what:11} {} ({contains}): half within {p50}, 95 of 100 within {p95}, 99 of 100 within {p99}",
                    whole(*count)
                ),
                _ => format!("  {what:11} none"),
            });
        }
        let waiting: Vec<_> = self.queues.iter().filter(|queue| queue.number > 0.0).map(count).collect();
        lines.push(format!(
            "  {:11} {}",
            "queues",
            if waiting.is_empty() { "nothing waits".into() } else { waiting.join("; ") }
        ));
        let hit: Vec<_> = self.limits_hit_per_minute.iter().map(count).collect();
        lines.push(match hit.is_empty() {
            true => format!("  {:11} none was exceeded", "rates"),
            false => format!("  {:11} exceeded, times a minute: {}", "rates", hit.join("; ")),
        });
        if let Some(Share { used, limit, percent }) = self.cpu {
            lines.push(format!("  {:11} {used:.2} of {limit:.1} cores, {percent:.0} %", "CPU"));
        }
        if let Some(Share { used, limit, percent }) = self.memory {
            lines.push(format!("  {:11} {} of {}, {percent:.0} %", "memory", bytes(whole(used)), bytes(whole(limit))));
        }
        if let Some(Share { used, limit, percent }) = self.connections {
            lines.push(format!("  {:11} {used:.0} of {limit:.0}, {percent:.0} %", "connections"));
        }
        lines.push(match &self.cause {
            Some(Cause { found, remedy }) => format!("\nThe likely cause: {found}. {remedy}."),
            None => "\nNothing is slow here. If people wait all the same, it is the network or their device: `qpc-client status` \
                     on one of theirs, and `qpc-server doctor --reach HOST:PORT`."
                .into(),
        });
        lines.join("\n") + "\n"
    }
}

fn count(of: &Count) -> String {
    format!("{} {:.0}", of.what, of.number)
}

/// A number of things as it is shown: never below zero, and no more than fits.
fn whole(number: f64) -> u64 {
    format!("{:.0}", number.clamp(0.0, 1e18)).parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metrics, labels};

    fn page(metrics: &Metrics) -> Page {
        Page::parse(&metrics.text().unwrap()).unwrap()
    }

    #[test]
    fn a_slow_disk_is_the_cause_that_is_named() {
        let metrics = Metrics::new().unwrap();
        for _ in 0..1_000 {
            metrics.store_fsync.observe(0.000_2);
        }
        let before = page(&metrics);
        assert_eq!(explain(&before, None, Duration::from_secs(60)).cause, None);
        for _ in 0..100 {
            metrics.store_fsync.observe(0.034);
            metrics.store_commit.observe(0.000_3);
        }
        metrics.cpu_limit.set(2.0);
        metrics.rate_limited(labels::Limit::Message);
        let after = page(&metrics);
        let report = explain(&after, Some(&before), Duration::from_secs(10));
        let cause = report.cause.clone().unwrap();
        assert!(cause.found.starts_with("fsync p95 is") && cause.found.contains("the disk is slow"), "{}", cause.found);
        let fsync = report.times.iter().find(|time| time.what == "fsync").unwrap();
        assert!((fsync.count - 100.0).abs() < f64::EPSILON);
        // All between 25 and 50 ms, which is as exact as buckets are.
        assert!((25.0..=50.0).contains(&fsync.p50_ms.unwrap().bound()));
        assert!((report.limits_hit_per_minute[0].number - 6.0).abs() < 1e-9);
        let text = report.text();
        assert!(text.starts_with("In the last 10 seconds:\n") && text.contains("half within"), "{text}");
        assert!(text.contains("login       none") && text.contains("The likely cause: fsync"), "{text}");
        // Since the beginning the 100 slow ones are lost among 1,000 that were not: but for the slowest of 100.
        let since = explain(&after, None, Duration::from_secs(60));
        assert!(since.times[4].p50_ms.unwrap().bound() < 1.0);
    }

    #[test]
    fn a_server_that_was_started_again_counts_from_nothing() {
        let (before, after) = (Metrics::new().unwrap(), Metrics::new().unwrap());
        for _ in 0..50 {
            before.tls_handshake.observe(0.001);
        }
        after.tls_handshake.observe(0.001);
        let report = explain(&page(&after), Some(&page(&before)), Duration::from_secs(10));
        assert!((report.times[0].count - 1.0).abs() < f64::EPSILON);
    }
}
