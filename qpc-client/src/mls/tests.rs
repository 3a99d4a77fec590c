//! People with an engine each, and the stories they live through. The log between them is
//! whatever order a test hands entries on in.

mod altered;
mod chat;
mod crash;
mod ephemeral;
mod external;
mod ghosts;
mod members;
mod races;
mod repair;
mod rules;
mod sizes;
mod suites;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use ed25519_dalek::{Signer, SigningKey};

use prost::Message as _;
use qpc_proto::{
    address::{Address, Domain},
    chain::EntryKind,
    credential::VerifiedDevice,
    id::{ConversationId, ConversationName, DeviceId, MessageId},
    role::RoleTable,
    suite::Suite,
    transcript, v1,
};
use rusqlite::Connection;
use zeroize::Zeroizing;

use super::*;

/// Pins the first key that each account shows, as the client's store does.
#[derive(Default)]
struct Pins(RefCell<BTreeMap<Address, [u8; 32]>>);

impl Trust for Pins {
    fn judge(&self, device: &VerifiedDevice) -> Verdict {
        let mut pins = self.0.borrow_mut();
        if pins.entry(device.address().clone()).or_insert(*device.account_key()) == device.account_key() {
            Verdict::Trusted
        } else {
            Verdict::AccountKeyChanged
        }
    }
}

/// One device of somebody, with a store of its own.
struct Person {
    store: Connection,
    device: Device,
    pins: Pins,
    /// Every transaction is first rolled back, as by a crash before its commit, and done again.
    crashes: Cell<bool>,
}

fn secret(seed: &str) -> SigningKey {
    SigningKey::from_bytes(blake3::hash(seed.as_bytes()).as_bytes())
}

fn address(name: &str) -> Address {
    Address::parse_at(name, &Domain::parse("a.example").unwrap()).unwrap()
}

fn device_id(seed: &str) -> DeviceId {
    DeviceId::new(1, blake3::hash(seed.as_bytes()).as_bytes()[..10].try_into().unwrap())
}

/// A certificate for a device of `owner`, as far as `account_key` and `signer` can make one.
fn certificate(owner: &str, device: &str, account_key: &SigningKey, signer: &SigningKey) -> Vec<u8> {
    let (owner, id) = (address(owner), device_id(device));
    let account_key = account_key.verifying_key().to_bytes();
    let device_key = secret(device).verifying_key().to_bytes();
    let signature = signer.sign(&transcript::device_certificate(&owner, &account_key, id, &device_key));
    let certificate = v1::DeviceCertificate {
        address: owner.to_string(),
        account_key: account_key.to_vec().into(),
        device_id: id.to_bytes(),
        device_key: device_key.to_vec().into(),
        signature: signature.to_vec().into(),
    };
    certificate.encode_to_vec()
}

impl Person {
    /// The first device of an account of this name.
    fn new(name: &str) -> Self {
        Self::with_device(name, name)
    }

    /// A device of an account; its seed makes its id and key.
    fn with_device(name: &str, device: &str) -> Self {
        let account = secret(&format!("account of {name}"));
        Self::with_account_key(name, device, &account)
    }

    fn with_account_key(name: &str, device: &str, account: &SigningKey) -> Self {
        let store = Connection::open_in_memory().unwrap();
        store.execute_batch(SCHEMA).unwrap();
        let certificate = certificate(name, device, account, account);
        let device = Device::new(&certificate, &Zeroizing::new(secret(device).to_bytes())).unwrap();
        Self { store, device, pins: Pins::default(), crashes: Cell::new(false) }
    }

    fn many<const N: usize>(names: [&str; N]) -> [Self; N] {
        names.map(Self::new)
    }

    fn address(&self) -> &Address {
        self.device.verified().address()
    }

    /// One transaction.
    fn with<T>(&self, operation: impl Fn(&Mls<'_>) -> T) -> T {
        if self.crashes.get() {
            let transaction = self.store.unchecked_transaction().unwrap();
            operation(&Mls::new(&transaction, &self.device, &self.pins));
            drop(transaction);
        }
        let transaction = self.store.unchecked_transaction().unwrap();
        let result = operation(&Mls::new(&transaction, &self.device, &self.pins));
        transaction.commit().unwrap();
        result
    }

    /// One transaction on one group.
    fn on<T>(&self, name: &ConversationName, operation: impl Fn(&mut Group<'_>) -> T) -> T {
        self.with(|mls| operation(&mut mls.group(name)))
    }

    fn key_package(&self) -> Vec<u8> {
        self.key_package_of(Suite::Classical)
    }

    fn key_package_of(&self, suite: Suite) -> Vec<u8> {
        self.with(|mls| mls.make_key_packages(suite, 1, false).unwrap().one_time.remove(0))
    }

    fn invitee<'a>(&'a self, key_package: &'a [u8]) -> Invitee<'a> {
        Invitee { address: self.address(), device: self.device.verified().device(), key_package }
    }

    fn send(&self, name: &ConversationName, text: &str) -> Vec<u8> {
        self.on(name, |group| group.encrypt(message_id(text), text.as_bytes()).unwrap().bytes)
    }

    fn process(&self, name: &ConversationName, kind: EntryKind, body: &[u8]) -> Result<Processed, ProcessError> {
        self.on(name, |group| group.process(kind, body))
    }

    /// Reads a message: who says what.
    fn reads(&self, name: &ConversationName, body: &[u8]) -> Result<(String, String), ProcessError> {
        match self.process(name, EntryKind::Message, body)? {
            Processed::Message { sender, id, plaintext } => {
                let text = String::from_utf8(plaintext.to_vec()).unwrap();
                assert_eq!(id, message_id(&text));
                Ok((sender.address().name.to_string(), text))
            }
            _ => panic!("not a message"),
        }
    }

    fn follows(&self, name: &ConversationName, commit: &[u8]) -> Result<Change, ProcessError> {
        match self.process(name, EntryKind::Commit, commit)? {
            Processed::Commit(change) => Ok(*change),
            _ => panic!("not a commit"),
        }
    }

    fn merges(&self, name: &ConversationName) -> Change {
        self.on(name, |group| group.merge_pending().unwrap())
    }

    fn sees(&self, name: &ConversationName) -> Vec<String> {
        let members = self.on(name, |group| group.members().unwrap());
        members.iter().map(|member| member.device.address().name.to_string()).collect()
    }

    fn authenticator(&self, name: &ConversationName) -> Vec<u8> {
        self.on(name, |group| group.epoch_authenticator().unwrap())
    }

    /// Values that the store holds, of any kind or of one.
    fn rows(&self, kind: Option<storage::Kind>) -> usize {
        let kind = kind.map(|kind| kind as u8);
        let sql = "SELECT COUNT(*) FROM mls_values WHERE ?1 IS NULL OR kind = ?1";
        self.store.query_row(sql, [kind], |row| row.get::<_, i64>(0)).unwrap().try_into().unwrap()
    }
}

/// An id that a text has in these tests.
fn message_id(text: &str) -> MessageId {
    MessageId::new(7, blake3::hash(text.as_bytes()).as_bytes()[..10].try_into().unwrap())
}

fn conversation(seed: u8) -> ConversationName {
    ConversationName { domain: Domain::parse("a.example").unwrap(), id: ConversationId::new(3, [seed; 10]) }
}

/// A group that `people[0]` has made and the others have joined.
fn group_of(people: &[&Person]) -> ConversationName {
    group_with(Suite::Classical, people)
}

fn group_with(suite: Suite, people: &[&Person]) -> ConversationName {
    let name = conversation(1);
    let (owner, others) = people.split_first().unwrap();
    let packages: Vec<_> = others.iter().map(|person| person.key_package_of(suite)).collect();
    let roles = RoleTable::owned_by(owner.address().clone());
    let staged = owner.with(|mls| {
        let invitees: Vec<_> = others.iter().zip(&packages).map(|(person, package)| person.invitee(package)).collect();
        mls.create_group(&name, suite, &roles, None, &invitees).unwrap().staged
    });
    if let Some(staged) = staged {
        owner.merges(&name);
        let welcome = staged.welcome.unwrap();
        let tree = (!config::carries_tree(suite, others.len(), people.len())).then(|| external::shown(owner, &name).1);
        for person in others {
            person.with(|mls| mls.join(&name, &welcome, tree.as_deref()).unwrap());
        }
    }
    name
}

/// Commits and lets everybody else of the group follow.
fn commits(
    who: &Person,
    others: &[&Person],
    name: &ConversationName,
    make: impl Fn(&mut Group<'_>) -> Result<Staged, CommitError>,
) -> (Staged, Change) {
    let staged = who.on(name, |group| make(group).unwrap());
    let change = who.merges(name);
    assert_eq!(change, staged.change);
    for other in others {
        assert_eq!(other.follows(name, &staged.commit).unwrap(), change);
        if !change.removed_self {
            assert_eq!(other.authenticator(name), who.authenticator(name));
        }
    }
    (staged, change)
}

fn names(addresses: &[Address]) -> Vec<String> {
    addresses.iter().map(|address| address.name.to_string()).collect()
}
