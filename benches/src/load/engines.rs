//! Clients with real MLS: the client's own engine for each, on a thread of its own, so that encrypting delays nobody
//! else. Every message that one of them encrypts is decrypted by each of the others, and its text compared.
//!
//! The engines' work is kept below a budget, because it is the clients' and not the server's: messages beyond
//! it go out as random bytes of the same length.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::Context;
use bytes::Bytes;
use qpc_client::wire::{Device, Engine, Invited};
use qpc_proto::{
    id::{ConversationName, DeviceId, MessageId},
    suite::Suite,
};
use tokio::sync::{mpsc, oneshot};

use super::add;
use crate::{accounts::ReadyRoom, progress::Progress, report::note};

/// Things to encrypt and decrypt that wait, at most.
const QUEUE: usize = 4_096;
/// Wrong decryptions that are shown.
const SHOWN: u64 = 5;
/// So many operations may be done at once, after a pause, in seconds of the budget.
const BURST_SECONDS: f64 = 1.0;

enum Job {
    Encrypt { user: u32, room: u32, id: MessageId, text: usize, reply: oneshot::Sender<Option<Bytes>> },
    Decrypt { user: u32, room: u32, sender: u32, id: MessageId, body: Bytes },
    Finish(oneshot::Sender<()>),
}

#[derive(Debug, Default)]
struct Done {
    encrypted: AtomicU64,
    decrypted: AtomicU64,
    failed: AtomicU64,
}

#[derive(Debug)]
struct Budget {
    per_second: f64,
    /// What is left, and as of when.
    left: Mutex<(f64, Instant)>,
}

/// See the module's text.
pub struct Engines {
    jobs: mpsc::Sender<Job>,
    done: Arc<Done>,
    budget: Budget,
    users: usize,
    /// By conversation: who shares its MLS group.
    groups: HashMap<usize, Vec<u32>>,
}

impl Engines {
    /// An engine for each user that `real` names, and an MLS group for each conversation that has two of them:
    /// its first `members_max`. `per_second` is the budget.
    ///
    /// # Errors
    /// When a group can't be made.
    pub fn start(
        users: &[Device],
        rooms: &[ReadyRoom],
        real: impl Fn(u32) -> bool,
        members_max: usize,
        per_second: u32,
    ) -> anyhow::Result<Self> {
        let mut engines = HashMap::new();
        let mut devices = HashMap::new();
        for (number, device) in (0_u32..).zip(users).filter(|(number, _)| real(*number)) {
            engines.insert(number, Engine::new(device)?);
            devices.insert(number, device.id());
        }
        let mut groups = HashMap::new();
        let mut progress = Progress::default();
        for (at, room) in rooms.iter().enumerate().filter(|(_, room)| room.used) {
            let members = room.members.iter().copied().filter(|member| engines.contains_key(member));
            let mut members: Vec<u32> = members.take(members_max).collect();
            if members.len() < 2 {
                continue;
            }
            members.sort_unstable();
            group(&mut engines, &room.name, &members).context("an MLS group")?;
            groups.insert(at, members);
            progress.show(&format!("MLS groups: {}", groups.len()));
        }
        let names = rooms.iter().map(|room| room.name.clone()).collect();
        let (jobs, queue) = mpsc::channel(QUEUE);
        let done = Arc::new(Done::default());
        let users = engines.len();
        let worker = Worker { engines, devices, names, done: Arc::clone(&done) };
        thread::Builder::new().name("engines".into()).spawn(move || worker.run(queue))?;
        let budget = Budget { per_second: per_second.into(), left: Mutex::new((0.0, Instant::now())) };
        Ok(Self { jobs, done, budget, users, groups })
    }

    /// Who shares the MLS group of a conversation.
    pub(super) fn members(&self, room: usize) -> Vec<u32> {
        self.groups.get(&room).cloned().unwrap_or_default()
    }

    /// Encrypts, if the budget allows one message and its readers.
    pub(super) async fn encrypt(&self, user: u32, room: u32, id: MessageId, text: usize) -> Option<Bytes> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Encrypt { user, room, id, text, reply }).await.ok()?;
        answer.await.ok()?
    }

    /// May so many operations be done now?
    pub(super) fn allows(&self, operations: usize) -> bool {
        self.jobs.capacity() > QUEUE / 2 && self.budget.take(operations as f64)
    }

    /// Has a message decrypted and compared.
    pub(super) async fn decrypt(&self, user: u32, room: u32, sender: u32, id: MessageId, body: Bytes) {
        if self.jobs.send(Job::Decrypt { user, room, sender, id, body }).await.is_err() {
            add(&self.done.failed);
        }
    }

    /// Waits until everything is decrypted. Gives how much of it was wrong.
    pub(super) async fn finish(&self) -> u64 {
        let (reply, answer) = oneshot::channel();
        let told = self.jobs.send(Job::Finish(reply)).await.is_ok();
        let ended = told && answer.await.is_ok();
        self.done.failed.load(Ordering::Relaxed).saturating_add(u64::from(!ended))
    }

    /// What they did, for people.
    #[must_use]
    pub fn said(&self) -> String {
        let Done { encrypted, decrypted, failed } = &*self.done;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        format!(
            "{} clients in {} groups: {} messages encrypted, {} decryptions checked, {} wrong",
            self.users,
            self.groups.len(),
            count(encrypted),
            count(decrypted),
            count(failed)
        )
    }
}

impl Budget {
    fn take(&self, operations: f64) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let gained = now.saturating_duration_since(left.1).as_secs_f64() * self.per_second;
        // One message may have more readers than a second has operations.
        let most = (self.per_second * BURST_SECONDS).max(operations);
        left.0 = (left.0 + gained).min(most);
        left.1 = now;
        if left.0 < operations {
            return false;
        }
        left.0 -= operations;
        true
    }
}

/// Makes the MLS group of these members.
fn group(engines: &mut HashMap<u32, Engine>, name: &ConversationName, members: &[u32]) -> anyhow::Result<()> {
    let (creator, others) = members.split_first().context("a group of nobody")?;
    let invited = |member: &u32| Ok(engines.get_mut(member).context("no engine")?.invited(Suite::Classical)?);
    let invited = others.iter().map(invited).collect::<anyhow::Result<Vec<Invited>>>()?;
    let welcome = engines.get_mut(creator).context("no engine")?.create(name, &invited)?;
    for other in others {
        engines.get_mut(other).context("no engine")?.join(name, &welcome)?;
    }
    Ok(())
}

/// What is said: the message's id, over and over.
fn text(id: MessageId, length: usize) -> Vec<u8> {
    id.as_bytes().iter().copied().cycle().take(length).collect()
}

struct Worker {
    engines: HashMap<u32, Engine>,
    devices: HashMap<u32, DeviceId>,
    names: Vec<ConversationName>,
    done: Arc<Done>,
}

impl Worker {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(job) = queue.blocking_recv() {
            match job {
                Job::Encrypt { user, room, id, text: length, reply } => {
                    let body =
                        self.engine(user, room).map(|(engine, name)| engine.encrypt(name, id, &text(id, length)));
                    add(&self.done.encrypted);
                    // Who asked may have lost its connection meanwhile.
                    drop(reply.send(body.and_then(Result::ok).map(Bytes::from)));
                }
                Job::Decrypt { user, room, sender, id, body } => {
                    add(&self.done.decrypted);
                    if let Err(error) = self.check(user, room, sender, id, &body)
                        && add(&self.done.failed) < SHOWN
                    {
                        note(&format!("message {id} to client {user}: {error:#}"));
                    }
                }
                Job::Finish(reply) => drop(reply.send(())),
            }
        }
    }

    fn engine(&mut self, user: u32, room: u32) -> Option<(&mut Engine, &ConversationName)> {
        let name = usize::try_from(room).ok().and_then(|room| self.names.get(room))?;
        Some((self.engines.get_mut(&user)?, name))
    }

    fn check(&mut self, user: u32, room: u32, sender: u32, id: MessageId, body: &[u8]) -> anyhow::Result<()> {
        let wanted = self.devices.get(&sender).copied();
        let (engine, name) = self.engine(user, room).context("no engine")?;
        let (by, said_id, said) = engine.decrypt(name, body)?;
        anyhow::ensure!(Some(by) == wanted, "it is of another sender");
        anyhow::ensure!(said_id == id, "it was encrypted under another id");
        anyhow::ensure!(said == text(id, said.len()), "it says something else");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_kept_and_a_message_with_many_readers_waits_its_turn() {
        let budget = Budget { per_second: 10.0, left: Mutex::new((0.0, Instant::now())) };
        assert!(!budget.take(5.0));
        *budget.left.lock().unwrap() = (10.0, Instant::now());
        assert!(budget.take(6.0) && !budget.take(6.0));
        *budget.left.lock().unwrap() = (0.0, Instant::now() - std::time::Duration::from_secs(5));
        assert!(budget.take(45.0), "five seconds of budget are enough for 45 of 50");
    }

    #[tokio::test]
    async fn what_can_not_be_decrypted_is_an_error_at_the_end() {
        let engines = Engines::start(&[], &[], |_| true, 8, 10).unwrap();
        assert_eq!(engines.finish().await, 0);
        let id = MessageId::new(1, [1; 10]);
        engines.decrypt(0, 0, 1, id, Bytes::from_static(b"no MLS")).await;
        assert_eq!(engines.finish().await, 1);
    }
}
