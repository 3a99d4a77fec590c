//! Messages of people here for conversations that other domains order: sent in their order, until the hub has said something
//! to each (D11).

use std::{sync::Arc, time::Duration};

use prost::Message;
use qpc_proto::{
    address::Domain,
    error::Code,
    v1::{self, peer_deed::Deed, peer_done::Result as Done},
};
use tokio::time::sleep;

use super::{Hall, act::DEEDS_MAX};
use crate::{
    group::certificates_to_wire,
    remote::RemoteError,
    store::{Announcement, Settled, Store, StoreFault, Waiting},
};

/// How often the store is looked at for what no wake-up has told of.
const EVERY: Duration = Duration::from_secs(30);
/// Bytes of messages in one request, after which it takes no more.
const BYTES_MAX: usize = 512 * 1024;

/// Sends what waits for a peer until the server stops.
pub(super) async fn keep_sending(hall: Arc<Hall>, store: Arc<dyn Store>, peer: Domain) {
    let Some(reach) = hall.reach.get(&peer) else { return };
    let stopping = hall.tasks.stopping().clone();
    loop {
        // All branches only wait.
        tokio::select! {
            () = stopping.cancelled() => return,
            () = reach.outgoing.notified() => {}
            () = sleep(EVERY) => {}
        }
        let pause = attempt(&hall, &*store, &peer).await;
        note(&hall, &*store, &peer).await;
        let Some(pause) = pause else { continue };
        // Whatever is queued meanwhile waits as well: it comes after what is there.
        tokio::select! {
            () = stopping.cancelled() => return,
            () = sleep(pause.max(hall.limits.retry_min)) => {}
        }
        // A connection rings by itself.
        if hall.is_connected(&peer) {
            reach.outgoing.notify_one();
        }
    }
}

/// Sends what can be sent now; says how long to leave the peer alone where that is not all.
async fn attempt(hall: &Hall, store: &dyn Store, peer: &Domain) -> Option<Duration> {
    if !hall.is_connected(peer) {
        return Some(Duration::ZERO);
    }
    let sent = match announce(hall, store, peer).await {
        Ok(None) => send_all(hall, store, peer).await,
        other => other,
    };
    sent.unwrap_or_else(|fault| {
        tracing::warn!(%peer, %fault, "what waits for a peer could not be read or noted");
        Some(Duration::ZERO)
    })
}

/// Shows how much waits.
async fn note(hall: &Hall, store: &dyn Store, peer: &Domain) {
    // What can't be read is told where it matters.
    if let Ok(backlog) = store.backlog(peer).await {
        hall.table.waiting(peer, backlog.outgoing, backlog.oldest_ms, hall.clock.unix_ms());
    }
}

/// Tells a peer which devices accounts of here have, where some have gone: before anything is sent, so that nothing of a
/// device that is gone is believed.
async fn announce(hall: &Hall, store: &dyn Store, peer: &Domain) -> Result<Option<Duration>, StoreFault> {
    loop {
        let due = store.announcements(peer, DEEDS_MAX).await?;
        if due.is_empty() {
            return Ok(None);
        }
        let rows: Vec<i64> = due.iter().map(|due| due.row).collect();
        let deeds = due.into_iter().map(announcement).collect::<Result<_, _>>()?;
        let done = match hall.act(peer, deeds).await {
            Ok(done) => done,
            Err(error) => {
                tracing::debug!(%peer, %error, "a peer could not be told of devices");
                return Ok(Some(hall.limits.retry_min));
            }
        };
        let all = rows.len();
        let mut told = Vec::with_capacity(all);
        for (row, done) in rows.into_iter().zip(&done).filter(|(_, done)| !retryable(done)) {
            if let Done::Error(error) = done {
                // It would not hear of it another time either.
                tracing::warn!(%peer, code = error.code, "a peer refuses to hear which devices an account has");
            }
            told.push(row);
        }
        let some = told.len() < all;
        store.announced(told).await?;
        if some {
            return Ok(Some(hall.limits.retry_min));
        }
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

/// Sends until nothing waits; says how long to wait where the hub does not take it now.
async fn send_all(hall: &Hall, store: &dyn Store, peer: &Domain) -> Result<Option<Duration>, StoreFault> {
    loop {
        let waiting = first(store.waiting(peer, 0, DEEDS_MAX).await?);
        if waiting.is_empty() {
            return Ok(None);
        }
        let deeds = waiting.iter().map(deed).collect::<Result<_, _>>();
        let deeds = deeds.map_err(|_| StoreFault::Engine("what waits for a peer is no message".into()))?;
        let done = match hall.act(peer, deeds).await {
            Ok(done) => done,
            Err(RemoteError::Wait(wait)) => return Ok(Some(wait)),
            Err(error) => {
                tracing::debug!(%peer, %error, "what waits for a peer could not be sent");
                return Ok(Some(hall.limits.retry_min));
            }
        };
        let (mut settled, mut wait) = (Vec::with_capacity(done.len()), None);
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
            settled.push(Settled { row: waiting.row, refusal });
        }
        if store.settle(settled, hall.clock.unix_ms()).await? {
            wait = wait.or(Some(Duration::ZERO));
        }
        if wait.is_some() {
            return Ok(wait);
        }
    }
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
