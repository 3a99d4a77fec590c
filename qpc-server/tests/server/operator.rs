//! The operator's commands with the built programs: what they show, what they change, and the trace that stays.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    people::Town,
    program::{program, run},
};

/// `qpc-server admin …` that succeeds.
#[track_caller]
fn admin(data: &Path, arguments: &[&str]) -> String {
    let (code, said, fault) = run(program(data).arg("admin").args(arguments));
    assert_eq!(code, 0, "{arguments:?}: {fault}");
    said
}

#[track_caller]
fn json(data: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&admin(data, &[arguments, &["--json"]].concat())).unwrap()
}

/// Waits for something that programs do meanwhile.
#[track_caller]
fn until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "it is not so");
    }
}

/// Requests and outcomes in the audit log.
fn trace(data: &Path) -> Vec<(String, String)> {
    let word = |line: &Value| line.as_str().unwrap().to_owned();
    let lines = admin(data, &["audit", "show", "--last", "1000", "--json"]);
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| (word(&line["action"]["request"]), word(&line["outcome"]))).collect()
}

#[test]
fn a_suspended_account_is_kept_out_and_keeps_all_it_has() {
    let town = Town::found();
    let data = town.path("data");
    let (alice, bob) = town.friends();
    let follower = bob.follows();
    // It is there once the server says so.
    until(|| json(&data, &["sessions", "list"])["total"] == 1);
    assert_eq!(json(&data, &["accounts", "suspend", "bob", "--dry-run"])["sessions"], 1);
    assert_eq!(json(&data, &["accounts", "show", "bob"])["state"], "active");

    let ended = json(&data, &["accounts", "suspend", "bob"]);
    assert_eq!(ended["sessions"], 1);
    let suspended = Instant::now();
    until(|| json(&data, &["sessions", "list"])["total"] == 0);
    assert!(suspended.elapsed() < Duration::from_secs(1), "its session was still there");
    drop(follower);
    let (code, _, told) = bob.tries(&["send", "alice", "am I in?"]);
    assert!(code != 0 && told.contains("suspended the account"), "{code}: {told}");
    alice.does(&["send", "bob", "it waits"]);
    let state = json(&data, &["accounts", "show", "bob"]);
    assert_eq!((&state["state"], &state["conversations"]), (&"suspended".into(), &1.into()));

    admin(&data, &["accounts", "resume", "bob"]);
    let heard = bob.hears(1);
    assert_eq!(heard[0]["body"], "it waits");
    bob.does(&["send", "alice", "here again"]);
    let heard: Vec<Value> = alice.hears(2);
    assert_eq!(heard.iter().map(|one| &one["body"]).collect::<Vec<_>>(), ["am I in?", "here again"]);
}

#[test]
fn what_the_operator_does_is_noted_and_needs_no_server() {
    let mut town = Town::found();
    let data = town.path("data");
    {
        let bob = town.newcomer("bob");
        let _bobs = town.device("bob", "laptop");
        let devices = json(&data, &["devices", "list", "bob"])["devices"].as_array().unwrap().clone();
        let laptop = devices[1]["device"].as_str().unwrap();
        admin(&data, &["devices", "revoke", "bob", laptop, "--dry-run"]);
        admin(&data, &["devices", "revoke", "bob", laptop]);
        assert_eq!(json(&data, &["accounts", "list"])["accounts"][0]["devices"], 1);
        let follower = bob.follows();
        until(|| json(&data, &["sessions", "list"])["total"] == 1);
        let sessions = admin(&data, &["sessions", "list"]);
        assert!(sessions.contains("bob@localhost") && sessions.contains("127.0.0.1:"), "{sessions}");
        let since = || json(&data, &["sessions", "list"])["sessions"][0]["since_ms"].as_u64();
        let before = since();
        let kicked = json(&data, &["kick", "bob"]);
        assert_eq!(kicked["sessions"], 1);
        // It comes back by itself.
        // The times are taken from how long a connection has lasted, to a millisecond or two.
        until(|| since() > before.map(|before| before + 5));
        drop(follower);
    }
    let limits = admin(&data, &["limits"]);
    assert!(limits.contains("limits.blob.rate = "), "{limits}");
    assert_eq!(admin(&data, &["log-level"]), "info\n");
    assert_eq!(admin(&data, &["log-level", "warn"]), "warn\n");
    // Until the configuration is read again, though nothing in it has changed.
    town.server.signal(rustix::process::Signal::HUP);
    until(|| admin(&data, &["log-level"]) == "info\n");
    admin(&data, &["invites", "create", "--uses", "2"]);
    let id = json(&data, &["invites", "list"])["invites"][0]["id"].as_str().unwrap().to_owned();
    assert!(admin(&data, &["invites", "revoke", &id, "--dry-run"]).contains("Nothing was changed"));
    admin(&data, &["invites", "revoke", &id]);
    let (code, _, told) = run(program(&data).args(["admin", "accounts", "suspend", "nobody"]));
    assert!(code == 67 && told.contains("no account `nobody`") && told.contains("accounts list"), "{code}: {told}");
    let guest = run(program(&data).args(["admin", "accounts", "suspend", "eve@elsewhere.example"]));
    assert!(guest.0 == 2 && guest.2.contains("its own operator"), "{guest:?}");

    let noted = trace(&data);
    let of = |what: &str| {
        noted.iter().filter(|(request, _)| request == what).map(|(_, outcome)| outcome.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(of("revoke_device"), ["done", "begun", "done"]);
    assert_eq!(of("kick"), ["begun", "done"]);
    assert_eq!(of("suspend_account")[..2], ["begun", "not_found"]);
    assert!(of("suspend_account")[3].starts_with("failed: "));
    assert_eq!((of("show_limits"), of("show_log_level")), (vec![], vec![]));
    assert_eq!(of("list_invites"), ["done"]);
    assert!(admin(&data, &["audit", "verify"]).starts_with("sound: "));

    // Without a server the same command does it, and the chain goes on; what needs one says so.
    admin(&data, &["drain"]);
    town.server.end();
    admin(&data, &["accounts", "delete", "bob"]);
    assert_eq!(json(&data, &["accounts", "list"])["accounts"][0]["state"], "deleted");
    let (code, _, told) = run(program(&data).args(["admin", "sessions", "list"]));
    assert!(code == 69 && told.contains("no server runs"), "{code}: {told}");
    assert!(admin(&data, &["audit", "verify"]).starts_with("sound: "));

    // Somebody makes it look as if they had kicked another one.
    let log = fs::read_to_string(data.join("audit.log")).unwrap();
    fs::write(
        data.join("audit.log"),
        log.replacen("\"name\":\"bob\",\"request\":\"kick\"", "\"name\":\"eve\",\"request\":\"kick\"", 1),
    )
    .unwrap();
    let (code, _, told) = run(program(&data).args(["admin", "audit", "verify"]));
    assert!(code == 65 && told.contains("audit.log:"), "{code}: {told}");
}
