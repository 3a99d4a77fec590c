//! Servers that lie, and what people are told about it: no device enters a conversation that its account did
//! not sign (invariant 13), and no history is taken back unnoticed.

use std::{fs, path::Path};

use ed25519_dalek::{Signer, SigningKey};
use prost::Message;
use qpc_client::{
    api::{Alarm, Command, CommandError, Event, OutboxState, Outcome},
    mls,
};
use qpc_proto::{address::Address, credential::VerifiedDevice, id::DeviceId, suite::Suite, transcript, v1};
use qpc_server::store::{Actor, NewDevice, NewKeyPackages, Store};

use crate::net::{Net, Person, new_group};

struct TrustsAll;

impl mls::Trust for TrustsAll {
    fn judge(&self, _: &VerifiedDevice) -> mls::Verdict {
        mls::Verdict::Trusted
    }
}

/// The server adds a device to somebody's account by itself: it can sign with any key but the account's.
pub(crate) fn plant_ghost(net: &Net, name: &str) {
    let address = Address::parse(&format!("{name}@localhost")).unwrap();
    let (account, key, id) =
        (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]), DeviceId::new(9, [9; 10]));
    let account_key = account.verifying_key().to_bytes();
    let device_key = key.verifying_key().to_bytes();
    let signed = transcript::device_certificate(&address, &account_key, id, &device_key);
    let certificate = v1::DeviceCertificate {
        address: address.to_string(),
        account_key: account_key.to_vec().into(),
        device_id: id.to_bytes(),
        device_key: device_key.to_vec().into(),
        signature: account.sign(&signed).to_vec().into(),
    }
    .encode_to_vec();
    let mut database = rusqlite::Connection::open_in_memory().unwrap();
    database.execute_batch(mls::SCHEMA).unwrap();
    let device = mls::Device::new(&certificate, &zeroize::Zeroizing::new(key.to_bytes())).unwrap();
    let transaction = database.transaction().unwrap();
    let made = mls::Mls::new(&transaction, &device, &TrustsAll).make_key_packages(Suite::Classical, 1, true).unwrap();
    let packages = NewKeyPackages {
        suite: Suite::Classical,
        one_time: made.one_time.into_iter().map(Into::into).collect(),
        last_resort: made.last_resort.map(Into::into),
    };
    let store = net.store();
    net.block(async {
        let record = store.login_record(&address.name).await.unwrap();
        let account = record.account.expect("an account");
        let device =
            NewDevice { id, key: device_key, certificate: certificate.into(), name: "ghost".into(), now_ms: 1 };
        store.enrol_device(account, device, 16).await.unwrap();
        let ghost = Actor::authenticated(account, id, address.clone());
        store.publish_key_packages(&ghost, packages).await.unwrap();
    });
}

#[test]
fn a_device_that_the_server_added_is_refused_and_people_are_told() {
    let net = Net::start();
    let (alice, bob) = (net.person("alice"), net.person("bob"));
    plant_ghost(&net, "alice");
    bob.say(&alice, ["for your eyes only"]);
    let why = bob.sees_outbox(OutboxState::Refused);
    assert!(why.contains("alice@localhost"), "{why}");
    let alarms = bob.status().alarms;
    assert!(alarms.iter().any(|alarm| alarm.contains("Refused") && alarm.contains("alice@localhost")), "{alarms:?}");
    alice.expects_nothing();
}

#[test]
fn a_ghost_of_a_known_account_is_refused_from_a_group() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    plant_ghost(&net, "bob");
    let made = alice.attempt(new_group("us two", ["bob"]));
    assert!(
        matches!(&made, Err(CommandError::Usage { message }) if message.contains("another account key")),
        "{made:?}"
    );
    assert!(alice.status().alarms[0].contains("bob@localhost"));
    // What was there before is not touched.
    alice.send(["still us"]);
    bob.expects(["still us"]);
}

#[test]
fn a_server_that_was_rolled_back_is_noticed_and_no_longer_believed() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    net.stop_server();
    let backup = net.server_dir().with_extension("backup");
    copy_dir(&net.server_dir(), &backup);
    net.start_server();
    alice.send(["this will be lost"]);
    bob.expects(["this will be lost"]);
    net.stop_server();
    fs::remove_dir_all(net.server_dir()).unwrap();
    fs::rename(&backup, net.server_dir()).unwrap();
    net.start_server();
    for person in [&alice, &bob] {
        let alarm = person.sees("the alarm", |event| matches!(event, Event::Alarm { .. }));
        assert!(matches!(&alarm, Event::Alarm { text } if text.contains("rolled back")), "{alarm:?}");
    }
    let error = alice.attempt(Command::Send { to: "bob".into(), text: "hello?".into() }).unwrap_err();
    assert!(matches!(error, CommandError::Denied { .. }), "{error:?}");
    // The alarm stays until a person says that they know; that heals nothing, and is remembered.
    let number = alarms(&alice)[0].number;
    let unknown = alice.attempt(Command::AcknowledgeAlarms { numbers: vec![number, 99] });
    assert!(matches!(unknown, Err(CommandError::Usage { .. })), "{unknown:?}");
    assert_eq!(alice.status().alarms.len(), 1, "all or nothing");
    alice.do_it(Command::AcknowledgeAlarms { numbers: vec![number] });
    alice.disconnect();
    alice.connect();
    assert!(alice.status().alarms.is_empty());
    assert!(alarms(&alice)[0].acknowledged.is_some());
    let error = alice.attempt(Command::Send { to: "bob".into(), text: "hello?".into() }).unwrap_err();
    assert!(matches!(error, CommandError::Denied { .. }), "{error:?}");
    // What was said is still here.
    assert!(bob.history("alice").iter().any(|message| message.body == "this will be lost"));
}

pub(crate) fn alarms(person: &Person) -> Vec<Alarm> {
    match person.do_it(Command::Alarms) {
        Outcome::Alarms { alarms } => alarms,
        other => panic!("{other:?}"),
    }
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn a_reset_account_has_another_key_that_a_person_must_accept() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let token = net.reset("bob");
    bob.sees("the end", |event| matches!(event, Event::Online { online: false, .. }));
    let bob = net.register("bob", "bob's new home", &token);
    let alarm = alice.sees("the alarm", |event| matches!(event, Event::Alarm { .. }));
    assert!(matches!(&alarm, Event::Alarm { text } if text.contains("bob@localhost")), "{alarm:?}");
    assert!(alice.contact("bob").unwrap().key_changed);
    let refused = alice.attempt(Command::Send { to: "bob".into(), text: "is that you?".into() });
    assert!(matches!(&refused, Err(CommandError::KeyChanged { verified: false, .. })), "{refused:?}");
    alice.do_it(Command::TrustKey { who: "bob".into(), though_verified: false });
    assert!(!alice.contact("bob").unwrap().key_changed);
    alice.write("bob", ["it is you"]);
    bob.expects(["it is you"]);
}

#[test]
fn what_a_new_key_wrote_before_it_was_accepted_is_read_afterwards() {
    let net = Net::start();
    let (alice, bob) = net.pair();
    let token = net.reset("bob");
    bob.sees("the end", |event| matches!(event, Event::Online { online: false, .. }));
    let bob = net.register("bob", "bob's new home", &token);
    bob.write("alice", ["my password was lost"]);
    bob.do_it(Command::Flush);
    alice.until("the refusal", |alice| alice.status().alarms.iter().any(|alarm| alarm.starts_with("Refused")));
    alice.expects_nothing();
    alice.do_it(Command::TrustKey { who: "bob".into(), though_verified: false });
    alice.expects(["my password was lost"]);
}
