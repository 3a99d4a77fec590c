//! The machine that is measured on, and how busy it is with other things.

use std::{fs, path::Path};

use anyhow::Context;
use serde_json::{Value, json};

/// Clock ticks per second of `/proc`, fixed by the kernel's interface on Linux.
pub const TICKS_PER_SECOND: f64 = 100.0;

/// What stands in a result for the machine.
#[must_use]
pub fn describe() -> Value {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (cpu, memory) = (text("/proc/cpuinfo"), text("/proc/meminfo"));
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_ascii_whitespace().next());
    json!({
        "cpu": model.map_or("unknown", |(_, name)| name.trim()),
        "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        "memory_bytes": total.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default().saturating_mul(1024),
        "kernel": text("/proc/sys/kernel/osrelease").trim(),
    })
}

/// Seconds of CPU that all processes have used since the machine started.
///
/// # Errors
/// When `/proc` is not readable.
pub fn busy_seconds() -> anyhow::Result<f64> {
    let stat = fs::read_to_string(Path::new("/proc/stat"))?;
    busy(&stat).context("/proc/stat")
}

fn busy(stat: &str) -> Option<f64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace();
    let ticks = fields.map(|field| field.parse::<f64>().ok()).collect::<Option<Vec<_>>>()?;
    // Guests are in user and nice already; idle, waiting for disks and stolen time are nobody's work.
    let used = [0, 1, 2, 5, 6].iter().map(|at| ticks.get(*at).copied());
    Some(used.sum::<Option<f64>>()? / TICKS_PER_SECOND)
}

/// UDP packets that the kernel has dropped since the machine started, because no receiver took them in time.
///
/// # Errors
/// When `/proc` is not readable.
pub fn udp_drops() -> anyhow::Result<u64> {
    let snmp = fs::read_to_string(Path::new("/proc/net/snmp"))?;
    drops(&snmp).context("/proc/net/snmp")
}

fn drops(snmp: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let named = names.split_ascii_whitespace().zip(values.split_ascii_whitespace());
    named.into_iter().find(|(name, _)| *name == "RcvbufErrors")?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_counts_and_idleness_does_not() {
        let stat = "cpu  100 20 30 9000 500 7 3 40 0 0\ncpu0 1 2 3\n";
        assert!((busy(stat).unwrap() - 1.6).abs() < 1e-9);
        assert_eq!(busy("cpu0 1 2 3"), None);
        assert!(busy_seconds().unwrap() > 0.0 && describe()["cores"].as_u64().unwrap() > 0);
    }

    #[test]
    fn dropped_packets_are_found_by_name() {
        let snmp = "Tcp: A\nTcp: 1\nUdp: InDatagrams RcvbufErrors NoPorts\nUdp: 12 34 56\nUdpLite: A\n";
        assert_eq!(drops(snmp), Some(34));
        assert!(drops("Udp: A B\nUdp: 1 2\n").is_none() && udp_drops().is_ok());
    }
}
