//! Messages of people here for conversations that other domains order: sent in their order, until the hub has said something
//! to each (D11).

use std::{sync::Arc, time::Duration};

use prost::Message;
use qpc_proto::{
    address::Domain,
    error::Code,
    v1::{self, peer_deed::Deed, peer_done::Result as Done},
};
use tokio::time::{Instant, sleep, sleep_until};

use super::{Hall, House, act::DEEDS_MAX, circle::Reach, queued::Queued, restored::Heard};
use crate::{
    group::certificates_to_wire,
    remote::RemoteError,
    store::{Announcement, Settled, Store, StoreFault, Waiting},
};

/// How often the store is looked at for what no wake-up has told of.
const EVERY: Duration = Duration::from_secs(30);
/// How long it may be in memory alone that a peer has stored a message.
const SETTLED_AFTER: Duration = Duration::from_secs(1);
/// Messages of which that may be so.
const SAID_MAX: usize = 1_024;
/// Bytes of messages in one request, after which it takes no more.
const BYTES_MAX: usize = 512 * 1024;

/// Sends what waits for a peer until the server stops or it is a peer no more.
pub(super) async fn keep_sending((hall, house, reach): (Arc<Hall>, House, Arc<Reach>)) {
    let peer = &reach.peer.domain;
    let (store, said) = (&*house.store, Said::default());
    let mut sender = Sender { hall: &hall, store, reach: &reach, heard: Heard::default(), peer, said };
    sender.send_until_stop(&reach).await;
    if let Err(fault) = sender.settle().await {
        tracing::debug!(%peer, %fault, "what a peer has said is asked for anew");
    }
}

struct Sender<'s> {
    hall: &'s Hall,
    store: &'s dyn Store,
    reach: &'s Reach,
    heard: Heard,
    peer: &'s Domain,
    said: Said,
}

/// What a peer has said to messages.
#[derive(Default)]
struct Said {
    /// To everything up to this row.
    upto: i64,
    /// What the store does not know yet: that the peer has stored a message. Most of these are gone by the time the store is
    /// told, because the copy has shown them. What is forgotten is sent once more, and the peer says the same again.
    unsettled: Vec<Settled>,
    since: Option<Instant>,
}

impl Said {
    fn hear(&mut self, row: i64, refusal: Option<bytes::Bytes>) {
        self.upto = row;
        self.since.get_or_insert_with(Instant::now);
        self.unsettled.push(Settled { row, refusal });
    }

    /// What the store is to be told.
    fn take(&mut self) -> Vec<Settled> {
        self.since = None;
        std::mem::take(&mut self.unsettled)
    }

    /// What the store says still waits is to be sent, whatever was heard of it.
    fn again(&mut self) {
        self.upto = 0;
    }
}

impl Sender<'_> {
    async fn send_until_stop(&mut self, reach: &Reach) {
        let stopping = &reach.stop;
        let mut searched = Instant::now();
        loop {
            let settle = self.said.since.and_then(|since| since.checked_add(SETTLED_AFTER));
            let mut due = false;
            // All branches only wait.
            tokio::select! {
                () = stopping.cancelled() => return,
                () = reach.outgoing.bell.notified() => {}
                () = sleep_until(settle.unwrap_or_else(Instant::now)), if settle.is_some() => {}
                () = sleep(EVERY.saturating_sub(searched.elapsed())) => {
                    (searched, due) = (Instant::now(), true);
                    reach.outgoing.forget();
                    self.said.again();
                }
            }
            due |= settle.is_some_and(|settle| settle <= Instant::now());
            let pause = self.attempt(&reach.outgoing, due).await;
            if self.said.unsettled.is_empty() {
                self.note().await;
            }
            let Some(pause) = pause else { continue };
            // Whatever is queued meanwhile waits as well: it comes after what is there.
            tokio::select! {
                () = stopping.cancelled() => return,
                () = sleep(pause.max(self.hall.limits.retry_min)) => {}
            }
            // A connection rings by itself.
            if self.hall.is_connected(self.peer) {
                reach.outgoing.bell.notify_one();
            }
        }
    }

    /// Sends what can be sent now; says how long to leave the peer alone where that is not all.
    async fn attempt(&mut self, queued: &Queued, settle: bool) -> Option<Duration> {
        let sent = self.settle_and_send(queued, settle).await;
        if !matches!(sent, Ok(None)) {
            // Some of it was not sent.
            queued.forget();
        }
        sent.unwrap_or_else(|fault| {
            tracing::warn!(peer = %self.peer, %fault, "what waits for a peer could not be read or noted");
            Some(Duration::ZERO)
        })
    }

    async fn settle_and_send(&mut self, queued: &Queued, settle: bool) -> Result<Option<Duration>, StoreFault> {
        if settle && self.settle().await?.is_some() {
            queued.forget();
        }
        let connected = self.hall.is_connected(self.peer);
        let pause = if connected { self.send_all(queued).await? } else { Some(Duration::ZERO) };
        match pause {
            // Before a pause everything is noted.
            Some(_) => self.settle().await.map(|again| pause.or(again)),
            None => Ok(None),
        }
    }

    /// Shows how much waits.
    async fn note(&self) {
        // What can't be read is told where it matters.
        if let Ok(backlog) = self.store.backlog(self.peer).await {
            let now_ms = self.hall.clock.unix_ms();
            self.hall.table.waiting(self.peer, backlog.outgoing, backlog.oldest_ms, now_ms);
        }
    }

    /// Sends until nothing waits; says how long to wait where the hub does not take it now.
    async fn send_all(&mut self, queued: &Queued) -> Result<Option<Duration>, StoreFault> {
        loop {
            // Whom a restored peer does not know any more it is told of first.
            if self.heard.hear(self.store, self.reach).await? {
                queued.forget();
            }
            let (waiting, all) = match queued.take(DEEDS_MAX) {
                Some(mut run) => {
                    run.retain(|waiting| waiting.row > self.said.upto);
                    (run, true)
                }
                None => {
                    queued.listen();
                    let due = self.store.due(self.peer, self.said.upto, DEEDS_MAX).await?;
                    // Before anything is sent, so that nothing of a device that is gone is believed.
                    if !due.announcements.is_empty() {
                        queued.forget();
                        match self.announce(due.announcements).await? {
                            None => continue,
                            pause => return Ok(pause),
                        }
                    }
                    let found = due.waiting.len();
                    let waiting = first(due.waiting);
                    let all = waiting.len() == found && found < DEEDS_MAX;
                    (waiting, all)
                }
            };
            if !all {
                queued.forget();
            }
            if waiting.is_empty() {
                return Ok(None);
            }
            let deeds = waiting.iter().map(deed).collect::<Result<_, _>>();
            let deeds = deeds.map_err(|_| StoreFault::Engine("what waits for a peer is no message".into()))?;
            let done = match self.hall.act(self.peer, deeds).await {
                Ok(done) => done,
                Err(RemoteError::Wait(wait)) => return Ok(Some(wait)),
                Err(error) => {
                    tracing::debug!(peer = %self.peer, %error, "what waits for a peer could not be sent");
                    return Ok(Some(self.hall.limits.retry_min));
                }
            };
            let (mut refused, mut wait) = (false, None);
            for (waiting, done) in waiting.iter().zip(done) {
                let refusal = match done {
                    Done::Error(error) if Code::from_wire(error.code).is_some_and(Code::retryable) => {
                        wait = Some(Duration::from_millis(error.retry_after_ms.into()));
                        // Those behind it come after it.
                        break;
                    }
                    Done::Error(error) => Some(error.encode_to_vec().into()),
                    _ => None,
                };
                refused |= refusal.is_some();
                self.said.hear(waiting.row, refusal);
            }
            if refused || self.said.unsettled.len() >= SAID_MAX {
                wait = wait.or(self.settle().await?);
            }
            if wait.is_some() {
                return Ok(wait);
            }
        }
    }

    /// Notes what the peer has said. Where something is to be sent again that is so at once.
    async fn settle(&mut self) -> Result<Option<Duration>, StoreFault> {
        let said = self.said.take();
        if said.is_empty() {
            return Ok(None);
        }
        let settled = self.store.settle(said, self.hall.clock.unix_ms()).await;
        if settled != Ok(false) {
            self.said.again();
        }
        Ok(settled?.then_some(Duration::ZERO))
    }

    /// Tells a peer which devices accounts of here have, where some have gone.
    async fn announce(&self, due: Vec<Announcement>) -> Result<Option<Duration>, StoreFault> {
        let rows: Vec<i64> = due.iter().map(|due| due.row).collect();
        let deeds = due.into_iter().map(announcement).collect::<Result<_, _>>()?;
        let done = match self.hall.act(self.peer, deeds).await {
            Ok(done) => done,
            Err(error) => {
                tracing::debug!(peer = %self.peer, %error, "a peer could not be told of devices");
                return Ok(Some(self.hall.limits.retry_min));
            }
        };
        let all = rows.len();
        let mut told = Vec::with_capacity(all);
        for (row, done) in rows.into_iter().zip(&done).filter(|(_, done)| !retryable(done)) {
            if let Done::Error(error) = done {
                // It would not hear of it another time either.
                tracing::warn!(peer = %self.peer, code = error.code, "a peer refuses to hear which devices an account has");
            }
            told.push(row);
        }
        let some = told.len() < all;
        self.store.announced(told).await?;
        Ok(some.then_some(self.hall.limits.retry_min))
    }
}

fn announcement(due: Announcement) -> Result<v1::PeerDeed, StoreFault> {
    let gone = due.certificates.is_empty();
    Ok(v1::PeerDeed {
        sender: due.address.to_string(),
        device_id: bytes::Bytes::new(),
        devices: certificates_to_wire(due.certificates)?,
        deed: Some(Deed::DevicesChanged(v1::PeerDevices { gone })),
    })
}

fn retryable(done: &Done) -> bool {
    matches!(done, Done::Error(error) if Code::from_wire(error.code).is_some_and(Code::retryable))
}

/// As many as fit into a request.
fn first(mut waiting: Vec<Waiting>) -> Vec<Waiting> {
    let mut bytes = 0_usize;
    let fit = waiting.iter().take_while(|waiting| {
        let fits = bytes < BYTES_MAX;
        bytes = bytes.saturating_add(waiting.request.len());
        fits
    });
    let fit = fit.count();
    waiting.truncate(fit);
    waiting
}

fn deed(waiting: &Waiting) -> Result<v1::PeerDeed, prost::DecodeError> {
    Ok(v1::PeerDeed {
        sender: waiting.sender.to_string(),
        device_id: waiting.device.to_bytes(),
        devices: Vec::new(),
        deed: Some(Deed::Send(v1::Send::decode(waiting.request.clone())?)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_sent_again_is_read_from_the_beginning() {
        let mut said = Said::default();
        for row in [3, 5, 9] {
            said.hear(row, None);
        }
        assert!(said.since.is_some() && said.upto == 9);
        let told: Vec<_> = said.take().into_iter().map(|settled| settled.row).collect();
        assert_eq!((told, said.since, said.upto), (vec![3, 5, 9], None, 9));
        assert!(said.take().is_empty(), "once");
        said.again();
        assert_eq!(said.upto, 0);
    }
}
