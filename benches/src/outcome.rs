//! What a load scenario found, under the keys that every scenario shares.

use serde_json::{Map, Value, json};

use crate::{
    latency::{Latencies, Summary},
    ledger::Faults,
    machine,
    report::Report,
    sampler::{Cost, Sample, Sampler},
    talk::Common,
};

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Its name.
    pub scenario: &'static str,
    /// Connected, authenticated clients.
    pub users: u64,
    /// The server's program and version.
    pub server_version: String,
    /// How long was measured, in seconds.
    pub duration_s: f64,
    /// Messages, or logins, that were due in that time and made.
    pub sent: u64,
    /// Of those, arrivals at other devices.
    pub delivered: u64,
    /// What the judge found.
    pub faults: Faults,
    /// What went wrong else, preparing included.
    pub errors: u64,
    /// The first few of these.
    pub first_errors: Vec<String>,
    /// What is counted for `rate_per_s` and for the server's cost.
    pub op: &'static str,
    /// How many of these were done in the measured time.
    pub ops: u64,
    /// From due to done.
    pub latency: Summary,
    /// The same, as a curve.
    pub curve: Vec<(f64, f64)>,
    /// What it cost.
    pub cost: Cost,
    /// Resident memory that the users brought, where it is known; else all of it counts.
    pub rss_of_users: Option<u64>,
    /// With what it was run.
    pub settings: Map<String, Value>,
    /// Second by second.
    pub samples: Vec<Sample>,
    /// What their rate counts.
    pub sampled: &'static str,
    /// The part of them that was measured, in seconds, where it is not all of them.
    pub measured_s: Option<(f64, f64)>,
}

/// More of a core than this for other processes makes a run doubtful, in percent.
const OTHERS_PERCENT: f64 = 10.0;

impl Outcome {
    /// Of a scenario that is about to be run.
    #[must_use]
    pub fn begin(scenario: &'static str, common: &Common) -> Self {
        let mut outcome = Self { scenario, server_version: common.beds.version(), ..Self::default() };
        outcome.setting("limits_lifted", common.beds.profile().lifted());
        outcome.setting("set", common.beds.set.join("; "));
        outcome.setting("sockets", common.sockets);
        outcome.setting("server_cpus", common.beds.cpus.clone().unwrap_or_else(|| "all".into()));
        let groups: Vec<_> = common.beds.cgroups.0.iter().map(|group| group.to_string_lossy()).collect();
        outcome.setting("server_cgroups", if groups.is_empty() { "none".into() } else { groups.join(" ") });
        outcome
    }

    /// Takes the latencies.
    pub fn latency(&mut self, latencies: &Latencies) {
        self.latency = latencies.summary();
        self.curve = latencies.curve();
    }

    /// Takes the samples.
    pub fn sampled(&mut self, sampler: Sampler) {
        (self.sampled, self.samples) = sampler.finish();
    }

    /// Notes with what it was run.
    pub fn setting(&mut self, key: &str, value: impl Into<Value>) {
        self.settings.insert(key.to_owned(), value.into());
    }

    /// Operations a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.ops as f64 / self.cost.seconds.max(1e-9)
    }

    /// Microseconds of the server for one operation.
    #[must_use]
    pub fn cpu_us(&self) -> f64 {
        if self.ops == 0 { 0.0 } else { 1e6 * self.cost.server_cpu / self.ops as f64 }
    }

    /// The operation's name for more than one of it.
    fn ops_name(&self) -> String {
        self.op.strip_suffix('y').map_or_else(|| format!("{}s", self.op), |stem| format!("{stem}ies"))
    }

    /// A part of the measured time, in percent of a core.
    fn percent(&self, cpu: f64) -> f64 {
        100.0 * cpu / self.cost.seconds.max(1e-9)
    }

    /// What makes the figures doubtful although nothing failed.
    fn cautions(&self) -> Vec<String> {
        let mut cautions = Vec::new();
        let others = self.percent(self.cost.others_cpu);
        // Where the server's process is not known, it is among the others.
        if others > OTHERS_PERCENT && self.cost.rss_bytes > 0 {
            cautions.push(format!("other processes took {others:.0} % of a core, which server and clients lacked"));
        }
        if self.cost.udp_drops > 0 {
            let more = "server or clients did not take them in time";
            cautions.push(format!("the kernel dropped {} UDP packets: {more}", self.cost.udp_drops));
        }
        if cfg!(debug_assertions) {
            cautions.push(
                "qpc-bench is a debug build, and so is probably the server: its costs are not a release's".into(),
            );
        }
        cautions
    }

    fn rss_per_user(&self) -> u64 {
        self.rss_of_users.unwrap_or(self.cost.rss_bytes).checked_div(self.users).unwrap_or_default()
    }

    /// The keys that every scenario has.
    #[must_use]
    pub fn json(&self) -> Map<String, Value> {
        let Faults { lost, duplicated, reordered, disagreed } = self.faults;
        let value = json!({
            "scenario": self.scenario,
            "users": self.users,
            "duration_s": self.duration_s,
            "sent": self.sent,
            "delivered": self.delivered,
            "lost": lost,
            "duplicated": duplicated,
            "reordered": reordered,
            "errors": self.errors.saturating_add(disagreed),
            "rate_per_s": self.rate(),
            "latency_ms": self.latency.json(),
            "server": {
                "cpu_s": self.cost.server_cpu,
                "cpu_us_per_op": self.cpu_us(),
                "op": self.op,
                "rss_bytes": self.cost.rss_bytes,
                "rss_peak_bytes": self.cost.peak_rss_bytes,
                "rss_per_user_bytes": self.rss_per_user(),
                "io_write_bytes": self.cost.write_bytes,
            },
            "settings": self.settings,
            "version": { "bench": concat!("qpc-bench ", env!("CARGO_PKG_VERSION")), "server": self.server_version },
            "machine": machine::describe(),
            "bench_cpu_s": self.cost.own_cpu,
            "bench_rss_bytes": self.cost.own_rss_bytes,
            "udp_drops": self.cost.udp_drops,
            "others_cpu_s": self.cost.others_cpu,
            "samples": self.samples,
            "samples_measured_s": self.measured_s,
        });
        match value {
            Value::Object(keys) => keys,
            _ => Map::new(),
        }
    }

    /// Puts the shared figures into a report, and fails it where something was lost, doubled, reordered or wrong.
    pub fn tell(&self, report: &mut Report) {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        report.figure("users", "users connected", self.users, "");
        report.figure("duration_s", "measured for", self.duration_s, "s");
        if self.sent > 0 {
            let (begun, done) = if self.op == "login" { ("logins", "logins") } else { ("messages", "deliveries") };
            report.figure("sent", "begun", self.sent, begun);
            report.figure("delivered", "done", self.delivered, done);
            report.figure("rate_per_s", "rate", self.rate(), &format!("{}/s", self.ops_name()));
        }
        let Summary { p50, p90, p99, p999, max, count } = self.latency;
        let latencies = [
            ("latency_p50_ms", "latency, p50", p50),
            ("latency_p90_ms", "latency, p90", p90),
            ("latency_p99_ms", "latency, p99", p99),
            ("latency_p999_ms", "latency, p99.9", p999),
            ("latency_max_ms", "latency, longest", max),
        ];
        for (key, text, value) in latencies.into_iter().filter(|_| count > 0) {
            report.figure(key, text, value, "ms");
        }
        if count > 0 {
            report.figure("latency_count", "latencies measured", count, "");
        }
        report.figure("server_cpu_us", "server CPU", self.cpu_us(), &format!("us per {}", self.op));
        report.figure("server_percent", "server CPU", self.percent(self.cost.server_cpu), "% of a core");
        report.figure("bench_percent", "CPU of all clients", self.percent(self.cost.own_cpu), "% of a core");
        report.figure("others_percent", "CPU of other processes", self.percent(self.cost.others_cpu), "% of a core");
        report.figure("rss_mib", "server memory", mib(self.cost.rss_bytes), "MiB");
        report.figure("rss_peak_mib", "server memory, the most so far", mib(self.cost.peak_rss_bytes), "MiB");
        report.figure("rss_per_user_kib", "server memory", self.rss_per_user() as f64 / 1024.0, "KiB per user");
        report.figure("bench_rss_mib", "memory of all clients", mib(self.cost.own_rss_bytes), "MiB");
        report.figure("written_mib", "written to disk", mib(self.cost.write_bytes), "MiB");
        report.figure("udp_drops", "packets dropped by the kernel", self.cost.udp_drops, "");
        let Faults { lost, duplicated, reordered, disagreed } = self.faults;
        let errors = self.errors.saturating_add(disagreed);
        for (key, text, count, meaning) in [
            ("lost", "lost", lost, "answered or stored, and not with everybody when the run ended"),
            ("duplicated", "duplicated", duplicated, "delivered or stored again"),
            ("reordered", "out of order", reordered, "against the log's order, or a sender's"),
            (
                "errors",
                "errors",
                errors,
                "refusals, lost connections, no answer, wrong decryptions, readers who disagree",
            ),
        ] {
            report.figure(key, text, count, "");
            if count > 0 {
                report.fail(format!("{text}: {count} ({meaning})"));
            }
        }
        for error in &self.first_errors {
            report.fail(format!("one of the errors: {error}"));
        }
        for caution in self.cautions() {
            report.caution(caution);
        }
        for (key, value) in &self.settings {
            report.setting(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_fault_fails_the_run_and_is_in_the_result() {
        let verdict = |faults: Faults, errors: u64| {
            let outcome = Outcome { faults, errors, ..Outcome::default() };
            let mut report = Report::new("direct");
            outcome.tell(&mut report);
            (report.passed(), outcome.json())
        };
        assert!(verdict(Faults::default(), 0).0);
        for (faults, errors, key) in [
            (Faults { lost: 1, ..Faults::default() }, 0, "lost"),
            (Faults { duplicated: 1, ..Faults::default() }, 0, "duplicated"),
            (Faults { reordered: 1, ..Faults::default() }, 0, "reordered"),
            (Faults { disagreed: 1, ..Faults::default() }, 0, "errors"),
            (Faults::default(), 1, "errors"),
        ] {
            let (passed, json) = verdict(faults, errors);
            assert!(!passed && json[key] == 1, "{key}");
        }
    }

    #[test]
    fn a_failed_run_says_what_went_wrong_first() {
        let outcome = Outcome { errors: 9, first_errors: vec!["client 7 was refused".into()], ..Outcome::default() };
        let report = Report::of(outcome);
        let [count, first] = report.failures() else { panic!("{:?}", report.failures()) };
        assert!(count.starts_with("errors: 9 (") && first.contains("client 7 was refused"));
    }

    #[test]
    fn a_busy_machine_and_dropped_packets_make_a_run_doubtful() {
        let cautions = |others_cpu: f64, udp_drops: u64, rss_bytes: u64| {
            let cost = Cost { seconds: 10.0, others_cpu, udp_drops, rss_bytes, ..Cost::default() };
            let report = Report::of(Outcome { cost, ..Outcome::default() });
            assert!(report.passed());
            let said = |what: &str| report.cautions().iter().any(|caution| caution.contains(what));
            (said("other processes took"), said("UDP packets"))
        };
        assert_eq!(cautions(1.0, 0, 1), (false, false));
        assert_eq!(cautions(1.1, 1, 1), (true, true));
        // A server of which nothing is known may be what the others are.
        assert_eq!(cautions(1.1, 0, 0), (false, false));
    }

    #[test]
    fn results_have_the_keys_that_are_promised() {
        let json = Outcome::default().json();
        for key in [
            "scenario",
            "users",
            "duration_s",
            "sent",
            "delivered",
            "lost",
            "duplicated",
            "reordered",
            "errors",
            "rate_per_s",
            "latency_ms",
            "server",
            "settings",
            "version",
            "machine",
        ] {
            assert!(json.contains_key(key), "{key}");
        }
        for key in ["p50", "p90", "p99", "p999", "max"] {
            assert!(json["latency_ms"].get(key).is_some(), "{key}");
        }
        for key in ["cpu_s", "cpu_us_per_op", "rss_bytes", "rss_peak_bytes", "rss_per_user_bytes", "io_write_bytes"] {
            assert!(json["server"].get(key).is_some(), "{key}");
        }
    }
}
