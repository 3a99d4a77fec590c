//! What this person and others do at this moment: in memory alone, bounded, and lost with the process.
//!
//! Whoever notices something marks the conversation; the driver says it, a moment later and together with what else there is
//! to say (`driver/ephemeral`). What a device does is always said whole, so that it does not matter which of many events
//! are lost.

mod keys;

use std::{
    collections::{HashMap, VecDeque},
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use qpc_proto::{
    ephemeral::Presently,
    id::{ConversationName, DeviceId, Seq},
    v1,
};
use tokio::{sync::Notify, time::Instant};

pub(crate) use self::keys::Keys;
use crate::{api::Event, apply::Applied, fresh};

/// Conversations of which something is remembered.
const PLACES_MAX: usize = 256;
/// Events that wait to go or come on a stream; the oldest goes.
const WAITING_MAX: usize = 64;
/// People whose typing or presence is remembered.
const PEOPLE_MAX: usize = 256;
/// How long somebody is writing who does not say so again, and how often it is said again.
pub(crate) const TYPING: Duration = Duration::from_secs(7);
const TYPING_AGAIN: Duration = Duration::from_secs(4);
/// How long a contact is there who does not say so again.
const PRESENT: Duration = Duration::from_secs(300);
/// How often one who asks is answered in a conversation.
const ANSWER_EVERY: Duration = Duration::from_secs(5);
/// Receipts wait so long for others, once to twice this.
const GATHER: Duration = Duration::from_secs(1);

/// When something is said in a conversation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    pub(crate) at: Instant,
    /// Even if it is what was said last.
    pub(crate) again: bool,
    /// And others are to say theirs.
    pub(crate) asks: bool,
}

/// What was said last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said {
    pub(crate) what: Presently,
    pub(crate) at: Instant,
}

/// Somebody who is writing.
struct Typist {
    title: String,
    until: Instant,
}

/// How far somebody says that they are, beyond what is here.
#[derive(Debug, Clone)]
pub(crate) struct Ahead {
    pub(crate) conversation: ConversationName,
    pub(crate) account: String,
    pub(crate) device: DeviceId,
    pub(crate) delivered: Seq,
    pub(crate) read: Seq,
}

#[derive(Default)]
pub(crate) struct State {
    due: HashMap<ConversationName, Due>,
    /// Where this person is writing.
    typing: HashMap<ConversationName, Instant>,
    said: HashMap<ConversationName, Said>,
    typists: HashMap<(ConversationName, String), Typist>,
    /// Contacts who are there, and until when.
    there: HashMap<String, Instant>,
    ahead: VecDeque<Ahead>,
    incoming: VecDeque<v1::Ephemeral>,
    outgoing: VecDeque<v1::Ephemeral>,
    counter: u64,
    pub(crate) keys: Keys,
}

/// See the module's text.
#[derive(Default)]
pub(crate) struct Ephemerals {
    state: Mutex<State>,
    /// For the driver: there is something to look at.
    pub(crate) woken: Notify,
    /// For the sync call: there is something that has no datagram to go in.
    pub(crate) to_stream: Notify,
}

impl Ephemerals {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if it did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark(&self, conversation: &ConversationName, due: Due) {
        self.lock().mark(conversation, due);
        self.woken.notify_one();
    }

    /// This person is writing, or no more.
    pub(crate) fn types(&self, conversation: &ConversationName, typing: bool) {
        let now = Instant::now();
        let mut state = self.lock();
        let said = state.said.get(conversation).copied();
        let was = said.is_some_and(|said| said.what.typing);
        if typing && (state.typing.len() < PLACES_MAX || state.typing.contains_key(conversation)) {
            state.typing.insert(conversation.clone(), later(now, TYPING));
        } else {
            state.typing.remove(conversation);
        }
        let again = said.filter(|said| said.what.typing).map_or(now, |said| later(said.at, TYPING_AGAIN));
        let due = match (typing, was) {
            (false, false) => return,
            (false, true) => Due { at: now, again: false, asks: false },
            (true, _) => Due { at: again.max(now), again: true, asks: false },
        };
        state.mark(conversation, due);
        drop(state);
        self.woken.notify_one();
    }

    /// A message of this person's is on its way: whoever sees it knows that they have stopped writing.
    pub(crate) fn said(&self, conversation: &ConversationName) {
        let mut state = self.lock();
        state.typing.remove(conversation);
        if let Some(said) = state.said.get_mut(conversation) {
            said.what.typing = false;
        }
    }

    /// Messages in these were shown to the person.
    pub(crate) fn read(&self, conversations: impl IntoIterator<Item = ConversationName>) {
        conversations.into_iter().for_each(|conversation| self.mark(&conversation, soon()));
    }

    /// What a person tells has changed.
    pub(crate) fn say_again(&self) {
        let mut state = self.lock();
        let all: Vec<ConversationName> = state.said.keys().cloned().collect();
        let due = Due { at: Instant::now(), again: false, asks: false };
        all.iter().for_each(|conversation| state.mark(conversation, due));
        drop(state);
        self.woken.notify_one();
    }

    /// This device has just come: it says where it is in these, and asks others.
    pub(crate) fn came_back(&self, conversations: &[ConversationName]) {
        let mut state = self.lock();
        for conversation in conversations {
            state.mark(conversation, Due { again: true, asks: true, ..soon() });
        }
        drop(state);
        self.woken.notify_one();
    }

    /// What the server has brought was stored. Gives those who have stopped writing.
    pub(crate) fn applied(&self, applied: &Applied) -> Vec<Event> {
        let mut events = Vec::new();
        let mut state = self.lock();
        let mut wake = !state.ahead.is_empty() && !applied.cursors.is_empty();
        for event in &applied.events {
            let conversation = match event {
                Event::Message(message) if !message.own && message.seq > 0 => &message.conversation,
                Event::Read { conversation } => conversation,
                _ => continue,
            };
            let Ok(conversation) = conversation.parse::<ConversationName>() else { continue };
            if let Event::Message(message) = event {
                events.extend(state.stopped(&conversation, &message.sender));
            }
            state.mark(&conversation, soon());
            wake = true;
        }
        drop(state);
        if wake {
            self.woken.notify_one();
        }
        events
    }

    /// An event came on the stream.
    pub(crate) fn came(&self, event: v1::Ephemeral) {
        push(&mut self.lock().incoming, event);
        self.woken.notify_one();
    }

    pub(crate) fn take_incoming(&self) -> VecDeque<v1::Ephemeral> {
        mem::take(&mut self.lock().incoming)
    }

    /// An event is to go on the stream.
    pub(crate) fn goes_on_stream(&self, event: v1::Ephemeral) {
        push(&mut self.lock().outgoing, event);
        self.to_stream.notify_one();
    }

    pub(crate) fn take_outgoing(&self) -> VecDeque<v1::Ephemeral> {
        mem::take(&mut self.lock().outgoing)
    }
}

impl State {
    fn mark(&mut self, conversation: &ConversationName, due: Due) {
        if let Some(known) = self.due.get_mut(conversation) {
            known.at = known.at.min(due.at);
            known.again |= due.again;
            known.asks |= due.asks;
        } else if self.due.len() < PLACES_MAX {
            self.due.insert(conversation.clone(), due);
        }
    }

    /// Another device has just come, and asks.
    pub(crate) fn asked(&mut self, conversation: &ConversationName) {
        let rested = self.said.get(conversation).map(|said| later(said.at, ANSWER_EVERY));
        let due = soon();
        let at = rested.map_or(due.at, |rested| rested.max(due.at));
        self.mark(conversation, Due { at, again: true, asks: false });
    }

    /// When the next look is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        let due = self.due.values().map(|due| due.at);
        due.chain(self.typists.values().map(|typist| typist.until)).chain(self.there.values().copied()).min()
    }

    /// Takes what is due.
    pub(crate) fn take_due(&mut self) -> Vec<(ConversationName, Due)> {
        let now = Instant::now();
        let mut due: Vec<_> = self.due.extract_if(|_, due| due.at <= now).collect();
        // In the same order each time, so that a simulation is.
        due.sort_by_cached_key(|(conversation, _)| conversation.to_string());
        due
    }

    /// Is this person writing there?
    pub(crate) fn is_typing(&self, conversation: &ConversationName) -> bool {
        self.typing.get(conversation).is_some_and(|until| *until > Instant::now())
    }

    pub(crate) fn last_said(&self, conversation: &ConversationName) -> Option<Said> {
        self.said.get(conversation).copied()
    }

    /// Notes what is said; gives the counter that it is said with.
    pub(crate) fn says(&mut self, conversation: &ConversationName, what: Presently) -> u64 {
        if self.said.len() >= PLACES_MAX
            && !self.said.contains_key(conversation)
            && let Some(oldest) = self.said.iter().min_by_key(|(_, said)| said.at).map(|(name, _)| name.clone())
        {
            self.said.remove(&oldest);
        }
        self.said.insert(conversation.clone(), Said { what, at: Instant::now() });
        // Another start of the program goes on above, because time has passed.
        self.counter = self.counter.saturating_add(1).max(fresh::now_ms().saturating_mul(1_000));
        self.counter
    }

    /// Somebody is writing, or not; gives what is to be told.
    pub(crate) fn typist(
        &mut self,
        (conversation, title): (&ConversationName, &str),
        address: &str,
        typing: bool,
    ) -> Option<Event> {
        if !typing {
            return self.stopped(conversation, address);
        }
        let key = (conversation.clone(), address.to_owned());
        if self.typists.len() >= PEOPLE_MAX && !self.typists.contains_key(&key) {
            return None;
        }
        self.typists.insert(key, Typist { title: title.to_owned(), until: later(Instant::now(), TYPING) });
        Some(typing_event(conversation, title, address, true))
    }

    fn stopped(&mut self, conversation: &ConversationName, address: &str) -> Option<Event> {
        let typist = self.typists.remove(&(conversation.clone(), address.to_owned()))?;
        Some(typing_event(conversation, &typist.title, address, false))
    }

    /// A contact says that they are there, or not; gives what is to be told.
    pub(crate) fn is_there(&mut self, address: &str, online: bool) -> Option<Event> {
        let was = if online && (self.there.len() < PEOPLE_MAX || self.there.contains_key(address)) {
            self.there.insert(address.to_owned(), later(Instant::now(), PRESENT))
        } else {
            self.there.remove(address)
        };
        (was.is_some() != online).then(|| Event::Presence { address: address.to_owned(), online })
    }

    /// Those who have not said again what they do.
    pub(crate) fn expired(&mut self) -> Vec<Event> {
        let now = Instant::now();
        let typists = self.typists.extract_if(|_, typist| typist.until <= now);
        let mut events: Vec<_> = typists
            .map(|((conversation, address), typist)| typing_event(&conversation, &typist.title, &address, false))
            .collect();
        let gone = self.there.extract_if(|_, until| *until <= now);
        events.extend(gone.map(|(address, _)| Event::Presence { address, online: false }));
        events
    }

    /// Somebody is further than what is here; it is looked at again when more is.
    pub(crate) fn is_ahead(&mut self, ahead: Ahead) {
        self.ahead.retain(|old| old.conversation != ahead.conversation || old.account != ahead.account);
        push(&mut self.ahead, ahead);
    }

    pub(crate) fn take_ahead(&mut self) -> VecDeque<Ahead> {
        mem::take(&mut self.ahead)
    }
}

fn typing_event(conversation: &ConversationName, title: &str, address: &str, typing: bool) -> Event {
    Event::Typing {
        conversation: conversation.to_string(),
        title: title.to_owned(),
        address: address.to_owned(),
        typing,
    }
}

fn soon() -> Due {
    let wait = GATHER.saturating_add(fresh::jitter(GATHER));
    Due { at: later(Instant::now(), wait), again: false, asks: false }
}

fn later(from: Instant, after: Duration) -> Instant {
    from.checked_add(after).unwrap_or(from)
}

fn push<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.len() >= WAITING_MAX {
        queue.pop_front();
    }
    queue.push_back(item);
}
