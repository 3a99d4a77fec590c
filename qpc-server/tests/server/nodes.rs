//! Federation as an operator sets it up: commands, files, configuration, processes.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use crate::{
    peer::place,
    program::{Program, program, run},
    wire::PATIENCE,
};

const DOMAINS: [&str; 3] = ["node1.chat.example", "node2.chat.example", "node3.chat.example"];

/// A configuration like the manual's.
fn configure(data: &Path, own: usize, places: &[SocketAddr; 3]) {
    fs::create_dir_all(data).unwrap();
    let mut text = format!(
        "[server]\ndomain = \"{}\"\n[federation]\nenabled = true\nreload = \"1s\"\nlisten = \"{}\"\n",
        DOMAINS[own], places[own]
    );
    for (domain, place) in DOMAINS.iter().zip(places).filter(|(domain, _)| **domain != DOMAINS[own]) {
        text.push_str(&format!("[[federation.peers]]\ndomain = \"{domain}\"\naddress = \"{place}\"\n"));
    }
    fs::write(data.join("qpc-server.toml"), text).unwrap();
}

fn status(data: &Path) -> Vec<serde_json::Value> {
    let (code, json, error) = run(program(data).args(["federation", "status", "--json"]));
    assert_eq!(code, 0, "{error}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    json["peers"].as_array().unwrap().clone()
}

fn until(data: &Path, holds: impl Fn(&[serde_json::Value]) -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let peers = status(data);
        if holds(&peers) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{peers:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn connected(peer: &serde_json::Value) -> bool {
    peer["outgoing"] == "connected" && peer["incoming"] == true
}

#[test]
fn three_servers_are_set_up_by_their_own_commands_and_find_each_other() {
    let temp = tempfile::tempdir().unwrap();
    let nodes = [1, 2, 3].map(|number| temp.path().join(format!("node{number}")));
    let places = [place(), place(), place()];
    for (own, node) in nodes.iter().enumerate() {
        configure(node, own, &places);
    }
    let here = |arguments: &[&str]| run(program(&nodes[0]).args(arguments).current_dir(temp.path()));
    // What is not there yet is told with what to do.
    let (code, _, error) = here(&["federation", "issue", DOMAINS[0]]);
    assert!(code == 78 && error.contains("`qpc-server federation init-ca` makes an authority"), "{code} {error}");
    let (code, _, error) = here(&["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]);
    assert!(code == 78 && error.contains("federation-cert.der") && error.contains("init-ca"), "{code} {error}");
    let (code, _, error) = here(&["federation", "status"]);
    assert!(code == 69 && error.contains("no server runs"), "{code} {error}");

    let (code, text, error) = here(&["federation", "init-ca"]);
    assert!(code == 0 && text.contains("federation-ca.der"), "{error}");
    let (code, _, error) = here(&["federation", "init-ca"]);
    assert!(code == 78 && error.contains("is there already"), "{code} {error}");
    let authority = nodes[0].join("federation-ca.der");
    let kept = fs::read(&authority).unwrap();
    fs::remove_file(&authority).unwrap();
    let (code, _, error) = here(&["federation", "init-ca"]);
    assert!(code == 78 && error.contains("federation-ca-key.der is there without"), "{code} {error}");
    fs::write(&authority, kept).unwrap();
    for bad in ["no domain", "*.example", ""] {
        assert_eq!(here(&["federation", "issue", bad]).0, 2, "{bad:?}");
    }
    assert_eq!(here(&["federation", "issue", DOMAINS[1], "--days", "0"]).0, 2);
    for domain in DOMAINS {
        let (code, text, error) = here(&["federation", "issue", domain]);
        assert_eq!(code, 0, "{error}");
        assert_eq!(text.contains("Copy these three files"), domain != DOMAINS[0], "{text}");
    }
    for (domain, node) in DOMAINS.iter().zip(&nodes).skip(1) {
        for file in fs::read_dir(temp.path().join(domain)).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), node.join(file.file_name())).unwrap();
        }
    }
    for file in ["federation-ca-key.der", "federation-key.der"] {
        assert_eq!(fs::metadata(nodes[0].join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    assert!(!nodes[1].join("federation-ca-key.der").exists());

    let mut servers: Vec<Program> = nodes.iter().map(|node| Program::start(node)).collect();
    for node in &nodes {
        until(node, |peers| peers.len() == 2 && peers.iter().all(connected));
    }
    let (code, table, _) = here(&["federation", "status"]);
    assert!(code == 0 && table.contains("node2.chat.example") && table.contains("connected"), "{table}");

    // One is killed and started again. It tells those who still believe in their connections with it.
    let since = |peers: &[serde_json::Value]| peers[1]["since_ms"].as_u64().unwrap();
    let before = since(&status(&nodes[0]));
    servers[2].end();
    servers[2] = Program::start(&nodes[2]);
    until(&nodes[0], |peers| peers.iter().all(connected) && since(peers) > before);
    for node in &nodes[1..] {
        until(node, |peers| peers.iter().all(connected));
    }

    // Another authority on one of them alone: nobody is connected with it until the others know it as well.
    for file in ["federation-ca.der", "federation-ca-key.der"] {
        fs::remove_file(nodes[0].join(file)).unwrap();
    }
    assert_eq!(here(&["federation", "init-ca"]).0, 0);
    assert_eq!(here(&["federation", "issue", DOMAINS[0]]).0, 0);
    until(&nodes[0], |peers| peers.iter().all(|peer| !connected(peer) && peer["problem"].is_string()));
    until(&nodes[1], |peers| !connected(&peers[0]) && connected(&peers[1]));
}

/// By the file and SIGHUP alone.
#[test]
fn a_peer_comes_and_goes_with_the_file_of_a_running_server() {
    let temp = tempfile::tempdir().unwrap();
    let nodes = [1, 2].map(|number| temp.path().join(format!("node{number}")));
    let places = [place(), place(), place()];
    for (own, node) in nodes.iter().enumerate() {
        configure(node, own, &places);
    }
    let here = |arguments: &[&str]| run(program(&nodes[0]).args(arguments).current_dir(temp.path()));
    assert_eq!(here(&["federation", "init-ca"]).0, 0);
    for domain in &DOMAINS[..2] {
        assert_eq!(here(&["federation", "issue", domain]).0, 0);
    }
    for file in fs::read_dir(temp.path().join(DOMAINS[1])).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), nodes[1].join(file.file_name())).unwrap();
    }
    let whole = fs::read_to_string(nodes[0].join("qpc-server.toml")).unwrap();
    let (alone, _) = whole.split_once("[[federation.peers]]").unwrap();
    let servers: Vec<Program> = nodes.iter().map(|node| Program::start(node)).collect();
    until(&nodes[0], |peers| connected(&peers[0]));
    let reload = |text: &str| {
        fs::write(nodes[0].join("qpc-server.toml"), text).unwrap();
        servers[0].signal(rustix::process::Signal::HUP);
    };
    reload(alone);
    until(&nodes[0], <[_]>::is_empty);
    let refused =
        |peer: &serde_json::Value| peer["problem"].as_str().is_some_and(|it| it.contains("does not federate"));
    until(&nodes[1], |peers| refused(&peers[0]) && peers[0]["incoming"] == false);
    reload(&whole);
    for node in &nodes {
        until(node, |peers| connected(&peers[0]));
    }
}

#[test]
fn certificates_that_cant_be_used_are_refused_at_the_start_with_what_is_wrong() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    configure(&data, 0, &[place(), place(), place()]);
    let here = |arguments: &[&str]| run(program(&data).args(arguments).current_dir(temp.path()));
    assert_eq!(here(&["federation", "init-ca"]).0, 0);
    let start = || here(&["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]);
    let path = data.to_str().unwrap();
    assert_eq!(here(&["federation", "issue", DOMAINS[1], "--out", path]).0, 0);
    let (code, _, error) = start();
    let wanted = "federation_cert: the certificate is of node2.chat.example, not of node1.chat.example";
    assert!(code == 78 && error.contains(wanted), "{code} {error}");
    let other = fs::read(data.join("federation-key.der")).unwrap();
    assert_eq!(here(&["federation", "issue", DOMAINS[0]]).0, 0);
    let own = fs::read(data.join("federation-key.der")).unwrap();
    fs::write(data.join("federation-key.der"), other).unwrap();
    let (code, _, error) = start();
    assert!(code == 78 && error.contains("federation_key: "), "{code} {error}");
    fs::write(data.join("federation-key.der"), own).unwrap();
    fs::write(data.join("federation-ca.der"), b"not a certificate").unwrap();
    let (code, _, error) = start();
    assert!(code == 78 && error.contains("federation_ca: "), "{code} {error}");
}
