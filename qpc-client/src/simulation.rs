//! For simulations of whole nets in one thread: homes in memory that outlive a crash, time and randomness that are the
//! same in each run of a seed, bugs on purpose, and a witness of what all clients of the thread have seen.
//!
//! Only the feature `simulation` has it. Everything that a client does is what it does otherwise; of this
//! module it takes what the operating system gives elsewhere. A thread in which no simulation was begun has that.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use blake3::{Hasher, OutputReader};
use qpc_proto::{
    chain::{ChainValue, EntryKind, LogEntry},
    id::{ConversationName, DeviceId, Epoch, MessageId, Seq},
};
use rusqlite::Connection;
use tokio::time::Instant;

use crate::{
    fresh::{self, NoRandomness},
    mls::{Group, GroupError},
    store::schema,
};

/// The simulated clock begins at a whole hour: what is made with the system's own clock is valid then.
const HOUR_MS: u64 = 60 * 60 * 1000;

/// A bug on purpose, for a simulation that must find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A commit counts for whoever made it before the server has taken it.
    AppliesBeforeTheAnswer,
    /// What was sent, and not answered, is encrypted anew on the next connection.
    EncryptsAnew,
}

/// Where a client's home is: it is there for as long as one of its handles.
#[derive(Debug, Clone)]
pub struct Disk(pub(crate) Arc<Mutex<Connection>>);

impl Disk {
    /// An empty one.
    ///
    /// # Errors
    /// The engine's, in words.
    pub fn blank() -> Result<Self, String> {
        let connection = schema::in_memory().map_err(|error| error.to_string())?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }
}

/// What an entry of a log is, for all who read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// A message, commit or proposal.
    pub kind: EntryKind,
    /// Its id.
    pub id: MessageId,
    /// The epoch it was made in.
    pub epoch: Epoch,
    chain: ChainValue,
}

/// A group in an epoch, for all who are in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InEpoch {
    /// Devices in it.
    pub members: BTreeSet<DeviceId>,
    authenticator: Vec<u8>,
}

/// What the clients of a thread have seen, and where they contradict each other.
#[derive(Debug, Default)]
pub struct Witness {
    /// Entries of conversations.
    pub entries: BTreeMap<(ConversationName, Seq), Seen>,
    /// Groups, epoch by epoch.
    pub epochs: BTreeMap<(ConversationName, Epoch), InEpoch>,
    /// What must not be.
    pub contradictions: Vec<String>,
    /// Entries that clients have read, each client for itself.
    pub readings: u64,
}

struct World {
    stream: OutputReader,
    began: Instant,
    began_ms: u64,
    bug: Option<Bug>,
    witness: Witness,
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

fn with<T>(work: impl FnOnce(&mut World) -> T) -> Option<T> {
    WORLD.with_borrow_mut(|world| world.as_mut().map(work))
}

/// From now on this thread's clients live by this seed, until [`end`]. To be called where the runtime's clock is stopped.
pub fn begin(seed: u64, bug: Option<Bug>) {
    let now_ms = fresh::now_ms();
    let began_ms = now_ms.saturating_sub(now_ms.checked_rem(HOUR_MS).unwrap_or_default());
    let stream = Hasher::new_derive_key("quicprochat simulation").update(&seed.to_le_bytes()).finalize_xof();
    let world = World { stream, began: Instant::now(), began_ms, bug, witness: Witness::default() };
    WORLD.with_borrow_mut(|slot| *slot = Some(world));
}

/// What was seen; the thread is as it was before.
pub fn end() -> Witness {
    WORLD.with_borrow_mut(Option::take).map(|world| world.witness).unwrap_or_default()
}

/// As in [`Witness::readings`], so far.
#[must_use]
pub fn readings() -> u64 {
    with(|world| world.witness.readings).unwrap_or_default()
}

/// Has a simulation begun in this thread?
pub(crate) fn is_under_way() -> bool {
    with(|_| ()).is_some()
}

/// Is this bug planted?
pub(crate) fn has(bug: Bug) -> bool {
    with(|world| world.bug == Some(bug)).unwrap_or_default()
}

/// The simulated time, or the system's.
#[must_use]
pub fn now_ms() -> u64 {
    fresh::now_ms()
}

/// Bytes of the seed's stream; the system's where there is none. Keys that MLS makes are random in any case.
///
/// # Errors
/// The system's.
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    fresh::random()
}

/// The simulated time, in milliseconds since 1970.
pub(crate) fn clock_ms() -> Option<u64> {
    with(|world| {
        let elapsed = u64::try_from(world.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        world.began_ms.saturating_add(elapsed)
    })
}

/// Fills with bytes of the seed's stream, where there is one.
pub(crate) fn fill(bytes: &mut [u8]) -> bool {
    with(|world| world.stream.fill(bytes)).is_some()
}

/// A client reads an entry.
pub(crate) fn read(entry: &LogEntry) {
    let seen = Seen { kind: entry.kind, id: entry.id, epoch: entry.epoch, chain: entry.chain };
    let place = (entry.conversation.clone(), entry.seq);
    with(|world| {
        world.witness.readings = world.witness.readings.saturating_add(1);
        let known = world.witness.entries.entry(place).or_insert_with(|| seen.clone());
        if *known != seen {
            let text =
                format!("entry {} of {} is {known:?} for one and {seen:?} for another", entry.seq, entry.conversation);
            world.witness.contradictions.push(text);
        }
    });
}

/// A client's group is in an epoch that the server has accepted.
pub(crate) fn entered(name: &ConversationName, group: &mut Group<'_>) {
    let look = |group: &mut Group<'_>| {
        let members = group.members()?.into_iter().map(|member| member.device.device()).collect();
        let now = InEpoch { members, authenticator: group.epoch_authenticator()? };
        Ok::<_, GroupError>((group.epoch()?, now))
    };
    // Who is out of it is in no epoch.
    let Ok((epoch, now)) = look(group) else { return };
    with(|world| {
        let known = world.witness.epochs.entry((name.clone(), epoch)).or_insert_with(|| now.clone());
        if *known != now {
            world.witness.contradictions.push(format!("epoch {} of {name} is not the same for all", epoch.0));
        }
    });
}
