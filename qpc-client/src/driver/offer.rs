//! Giving back to a server that was restored from a backup what it lacks: entries as they came, which carry its logs on.
//!
//! It comes first on a connection, so that nothing is read or sent before the server has been told. What this device can't give,
//! because it came later or has not kept it, others may have: until the restore's time is over, a log that ends before what
//! was seen here raises no alarm.

use std::{sync::Arc, time::Duration};

use qpc_proto::{
    chain::ChainValue,
    error::Code,
    id::{ConversationName, MessageId, Seq},
    limits::{LOG_PAGE_BYTES_MAX, LOG_PAGE_MAX},
    v1,
};
use rusqlite::Transaction;
use tokio::time::sleep;

use super::{contacts, session::End};
use crate::{
    api::{Event, OutboxState},
    apply::Applied,
    core::Core,
    store::{
        StoreError, answered,
        conversation::{self, Conversation, Kind},
        entry, founding, lost,
        restore::{self, Restored},
    },
    transport::{CallError, Link, Refused},
};

/// Pause after a refusal that passes, where the server names none.
const PAUSE: Duration = Duration::from_millis(300);
/// So often in a row the server may have no time for one log.
const ATTEMPTS: usize = 100;

/// Offers what the server may lack, if it was restored since it was last offered anything.
pub(super) async fn run(core: &Arc<Core>, link: &Link, restored: Restored) -> Result<(), End> {
    if !core.store.run(move |tx| restore::hear(tx, restored)).await? {
        return Ok(());
    }
    let mut lacked: u64 = 0;
    for log in core.store.run(conversation::followed).await? {
        let local = log.local;
        match give(core, link, log).await? {
            Given::All { lacked: more } => lacked = lacked.saturating_add(more),
            Given::Unknown { lacked: more } => {
                lacked = lacked.saturating_add(more);
                core.store.run(move |tx| lost::put(tx, local)).await?;
            }
        }
    }
    contacts::say_again(core, link).await?;
    tracing::info!(lacked, "the server was restored from a backup, and has been offered what it lacked");
    let told = Arc::clone(core);
    core.store
        .run_and(
            move |tx| {
                let mut applied = Applied::default();
                if lacked > 0 {
                    let text = format!(
                        "The server was restored from a backup and had lost what came since (entries that this device has seen: \
                         {lacked}). What it waits for was given back to it."
                    );
                    applied.alarm(tx, text)?;
                }
                restore::offered(tx)?;
                Ok::<_, End>(applied)
            },
            move |applied| told.tell(applied),
        )
        .await?;
    Ok(())
}

/// What became of an offer.
pub(super) enum Given {
    /// The server has what this device has, or what it takes of that; so many entries it had not.
    All {
        /// Entries.
        lacked: u64,
    },
    /// It does not know the conversation, and this device can't make it again now.
    Unknown {
        /// Entries.
        lacked: u64,
    },
}

/// Offers what there is of one log, if it is one of this account's server; says what became of that. Of one that another server
/// orders, that server gives this one back what it lacks, so all that is asked is whether it has come to that.
pub(super) async fn give(core: &Arc<Core>, link: &Link, log: Conversation) -> Result<Given, End> {
    let Some(name) = log.name.clone() else { return Ok(Given::All { lacked: 0 }) };
    let ours = name.domain == core.me.address().domain;
    let giving = Giving { core, link, log, name };
    if ours { giving.run().await } else { giving.ask().await }
}

/// One log.
struct Giving<'g> {
    core: &'g Arc<Core>,
    link: &'g Link,
    log: Conversation,
    name: ConversationName,
}

impl Giving<'_> {
    /// Asks whether the server knows it.
    async fn ask(&self) -> Result<Given, End> {
        match self.offer(Vec::new(), false).await? {
            Err(refused) if refused.code == Some(Code::NotFound) => Ok(Given::Unknown { lacked: self.log.seq.0 }),
            _ => Ok(Given::All { lacked: 0 }),
        }
    }

    /// Offers what there is; says how much the server did not have.
    async fn run(&self) -> Result<Given, End> {
        let mut first = self.offer(Vec::new(), false).await?;
        let unknown = |refused: &Refused| refused.code == Some(Code::NotFound) && self.log.kind != Kind::Inbox;
        if first.as_ref().is_err_and(|refused| unknown(refused)) {
            if !self.make_again().await? {
                return Ok(Given::Unknown { lacked: self.log.seq.0 });
            }
            first = self.offer(Vec::new(), false).await?;
        }
        let Ok((mut head, chain)) = first else { return Ok(Given::All { lacked: 0 }) };
        let mut lacked = self.log.seq.0.saturating_sub(head.0);
        if self.log.kind == Kind::Inbox {
            if lacked > 0 {
                // It is the server's word to this device, which has been told more than the server knows.
                let local = self.log.local;
                self.core.store.run(move |tx| conversation::set_position(tx, local, head, &chain)).await?;
            }
            return Ok(Given::All { lacked });
        }
        let begin = head;
        // Where they differ already, following the log says so.
        let ours = self.is_ours(head, chain).await?;
        let mut given = ours;
        loop {
            let entries = if given { self.page(head).await? } else { Vec::new() };
            let complete = entries.is_empty();
            match self.offer(entries, complete).await? {
                Ok((now, _)) if !complete && now > head => head = now,
                _ if complete => break,
                // What the server does not take from this device is nothing to wait for.
                _ => given = false,
            }
        }
        let taken = self.take_back(if ours { head } else { Seq(0) }).await?;
        lacked = lacked.max(head.0.saturating_sub(begin.0)).saturating_add(taken);
        Ok(Given::All { lacked })
    }

    /// Makes a conversation again that was made after the backup, if this device is the one that has made it.
    async fn make_again(&self) -> Result<bool, End> {
        let local = self.log.local;
        let Some(request) = self.core.store.run(move |tx| founding::again(tx, local)).await? else { return Ok(false) };
        match self.link.call(request).await {
            Ok(_) => Ok(true),
            Err(CallError::Refused(refused)) => {
                tracing::debug!(%refused, "a conversation was not made again");
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Is the server's log the beginning of the one that is here?
    async fn is_ours(&self, head: Seq, chain: ChainValue) -> Result<bool, End> {
        let (local, genesis) = (self.log.local, ChainValue::genesis(&self.name));
        let here = match head {
            Seq(0) => Some(genesis),
            head => {
                let known = move |tx: &Transaction<'_>| match entry::chain_at(tx, local, head)? {
                    Some(chain) => Ok(Some(chain)),
                    None => Ok::<_, StoreError>(answered::get(tx, local, head)?.map(|answered| answered.chain)),
                };
                self.core.store.run(known).await?
            }
        };
        Ok(here == Some(chain))
    }

    async fn page(&self, after: Seq) -> Result<Vec<v1::Entry>, End> {
        let (local, seen) = (self.log.local, self.log.seq);
        let most = LOG_PAGE_MAX.min(usize::try_from(seen.0.saturating_sub(after.0)).unwrap_or(usize::MAX));
        let page = (most, LOG_PAGE_BYTES_MAX);
        let all = move |tx: &Transaction<'_>| {
            let seen = entry::after(tx, local, after, page)?;
            // What was acknowledged and has not come back is given one by one: there is hardly ever more than one.
            match answered::get(tx, local, after.next())? {
                Some(answered) if seen.is_empty() => Ok(vec![answered.to_wire()]),
                _ => Ok::<_, StoreError>(seen),
            }
        };
        Ok(self.core.store.run(all).await?)
    }

    /// Sends again what the server had acknowledged, and neither the server nor the log that is here holds; says how much.
    async fn take_back(&self, after: Seq) -> Result<u64, End> {
        let (local, teller) = (self.log.local, Arc::clone(self.core));
        let taken = self
            .core
            .store
            .run_and(
                move |tx| {
                    let ids = answered::take_back(tx, local, after)?;
                    let waits = |id: &MessageId| Event::Outbox {
                        id: id.to_string(),
                        state: OutboxState::Waiting,
                        reason: Some("the server was restored from a backup, and may have lost it".to_owned()),
                    };
                    let events = ids.iter().map(waits).collect();
                    Ok::<_, StoreError>(Applied { outbox: !ids.is_empty(), events, ..Applied::default() })
                },
                move |applied| teller.tell(applied),
            )
            .await?;
        Ok(u64::try_from(taken.events.len()).unwrap_or(u64::MAX))
    }

    /// One offer; gives where the log ends then, or why the server does not want it.
    async fn offer(
        &self,
        entries: Vec<v1::Entry>,
        complete: bool,
    ) -> Result<Result<(Seq, ChainValue), Box<Refused>>, End> {
        let offer = v1::Offer { conversation: Some(self.name.to_wire()), entries, complete };
        for _ in 0..ATTEMPTS {
            match self.link.call(offer.clone()).await {
                Ok(end) => {
                    let chain = ChainValue::parse(&end.chain);
                    let chain = chain.ok_or(CallError::Protocol("a chain value has 32 bytes"))?;
                    return Ok(Ok((Seq(end.head_seq), chain)));
                }
                Err(CallError::Refused(refused)) if refused.code.is_some_and(Code::retryable) => {
                    sleep(refused.retry_after.max(PAUSE)).await;
                }
                Err(CallError::Refused(refused)) => {
                    tracing::debug!(%refused, "the server did not take what it was offered");
                    return Ok(Err(refused));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(CallError::Timeout.into())
    }
}
