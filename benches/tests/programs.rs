//! `qpc-bench` run as people run it, small, against the server's program beside it: does it end well, and with figures?
//!
//! The server's program comes from `cargo build --workspace --bins`, which `make test` does first.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{path::Path, process::Command};

use serde_json::Value;

/// Runs a bench and gives its figures.
fn bench(args: &[&str]) -> Value {
    let program = Path::new(env!("CARGO_BIN_EXE_qpc-bench"));
    let server = program.with_file_name("qpc-server");
    assert!(server.exists(), "{} is missing: cargo build --workspace --bins", server.display());
    let output = Command::new(program).arg("--json").args(args).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["passed"], true, "{report}");
    report["figures"].clone()
}

#[test]
fn each_direct_message_arrives_once() {
    let figures = bench(&["direct", "--pairs", "2", "--rate", "40", "--duration", "2"]);
    assert_eq!((&figures["messages"], &figures["lost"]), (&80.0.into(), &0.into()));
    assert!(figures["commits_per_second"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_killed_server_has_what_it_acknowledged() {
    let figures = bench(&["torture", "--cycles", "2", "--senders", "5", "--seed", "1"]);
    assert_eq!((&figures["kills"], &figures["violations"]), (&2.into(), &0.into()));
    assert!(figures["acknowledged"].as_u64().unwrap() > 10);
}
