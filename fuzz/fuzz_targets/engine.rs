//! What a client's group engine is shown by a server and by other members: it is processed or refused, never with a panic,
//! and what is refused has changed nothing.
#![no_main]

use ed25519_dalek::{Signer, SigningKey};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use qpc_client::mls::{Coming, Device, Invitee, Mls, SCHEMA, Trust, Verdict};
use qpc_proto::{
    address::Address,
    chain::EntryKind,
    credential::VerifiedDevice,
    id::{ConversationId, ConversationName, DeviceId, MessageId},
    role::{Role, RoleTable},
    suite::Suite,
    transcript, v1,
};
use rusqlite::{Connection, Transaction};
use zeroize::Zeroizing;

/// Everybody, so that nothing is refused before it is looked into.
struct Anybody;

impl Trust for Anybody {
    fn judge(&self, _: &VerifiedDevice) -> Verdict {
        Verdict::Trusted
    }
}

struct Person {
    store: Connection,
    device: Device,
    address: Address,
    id: DeviceId,
}

impl Person {
    fn invitee<'a>(&'a self, key_package: &'a [u8]) -> Invitee<'a> {
        Invitee { address: &self.address, device: self.id, key_package }
    }

    fn new(name: &str, number: u8) -> Self {
        let (account, key) = (SigningKey::from_bytes(&[number; 32]), SigningKey::from_bytes(&[number + 100; 32]));
        let address = Address::parse(&format!("{name}@a.example")).unwrap();
        let id = DeviceId::new(1, [number; 10]);
        let (account_key, device_key) = (account.verifying_key().to_bytes(), key.verifying_key().to_bytes());
        let signature = account.sign(&transcript::device_certificate(&address, &account_key, id, &device_key));
        let certificate = v1::DeviceCertificate {
            address: address.to_string(),
            account_key: account_key.to_vec().into(),
            device_id: id.to_bytes(),
            device_key: device_key.to_vec().into(),
            signature: signature.to_vec().into(),
        };
        let store = Connection::open_in_memory().unwrap();
        store.execute_batch(SCHEMA).unwrap();
        let device = Device::new(&certificate.encode_to_vec(), &Zeroizing::new(key.to_bytes())).unwrap();
        Self { store, device, address, id }
    }

    /// Works in a transaction, which is kept or undone.
    fn with<T>(&self, keep: bool, work: impl FnOnce(&Mls<'_>) -> T) -> T {
        let transaction: Transaction<'_> = self.store.unchecked_transaction().unwrap();
        let done = work(&Mls::new(&transaction, &self.device, &Anybody));
        if keep {
            transaction.commit().unwrap();
        }
        done
    }
}

/// alice's group with bob, and what bob's device can show her; carol has a key package in `adds_carol`.
struct Scene {
    name: ConversationName,
    alice: Person,
    carol: Person,
    message: Vec<u8>,
    adds_carol: v1::CommitBundle,
}

fn scene() -> Scene {
    let [alice, bob, carol] = [("alice", 1), ("bob", 2), ("carol", 3)].map(|(name, number)| Person::new(name, number));
    let name = ConversationName { domain: "a.example".parse().unwrap(), id: ConversationId::new(3, [1; 10]) };
    let package = |of: &Person| {
        of.with(true, |mls| mls.make_key_packages(Suite::Classical, 1, false).unwrap().one_time.remove(0))
    };
    let (bobs, carols) = (package(&bob), package(&carol));
    let roles = RoleTable::owned_by(alice.address.clone());
    let welcome = alice.with(true, |mls| {
        let made = mls.create_group(&name, Suite::Classical, &roles, None, &[bob.invitee(&bobs)]).unwrap();
        mls.group(&name).merge_pending().unwrap();
        made.staged.unwrap().welcome.unwrap()
    });
    bob.with(true, |mls| mls.join(&name, &welcome, None).map(drop).unwrap());
    let promoted = alice.with(true, |mls| {
        let staged = mls.group(&name).set_role(&bob.address, Role::Admin).unwrap();
        mls.group(&name).merge_pending().unwrap();
        staged.commit
    });
    bob.with(true, |mls| mls.group(&name).process(EntryKind::Commit, &promoted).map(drop).unwrap());
    let message = bob.with(true, |mls| mls.group(&name).encrypt(MessageId::new(1, [9; 10]), b"hello").unwrap().bytes);
    let adds_carol = bob.with(true, |mls| mls.group(&name).add(&[carol.invitee(&carols)]).unwrap().to_wire());
    Scene { name, alice, carol, message, adds_carol }
}

thread_local! {
    static SCENE: Scene = scene();
}

/// The bytes with some of them changed: each three of `changes` say where, and into what.
fn altered(bytes: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut altered = bytes.to_vec();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % altered.len();
        altered[at] ^= change[2];
    }
    altered
}

fuzz_target!(|bytes: &[u8]| {
    SCENE.with(|Scene { name, alice, carol, message, adds_carol }| {
        let commit = adds_carol.commit.as_ref();
        let shown = [bytes.to_vec(), altered(message, bytes), altered(commit, bytes)];
        for (kind, body) in [EntryKind::Message, EntryKind::Commit, EntryKind::Proposal]
            .into_iter()
            .flat_map(|kind| shown.iter().map(move |body| (kind, body)))
        {
            alice.with(false, |mls| {
                let before = mls.group(name).epoch_authenticator().unwrap();
                if mls.group(name).process(kind, body).is_err() {
                    assert!(mls.group(name).epoch_authenticator().unwrap() == before);
                    assert!(!mls.group(name).has_proposals().unwrap());
                }
            });
        }
        let welcome = adds_carol.welcome.as_ref();
        for welcome in [bytes.to_vec(), altered(welcome, bytes)] {
            carol.with(false, |mls| {
                if mls.join(name, &welcome, Some(bytes)).is_err() {
                    assert!(!mls.group(name).exists().unwrap());
                }
            });
        }
        for group_info in [bytes.to_vec(), altered(&adds_carol.group_info, bytes)] {
            carol.with(false, |mls| {
                drop(mls.join_by_commit(name, Coming::First, &group_info, bytes));
                assert!(!mls.group(name).exists().unwrap(), "nobody lets carol in by herself");
            });
        }
        // And as it is, it is followed.
        if bytes.is_empty() {
            alice.with(false, |mls| mls.group(name).process(EntryKind::Commit, commit).map(drop).unwrap());
            carol.with(false, |mls| mls.join(name, welcome, None).map(drop).unwrap());
        }
    });
});
