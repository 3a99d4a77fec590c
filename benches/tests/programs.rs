//! `qpc-bench` run as people run it, small, against the server's program beside it: does it end well, and with figures?
//!
//! The server's program comes from `cargo build --workspace --bins`, which `make test` does first.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{path::Path, process::Command};

use serde_json::Value;

/// Runs a bench and gives its result.
fn bench(args: &[&str]) -> Value {
    let program = Path::new(env!("CARGO_BIN_EXE_qpc-bench"));
    let server = program.with_file_name("qpc-server");
    assert!(server.exists(), "{} is missing: cargo build --workspace --bins", server.display());
    let output = Command::new(program).args(["--json", "-"]).args(args).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["passed"], true, "{report}");
    report
}

#[test]
fn each_direct_message_arrives_once() {
    let result = bench(&["direct", "--pairs", "2", "--rate", "40", "--duration", "2"]);
    assert_eq!((&result["sent"], &result["delivered"], &result["lost"]), (&80.into(), &80.into(), &0.into()));
    assert!(result["server"]["cpu_us_per_op"].as_f64().unwrap() > 0.0);
    assert!(result["latency_ms"]["p50"].as_f64().unwrap() > 0.0);
    assert!(result["settings"]["mls"].as_str().unwrap().contains(" 0 wrong"));
    let figure = |key: &str| result["figures"][key].as_f64().unwrap();
    assert!(figure("in_kbit_per_s") > 0.0 && figure("out_kbit_per_s") > 0.0 && figure("datagrams_per_delivery") >= 1.0);
    assert!(result["server"]["rss_peak_bytes"].as_u64() >= result["server"]["rss_bytes"].as_u64());
}

#[test]
fn accounts_that_were_kept_serve_again_under_all_limits() {
    let kept = tempfile::tempdir().unwrap();
    let kept = kept.path().to_str().unwrap();
    let fanout = ["--accounts", kept, "fanout", "--members", "5", "--rate", "20", "--duration", "2"];
    let first = bench(&fanout);
    assert_eq!((&first["sent"], &first["delivered"]), (&40.into(), &160.into()));
    let again = bench(&[&["--all-limits"], fanout.as_slice()].concat());
    assert_eq!((&again["sent"], &again["delivered"]), (&40.into(), &160.into()));
    assert_eq!(again["settings"]["limits_lifted"], "none");
    let logins = bench(&["--accounts", kept, "login", "--users", "4"]);
    assert_eq!((&logins["delivered"], &logins["errors"]), (&4.into(), &0.into()));
}

#[test]
fn users_of_the_profile_send_files_as_well() {
    let result = bench(&["ccu", "--users", "8", "--duration", "3", "--files-per-minute", "200"]);
    assert_eq!((&result["users"], &result["lost"], &result["errors"]), (&8.into(), &0.into(), &0.into()));
    let figure = |key: &str| result["figures"][key].as_f64().unwrap();
    assert!(figure("files") > 0.0 && figure("files_mb_per_s") > 0.0, "{}", result["figures"]);
}

#[test]
fn servers_that_are_killed_and_cut_off_have_the_same_in_the_end() {
    let result = bench(&["torture-across", "--kills", "3", "--cuts", "1", "--cut-seconds", "3", "--people", "1"]);
    let figure = |key: &str| result["figures"][key].as_u64().unwrap();
    assert_eq!((figure("violations"), figure("conversations")), (0, 6));
    assert!(figure("kept") > 0 && figure("acknowledged") > figure("kept"), "{result}");
}

#[test]
fn messages_between_two_servers_arrive_and_cost_something() {
    let result = bench(&["across", "--pairs", "2", "--rate", "20", "--runs", "1", "--duration", "2"]);
    let figure = |key: &str| result["figures"][key].as_f64().unwrap();
    assert!(figure("within_us") > 0.0 && figure("across_us") > 0.0 && figure("across_p50_ms") > 0.0, "{result}");
    assert!((figure("within_failed") + figure("across_failed")).abs() < f64::EPSILON, "{result}");
}

#[test]
fn three_servers_carry_what_their_people_say() {
    let result = bench(&["nodes", "--pairs", "6", "--far", "5", "--runs", "1", "--duration", "2"]);
    let figure = |key: &str| result["figures"][key].as_f64().unwrap();
    let cores = ["three_cores_first", "three_cores_second", "three_cores_third"].map(figure);
    assert!(
        figure("one_rate") > 0.0 && figure("three_rate") > 0.0 && cores.iter().all(|cores| *cores > 0.0),
        "{result}"
    );
    assert!((figure("one_failed") + figure("three_failed")).abs() < f64::EPSILON, "{result}");
}

#[test]
fn what_is_queued_for_a_server_that_is_away_arrives_in_order() {
    let result = bench(&["away", "--pairs", "2", "--queued", "200", "--runs", "0"]);
    let queued = result["figures"]["queued"].as_u64().unwrap();
    assert!((200..=204).contains(&queued), "{result}");
}

#[test]
fn users_of_the_profile_come_back_after_a_restart_and_miss_nothing() {
    let result = bench(&["storm", "--users", "8", "--stop"]);
    assert_eq!((&result["users"], &result["lost"], &result["errors"]), (&8.into(), &0.into(), &0.into()));
    assert!(result["latency_ms"]["max"].as_f64().unwrap() > 1.0);
    assert_eq!(result["settings"]["profile"], "seed");
}

#[test]
fn what_was_stored_is_caught_up_and_talked_on_after() {
    let history = ["history", "--messages", "500", "--pairs", "3", "--rate", "40", "--duration", "2"];
    let result = bench(&history);
    assert_eq!((&result["lost"], &result["errors"]), (&0.into(), &0.into()));
    assert!(result["sent"].as_u64().unwrap() > 40 && result["sent"] == result["delivered"]);
    assert!(result["figures"]["caught_up_s"].as_f64().unwrap() > 0.0);
    // A body of 215 bytes, its chain, its id and an index or two.
    let each = result["figures"]["stored_bytes"].as_f64().unwrap();
    assert!((250.0..2_000.0).contains(&each), "{each}");
}

#[test]
fn a_killed_server_has_what_it_acknowledged() {
    let figures = bench(&["torture", "--cycles", "2", "--senders", "5", "--seed", "1"])["figures"].clone();
    assert_eq!((&figures["kills"], &figures["violations"]), (&2.into(), &0.into()));
    assert!(figures["acknowledged"].as_u64().unwrap() > 10);
}
