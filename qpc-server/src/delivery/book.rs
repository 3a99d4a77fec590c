//! What devices have acknowledged and the store has not written down yet.
//!
//! Every session notes here, and one task writes what was noted: in the order of logs, so that one page of the
//! table takes the cursors of many devices. Written one by one as they come, each would dirty a page of its own,
//! which was most of what the server gave to the disk. What is here is lost in a crash: the store's cursors are a lower
//! bound, and a device says with its next sync call where it is.

use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use qpc_proto::id::{ConversationName, DeviceId, Seq};
use tokio::{sync::Notify, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::store::{Acknowledged, Actor, Store};

/// Cursors in one verb: a commit that has one is a few milliseconds longer.
const VERB: usize = 256;

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    log: ConversationName,
    device: DeviceId,
}

struct Note {
    acknowledged: Acknowledged,
    /// Entries between this and what was noted when the last note of the cursor was taken to be written.
    entries: u64,
}

#[derive(Default)]
struct State {
    notes: HashMap<Key, Note>,
    /// Entries in all notes, also in those that are being written.
    entries: u64,
}

/// The book of cursors.
pub(super) struct Book {
    state: Mutex<State>,
    full: Notify,
    /// Notes from which it is written before it is time.
    write_at: usize,
    /// Notes it takes.
    max: usize,
}

impl Book {
    pub(super) fn new(write_at: usize, max: usize) -> Self {
        Self { state: Mutex::default(), full: Notify::new(), write_at, max }
    }

    /// A device has acknowledged a log up to an entry, `entries` more than it had before. A book that is full drops it:
    /// the next acknowledgement says it again.
    pub(super) fn note(&self, actor: &Actor, log: &ConversationName, seq: Seq, entries: u64) {
        let note = Note { acknowledged: Acknowledged::by(actor, log.clone(), seq), entries };
        let notes = {
            let mut state = self.lock();
            state.entries = state.entries.saturating_add(entries);
            state.put(note, self.max);
            state.notes.len()
        };
        if notes == self.write_at {
            self.full.notify_one();
        }
    }

    /// Notes that wait to be written, and the entries by which they are ahead of the store.
    pub(super) fn waiting(&self) -> (usize, u64) {
        let state = self.lock();
        (state.notes.len(), state.entries)
    }

    /// Writes the book at its times until the server stops; the last time is [`Book::write`], when sessions have ended.
    pub(super) async fn keep(&self, store: &dyn Store, every: Duration, stopping: CancellationToken) {
        loop {
            // Both branches only wait.
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = timeout(every, self.full.notified()) => {}
            }
            // What a stop interrupts is put back and written by the last time.
            self.write(store, &stopping).await;
        }
    }

    /// Writes what is noted now, unless `stopping` comes between. What the store does not take stays noted.
    pub(super) async fn write(&self, store: &dyn Store, stopping: &CancellationToken) {
        let mut notes: Vec<Note> = mem::take(&mut self.lock().notes).into_values().collect();
        notes.sort_unstable_by_key(|note| note.acknowledged.order());
        let mut notes = notes.into_iter();
        loop {
            let verb: Vec<Note> = notes.by_ref().take(VERB).collect();
            if verb.is_empty() {
                return;
            }
            let stopped = stopping.is_cancelled();
            let cursors = verb.iter().map(|note| note.acknowledged.clone()).collect();
            let written = if stopped { None } else { Some(store.record_cursors(cursors).await) };
            let mut state = self.lock();
            match written {
                Some(Ok(())) => {
                    let entries = verb.iter().fold(0, |sum: u64, note| sum.saturating_add(note.entries));
                    state.entries = state.entries.saturating_sub(entries);
                }
                refused => {
                    if let Some(Err(fault)) = refused {
                        tracing::debug!(%fault, "cursors could not be written and stay noted");
                    }
                    verb.into_iter().chain(notes).for_each(|note| state.put(note, self.max));
                    return;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if it did, a note would be missing, as after a crash.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Adds a note, or raises the one that is there. `entries` has it already, and loses it where there is no room.
    fn put(&mut self, note: Note, max: usize) {
        let key = Key { log: note.acknowledged.log().clone(), device: note.acknowledged.device() };
        let room = self.notes.len() < max;
        match self.notes.get_mut(&key) {
            Some(known) => {
                known.entries = known.entries.saturating_add(note.entries);
                if note.acknowledged.seq() > known.acknowledged.seq() {
                    known.acknowledged = note.acknowledged;
                }
            }
            None if room => {
                self.notes.insert(key, note);
            }
            None => self.entries = self.entries.saturating_sub(note.entries),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::{
        Backend,
        world::{World, wait},
    };
    use std::sync::Arc;

    struct Memory;

    impl Backend for Memory {
        fn open(&self) -> Arc<dyn Store> {
            Arc::new(crate::store::memory::MemoryStore::new())
        }

        fn persistent(&self) -> bool {
            false
        }
    }

    fn write(book: &Book, store: &dyn Store, stopping: &CancellationToken) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(book.write(store, stopping));
    }

    #[test]
    fn at_its_limit_it_takes_what_raises_a_note_and_drops_what_is_new() {
        let world = World::new(&Memory);
        let (alice, bob) = (world.person("alice"), world.person("bob"));
        let (talk, room) = (world.friends(&alice, &bob), world.group(&alice, &[]));
        let book = Book::new(1, 2);
        book.note(&alice, &talk, Seq(1), 1);
        book.note(&bob, &talk, Seq(1), 1);
        assert_eq!(book.waiting(), (2, 2));
        book.note(&alice, &room, Seq(1), 1);
        assert_eq!(book.waiting(), (2, 2));
        book.note(&alice, &talk, Seq(5), 4);
        assert_eq!(book.waiting(), (2, 6));
        // An older one says nothing new.
        book.note(&alice, &talk, Seq(2), 0);
        write(&book, &*world.store, &CancellationToken::new());
        assert_eq!(book.waiting(), (0, 0));
    }

    #[test]
    fn what_the_store_refuses_stays_noted() {
        let world = World::new(&Memory);
        let (alice, bob) = (world.person("alice"), world.person("bob"));
        let talk = world.friends(&alice, &bob);
        let book = Book::new(10, 10);
        book.note(&alice, &talk, Seq(1), 1);
        let stopping = CancellationToken::new();
        stopping.cancel();
        write(&book, &*world.store, &stopping);
        assert_eq!(book.waiting(), (1, 1));
        wait(world.store.close()).unwrap();
        write(&book, &*world.store, &CancellationToken::new());
        assert_eq!(book.waiting(), (1, 1));
    }
}
