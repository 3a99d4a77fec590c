//! The process ends at the two moments around a commit: what is found afterwards is what was acknowledged, and what is
//! sent again is stored once.

use std::{
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
};

use qpc_proto::id::ConversationName;

use super::*;
use crate::store::{
    Actor, Append, AppendError, Appended, Ask, CommitAppend, StoredGroup,
    conformance::{
        copies::going_on,
        links::{admitting, group_with_link, request},
        world::{World, wait},
    },
    memory::MemoryStore,
};

/// Where the child works, and where it ends.
const PLACE: &str = "QPC_TEST_FAILPOINT_PLACE";
const POINT: &str = "QPC_TEST_FAILPOINT";

struct Place(PathBuf);

impl Backend for Place {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(&self.0, key(), Options::default()).unwrap())
    }

    fn persistent(&self) -> bool {
        true
    }
}

/// The same story without a disk.
struct Twin;

impl Backend for Twin {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(MemoryStore::new())
    }

    fn persistent(&self) -> bool {
        false
    }
}

/// What happens in every world alike, down to the ids.
struct Story {
    alice: Actor,
    bob: Actor,
    talk: ConversationName,
    /// The one in whose commit the process ends.
    last: Last,
}

/// What is stored last.
enum Last {
    Message(Append),
    /// One that changes the group.
    Commit(Box<CommitAppend>),
}

impl Last {
    fn store(&self, world: &World, actor: &Actor) -> Result<Appended, AppendError> {
        match self {
            Self::Message(append) => world.append(actor, append),
            Self::Commit(commit) => world.commit(actor, commit),
        }
    }
}

/// In which commit of the store the process ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// A message's.
    Message,
    /// A commit's of a group.
    Commit,
    /// A commit's that lets in somebody by a link.
    Admission,
}

fn tell(world: &World, ending: Ending) -> Story {
    if ending == Ending::Admission {
        let (alice, bob, link) = group_with_link(world, 1);
        let carol = world.person("carol");
        let ask = Ask { request: request(world, &carol, &link), now_ms: world.now_ms.get() };
        wait(world.store.ask_to_join(&carol, ask)).unwrap();
        let talk = link.conversation().clone();
        let last = Last::Commit(Box::new(admitting(world, &alice, &talk, &[&carol])));
        return Story { alice, bob, talk, last };
    }
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let talk = world.friends(&alice, &bob);
    world.say(&alice, &talk, "acknowledged");
    let last = if ending == Ending::Commit {
        Last::Commit(Box::new(world.next_commit(&alice, &talk, &[], &[])))
    } else {
        Last::Message(world.message(&alice, &talk, b"never answered"))
    };
    Story { alice, bob, talk, last }
}

/// In the child: tells the story and ends at the point. In the parent: starts the child, and gives what it left.
fn killed_at(point: &str, test: &str, ending: Ending, judge: impl FnOnce(&World, &World, &Story)) {
    if let (Some(place), Some(point)) = (std::env::var_os(PLACE), std::env::var(POINT).ok()) {
        let world = World::new(&Place(place.into()));
        let story = tell(&world, ending);
        fail::cfg_callback(point, || std::process::abort()).unwrap();
        let answer = story.last.store(&world, &story.alice);
        panic!("it was answered: {answer:?}");
    }
    let folder = ended_at(point, test);
    let (twin, found) = (World::new(&Twin), World::new(&Place(folder.path())));
    let story = tell(&twin, ending);
    judge(&found, &twin, &story);
    // Whichever it was: sent again, it is there once (invariant 2).
    let answer = story.last.store(&found, &story.alice).unwrap();
    assert!(found.entries(&story.bob, &story.talk) == twin_with_last(&twin, &story));
    assert_eq!(Ok(answer), story.last.store(&twin, &story.alice));
    assert_eq!(group(&found, &story), group(&twin, &story));
}

/// What a process leaves that tells a test's story and ends at the point.
fn ended_at(point: &str, test: &str) -> Folder {
    let folder = Folder::new();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("store::sqlite::tests::failpoints::{test}")])
        .env(PLACE, folder.path())
        .env(POINT, point)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.signal(), Some(6), "{status}");
    folder
}

fn twin_with_last(twin: &World, story: &Story) -> Vec<qpc_proto::chain::LogEntry> {
    story.last.store(twin, &story.alice).unwrap();
    twin.entries(&story.bob, &story.talk)
}

fn group(world: &World, story: &Story) -> StoredGroup {
    wait(world.store.public_group(&story.bob, &story.talk, None)).unwrap()
}

#[test]
fn a_group_and_the_commit_that_changes_it_are_stored_together() {
    let name = "a_group_and_the_commit_that_changes_it_are_stored_together";
    killed_at("store::group_state", name, Ending::Commit, |found, twin, story| {
        assert_eq!(group(found, story), group(twin, story));
        assert!(found.entries(&story.bob, &story.talk) == twin.entries(&story.bob, &story.talk));
    });
}

/// Nobody is in without a use of the link being gone, and no use is gone without somebody being in.
#[test]
fn a_link_is_used_with_the_commit_that_lets_somebody_in() {
    let name = "a_link_is_used_with_the_commit_that_lets_somebody_in";
    killed_at("store::link_use", name, Ending::Admission, |found, twin, story| {
        assert_eq!(found.info(&story.alice, &story.talk), twin.info(&story.alice, &story.talk));
        let waiting =
            |world: &World| wait(world.store.join_requests(&story.alice, &story.talk, world.now_ms.get())).unwrap();
        assert!(waiting(found).len() == 1 && waiting(found) == waiting(twin));
    });
}

#[test]
fn before_a_commit_nothing_of_it_is_there() {
    killed_at(
        "store::before_commit",
        "before_a_commit_nothing_of_it_is_there",
        Ending::Message,
        |found, twin, story| {
            assert!(found.entries(&story.bob, &story.talk) == twin.entries(&story.bob, &story.talk));
        },
    );
}

/// Invariant 1, from its other side: what is durable may be unanswered, never the reverse.
#[test]
fn after_a_commit_all_of_it_is_there_though_nobody_was_answered() {
    let name = "after_a_commit_all_of_it_is_there_though_nobody_was_answered";
    killed_at("store::after_commit", name, Ending::Message, |found, twin, story| {
        assert!(found.entries(&story.bob, &story.talk) == twin_with_last(twin, story));
    });
}

/// Of another domain's conversation there is never an entry without what it does to the group and to who is in it.
#[test]
fn entries_of_a_copy_and_what_they_do_are_stored_together() {
    let point = "store::copied";
    if let Some(place) = std::env::var_os(PLACE) {
        let world = World::new(&Place(place.into()));
        let (_, append) = going_on(&world);
        fail::cfg_callback(point, || std::process::abort()).unwrap();
        panic!("it was answered: {:?}", wait(world.store.copy(append)));
    }
    let folder = ended_at(point, "entries_of_a_copy_and_what_they_do_are_stored_together");
    let (twin, found) = (World::new(&Twin), World::new(&Place(folder.path())));
    let (bob, append) = going_on(&twin);
    let log = append.log.clone();
    let seen = |world: &World| {
        let place = wait(world.store.copy_place(&log)).unwrap();
        let group = wait(world.store.public_group(&bob, &log, None)).unwrap();
        (place, group, world.entries(&bob, &log).len())
    };
    assert_eq!(seen(&found), seen(&twin));
    assert_eq!(wait(found.store.copy(append.clone())), wait(twin.store.copy(append)));
    assert_eq!(seen(&found), seen(&twin));
}

/// That a peer was restored is noted together with what is in doubt since: half of it would be taken for all.
#[test]
fn a_restore_of_a_peer_is_noted_with_all_that_follows_from_it() {
    let point = "store::peer_restored";
    let hub = || qpc_proto::address::Domain::parse("a.example").unwrap();
    if let Some(place) = std::env::var_os(PLACE) {
        let world = World::new(&Place(place.into()));
        going_on(&world);
        fail::cfg_callback(point, || std::process::abort()).unwrap();
        panic!("it was answered: {:?}", wait(world.store.peer_restored(&hub(), 7)));
    }
    let folder = ended_at(point, "a_restore_of_a_peer_is_noted_with_all_that_follows_from_it");
    let found = World::new(&Place(folder.path()));
    let told = || wait(found.store.due(&hub(), 0, 9)).unwrap().announcements.len();
    assert_eq!(told(), 0);
    assert_eq!(wait(found.store.peer_restored(&hub(), 7)), Ok(true), "it is news still");
    assert_eq!(told(), 1);
}
