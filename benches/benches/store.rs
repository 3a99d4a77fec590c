//! What a durable message costs the store: appended alone or in company, to conversations of
//! several sizes, and read back by the page.

use std::{
    cell::Cell,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::future::try_join_all;
use qpc_proto::{
    address::Address,
    chain::EntryKind,
    id::{AccountId, ConversationId, ConversationName, Counter, DeviceId, Epoch, MessageId, Seq},
    role::Role,
};
use qpc_server::store::{
    Actor, Admission, Append, CommitBundle, Consent, ContactDecision, NewAccount, NewConversation, NewDevice,
    PasswordRecord, ReadLog, Store,
    sqlite::{DbKey, Options, SqliteStore},
};
use tokio::runtime::Runtime;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const NOW_MS: u64 = 1_700_000_000_000;
const BODY: Bytes = Bytes::from_static(&[7; 300]);
/// Messages on their way at the same time, where they share commits.
const COMPANY: u64 = 200;

/// A store, and ids that are numbers in a row.
struct Bench {
    store: SqliteStore,
    runtime: Runtime,
    next: Cell<u64>,
}

/// A conversation, one who writes there, and its last counter.
struct Talk {
    name: ConversationName,
    actor: Actor,
    counter: Cell<u64>,
}

impl Bench {
    fn open(folder: &Path) -> Outcome<Self> {
        let key = DbKey::parse(&"5a".repeat(32))?;
        let store = SqliteStore::open(&folder.join("qpc.db"), key, Options::default())?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(Self { store, runtime, next: Cell::new(0) })
    }

    fn unique(&self) -> [u8; 10] {
        self.next.set(self.next.get().saturating_add(1));
        let mut bytes = [0; 10];
        bytes.iter_mut().zip(self.next.get().to_be_bytes()).for_each(|(to, from)| *to = from);
        bytes
    }

    fn message_id(&self) -> MessageId {
        MessageId::new(NOW_MS.saturating_add(self.next.get()), self.unique())
    }

    fn person(&self) -> Outcome<Actor> {
        let (id, device) = (AccountId::new(NOW_MS, self.unique()), DeviceId::new(NOW_MS, self.unique()));
        let address = Address::parse(&format!("person{}@localhost", self.next.get()))?;
        let actor = Actor::authenticated(id, device, address.clone());
        self.runtime.block_on(self.store.create_account(NewAccount {
            id,
            address,
            password: PasswordRecord::default(),
            account_key: [1; 32],
            device: NewDevice {
                id: device,
                key: [2; 32],
                certificate: Bytes::from_static(b"certificate"),
                name: "bench".into(),
                now_ms: NOW_MS,
            },
            admission: Admission::Open,
            now_ms: NOW_MS,
        }))?;
        Ok(actor)
    }

    fn create(&self, actor: &Actor, peer: Option<&Actor>, added: &[Actor]) -> Outcome<ConversationName> {
        let domain = actor.address().domain.clone();
        let name = ConversationName { domain, id: ConversationId::new(NOW_MS, self.unique()) };
        let welcome = if added.is_empty() { Bytes::new() } else { BODY };
        let bundle = CommitBundle {
            epoch: Epoch(0),
            commit: BODY,
            welcome,
            welcome_devices: added.iter().map(Actor::device).collect(),
            group_info: BODY,
            added: added.iter().map(|actor| (actor.address().clone(), Role::Member)).collect(),
            removed: Vec::new(),
        };
        let new = NewConversation {
            conversation: name.clone(),
            peer: peer.map(|peer| peer.address().clone()),
            id: self.message_id(),
            commit: Some(bundle),
            group_info: BODY,
            now_ms: NOW_MS,
        };
        self.runtime.block_on(self.store.create_conversation(actor, new))?;
        Ok(name)
    }

    /// A conversation of so many, made by somebody new; whom it needs besides are taken from `people`.
    fn talk(&self, members: usize, people: &[Actor]) -> Outcome<Talk> {
        let actor = self.person()?;
        let others: Vec<Actor> = people.iter().take(members.saturating_sub(1)).cloned().collect();
        for other in &others {
            self.create(&actor, Some(other), std::slice::from_ref(other))?;
            let answer = Consent::Accept;
            let decision = ContactDecision { peer: actor.address().clone(), answer, now_ms: NOW_MS };
            self.runtime.block_on(self.store.answer_contact(other, decision))?;
        }
        let name = self.create(&actor, None, &others)?;
        Ok(Talk { name, actor, counter: Cell::new(1) })
    }

    fn append(&self, talk: &Talk) -> Append {
        talk.counter.set(talk.counter.get().saturating_add(1));
        Append {
            conversation: talk.name.clone(),
            id: self.message_id(),
            counter: Counter(talk.counter.get()),
            epoch: Epoch(1),
            kind: EntryKind::Message,
            body: BODY,
            leave: false,
            now_ms: NOW_MS,
        }
    }

    /// So many messages, round the conversations, `company` at a time.
    fn send(&self, talks: &[Talk], messages: u64, company: u64) -> Outcome<Duration> {
        let began = Instant::now();
        let mut turn = talks.iter().cycle();
        let mut left = messages;
        while left > 0 {
            let now = left.min(company);
            let replies = turn.by_ref().zip(0..now).map(|(talk, _)| self.store.append(&talk.actor, self.append(talk)));
            let replies: Vec<_> = replies.collect();
            self.runtime.block_on(try_join_all(replies))?;
            left = left.saturating_sub(now);
        }
        Ok(began.elapsed())
    }

    fn read(&self, talk: &Talk, after: u64) -> Outcome<usize> {
        let read = ReadLog { log: talk.name.clone(), after: Seq(after), limit: 50, max_bytes: usize::MAX };
        Ok(self.runtime.block_on(self.store.read_log(&talk.actor, read))?.entries.len())
    }
}

fn run(criterion: &mut Criterion) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let bench = Bench::open(folder.path())?;
    let people = (0..100).map(|_| bench.person()).collect::<Outcome<Vec<_>>>()?;
    let failed = Cell::new(None);
    let timed = |outcome: Outcome<Duration>| {
        outcome.unwrap_or_else(|error| {
            failed.set(Some(error));
            Duration::ZERO
        })
    };
    for members in [1, 10, 100] {
        let talk = [bench.talk(members, &people)?];
        criterion.bench_function(&format!("append to a group of {members}, alone"), |bencher| {
            bencher.iter_custom(|messages| timed(bench.send(&talk, messages, 1)));
        });
        criterion.bench_function(&format!("append to a group of {members}, {COMPANY} at a time"), |bencher| {
            bencher.iter_custom(|messages| timed(bench.send(&talk, messages, COMPANY)));
        });
    }
    let talks = (0..1000).map(|_| bench.talk(2, &people)).collect::<Outcome<Vec<_>>>()?;
    criterion.bench_function(&format!("append to 1000 conversations in turn, {COMPANY} at a time"), |bencher| {
        bencher.iter_custom(|messages| timed(bench.send(&talks, messages, COMPANY)));
    });
    let last = talks.iter().map(|talk| talk.counter.get()).min().unwrap_or_default().saturating_sub(50);
    let mut turn = talks.iter().cycle();
    criterion.bench_function("read the last 50 of 1000 conversations in turn", |bencher| {
        bencher.iter(|| turn.next().map(|talk| bench.read(talk, last).ok()));
    });
    criterion.bench_function("read the last 50 of one conversation", |bencher| {
        bencher.iter(|| talks.first().map(|talk| bench.read(talk, last).ok()));
    });
    bench.runtime.block_on(bench.store.close())?;
    failed.take().map_or(Ok(()), Err)
}

fn store(criterion: &mut Criterion) {
    let outcome = run(criterion);
    assert!(outcome.is_ok(), "{outcome:?}");
}

criterion_group!(benches, store);
criterion_main!(benches);
