//! Files for people of other domains: the hub keeps them, and each domain fetches one once.

use std::{fs, time::Duration};

use qpc_client::api::{Command, CommandError, File, FileState, OutboxState, Outcome, Place};
use qpc_proto::{
    id::{ConversationId, ConversationName},
    v1::{self, peer_answer, peer_request},
};
use qpc_server::{
    blob_store::{BlobDigest, BlobStore, Place as BlobPlace},
    remote::RemoteError,
};
use tokio::task::JoinSet;

use crate::{
    across::{acquaint, connected},
    blobs::bytes,
    claims::{asked_by_hand, asks},
    net::{Net, Person, new_group},
    peer::Stream,
    wire::soon,
};

/// Three parts.
const SIZE: usize = 600_000;

fn send(net: &Net, of: &Person, (to, name, seed): (&str, &str, u8)) {
    let path = net.home_dir(name);
    fs::write(&path, bytes(seed, SIZE)).unwrap();
    let path = path.to_str().unwrap().to_owned();
    of.do_it(Command::FileSend { to: to.into(), path, caption: String::new() });
}

fn files(of: &Person, with: &str) -> Vec<File> {
    match of.attempt(Command::Files { to: with.into() }) {
        Ok(Outcome::Files { files }) => files,
        _ => Vec::new(),
    }
}

/// Waits for the message that tells of a file; gives its id.
fn told(of: &Person, with: &str, name: &str) -> String {
    let find = |person: &Person| files(person, with).into_iter().find(|file| file.name == name);
    of.until("told of a file", |person| find(person).is_some_and(|file| file.state == FileState::There));
    find(of).unwrap().id
}

fn get(net: &Net, of: &Person, id: &str) -> Result<Vec<u8>, CommandError> {
    let place = net.home_dir(&format!("{} has {id}", of.name));
    drop(fs::remove_file(&place));
    let place = Place::File(place.to_str().unwrap().into());
    match of.attempt(Command::FileGet { id: id.into(), place })? {
        Outcome::Saved(saved) => Ok(fs::read(saved.path).unwrap()),
        other => panic!("{other:?}"),
    }
}

/// Bytes of files that a server has given.
fn given(net: &Net) -> u64 {
    let page = net.metrics().text().unwrap();
    let value = page.lines().find_map(|line| line.strip_prefix("qpc_blob_bytes_total{direction=\"out\"} ")).unwrap();
    value.trim().parse().unwrap()
}

fn stored(net: &Net) -> (u64, u64) {
    let figures = net.block(net.blobs().figures()).unwrap();
    (figures.blobs.blobs, figures.uploads.blobs)
}

#[test]
fn a_file_is_kept_by_the_hub_and_fetched_once_by_each_domain() {
    let nets = Net::start_all(["a.example", "b.example", "c.example"]);
    connected(&nets);
    let [a, b, c] = &nets;
    let (alice, bob, ben, carol) = (a.person("alice"), b.person("bob"), b.person("ben"), c.person("carol"));
    for (other, address) in [(&bob, "bob@b.example"), (&ben, "ben@b.example"), (&carol, "carol@c.example")] {
        acquaint((&alice, "alice@a.example"), (other, address));
    }
    alice.do_it(new_group("crew", ["bob@b.example", "ben@b.example", "carol@c.example"]));
    bob.until("in the group", |bob| bob.conversations().iter().any(|one| one.title == "crew"));
    // From one who is not at the hub, and from one who is.
    send(b, &bob, ("crew", "plan", 1));
    let plan = told(&alice, "crew", "plan");
    assert!(get(a, &alice, &plan).unwrap() == bytes(1, SIZE));
    assert_eq!((stored(a), stored(b), stored(c)), ((1, 0), (0, 0), (0, 0)));
    let before = given(a);
    for (net, person) in [(b, &ben), (c, &carol)] {
        assert!(get(net, person, &told(person, "crew", "plan")).unwrap() == bytes(1, SIZE));
        assert_eq!(stored(net), (1, 0));
    }
    let after = given(a);
    assert!(after - before > 2 * SIZE as u64 && after - before < 3 * SIZE as u64, "{before} {after}");
    assert!(get(b, &bob, &told(&bob, "crew", "plan")).unwrap() == bytes(1, SIZE));
    assert_eq!(given(a), after, "what its own server has is not fetched again");
    send(a, &alice, ("crew", "answer", 2));
    let answer = told(&carol, "crew", "answer");
    // What a server has can be read while the hub is away, and nothing else.
    let unread = told(&ben, "crew", "answer");
    assert!(get(c, &carol, &answer).unwrap() == bytes(2, SIZE));
    alice.disconnect();
    a.stop_server();
    assert!(get(c, &carol, &answer).unwrap() == bytes(2, SIZE));
    let away = get(b, &ben, &unread);
    assert!(
        matches!(&away, Err(CommandError::TryLater { message }) if message.contains("keeps its files")),
        "{away:?}"
    );
    // What is sent meanwhile waits, and people are told for whom.
    send(b, &bob, ("crew", "late", 3));
    assert!(bob.sees_outbox(OutboxState::Waiting).contains("keeps its files, can't be reached"));
    a.start_server();
    alice.connect();
    let late = told(&alice, "crew", "late");
    assert!(get(a, &alice, &late).unwrap() == bytes(3, SIZE));
    assert!(get(b, &ben, &unread).unwrap() == bytes(2, SIZE));
}

/// A copy goes when the hub's own does, and who is out of the conversation reads neither.
#[test]
fn a_copy_is_kept_no_longer_than_at_the_hub_and_read_by_nobody_who_has_left() {
    let nets = Net::start_all(["a.example", "b.example"]);
    connected(&nets);
    let [a, b] = &nets;
    a.stop_server();
    a.start_server_with(|config| config.retention.blobs_days = 1);
    let (alice, bob) = (a.person("alice"), b.person("bob"));
    acquaint((&alice, "alice@a.example"), (&bob, "bob@b.example"));
    alice.do_it(new_group("crew", ["bob@b.example"]));
    send(a, &alice, ("crew", "plan", 1));
    let plan = told(&bob, "crew", "plan");
    assert!(get(b, &bob, &plan).unwrap() == bytes(1, SIZE));
    assert_eq!(stored(b), (1, 0));
    send(a, &alice, ("crew", "second", 2));
    let second = told(&bob, "crew", "second");
    alice.do_it(Command::GroupRemove { group: "crew".into(), members: vec!["bob@b.example".into()] });
    bob.until("out of it", |bob| bob.conversations().iter().any(|one| one.title == "crew" && !one.active));
    for id in [&plan, &second] {
        let gone = get(b, &bob, id);
        assert!(matches!(&gone, Err(CommandError::Denied { .. })), "{gone:?}");
    }
    // A restart looks at once for what is over.
    bob.disconnect();
    b.stop_server();
    b.pass(Duration::from_secs(24 * 60 * 60 + 60));
    b.start_server();
    bob.connect();
    bob.until("the copy gone", |_| stored(b) == (0, 0));
}

#[tokio::test]
async fn so_many_parts_of_files_are_on_their_way_and_others_wait_beside_requests() {
    let (side, _hand, connection) = asked_by_hand(|settings| {
        settings.limits.transfers = 2;
        settings.limits.transfer = Duration::from_secs(4);
    })
    .await;
    let read = |offset: u64| {
        let conversation =
            ConversationName { domain: crate::peer::domain("b.example"), id: ConversationId::new(1, [1; 10]) };
        let place = BlobPlace { conversation, digest: BlobDigest([2; 32]) };
        side.remote.read_blob(&place, offset, 10)
    };
    let mut waiting: JoinSet<_> = (0..3).map(read).collect();
    let mut first = Stream::accept(&connection).await;
    let mut second = Stream::accept(&connection).await;
    let Some(peer_request::Method::ReadBlob(asked)) = first.next::<v1::PeerRequest>().await.unwrap().method else {
        panic!("something else was asked for");
    };
    second.next::<v1::PeerRequest>().await.unwrap();
    assert_eq!((asked.read.unwrap().length, side.in_flight()), (10, 2));
    // Who asks for something else does not wait behind them.
    let mut others: JoinSet<_> = [asks(&side.remote)].into_iter().collect();
    let mut third = Stream::accept(&connection).await;
    let method = third.next::<v1::PeerRequest>().await.unwrap().method;
    assert!(matches!(method, Some(peer_request::Method::ClaimKeyPackages(_))), "{method:?}");
    others.abort_all();
    // One that is answered makes room for the one that waits.
    let range = v1::ReadBlobAnswer { size: 20, data: vec![1; 10].into() };
    let answer = v1::PeerReadBlobAnswer { range: Some(range), kept_ms: 7 };
    first.say(&v1::PeerAnswer { result: Some(peer_answer::Result::ReadBlob(answer)) }).await;
    let got = soon(waiting.join_next()).await.unwrap().unwrap().unwrap();
    assert_eq!((got.size, got.data.len(), got.kept_ms), (20, 10, 7));
    let mut fourth = Stream::accept(&connection).await;
    fourth.next::<v1::PeerRequest>().await.unwrap();
    // And one that is not ends by itself.
    while let Some(answer) = soon(waiting.join_next()).await {
        assert_eq!(answer.unwrap(), Err(RemoteError::Unreachable));
    }
    assert_eq!(side.asked("busy"), 0);
    side.stop().await;
}
