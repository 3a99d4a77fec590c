//! Puts messages into a server's data directory, by the store's own verbs, while no server runs on it.

use std::collections::HashMap;

use anyhow::{Context, bail};
use bytes::Bytes;
use futures_util::future::try_join_all;
use qpc_proto::{
    chain::EntryKind,
    id::{Counter, Epoch, MessageId},
};
use qpc_server::{
    data_dir::DataDir,
    rng::SystemRng,
    store::{
        Actor, Append, Store,
        sqlite::{DbKey, Options, SqliteStore},
    },
};

use crate::{
    accounts::{Prepared, ReadyRoom},
    crowd,
    progress::Progress,
    random::{Random, unix_ms},
};

/// Verbs that wait at once: they share commits.
const TOGETHER: usize = 1_024;
/// Bytes of a body: a short text as MLS makes it.
pub(super) const BODY: usize = 215;
/// Over so many milliseconds they were sent: a week.
const SPAN_MS: u64 = 7 * 24 * 60 * 60 * 1_000;

/// Stores `messages` in all conversations but the first, and `missed` in that one, by its second member. The
/// conversations know where they stand afterwards.
pub(super) async fn fill(prepared: &mut Prepared, messages: u64, missed: u64) -> anyhow::Result<()> {
    let dir = DataDir::open(&prepared.data)?;
    let key = DbKey::parse(dir.database_key(&SystemRng)?.expose())?;
    let store = SqliteStore::open(&DataDir::database(dir.path()), key, Options::default())?;
    let outcome = Filling { store: &store, actors: HashMap::new(), now: unix_ms() }.run(prepared, messages, missed);
    let outcome = outcome.await;
    store.close().await?;
    outcome
}

struct Filling<'s> {
    store: &'s SqliteStore,
    actors: HashMap<u32, Actor>,
    now: u64,
}

impl Filling<'_> {
    async fn run(mut self, prepared: &mut Prepared, messages: u64, missed: u64) -> anyhow::Result<()> {
        for (user, device) in (0_u32..).zip(&prepared.users) {
            let record = self.store.device(device.id()).await?.context("a device that is not there")?;
            self.actors.insert(user, Actor::authenticated(record.account, device.id(), record.address));
        }
        let (mut random, mut progress) = (Random::new(2), Progress::default());
        let total = messages.saturating_add(missed);
        // The last of all, in turns with others.
        let from = messages.saturating_sub(missed);
        let (mut batch, mut missing) = (Vec::with_capacity(TOGETHER), missed);
        for number in 0..messages {
            let stored_ms = self.at(number, total);
            let room = 1_usize.saturating_add(random.index(prepared.rooms.len().saturating_sub(1)));
            let side = random.index(2);
            batch.push(self.append(prepared.rooms.get_mut(room), side, stored_ms, &mut random)?);
            if number >= from && missing > 0 {
                missing = missing.saturating_sub(1);
                batch.push(self.append(prepared.rooms.first_mut(), 1, stored_ms, &mut random)?);
            }
            if batch.len() >= TOGETHER {
                try_join_all(batch.drain(..)).await?;
                progress.show(&format!("stored {number} of {total}"));
            }
        }
        for _ in 0..missing {
            batch.push(self.append(prepared.rooms.first_mut(), 1, self.now, &mut random)?);
            if batch.len() >= TOGETHER {
                try_join_all(batch.drain(..)).await?;
            }
        }
        try_join_all(batch).await?;
        Ok(())
    }

    fn at(&self, number: u64, total: u64) -> u64 {
        let since = u128::from(SPAN_MS).saturating_mul(number.into()).checked_div(total.into()).unwrap_or_default();
        self.now.saturating_sub(SPAN_MS).saturating_add(u64::try_from(since).unwrap_or_default())
    }

    /// One message; its verb is queued when this returns.
    fn append(
        &self,
        room: Option<&mut ReadyRoom>,
        side: usize,
        now_ms: u64,
        random: &mut Random,
    ) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + use<>> {
        let room = room.context("a conversation")?;
        let member = room.members.get(side).context("a member")?;
        let actor = self.actors.get(member).context("an actor")?;
        let counter = room.counters.get_mut(side).context("a counter")?;
        *counter = counter.saturating_add(1);
        room.seq = room.seq.saturating_add(1);
        let (seq, counter) = (room.seq, Counter(*counter));
        let mut tail = [0; 10];
        random.fill(&mut tail);
        let body: Bytes = crowd::body(random, None, BODY);
        let reply = self.store.append(
            actor,
            Append {
                conversation: room.name.clone(),
                id: MessageId::new(now_ms, tail),
                counter,
                epoch: Epoch(room.epoch),
                kind: EntryKind::Message,
                body,
                leave: false,
                group: None,
                reports: None,
                now_ms,
            },
        );
        Ok(async move {
            let stored = reply.await?;
            if stored.seq.0 != seq {
                bail!("stored at {} what was to stand at {seq}", stored.seq);
            }
            Ok(())
        })
    }
}
