//! Servers whose certificate an authority of their own has signed, with the built programs: `--ca` once, what is
//! remembered of it, and what a certificate is refused for.

use std::fs;

use crate::people::{TOKEN, Town};

/// An authority: its own certificate, and what it signs.
struct Authority(rcgen::CertifiedIssuer<'static, rcgen::KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = rcgen::CertificateParams::new([]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        Self(rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate and its key, both in PEM.
    fn signs(&self, host: &str, adjust: impl FnOnce(&mut rcgen::CertificateParams)) -> (String, String) {
        let mut params = rcgen::CertificateParams::new([host.to_owned()]).unwrap();
        adjust(&mut params);
        let key = rcgen::KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

/// A town whose server shows such a certificate, with its authority in the file `ca.pem`.
fn town(authority: &Authority, host: &str, adjust: impl FnOnce(&mut rcgen::CertificateParams)) -> Town {
    let town = Town::showing(authority.signs(host, adjust));
    fs::write(town.path("ca.pem"), authority.0.pem()).unwrap();
    fs::write(town.path("password"), "the password of alice\n").unwrap();
    town
}

/// Registers alice with the authority in a file of the town, by its relative path.
fn register(town: &Town, ca: &str) -> (i32, String) {
    let server = town.server.listen.to_string();
    let mut command = town.client("alice", &["register", "alice", "--server", &server, "--ca", ca]);
    command.args(["--auth-token", TOKEN, "--password-file", "password"]);
    let output = command.current_dir(town.dir.path()).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn devices(town: &Town) -> (i32, String) {
    let output = town.client("alice", &["devices", "list"]).current_dir("/").output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn an_authority_that_was_named_once_is_remembered() {
    let authority = Authority::new("ours");
    let mut town = town(&authority, "127.0.0.1", |_| {});
    let (code, stderr) = register(&town, "ca.pem");
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(devices(&town).0, 0);
    // A certificate that is new, and signed by the same authority, needs nobody.
    town.shows(authority.signs("127.0.0.1", |_| {}));
    assert_eq!(devices(&town).0, 0);

    fs::rename(town.path("ca.pem"), town.path("moved.pem")).unwrap();
    let (code, stderr) = devices(&town);
    assert_eq!(code, 77, "{stderr}");
    assert!(stderr.contains(town.path("ca.pem").to_str().unwrap()) && stderr.contains("--ca"), "{stderr}");
    fs::rename(town.path("moved.pem"), town.path("ca.pem")).unwrap();

    let other = Authority::new("theirs");
    town.shows(other.signs("127.0.0.1", |_| {}));
    let (code, stderr) = devices(&town);
    assert_eq!(code, 77, "{stderr}");
    assert!(stderr.contains("HAS CHANGED") && stderr.contains(town.path("ca.pem").to_str().unwrap()), "{stderr}");
}

#[test]
fn another_authority_and_a_file_without_one_are_refused() {
    let town = town(&Authority::new("ours"), "127.0.0.1", |_| {});
    fs::write(town.path("other.pem"), Authority::new("theirs").0.pem()).unwrap();
    let (code, stderr) = register(&town, "other.pem");
    assert_eq!(code, 77, "{stderr}");
    assert!(stderr.contains("no root of other.pem"), "{stderr}");
    let (code, stderr) = register(&town, "nowhere.pem");
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("nowhere.pem"), "{stderr}");
    assert!(!town.path("alice").join("known_servers").exists());
}

#[test]
fn an_expired_certificate_and_one_for_another_host_are_named_as_such() {
    let authority = Authority::new("ours");
    let mut town = town(&authority, "chat.example", |_| {});
    let (code, stderr) = register(&town, "ca.pem");
    assert_eq!(code, 77, "{stderr}");
    assert!(stderr.contains("not valid for name") && stderr.contains("chat.example"), "{stderr}");
    town.shows(authority.signs("127.0.0.1", |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1)));
    let (code, stderr) = register(&town, "ca.pem");
    assert_eq!(code, 77, "{stderr}");
    assert!(stderr.contains("expired"), "{stderr}");
    assert!(!town.path("alice").join("known_servers").exists());
}
