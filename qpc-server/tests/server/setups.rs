//! The OPAQUE setups: passwords go over to a new one by themselves, an old one ends with or without its accounts, and
//! nobody learns by them whose name is somebody's.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use qpc_proto::{
    error::Code,
    v1::{self, answer::Result as Outcome, request::Method},
};
use qpc_server::admin::{AdminAnswer, AdminRequest};
use serde_json::Value;

use crate::{
    house::{House, TOKEN},
    people::{Somebody, Town},
    person::{Device, Person, Registration},
    program::{Program, certificate, http, program, run},
    wire::{Wire, code},
};

/// `qpc-server opaque …` that succeeds.
#[track_caller]
fn opaque(data: &Path, arguments: &[&str]) -> String {
    let (code, said, fault) = run(program(data).arg("opaque").args(arguments));
    assert_eq!(code, 0, "{arguments:?}: {fault}");
    said
}

/// Versions, states and accounts.
#[track_caller]
fn listed(data: &Path) -> Vec<(u64, String, u64)> {
    let list: Value = serde_json::from_str(&opaque(data, &["list", "--json"])).unwrap();
    let rows = list["setups"].as_array().unwrap().iter();
    let row = |row: &Value| {
        let state = row["state"].as_str().unwrap().to_owned();
        (row["version"].as_u64().unwrap(), state, row["accounts"].as_u64().unwrap())
    };
    rows.map(row).collect()
}

fn row(version: u64, state: &str, accounts: u64) -> (u64, String, u64) {
    (version, state.to_owned(), accounts)
}

fn setup_file(data: &Path) -> PathBuf {
    data.join("opaque-setup")
}

#[test]
fn a_password_goes_over_to_a_new_setup_by_the_next_login_and_nobody_is_asked() {
    let mut town = Town::found();
    let data = town.path("data");
    // As servers wrote it that knew of one setup alone.
    let text = fs::read_to_string(setup_file(&data)).unwrap();
    let old: Vec<&str> = text.split_whitespace().take(3).collect();
    town.server.end();
    fs::write(setup_file(&data), old.join(" ") + "\n").unwrap();
    town.restart();
    let key = town.newcomer("alice").does(&["whoami", "--json"]);
    let key = serde_json::from_str::<Value>(&key).unwrap()["account_key"].clone();
    assert_eq!(listed(&data), [row(1, "newest", 1)]);

    assert_eq!(opaque(&data, &["rotate"]), "passwords are registered with OPAQUE setup 2.\n");
    assert_eq!(listed(&data), [row(1, "older", 1), row(2, "newest", 0)]);
    assert_eq!(fs::metadata(setup_file(&data)).unwrap().permissions().mode() & 0o777, 0o600);
    let same_account = |device: Somebody<'_>| {
        let who: Value = serde_json::from_str(&device.does(&["whoami", "--json"])).unwrap();
        assert_eq!(who["account_key"], key);
    };
    same_account(town.device("alice", "laptop"));
    assert_eq!(listed(&data), [row(1, "older", 0), row(2, "newest", 1)]);
    assert!(http(town.server.metrics, "/metrics").contains("\nqpc_opaque_renewed_total 1\n"));
    // By what the new one gives, the account's secret opens as well.
    same_account(town.device("alice", "tablet"));
    assert_eq!(opaque(&data, &["retire", "1"]), "OPAQUE setup 1 is gone.\n");
    town.restart();
    same_account(town.device("alice", "desk"));
    town.newcomer("bob");
    assert_eq!(listed(&data), [row(2, "newest", 2)]);

    // Where no server runs, the same commands do it themselves.
    town.server.end();
    let rotated: Value = serde_json::from_str(&opaque(&data, &["rotate", "--json"])).unwrap();
    assert_eq!(rotated["version"], 3);
    assert_eq!(listed(&data), [row(2, "older", 2), row(3, "newest", 0)]);
    let (code, _, told) = run(program(&data).args(["opaque", "retire", "2"]));
    assert!(code == 2 && told.contains("--reset"), "{code}: {told}");
    town.restart();
    // A person's own change takes it along.
    let both = town.path("both");
    fs::write(&both, "the password of bob\nanother password of bob\n").unwrap();
    Somebody::of(&town, "bob").does(&["--password-file", both.to_str().unwrap(), "password", "change"]);
    assert_eq!(listed(&data), [row(2, "older", 1), row(3, "newest", 1)]);
}

#[test]
fn a_setup_ends_with_the_accounts_that_use_it_or_not_at_all() {
    let town = Town::found();
    let data = town.path("data");
    let (_alice, bob) = town.friends();
    town.newcomer("carol");
    opaque(&data, &["rotate"]);
    town.device("alice", "laptop");
    let refused = |arguments: &[&str]| {
        let (code, _, told) = run(program(&data).arg("opaque").args(arguments));
        assert_eq!(listed(&data), [row(1, "older", 2), row(2, "newest", 1)]);
        (code, told)
    };
    let (code, told) = refused(&["retire", "1"]);
    assert!(code == 2 && told.contains("--reset") && told.contains("opaque list"), "{code}: {told}");
    assert_eq!(opaque(&data, &["retire", "1", "--dry-run"]), "2 accounts would be reset. Nothing was changed.\n");
    let (code, told) = refused(&["retire", "2", "--reset"]);
    assert!(code == 2 && told.contains("newest"), "{code}: {told}");
    let (code, told) = refused(&["retire", "7", "--reset"]);
    assert!(code == 73 && told.contains("no OPAQUE setup 7"), "{code}: {told}");

    let said = opaque(&data, &["retire", "1", "--reset", "--json"]);
    let said: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = said[..2].iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert_eq!((names, &said[2]["retired"], said.len()), (vec!["bob", "carol"], &1.into(), 3));
    assert_eq!(listed(&data), [row(2, "newest", 1)]);
    let (code, _, told) = bob.tries(&["send", "alice", "am I in?"]);
    assert_eq!(code, 77, "{told}");
    let output = town
        .client("bob again", &["register", "bob", "--server", &town.server.listen.to_string()])
        .args([
            "--pin",
            &town.server.fingerprint,
            "--auth-token",
            said[0]["token"].as_str().unwrap(),
            "--password-file",
        ])
        .arg(town.path("bob.password"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(listed(&data), [row(2, "newest", 2)]);

    let trace = run(program(&data).args(["admin", "audit", "show", "--last", "1000", "--json"])).1;
    let trace: Vec<Value> = trace.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |request: &str, name: Option<&str>| {
        let found = trace.iter().filter(|line| line["action"]["request"] == request);
        let found = found.filter(|line| name.is_none() || line["action"]["name"].as_str() == name);
        found.map(|line| line["outcome"].as_str().unwrap().split(':').next().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(of("rotate_setup", None), ["begun", "done"]);
    assert_eq!(
        (of("reset_account", Some("bob")), of("reset_account", Some("carol"))),
        (vec!["begun", "done"], vec!["begun", "done"])
    );
    // Without --reset, the dry run, the newest, one that is not there; and then for good.
    assert_eq!(
        of("retire_setup", None),
        ["begun", "failed", "done", "begun", "failed", "begun", "not_found", "begun", "done"]
    );
    assert!(run(program(&data).args(["admin", "audit", "verify"])).1.starts_with("sound: "));
}

#[test]
fn a_damaged_file_of_setups_stops_the_start_and_says_which() {
    let temp = tempfile::tempdir().unwrap();
    let mut server = Program::start(temp.path());
    opaque(temp.path(), &["rotate"]);
    server.end();
    let whole = fs::read_to_string(setup_file(temp.path())).unwrap();
    let (first, second) = whole.split_once('\n').unwrap();
    for (text, why) in [
        (format!("{first}\n{}", second.replacen(second.split(' ').nth(2).unwrap(), "00ff", 1)), "setup 2 is damaged"),
        (format!("{second}{first}\n"), "setup 1 is not in its place"),
        (String::new(), "not an OPAQUE setup file"),
    ] {
        fs::write(setup_file(temp.path()), text).unwrap();
        let (code, _, told) = run(program(temp.path()).args(["--listen", "127.0.0.1:0"]));
        assert!(code == 78 && told.contains("opaque-setup") && told.contains(why), "{code}: {told}");
    }
}

/// Asks to register a password in the place of the one that was proved, which the session of the connection may.
async fn begin_anew(wire: &Wire, password: &str) -> (Registration, Outcome) {
    let (request, registration) = Registration::begin(password);
    let answer =
        wire.call(Method::ChangePasswordStart(v1::ChangePasswordStart { registration_request: request })).await;
    (registration, answer)
}

async fn finish_anew(wire: &Wire, password: &str, (registration, answer): (Registration, Outcome)) -> Outcome {
    let Outcome::ChangePasswordStart(answer) = answer else { panic!("{answer:?}") };
    let finish = v1::ChangePasswordFinish {
        registration_record: registration.finish(password, &answer.registration_response),
        wrapped_account_secret: b"sealed anew".to_vec().into(),
        ksf_version: qpc_proto::KSF_VERSION,
    };
    wire.call(Method::ChangePasswordFinish(finish)).await
}

async fn register_anew(wire: &Wire, password: &str) -> Outcome {
    finish_anew(wire, password, begin_anew(wire, password).await).await
}

#[tokio::test]
async fn whoever_crashes_before_the_password_is_registered_anew_logs_in_as_before() {
    let temp = tempfile::tempdir().unwrap();
    let mut server = Program::start(temp.path());
    let certificate = certificate(temp.path());
    let (alice, phone) = (Person::at("alice", "localhost"), Device::new());
    let wire = Wire::connect(server.listen, &certificate).await;
    wire.register(&alice, &server.invite.clone().unwrap(), &phone).await.unwrap();
    assert!(!wire.login(&alice).await.unwrap().register_anew);
    opaque(temp.path(), &["rotate"]);
    // The client goes; the server crashes when half of it is said; the server crashes when it is done.
    for crash in 0..3 {
        let wire = Wire::connect(server.listen, &certificate).await;
        let answer = wire.login(&alice).await.unwrap();
        assert!(answer.register_anew && answer.wrapped_account_secret.as_ref() == b"sealed under the export key");
        wire.authenticate(&alice, &phone).await.unwrap();
        match crash {
            0 => {}
            1 => assert!(matches!(begin_anew(&wire, &alice.password).await.1, Outcome::ChangePasswordStart(_))),
            _ => {
                let done = register_anew(&wire, &alice.password).await;
                assert!(matches!(done, Outcome::ChangePasswordFinish(_)), "{done:?}");
            }
        }
        if crash > 0 {
            server.end();
            server = Program::start(temp.path());
        }
    }
    let wire = Wire::connect(server.listen, &certificate).await;
    let answer = wire.login(&alice).await.unwrap();
    assert!(!answer.register_anew && answer.wrapped_account_secret.as_ref() == b"sealed anew");
    assert_eq!(listed(temp.path()), [row(1, "older", 0), row(2, "newest", 1)]);
}

#[tokio::test]
async fn a_password_that_is_registered_anew_does_not_undo_a_change() {
    let house = House::start().await;
    let (alice, phone, _wire) = house.newcomer("alice").await;
    rotate(&house, 2).await;
    let proved = async || {
        let wire = house.connect().await;
        assert!(wire.login(&alice).await.unwrap().register_anew);
        wire.authenticate(&alice, &phone).await.unwrap();
        wire
    };
    let (slow, quick) = (proved().await, proved().await);
    let begun = begin_anew(&slow, &alice.password).await;
    let changed = Person { password: "a better one".into(), ..alice.clone() };
    assert!(matches!(register_anew(&quick, &changed.password).await, Outcome::ChangePasswordFinish(_)));
    assert_eq!(code(&finish_anew(&slow, &alice.password, begun).await), Some(Code::WrongState));
    assert!(!house.connect().await.login(&changed).await.unwrap().register_anew);
    let refused = house.connect().await.login(&alice).await.unwrap_err();
    assert_eq!(Code::from_wire(refused.code), Some(Code::LoginFailed));
}

#[tokio::test]
async fn what_began_with_a_setup_does_not_end_with_another() {
    let house = House::start().await;
    let (alice, phone, wire) = house.newcomer("alice").await;
    wire.login(&alice).await.unwrap();
    let begun = begin_anew(&wire, &alice.password).await;
    let (bob, new) = (Person::at("bob", &house.domain), house.connect().await);
    let (start, registration) = bob.register(TOKEN);
    let Outcome::RegisterStart(answer) = new.call(Method::RegisterStart(start)).await else { panic!() };
    rotate(&house, 2).await;
    assert_eq!(code(&finish_anew(&wire, &alice.password, begun).await), Some(Code::WrongState));
    let finish = bob.finish_registration(registration, &answer, &Device::new());
    assert_eq!(code(&new.call(Method::RegisterFinish(finish)).await), Some(Code::WrongState));
    // From the beginning it goes.
    new.register(&bob, TOKEN, &Device::new()).await.unwrap();
    assert!(!house.connect().await.login(&bob).await.unwrap().register_anew);
    let again = house.connect().await;
    assert!(again.login(&alice).await.unwrap().register_anew);
    again.authenticate(&alice, &phone).await.unwrap();
    assert!(matches!(register_anew(&again, &alice.password).await, Outcome::ChangePasswordFinish(_)));
}

async fn rotate(house: &House, version: u32) {
    assert_eq!(house.admin(AdminRequest::RotateSetup).await, AdminAnswer::Rotated { version });
}

/// The evaluated OPRF element begins KE2: it shows which setup a name is answered by, to who has asked before.
async fn element(house: &House, start: &v1::LoginStart) -> bytes::Bytes {
    let Outcome::LoginStart(answer) = house.connect().await.call(Method::LoginStart(start.clone())).await else {
        panic!()
    };
    assert_eq!(answer.ke2.len(), 320);
    answer.ke2.slice(..32)
}

#[tokio::test]
async fn a_new_setup_does_not_show_whose_name_is_somebodys() {
    let house = House::start().await;
    let (alice, phone, _wire) = house.newcomer("alice").await;
    let (known, unknown) = (alice.login().0, Person::at("nobody", &house.domain).login().0);
    let before = (element(&house, &known).await, element(&house, &unknown).await);
    rotate(&house, 2).await;
    // Neither goes over at once.
    assert!(before == (element(&house, &known).await, element(&house, &unknown).await));
    let wire = house.connect().await;
    wire.login(&alice).await.unwrap();
    wire.authenticate(&alice, &phone).await.unwrap();
    assert!(matches!(register_anew(&wire, &alice.password).await, Outcome::ChangePasswordFinish(_)));
    assert!(before.0 != element(&house, &known).await, "it is answered by the new one");
    // An old one that is gone answers for nobody.
    let retire = AdminRequest::RetireSetup { version: 1, reset: false, dry_run: false };
    assert_eq!(house.admin(retire).await, AdminAnswer::Retired { resets: vec![], more: false });
    assert!(before.1 != element(&house, &unknown).await);
}
