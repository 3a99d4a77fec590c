//! Broken configuration files: `config check` names the file, the line and the key, and says what to write.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{init::server, program::run};

/// What is wrong, the file, the line and column, the key, and what to do.
type Broken = (&'static str, &'static [u8], &'static str, &'static str, &'static str);

const BROKEN: [Broken; 36] = [
    ("a number as text", b"[storage]\npool_size = \"four\"\n", "2:13", "storage.pool_size", "write a whole number; the default is 0"),
    ("text as a number", b"[server]\ndomain = 5\n", "2:10", "server.domain", "write text in quotes; the default is \"localhost\""),
    ("a switch as text", b"[server]\nproduction = \"yes\"\n", "2:14", "server.production", "write true or false; the default is false"),
    ("a near key", b"[server]\n\nlissten = \"[::]:7000\"\n", "3:1", "server.lissten", "did you mean `server.listen`?"),
    ("a key of another section", b"[server]\nlevel = \"info\"\n", "2:1", "server.level", "did you mean `log.level`?"),
    ("a key like none", b"[server]\nzebra = 1\n", "2:1", "server.zebra", "take it out; `qpc-server config default` shows all"),
    ("a near section", b"[metrcs]\nlisten = \"127.0.0.1:1\"\n", "1:2", "metrcs", "did you mean `metrics`?"),
    ("a section like none", b"[xyz]\n", "1:2", "xyz", "take it out; `qpc-server config default` shows all"),
    ("a section where a key is", b"[server.listen]\n", "1:9", "server.listen", "write listen = "),
    ("a key where a section is", b"[limits]\nmessage = 5\n", "2:1", "limits.message", "write [limits.message]"),
    ("above its range", b"[storage]\npool_size = 65\n", "2:1", "storage.pool_size", "more than 64; the default is 0"),
    ("below its range", b"[transport]\nack_packets = 0\n", "2:1", "transport.ack_packets", "not from 1 to 8; the default is 5"),
    ("far above any", b"[retention]\ndays = 5000000000\n", "2:8", "retention.days", "from 0 to 4294967295; write a whole number"),
    ("a negative number", b"[limits]\nlogins_max = -1\n", "2:14", "limits.logins_max", "write a whole number; the default is 4096"),
    ("a bad address", b"[server]\nlisten = \"7000\"\n", "2:10", "server.listen", "the default is \"127.0.0.1:7000\""),
    ("a bad span of time", b"[server]\ndrain = \"soon\"\n", "2:9", "server.drain", "such as 250ms, 30s"),
    ("a key twice", b"[log]\nlevel = \"info\"\nlevel = \"warn\"\n", "3:1", "log.level", "keep one of the two"),
    ("not UTF-8", b"[server]\ndomain = \"caf\xe9.example\"\n", "2:14", "server.domain", "save the file in that encoding"),
    ("an open string", b"[server]\ndomain = \"chat.example\n\n[log]\n", "2:23", "server.domain", "with text in quotes"),
    ("an open section", b"[server\n", "1:8", "server", "a section `[name]`"),
    ("an empty domain", b"[server]\ndomain = \"\"\n", "2:1", "server.domain", "such as chat.example.org"),
    ("keys that contradict", b"[retention]\ndays = 10\ncommits_days = 5\n", "3:1", "retention.commits_days", "set it to as many days, or to 0"),
    ("a level that is none", b"[log]\nlevel = \"loud\"\n", "2:1", "log.level", "error, warn, info, debug or trace"),
    ("a format that is none", b"[log]\nformat = \"xml\"\n", "2:10", "log.format", "expected one of `auto`, `text`, `json`"),
    ("no certificate there", b"[server]\ncertificate_file = \"/nowhere/c.pem\"\ncertificate_key_file = \"/nowhere/k.pem\"\n", "2:1", "server.certificate_file", "/nowhere/c.pem: No such file or directory (os error 2); name a file that is there"),
    ("a key without certificate", b"[server]\ncertificate_key_file = \"/nowhere/k.pem\"\n", "2:1", "server.certificate_key_file", "go together: set both, or neither"),
    ("a token's file that is a directory", b"[server]\nauth_token_file = \"/\"\n", "2:1", "server.auth_token_file", "name a file that the server may read"),
    ("a peer with port 0", b"[[federation.peers]]\ndomain = \"b.example\"\naddress = \"10.0.0.1:7001\"\n[[federation.peers]]\ndomain = \"c.example\"\naddress = \"10.0.0.1:0\"\n", "4:1", "federation.peers", "c.example: address \"10.0.0.1:0\" is not host:port, such as"),
    ("a peer twice", b"[[federation.peers]]\ndomain = \"b.example\"\naddress = \"10.0.0.1:7001\"\n[[federation.peers]]\ndomain = \"b.example\"\naddress = \"10.0.0.2:7001\"\n", "4:1", "federation.peers", "b.example: named twice: keep one of the two"),
    (
        "an authority whose terms nobody has accepted",
        b"[acme]\ndirectory = \"https://acme.example/directory\"\nnames = [\"chat.example\"]\n",
        "2:1",
        "acme.accept_terms",
        "read the authority's terms, and set it to true",
    ),
    (
        "a root that is not there",
        b"[acme]\ndirectory = \"https://acme.example/directory\"\naccept_terms = true\nca_file = \"/nowhere/root.pem\"\n",
        "4:1",
        "acme.ca_file",
        "/nowhere/root.pem: No such file or directory (os error 2); name a file that is there",
    ),
    (
        "a bucket without its name",
        b"[blobs]\nbackend = \"s3\"\ns3_endpoint = \"https://s3.example\"\n",
        "2:1",
        "blobs.s3_bucket",
        "is not set, and blobs.backend is \"s3\"",
    ),
    (
        "a bucket for backups without its service",
        b"[backup]\ns3_bucket = \"backups\"\n",
        "2:1",
        "backup.s3_endpoint",
        "is not set, and backup.s3_bucket is: set both, or neither",
    ),
    (
        "backups that go before the next one",
        b"[backup]\nfull_every = \"31d\"\n",
        "2:1",
        "backup.keep_full",
        "less than backup.full_every: keep each until the next is there; the default is",
    ),
    (
        "production without a key file",
        b"[server]\nproduction = true\ndomain = \"a.example\"\ncertificate_file = \"/dev/null\"\ncertificate_key_file = \"/dev/null\"\n",
        "2:1",
        "storage.key_file",
        "needs an explicit key file: name it",
    ),
    (
        "bodies kept longer than entries",
        b"[retention]\ndays = 200\n",
        "2:1",
        "retention.commits_days",
        "less than retention.days: set it to as many days, or to 0; the default is 180",
    ),
];

fn check(file: &Path) -> (i32, String, String) {
    run(server().args(["config", "check"]).arg(file))
}

#[test]
fn every_broken_file_is_told_where_which_key_and_what_to_do() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("broken.toml");
    let mut faults = Vec::new();
    for (what, text, place, key, remedy) in BROKEN {
        fs::write(&file, text).unwrap();
        let (code, out, message) = check(&file);
        let begin = format!("qpc-server: {}:{place}: ", file.display());
        let told = message.starts_with(&begin) && message.contains(key) && message.contains(remedy);
        if (code, out.as_str(), told) != (78, "", true) {
            faults.push(format!("{what}: {code} {message}  wanted {place} {key} {remedy}"));
        }
        // One that is on its way to a terminal is a line for each fault.
        assert!(message.lines().all(|line| line.starts_with("qpc-server: ")), "{message}");
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn files_that_can_not_be_read_are_named_with_what_to_do() {
    let temp = tempfile::tempdir().unwrap();
    let told = |path: PathBuf, said: &str| {
        let (code, out, message) = check(&path);
        assert_eq!((code, out.as_str()), (78, ""));
        assert!(
            message.starts_with(&format!("qpc-server: {}: ", path.display())) && message.contains(said),
            "{message}"
        );
    };
    told(temp.path().to_owned(), "Is a directory (os error 21); name a file in it");
    told(temp.path().join("none.toml"), "No such file or directory (os error 2); name a file that is there");
}

/// What a variable sets is called by its name, and a value that no file has by its key.
#[test]
fn what_stands_above_the_file_is_named_instead_of_a_line() {
    let temp = tempfile::tempdir().unwrap();
    let mut command = server();
    command.arg("--data-dir").arg(temp.path().join("data")).args(["config", "show"]);
    let (code, _, message) =
        run(command.env("QPC_STORAGE__POOL_SIZE", "65").env("QPC_FEDERATION__PEERS", "b.example=1"));
    assert_eq!(code, 78);
    assert_eq!(
        message,
        "qpc-server: QPC_STORAGE__POOL_SIZE: storage.pool_size: more than 64; the default is 0\n\
         qpc-server: QPC_FEDERATION__PEERS: federation.peers: b.example: address \"1\" is not host:port, such as \
         node2.chat.example.com:7001\n"
    );
}
