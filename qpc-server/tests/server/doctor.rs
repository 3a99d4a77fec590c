//! `doctor` and `why-slow`: a good machine with a running server, and one on which much is wrong.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use crate::program::{Program, program, run};

/// What it says of each check: marks, and what was found.
fn findings(out: &str) -> BTreeMap<String, (String, String)> {
    let line = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        assert_eq!(line["do"].is_null(), text("mark") == "ok", "{line}");
        (text("check"), (text("mark"), text("found")))
    };
    out.lines().map(line).collect()
}

/// A command on a directory whose server shows its page elsewhere.
fn of(server: &Program, data: &Path) -> Command {
    let mut command = program(data);
    command.env("QPC_METRICS__LISTEN", server.metrics.to_string());
    command
}

#[test]
fn a_running_server_is_well_and_reached_by_its_address() {
    let (temp, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // Made by the server, so that nobody else may look into it.
    let data = temp.path().join("data");
    let server = Program::start(&data);
    let (code, out, err) =
        run(of(&server, &data).args(["doctor", "--json", "--deep", "--reach"]).arg(server.listen.to_string()));
    let found = findings(&out);
    // How fast and how full this disk is, is this machine's.
    let own = ["configuration", "open-files", "clock", "server", "permissions", "database", "certificate", "reachable"];
    for check in own {
        assert_eq!(found[check].0, "ok", "{check}: {}", found[check].1);
    }
    for check in ["udp-buffers", "fsync", "space"] {
        assert!(found.contains_key(check), "{check}: {out}");
    }
    assert!(found["database"].1.starts_with("sound: "), "{}", found["database"].1);
    assert!(found["reachable"].1.contains("only they can tell"), "{}", found["reachable"].1);
    let bad = found.values().any(|(mark, _)| mark == "bad");
    assert_eq!((code, err.is_empty()), (i32::from(bad), !bad), "{out}{err}");

    // Nothing is left in the directory, and nothing of it is text with colours.
    assert!(!data.join("doctor.new").exists());
    let (_, text, _) = run(of(&server, &data).arg("doctor"));
    assert!(text.starts_with("ok       configuration ") && !text.contains('\u{1b}'), "{text}");

    // The same port of another server is not this one, and where nobody listens nobody is.
    let second = Program::start(other.path());
    let (code, out, err) = run(of(&server, &data).args(["doctor", "--json", "--reach"]).arg(second.listen.to_string()));
    let found = findings(&out);
    assert!(found["reachable"].1.contains(&second.fingerprint), "{out}");
    assert_eq!((code, found["reachable"].0.as_str()), (1, "bad"), "{out}{err}");
    assert!(found["database"].1.contains("the running server"), "{out}");
}

#[test]
fn on_a_machine_where_much_is_wrong_each_thing_is_said() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    drop(Program::start(&data));

    // A clock that was set back, a key that others may read, a certificate that has ended.
    let ahead = SystemTime::now() + Duration::from_secs(3 * 86_400);
    File::options().write(true).open(data.join("qpc.db")).unwrap().set_modified(ahead).unwrap();
    fs::set_permissions(data.join("db.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2025, 1, 1), rcgen::date_time_ymd(2026, 11, 1));
    fs::write(temp.path().join("cert.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(temp.path().join("key.pem"), key.serialize_pem()).unwrap();
    fs::set_permissions(temp.path().join("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();

    // Few files; buffers that no kernel grants; a disk with less room than is to be left.
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 256; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_qpc-server"), "--data-dir"]).arg(&data);
    command.args(["doctor", "--json", "--reach", "127.0.0.1:1"]).env_clear().stdin(Stdio::null());
    command.env("QPC_TRANSPORT__UDP_BUFFER", "2000000000").env("QPC_BLOBS__DISK_RESERVE", "9000000000000000000");
    command.env("QPC_SERVER__CERTIFICATE_FILE", temp.path().join("cert.pem"));
    command.env("QPC_SERVER__CERTIFICATE_KEY_FILE", temp.path().join("key.pem"));
    command.env("PATH", std::env::var_os("PATH").unwrap());
    let (code, out, err) = run(&mut command);
    let found = findings(&out);
    for (check, mark, part) in [
        ("configuration", "ok", "good"),
        ("udp-buffers", "warning", "packets are lost in bursts"),
        ("open-files", "bad", "may open 256 files"),
        ("clock", "bad", "qpc.db was written "),
        ("server", "warning", "none runs"),
        ("permissions", "bad", "db.key (mode 644)"),
        ("space", "bad", "attachments are refused below"),
        ("database", "ok", "it opens with its key"),
        ("certificate", "bad", "it expired "),
        ("reachable", "bad", "127.0.0.1:1"),
    ] {
        let (is, what) = &found[check];
        assert!(is == mark && what.contains(part), "{check} is {is}: {what}");
    }
    assert_eq!(code, 1);
    assert!(err.ends_with(" things are bad\n"), "{err}");
}

#[test]
fn without_a_configuration_the_rest_is_looked_at_all_the_same() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("qpc-server.toml"), "[server]\nlissten = 1\n").unwrap();
    let (code, out, _) = run(program(temp.path()).args(["doctor", "--json"]));
    let found = findings(&out);
    assert!(found["configuration"].1.contains("qpc-server.toml:2"), "{out}");
    assert_eq!((code, found["configuration"].0.as_str(), found["clock"].0.as_str()), (1, "bad", "ok"));
    // And before anything was ever started nothing is bad, or made.
    let none = temp.path().join("none");
    let (_, out, _) = run(program(&none).args(["doctor", "--json"]));
    assert_eq!(findings(&out)["data"].0, "warning");
    assert!(!none.exists());
}

#[test]
fn where_time_goes_is_told_of_a_running_server() {
    let temp = tempfile::tempdir().unwrap();
    let server = Program::start(temp.path());
    let (code, out, err) = run(of(&server, temp.path()).args(["why-slow", "--for", "0s", "--json"]));
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, err.as_str(), &report["since_start"]), (0, "", &true.into()));
    let fsync = report["times"].as_array().unwrap().iter().find(|time| time["what"] == "fsync").unwrap();
    assert!(fsync["count"].as_f64().unwrap() > 0.0 && fsync["p95_ms"].as_f64().unwrap() > 0.0, "{out}");
    let (_, text, _) = run(of(&server, temp.path()).args(["why-slow", "--for", "1ms"]));
    assert!(text.starts_with("In the last 0 seconds:\n") && text.contains("\n  memory "), "{text}");
    drop(server);
    let (code, _, err) = run(program(temp.path()).env("QPC_METRICS__LISTEN", "127.0.0.1:1").arg("why-slow"));
    assert!(code == 69 && err.contains("does the server run?"), "{err}");
}
