//! The one thing that most likely makes a server slow, and what to do about it.

use serde::Serialize;

/// Fewer events than these say nothing about the slowest of a hundred.
pub(super) const FEW: f64 = 10.0;

/// What is looked at: times in milliseconds, nothing where there were too few.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Signs {
    pub(super) fsync_p95_ms: Option<f64>,
    pub(super) commit_p95_ms: Option<f64>,
    pub(super) handshake_p95_ms: Option<f64>,
    pub(super) delivery_p99_ms: Option<f64>,
    pub(super) cpu_percent: Option<f64>,
    pub(super) memory_percent: Option<f64>,
    pub(super) connections_percent: Option<f64>,
    /// The rate that was exceeded most, and how often in a minute all of them were.
    pub(super) limit: Option<(String, f64)>,
    pub(super) refused_per_minute: f64,
    /// Entries that wait for devices which are connected.
    pub(super) online: Option<f64>,
    /// Messages that wait for the peer with most of them.
    pub(super) federation: Option<f64>,
    /// The kind of request with the highest p99, and that.
    pub(super) slowest: Option<(String, f64)>,
}

/// A likely cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// What was found, and what it means.
    pub found: String,
    /// What to do.
    #[serde(rename = "do")]
    pub remedy: String,
}

/// The worst of what is above its warning, measured by how far that is; what others follow from comes first.
pub(super) fn likely(signs: &Signs) -> Option<Cause> {
    let critical = |value: Option<f64>, warning: f64, critical: f64| {
        value.filter(|value| *value >= warning).map(|value| (u8::from(value >= critical), value))
    };
    let mut found: Vec<(u8, Cause)> = Vec::new();
    let mut add = |of: Option<(u8, f64)>, tell: &dyn Fn(f64) -> (String, String)| {
        if let Some((weight, value)) = of {
            let (found_that, remedy) = tell(value);
            found.push((weight, Cause { found: found_that, remedy }));
        }
    };
    add(critical(signs.fsync_p95_ms, 5.0, 20.0), &|ms| {
        let found = format!("fsync p95 is {ms:.0} ms: the disk is slow, and every message waits for it");
        (
            found,
            "Give the data directory a faster disk, or one that it shares with less; `qpc-server doctor` times it"
                .into(),
        )
    });
    add(critical(signs.cpu_percent, 70.0, 90.0), &|percent| {
        let found = format!("the CPU is used to {percent:.0} % of its limit: everything waits for a turn");
        (found, "Give it more cores, or fewer people; docs/sizing.md says how many it should need".into())
    });
    add(critical(signs.memory_percent, 75.0, 90.0), &|percent| {
        let found = format!("memory is used to {percent:.0} % of its limit");
        (found, "Raise the limit: docs/sizing.md says how much so many connections take".into())
    });
    add(critical(signs.connections_percent, 80.0, 95.0), &|percent| {
        let found = format!("{percent:.0} % of the connections that may be there are");
        (found, "Raise transport.max_connections, and the memory with it".into())
    });
    add(critical(signs.commit_p95_ms, 10.0, 50.0), &|ms| {
        let found =
            format!("a transaction takes {ms:.0} ms (p95) before its fsync: the database is slow to read or to write");
        (
            found,
            "Look at what else uses the disk and the memory for its cache; large retention makes large tables".into(),
        )
    });
    add(critical(signs.handshake_p95_ms, 100.0, 500.0), &|ms| {
        let found = format!("handshake p95 is {ms:.0} ms: many connect at once, or packets are lost");
        (found, "Look at `qpc-server doctor` for UDP buffers; after a restart it passes by itself".into())
    });
    add(critical((signs.refused_per_minute > 0.0).then_some(signs.refused_per_minute), 1.0, 1_000.0), &|each| {
        let found = format!("{each:.0} connections a minute are refused at the door");
        (
            found,
            "qpc_handshake_refused_total says why; limits.handshakes_max and unauthenticated_per_prefix are the keys"
                .into(),
        )
    });
    if let Some((limit, all)) = &signs.limit {
        // What remembers the accounts of all rates is full.
        let limit = if limit == "keys" { "rate_keys_max" } else { limit };
        add(critical(Some(*all), 100.0, 1_000.0), &|each| {
            let found = format!(
                "rates are exceeded {each:.0} times a minute, most often limits.{limit}: clients are held back"
            );
            (found, format!("Raise limits.{limit} and reload, if it is the people and not an attack"))
        });
    }
    add(critical(signs.online, 10_000.0, 100_000.0), &|entries| {
        let found = format!("{entries:.0} entries wait for devices that are connected: their readers are slow");
        (found, "Look at the network between, and at qpc_behind_total".into())
    });
    add(critical(signs.federation, 1_000.0, 10_000.0), &|messages| {
        let found = format!("{messages:.0} messages wait for one other server");
        (found, "`qpc-server federation status` says which, and why; nothing else waits for it".into())
    });
    add(critical(signs.delivery_p99_ms, 500.0, 2_000.0), &|ms| {
        let found = format!("p99 from send to delivery is {ms:.0} ms, and neither disk nor CPU explains it");
        (found, "Look for what stops the process: a quota of its group (cpu.stat, throttled_usec), swapping, a paused machine".into())
    });
    if let Some((method, ms)) = &signs.slowest {
        add(critical(Some(*ms), 1_000.0, 10_000.0), &|ms| {
            let found = format!("the request {method} takes {ms:.0} ms (p99)");
            (found, "The others are quick: look at who asks for it, and how much".into())
        });
    }
    // Of the same weight the first one stays: `max_by_key` would take the last.
    found.into_iter().rev().max_by_key(|(weight, _)| *weight).map(|(_, cause)| cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_named_and_of_equals_what_others_follow_from() {
        let named = |signs: &Signs| likely(signs).map(|cause| cause.found).unwrap_or_default();
        assert_eq!(likely(&Signs::default()), None);
        let quiet = Signs { fsync_p95_ms: Some(4.9), cpu_percent: Some(69.0), ..Signs::default() };
        assert_eq!(likely(&quiet), None);
        let both = Signs { fsync_p95_ms: Some(6.0), cpu_percent: Some(71.0), ..Signs::default() };
        assert_eq!(named(&both), "fsync p95 is 6 ms: the disk is slow, and every message waits for it");
        let busy = Signs { cpu_percent: Some(93.0), ..both };
        assert!(named(&busy).starts_with("the CPU is used to 93 %"), "{}", named(&busy));
        let each: [(Signs, &str); 8] = [
            (Signs { memory_percent: Some(75.0), ..Signs::default() }, "memory"),
            (Signs { connections_percent: Some(80.0), ..Signs::default() }, "80 % of the connections"),
            (Signs { commit_p95_ms: Some(10.0), ..Signs::default() }, "a transaction takes 10 ms"),
            (Signs { handshake_p95_ms: Some(100.0), ..Signs::default() }, "handshake p95 is 100 ms"),
            (Signs { limit: Some(("message".into(), 100.0)), ..Signs::default() }, "rates are exceeded 100 times"),
            (Signs { online: Some(10_000.0), ..Signs::default() }, "10000 entries wait"),
            (Signs { federation: Some(1_000.0), ..Signs::default() }, "1000 messages wait"),
            (Signs { delivery_p99_ms: Some(500.0), ..Signs::default() }, "p99 from send to delivery is 500 ms"),
        ];
        for (signs, begins) in each {
            assert!(named(&signs).starts_with(begins), "{} does not begin with {begins}", named(&signs));
        }
    }
}
