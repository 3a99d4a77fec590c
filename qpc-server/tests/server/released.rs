//! Files whose messages are refused when they are on the server already: nobody can read them, so nobody is charged for them.

use std::fs;

use bytes::Bytes;
use qpc_client::api::{Command, FileState, Outcome};
use qpc_proto::{address::AccountName, id::ConversationName, limits::BLOB_PART};
use qpc_server::{
    blob_store::{BlobDigest, BlobStore, Budget, Kept, NewUpload, Place, Quota, Upload},
    clock::{Clock, SystemClock},
    metrics::labels::Limit,
    store::Store,
};

use crate::{
    blobs::bytes,
    net::{Net, Person, new_group},
};

/// Queues a file.
fn send(net: &Net, of: &Person, to: &str) {
    let path = net.home_dir("a film.bin");
    fs::write(&path, bytes(7, 300_000)).unwrap();
    let path = path.to_str().unwrap().to_owned();
    of.do_it(Command::FileSend { to: to.into(), path, caption: String::new() });
}

/// How it stands with the last file of a conversation.
fn state(of: &Person, with: &str) -> FileState {
    match of.do_it(Command::Files { to: with.into() }) {
        Outcome::Files { files } => files.last().expect("a file").state,
        other => panic!("{other:?}"),
    }
}

fn stored(net: &Net) -> u64 {
    let figures = net.block(net.blobs().figures()).unwrap();
    figures.blobs.blobs + figures.uploads.blobs
}

/// Alice and bob, in a group of bob's.
fn team(net: &Net) -> (Person, Person) {
    let (alice, bob) = net.pair();
    bob.do_it(new_group("team", ["alice"]));
    alice.until("the group", |alice| alice.conversations().iter().any(|known| known.title == "team"));
    (alice, bob)
}

fn bob_removes_alice(bob: &Person) {
    bob.do_it(Command::GroupRemove { group: "team".into(), members: vec!["alice".into()] });
}

/// Ciphertext goes up as from another device of the account: the first one's home knows nothing of it.
pub(crate) fn upload_elsewhere(net: &Net, name: &str, conversation: ConversationName, content: &Bytes) {
    let place = Place { conversation, digest: BlobDigest(*blake3::hash(content).as_bytes()) };
    let (store, blobs) = (net.store(), net.blobs());
    net.block(async {
        let record = store.login_record(&AccountName::parse(name).unwrap()).await.unwrap();
        let upload = Upload { account: record.account.unwrap(), place };
        let (size, all) = (content.len() as u64, Budget { bytes: 1 << 40, blobs: 100 });
        let quota = Quota { account: all, conversation: all, uploads: 1 };
        let now_ms = SystemClock.unix_ms();
        let new = NewUpload { upload: upload.clone(), size, quota, readable_in: None, now_ms };
        blobs.begin(new).await.unwrap();
        for (number, part) in (0..).zip(content.chunks(BLOB_PART)) {
            blobs.put_part(upload.clone(), number, content.slice_ref(part), now_ms).await.unwrap();
        }
        let whole = blobs.ready(upload.clone()).await.unwrap().unwrap();
        blobs.finish(upload, whole, Kept { added_ms: now_ms, until_ms: 0 }).await.unwrap();
    });
}

#[test]
fn a_file_is_released_when_its_message_is_refused() {
    let net = Net::start();
    let (alice, bob) = team(&net);
    net.stop_server();
    send(&net, &alice, "team");
    let known = alice.conversations().into_iter().find(|known| known.title == "team").unwrap();
    alice.disconnect();
    let spool = fs::read_dir(net.home_dir("alice").join("spool")).unwrap().next().unwrap().unwrap();
    let content = Bytes::from(fs::read(spool.path()).unwrap());
    net.start_server();
    upload_elsewhere(&net, "alice", known.conversation.parse().unwrap(), &content);
    assert_eq!(stored(&net), 1);
    bob_removes_alice(&bob);
    alice.connect();
    alice.until("refused", |alice| state(alice, "team") == FileState::Refused);
    alice.until("released", |_| stored(&net) == 0);
}

#[test]
fn a_file_stays_when_its_message_may_be_there() {
    let net = Net::start();
    let (alice, bob) = team(&net);
    net.stop_server();
    net.start_server_with(|config| (config.limits.message.rate, config.limits.message.burst) = (1, 1));
    // From here on a message waits at the server until a minute is over.
    alice.write("team", ["one"]);
    bob.expects(["one"]);
    send(&net, &alice, "team");
    alice.until("sent", |_| net.metrics().rate_limit_hits(Limit::Message) > 0);
    assert_eq!(state(&alice, "team"), FileState::Queued);
    alice.disconnect();
    net.stop_server();
    net.start_server();
    bob_removes_alice(&bob);
    alice.connect();
    alice.until("refused", |alice| state(alice, "team") == FileState::Refused);
    // What is to be released goes before further files.
    send(&net, &alice, "bob");
    alice.until("sent", |alice| state(alice, "bob") == FileState::There);
    assert_eq!(stored(&net), 2);
}
