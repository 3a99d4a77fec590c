//! What a sizing table needs besides CPU and memory: the network that the server takes, and the disk that it fills.

use std::{fs, io, path::Path};

use crate::{metrics::Metrics, report::Report};

/// Bytes of the IPv4 and UDP headers, which the server does not count.
const HEADERS: f64 = 28.0;

/// Adds what the server's socket took and gave between two pages, so many seconds apart, in so many deliveries.
///
/// # Errors
/// When a page lacks it.
pub fn traffic(
    report: &mut Report,
    before: &Metrics,
    after: &Metrics,
    seconds: f64,
    deliveries: u64,
) -> anyhow::Result<()> {
    let since = |what: &str, way: &str| after.since(before, &format!("qpc_udp_{what}_total{{direction=\"{way}\"}}"));
    let keys = [
        ["in", "datagrams_in_per_s", "datagrams to the server", "in_kbit_per_s", "to the server, with headers"],
        ["out", "datagrams_out_per_s", "datagrams from the server", "out_kbit_per_s", "from the server, with headers"],
    ];
    let mut all = 0.0;
    for [way, datagrams, of_datagrams, bits, of_bits] in keys {
        let (count, bytes) = (since("datagrams", way)?, since("bytes", way)?);
        let kbit = 8.0 * (bytes + HEADERS * count) / 1000.0;
        report.figure(datagrams, of_datagrams, count / seconds.max(1e-9), "/s");
        report.figure(bits, of_bits, kbit / seconds.max(1e-9), "kbit/s");
        all += count;
    }
    if deliveries > 0 {
        report.figure("datagrams_per_delivery", "datagrams, both ways", all / deliveries as f64, "per delivery");
    }
    Ok(())
}

/// Adds by how much messages of this length, stored in a data directory, made it grow. Both sizes are without a
/// write-ahead log, which is there only while a server runs.
pub fn growth(report: &mut Report, before: u64, after: u64, messages: u64, body: usize) {
    let each = after.saturating_sub(before) as f64 / messages.max(1) as f64;
    report.figure("stored_bytes", "disk for a stored message", each, "bytes each");
    report.figure("stored_besides_body_bytes", "of that, besides its body", each - body as f64, "bytes each");
}

/// Bytes of all files in a directory and below.
///
/// # Errors
/// The system's.
pub fn directory_bytes(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0_u64;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            bytes = bytes.saturating_add(directory_bytes(&entry.path())?);
        } else if kind.is_file() {
            bytes = bytes.saturating_add(entry.metadata()?.len());
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(datagrams: [u64; 2], bytes: [u64; 2]) -> Metrics {
        let line = |what: &str, way: &str, value: u64| format!("qpc_udp_{what}_total{{direction=\"{way}\"}} {value}\n");
        let lines = ["in", "out"].into_iter().zip(datagrams.into_iter().zip(bytes));
        Metrics::of(&lines.map(|(way, (d, b))| line("datagrams", way, d) + &line("bytes", way, b)).collect::<String>())
    }

    #[test]
    fn traffic_is_that_of_the_time_between_with_the_headers_of_each_datagram() {
        let (before, after) = (page([10, 100], [1_000, 5_000]), page([30, 160], [2_000, 11_000]));
        let mut report = Report::new("ccu");
        traffic(&mut report, &before, &after, 2.0, 40).unwrap();
        let of = |key: &str| report.value(key).and_then(serde_json::Value::as_f64).unwrap();
        assert!((of("datagrams_in_per_s") - 10.0).abs() < 1e-9 && (of("datagrams_out_per_s") - 30.0).abs() < 1e-9);
        // 1,000 bytes and 20 headers, 6,000 bytes and 60 headers.
        assert!((of("in_kbit_per_s") - 6.24).abs() < 1e-9 && (of("out_kbit_per_s") - 30.72).abs() < 1e-9);
        assert!((of("datagrams_per_delivery") - 2.0).abs() < 1e-9);
        assert!(traffic(&mut report, &Metrics::of(""), &after, 2.0, 40).is_err());
    }

    #[test]
    fn a_stored_message_takes_its_body_and_more() {
        let mut report = Report::new("history");
        growth(&mut report, 4_096, 14_096, 10, 215);
        let of = |key: &str| report.value(key).and_then(serde_json::Value::as_f64).unwrap();
        assert!((of("stored_bytes") - 1_000.0).abs() < 1e-9 && (of("stored_besides_body_bytes") - 785.0).abs() < 1e-9);
    }

    #[test]
    fn a_directory_is_all_its_files() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("below")).unwrap();
        fs::write(directory.path().join("one"), [0; 100]).unwrap();
        fs::write(directory.path().join("below/other"), [0; 23]).unwrap();
        assert_eq!(directory_bytes(directory.path()).unwrap(), 123);
    }
}
