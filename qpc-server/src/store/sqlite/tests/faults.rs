//! Batches and faults: what is undone, what goes on, what stops.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use bytes::Bytes;
use qpc_proto::id::{Counter, Epoch, Seq};

use super::*;
use crate::store::{
    Admission, AppendError, CreateAccountError, InviteError,
    conformance::{
        upkeep::retain,
        world::{World, wait},
    },
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Notes the sizes of batches, and holds the writer after a commit when asked to.
struct Hold {
    batches: Mutex<Vec<usize>>,
    armed: AtomicBool,
    held: SyncSender<()>,
    release: Mutex<Receiver<()>>,
}

impl StoreObserver for Hold {
    fn committed(&self, batch: Batch) {
        self.batches.lock().unwrap().push(batch.verbs);
        if self.armed.swap(false, Ordering::SeqCst) {
            self.held.send(()).unwrap();
            self.release.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        }
    }
}

struct Held {
    world: World,
    hold: Arc<Hold>,
    held: Receiver<()>,
    release: SyncSender<()>,
    _folder: Folder,
}

impl Held {
    fn new(options: impl FnOnce(&mut Options)) -> Self {
        let (held_sender, held) = sync_channel(1);
        let (release, release_receiver) = sync_channel(1);
        let hold = Arc::new(Hold {
            batches: Mutex::default(),
            armed: AtomicBool::new(false),
            held: held_sender,
            release: Mutex::new(release_receiver),
        });
        let mut folder = Folder::new();
        folder.options.observer = hold.clone();
        options(&mut folder.options);
        Self { world: World::new(&folder), hold, held, release, _folder: folder }
    }

    /// Calls verbs while the writer is held, so that they wait together.
    fn together<R>(&self, call: impl FnOnce(&World) -> R) -> R {
        self.hold.armed.store(true, Ordering::SeqCst);
        let probe = self.world.store.probe();
        self.held.recv_timeout(PATIENCE).unwrap();
        self.hold.batches.lock().unwrap().clear();
        let called = call(&self.world);
        self.release.send(()).unwrap();
        wait(probe).unwrap();
        called
    }

    fn batches(&self) -> Vec<usize> {
        self.hold.batches.lock().unwrap().clone()
    }
}

#[test]
fn verbs_that_wait_share_a_commit() {
    let held = Held::new(|options| options.batch_verbs = 8);
    let (alice, bob) = (held.world.person("alice"), held.world.person("bob"));
    let talk = held.world.friends(&alice, &bob);
    let replies = held.together(|world| {
        (2..=21)
            .map(|n| world.store.append(&alice, world.numbered(&talk, Counter(n), Epoch(1), b"x")))
            .collect::<Vec<_>>()
    });
    for reply in replies {
        wait(reply).unwrap();
    }
    assert_eq!(held.batches(), [8, 8, 4]);
}

#[test]
fn a_batch_ends_at_its_bytes() {
    let held = Held::new(|options| options.batch_bytes = 3000);
    let (alice, bob) = (held.world.person("alice"), held.world.person("bob"));
    let talk = held.world.friends(&alice, &bob);
    let replies = held.together(|world| {
        (2..=6)
            .map(|n| world.store.append(&alice, world.numbered(&talk, Counter(n), Epoch(1), &[0; 1600])))
            .collect::<Vec<_>>()
    });
    for reply in replies {
        wait(reply).unwrap();
    }
    assert_eq!(held.batches(), [2, 2, 1]);
}

#[test]
fn a_fault_undoes_its_verb_alone() {
    let held = Held::new(|_| {});
    let (alice, bob) = (held.world.person("alice"), held.world.person("bob"));
    let talk = held.world.friends(&alice, &bob);
    let (first, broken, second) = held.together(|world| {
        let append = |n| world.store.append(&alice, world.numbered(&talk, Counter(n), Epoch(1), b"x"));
        // No check of ours foresees an account id that is in use: the engine refuses it after the first rows.
        let mut new = world.new_account("carol", Admission::Open);
        new.id = alice.account();
        (append(2), world.store.create_account(new), append(3))
    });
    assert_eq!(wait(first).unwrap().seq, Seq(2));
    let fault = wait(broken).unwrap_err();
    assert!(matches!(fault, CreateAccountError::Invite(InviteError::Fault(StoreFault::Engine(_)))), "{fault}");
    assert_eq!(wait(second).unwrap().seq, Seq(3));
    // The batch of three was undone, the faulty verb committed nothing.
    assert_eq!(held.batches(), [1, 1]);
    assert_eq!(held.world.entries(&bob, &talk).len(), 3);
    let told: Vec<_> = held.world.told().into_iter().filter(|told| told.entry.conversation == talk).collect();
    assert_eq!(told.len(), 3, "nothing is told that was undone");
    held.world.person("carol");
}

#[test]
fn a_full_queue_refuses_and_forgets() {
    let held = Held::new(|options| options.write_queue = 2);
    let (alice, bob) = (held.world.person("alice"), held.world.person("bob"));
    let talk = held.world.friends(&alice, &bob);
    let (first, second, third) = held.together(|world| {
        let append = |n| world.store.append(&alice, world.numbered(&talk, Counter(n), Epoch(1), b"x"));
        (append(2), append(3), append(4))
    });
    assert!(wait(first).is_ok() && wait(second).is_ok());
    assert_eq!(wait(third), Err(AppendError::Fault(StoreFault::Busy)));
    held.world.say(&alice, &talk, "again");
    assert_eq!(held.world.entries(&bob, &talk).len(), 4);
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_space() {
    let mut folder = Folder::new();
    folder.options.max_pages = Some(200);
    let world = World::new(&folder);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let talk = world.friends(&alice, &bob);
    let body = [0; 16 * 1024];
    let mut counter = Counter(1);
    let refused = loop {
        let message = world.numbered(&talk, counter.next(), Epoch(1), &body);
        match world.append(&alice, &message) {
            Ok(_) => counter = counter.next(),
            Err(error) => break (message, error),
        }
        assert!(counter < Counter(100));
    };
    assert_eq!(refused.1, AppendError::Fault(StoreFault::Full));
    // Nothing of it is left, and reading goes on.
    assert_eq!(world.entries(&bob, &talk).len() as u64, counter.0);
    assert_eq!(world.append(&alice, &refused.0), Err(AppendError::Fault(StoreFault::Full)));
    retain(&world, u64::MAX, 0);
    world.append(&alice, &refused.0).unwrap();
    assert_eq!(world.entries(&bob, &talk).len() as u64, counter.0 + 1);
}

/// A store whose fatal hook notes the reason and comes back.
fn with_hook() -> (Folder, Receiver<String>) {
    let (sender, reasons) = sync_channel(4);
    let mut folder = Folder::new();
    folder.options.on_fatal = Arc::new(move |reason| sender.send(reason.to_owned()).unwrap());
    (folder, reasons)
}

#[test]
fn a_failed_commit_stops_everything_and_answers_nothing_well() {
    let (folder, reasons) = with_hook();
    let world = World::new(&folder);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let talk = world.friends(&alice, &bob);
    let message = world.message(&alice, &talk, b"lost?");
    world.told();
    folder.options.broken_disk.store(true, Ordering::Relaxed);
    assert!(matches!(world.append(&alice, &message), Err(AppendError::Fault(StoreFault::Engine(_)))));
    assert!(reasons.recv_timeout(PATIENCE).unwrap().contains("commit failed"));
    assert!(world.told().is_empty());
    // Even if the disk seems well again: nothing is known of it.
    folder.options.broken_disk.store(false, Ordering::Relaxed);
    assert_eq!(world.append(&alice, &message), Err(AppendError::Fault(StoreFault::Stopped)));
    wait(world.store.close()).unwrap();
    let world = World::new(&folder);
    world.append(&alice, &message).unwrap();
    assert_eq!(world.entries(&bob, &talk).len(), 2);
}

struct Panics(AtomicBool);

impl StoreObserver for Panics {
    fn committed(&self, _batch: Batch) {
        assert!(!self.0.load(Ordering::SeqCst), "on purpose");
    }
}

#[test]
fn a_panic_of_the_writer_is_fatal() {
    let (mut folder, reasons) = with_hook();
    let panics = Arc::new(Panics(AtomicBool::new(false)));
    folder.options.observer = panics.clone();
    let world = World::new(&folder);
    world.person("alice");
    panics.0.store(true, Ordering::SeqCst);
    assert_eq!(wait(world.store.probe()), Err(StoreFault::Stopped));
    assert_eq!(reasons.recv_timeout(PATIENCE).unwrap(), "the writer panicked");
    assert_eq!(wait(world.store.probe()), Err(StoreFault::Stopped));
}

#[test]
fn bodies_of_any_bytes_come_back_as_they_were() {
    let folder = Folder::new();
    let world = World::new(&folder);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let talk = world.friends(&alice, &bob);
    let all: Vec<u8> = (0..=255).collect();
    for body in [&[][..], &[0], &all] {
        let message = world.message(&alice, &talk, body);
        world.append(&alice, &message).unwrap();
        let last = world.entries(&bob, &talk).pop().unwrap();
        assert!(last.content == qpc_proto::chain::EntryContent::Body(Bytes::copy_from_slice(body)));
    }
}

#[test]
fn a_panic_of_a_reader_ends_its_request_alone() {
    let folder = Folder::new();
    let store = SqliteStore::open(&folder.path(), key(), folder.options.clone()).unwrap();
    // More often than there are readers.
    for _ in 0..5 {
        let outcome = wait(store.read(|tables| -> Result<(), StoreFault> {
            tables.count_accounts()?;
            panic!("on purpose")
        }));
        assert!(matches!(outcome, Err(StoreFault::Engine(_))), "{outcome:?}");
    }
    assert_eq!(wait(store.count_accounts()).unwrap(), 0);
}

#[test]
fn the_log_is_written_back_beside_busy_readers() {
    let mut folder = Folder::new();
    // Each message has more than eight pages, so that each checkpoint waits for the readers.
    folder.options.wal_autocheckpoint = 1;
    let world = World::new(&folder);
    let (alice, bob) = (world.person("alice"), world.person("bob"));
    let talk = world.friends(&alice, &bob);
    // Of the schema, which one transaction makes.
    let bytes = || std::fs::metadata(folder.path().with_extension("db-wal")).unwrap().len();
    let begun = bytes();
    let done = AtomicBool::new(false);
    let store = &world.store;
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    wait(store.list_devices(&alice)).unwrap();
                }
            });
        }
        let large = "x".repeat(16 * 1024);
        for _ in 0..100 {
            world.say(&alice, &talk, &large);
        }
        done.store(true, Ordering::Relaxed);
    });
    let log = bytes();
    assert!(log < begun + 64 * 1024, "{log} bytes of log, of which there were {begun} before");
}
