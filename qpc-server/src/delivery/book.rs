//! What devices have acknowledged and the store has not written down yet.
//!
//! Every session notes here, and one task writes what was noted: in the order of logs, so that one page of the
//! table takes the cursors of many devices. Written one by one as they come, each would dirty a page of its own,
//! which was most of what the server gave to the disk. What is here is lost in a crash: the store's cursors are a lower
//! bound, and a device says with its next sync call where it is.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use qpc_proto::id::{ConversationName, Seq};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::store::{Acknowledged, LogPlace, Reader, Store};

/// Cursors in one verb: a commit that has one is a few milliseconds longer.
const VERB: usize = 256;
/// Verbs that are asked of the store at once when the server stops: they share a commit.
const LAST_VERBS: usize = 16;
/// Between two verbs otherwise, so that messages go first where everybody has come at once.
const PAUSE: Duration = Duration::from_millis(10);

/// A device's cursor in a log.
#[derive(Debug, Clone, Copy)]
struct Note {
    reader: Reader,
    seq: Seq,
    /// Entries between this and what was noted when the last note of the cursor was taken to be written.
    entries: u64,
}

/// A note with the log that it is of.
type Lying = (ConversationName, LogPlace, Note);

/// The notes of one log, by reader.
struct Page {
    log: ConversationName,
    notes: Vec<Note>,
}

#[derive(Default)]
struct State {
    pages: BTreeMap<LogPlace, Page>,
    /// Notes on all pages.
    notes: usize,
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
    pub(super) fn note(&self, reader: Reader, log: (&ConversationName, LogPlace), seq: Seq, entries: u64) {
        let notes = {
            let mut state = self.lock();
            state.entries = state.entries.saturating_add(entries);
            state.put(log, Note { reader, seq, entries }, self.max);
            state.notes
        };
        if notes == self.write_at {
            self.full.notify_one();
        }
    }

    /// Notes that wait to be written, and the entries by which they are ahead of the store.
    pub(super) fn waiting(&self) -> (usize, u64) {
        let state = self.lock();
        (state.notes, state.entries)
    }

    /// Writes the book at its times until the server stops; the last time is [`Book::write_all`], when sessions have ended.
    pub(super) async fn keep(&self, store: &dyn Store, every: Duration, stopping: CancellationToken) {
        loop {
            // Both branches only wait.
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = timeout(every, self.full.notified()) => {}
            }
            // What a stop interrupts is put back and written by the last time.
            self.write_calmly(store, &stopping).await;
        }
    }

    /// Writes what is noted now, unless `stopping` comes between. What the store does not take stays noted.
    async fn write_calmly(&self, store: &dyn Store, stopping: &CancellationToken) {
        let mut notes = self.take();
        while !stopping.is_cancelled() && self.write_some(store, &mut notes, 1).await {
            // Both branches only wait.
            tokio::select! {
                () = stopping.cancelled() => {}
                () = sleep(PAUSE) => {}
            }
        }
        self.put_back(notes);
    }

    /// Writes what is noted now, at once. What the store does not take stays noted.
    pub(super) async fn write_all(&self, store: &dyn Store) {
        let mut notes = self.take();
        while self.write_some(store, &mut notes, LAST_VERBS).await {}
        self.put_back(notes);
    }

    /// Writes the next notes in so many verbs. Says whether it did and there may be more.
    async fn write_some(&self, store: &dyn Store, notes: &mut impl Iterator<Item = Lying>, verbs: usize) -> bool {
        let mut asked = Vec::with_capacity(verbs);
        for _ in 0..verbs {
            let verb: Vec<_> = notes.by_ref().take(VERB).collect();
            if verb.is_empty() {
                break;
            }
            let cursors = verb.iter().map(|(log, place, note)| note.acknowledged(log, *place)).collect();
            asked.push((store.record_cursors(cursors), verb));
        }
        let mut more = asked.len() == verbs;
        for (reply, verb) in asked {
            match reply.await {
                Ok(()) => {
                    let entries = verb.iter().fold(0, |sum: u64, (.., note)| sum.saturating_add(note.entries));
                    let mut state = self.lock();
                    state.entries = state.entries.saturating_sub(entries);
                }
                Err(fault) => {
                    tracing::debug!(%fault, "cursors could not be written and stay noted");
                    self.put_back(verb);
                    more = false;
                }
            }
        }
        more
    }

    /// All notes, in the order of logs. Their entries stay counted.
    fn take(&self) -> impl Iterator<Item = Lying> + use<> {
        let mut state = self.lock();
        state.notes = 0;
        mem::take(&mut state.pages)
            .into_iter()
            .flat_map(|(place, Page { log, notes })| notes.into_iter().map(move |note| (log.clone(), place, note)))
    }

    fn put_back(&self, notes: impl IntoIterator<Item = Lying>) {
        let mut state = self.lock();
        for (log, place, note) in notes {
            state.put((&log, place), note, self.max);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if it did, a note would be missing, as after a crash.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Note {
    fn acknowledged(&self, log: &ConversationName, place: LogPlace) -> Acknowledged {
        Acknowledged::by(self.reader, log.clone(), place, self.seq)
    }
}

impl State {
    /// Adds a note, or raises the one that is there. `entries` has it already, and loses it where there is no room.
    fn put(&mut self, (log, place): (&ConversationName, LogPlace), note: Note, max: usize) {
        if self.notes >= max && !self.pages.contains_key(&place) {
            self.entries = self.entries.saturating_sub(note.entries);
            return;
        }
        let page = self.pages.entry(place).or_insert_with(|| Page { log: log.clone(), notes: Vec::new() });
        match page.notes.binary_search_by_key(&note.reader, |known| known.reader) {
            Ok(at) => {
                if let Some(known) = page.notes.get_mut(at) {
                    known.entries = known.entries.saturating_add(note.entries);
                    known.seq = known.seq.max(note.seq);
                }
            }
            Err(at) if self.notes < max => {
                page.notes.insert(at, note);
                self.notes = self.notes.saturating_add(1);
            }
            Err(_) => self.entries = self.entries.saturating_sub(note.entries),
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

    fn run(what: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(what);
    }

    #[test]
    fn at_its_limit_it_takes_what_raises_a_note_and_drops_what_is_new() {
        let world = World::new(&Memory);
        let (alice, bob) = (world.person("alice"), world.person("bob"));
        let (talk, room) = (world.friends(&alice, &bob), world.group(&alice, &[]));
        let book = Book::new(1, 2);
        book.note((&alice).into(), (&talk, LogPlace(1)), Seq(1), 1);
        book.note((&bob).into(), (&talk, LogPlace(1)), Seq(1), 1);
        assert_eq!(book.waiting(), (2, 2));
        book.note((&alice).into(), (&room, LogPlace(2)), Seq(1), 1);
        assert_eq!((book.waiting(), book.lock().pages.len()), ((2, 2), 1));
        book.note((&alice).into(), (&talk, LogPlace(1)), Seq(5), 4);
        assert_eq!(book.waiting(), (2, 6));
        // An older one says nothing new.
        book.note((&alice).into(), (&talk, LogPlace(1)), Seq(2), 0);
        run(book.write_all(&*world.store));
        assert_eq!(book.waiting(), (0, 0));
    }

    #[test]
    fn what_the_store_refuses_stays_noted() {
        let world = World::new(&Memory);
        let (alice, bob) = (world.person("alice"), world.person("bob"));
        let talk = world.friends(&alice, &bob);
        let book = Book::new(10, 10);
        book.note((&alice).into(), (&talk, LogPlace(1)), Seq(1), 1);
        let stopping = CancellationToken::new();
        stopping.cancel();
        run(book.write_calmly(&*world.store, &stopping));
        assert_eq!(book.waiting(), (1, 1));
        wait(world.store.close()).unwrap();
        run(book.write_all(&*world.store));
        assert_eq!(book.waiting(), (1, 1));
        run(book.write_calmly(&*world.store, &CancellationToken::new()));
        assert_eq!(book.waiting(), (1, 1));
    }
}
