//! Leaves of devices that are gone or too far behind: the hub proposes their removal, and any member's next commit carries
//! it out.
//!
//! What is to be done stands in the store. A look at it is due when a device has just gone, or has come by itself, and
//! from time to time, because a commit that did not carry a proposal out has made it void.

use std::{sync::Arc, time::Duration};

use qpc_proto::id::{ConversationName, Epoch};
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    ChangeError,
    follow::Follower,
    public::{Followed, Leaf, Refused},
    shelf::Known,
};
use crate::{
    clock::Clock,
    store::{AppendError, Departure, GroupState, GroupVersion, Judged, Removal, RemovalError, StoreFault},
};

/// Leaves looked at in one go.
const BATCH: usize = 64;
/// How often they are looked at where nothing is known to have changed.
const EVERY: Duration = Duration::from_secs(30);

/// Says that devices are gone, and looks after their leaves.
pub(super) struct Removals {
    due: Notify,
    clock: Arc<dyn Clock>,
}

impl Removals {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { due: Notify::new(), clock }
    }

    /// Devices have gone.
    pub(super) fn due(&self) {
        self.due.notify_one();
    }

    /// Proposes removals until it is stopped.
    pub(super) async fn run(&self, follower: &Follower, stopping: CancellationToken) {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Every branch only waits.
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = tick.tick() => {}
                () = self.due.notified() => {}
                () = follower.joined.notified() => {}
            }
            while !stopping.is_cancelled() {
                match self.batch(follower).await {
                    Ok(more) if more => {}
                    Ok(_) => break,
                    Err(error) => {
                        tracing::warn!(%error, "removals could not be proposed and will be tried again");
                        break;
                    }
                }
            }
        }
    }

    /// Looks at some leaves; says whether there are more.
    async fn batch(&self, follower: &Follower) -> Result<bool, StoreFault> {
        let due = follower.store.departures(BATCH).await?;
        let more = due.len() == BATCH;
        let mut done = false;
        for departure in due {
            match self.look_at(follower, &departure).await {
                Ok(()) => done = true,
                Err(ChangeError::Store(AppendError::Fault(fault))) => return Err(fault),
                // Changed in between: the next look.
                Err(error) => tracing::debug!(%error, "a removal was not proposed"),
            }
        }
        Ok(more && done)
    }

    async fn look_at(&self, follower: &Follower, departure: &Departure) -> Result<(), ChangeError> {
        let Departure { conversation: name, device, account_gone } = departure;
        let fault = |fault: StoreFault| ChangeError::Store(AppendError::Fault(fault));
        let _turn = follower.turns.take(name).await;
        let known = follower.shelf.take(name);
        let stored = follower.store.hub_group(name, known.as_ref().map(|known| known.version)).await.map_err(fault)?;
        let Some(stored) = stored else { return Ok(()) };
        let epoch = stored.version.epoch;
        let Known { version, mut group, .. } = match follower.matching(name, known, stored).await {
            Err(ChangeError::Unfollowed) => {
                return follower.store.settle_departure(name, *device, Some(epoch)).await.map_err(fault);
            }
            matching => matching?,
        };
        let (hub, device, gone) = (Arc::clone(&follower.hub), *device, *account_gone);
        let (group, proposed) = follower
            .judge(move |crypto| {
                let proposed = match group.propose_removal(crypto, (&hub.domain, &hub.key), device, gone) {
                    Ok(Leaf::Gone) => Ok(Next::Settle(None)),
                    Ok(Leaf::Stays) => Ok(Next::Settle(Some(epoch))),
                    Ok(Leaf::Proposed(body, approved)) => group.queue(approved).map(|state| Next::Propose(body, state)),
                    Err(error) => Err(error),
                };
                (group, proposed)
            })
            .await?;
        match proposed {
            Ok(Next::Propose(body, state)) => {
                let removal = Removal {
                    conversation: name.clone(),
                    device,
                    body: body.into(),
                    judged: Judged { basis: version, change: state },
                    now_ms: self.clock.unix_ms(),
                };
                match follower.store.propose_removal(removal).await {
                    Ok(()) => {
                        follower.metrics.removals_proposed.inc();
                        let proposals = version.proposals.saturating_add(1);
                        keep(follower, name, GroupVersion { proposals, ..version }, group);
                        Ok(())
                    }
                    Err(RemovalError::Unjudged) => Err(AppendError::Unjudged.into()),
                    Err(RemovalError::Fault(error)) => Err(fault(error)),
                }
            }
            Ok(Next::Settle(until_after)) => {
                keep(follower, name, version, group);
                follower.store.settle_departure(name, device, until_after).await.map_err(fault)
            }
            // A group of before the hub had a key in it, above all: nothing can be done.
            Err(error) => {
                tracing::debug!(%error, "a leaf can't be proposed for removal");
                if matches!(error, Refused::Rule(_)) {
                    keep(follower, name, version, group);
                }
                follower.store.settle_departure(name, device, Some(epoch)).await.map_err(fault)
            }
        }
    }
}

fn keep(follower: &Follower, name: &ConversationName, version: GroupVersion, group: Followed) {
    follower.shelf.put(name.clone(), Known { version, group, place: None });
}

/// What is to be stored about a leaf.
enum Next {
    Propose(Vec<u8>, GroupState),
    /// Gone, or nothing before the epoch after this one.
    Settle(Option<Epoch>),
}
