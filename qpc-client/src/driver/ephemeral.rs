//! Says what this device does at the moment, and hears what others do; for as long as the connection lasts.
//!
//! Nothing here is waited for by anybody, and nothing is repeated because it may have been lost: what counts of it, how far
//! messages have come, is said again with the next event, and when a device comes back.

mod hear;
mod say;

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use qpc_proto::ephemeral::Event;
use tokio::time::{Instant, sleep_until};

use super::session::End;
use crate::{
    core::Core,
    store::{receipt, tell},
    transport::Link,
};

/// Conversations in which a device says where it is when it comes back.
const RECENT_MAX: u32 = 32;
/// How often it is said that a person is there, where that is told.
const PRESENT_EVERY: Duration = Duration::from_secs(120);

/// Says and hears until the connection ends.
pub(super) async fn run(core: &Arc<Core>, link: &Link) -> Result<Infallible, End> {
    if !link.ephemerals {
        return pending().await;
    }
    let recent = core.store.run(|tx| receipt::recent(tx, RECENT_MAX)).await?;
    core.ephemerals.came_back(&recent);
    let mut present_at = Instant::now().checked_add(PRESENT_EVERY);
    loop {
        let next = core.ephemerals.lock().next();
        tokio::select! {
            biased;
            () = core.ephemerals.woken.notified() => {
                for event in core.ephemerals.take_incoming() {
                    hear::hear(core, Event::parse(event)).await?;
                }
                hear::catch_up(core).await?;
            }
            () = at(next) => {
                let expired = core.ephemerals.lock().expired();
                expired.into_iter().for_each(|event| core.events.tell(event));
                say::say(core, link).await?;
            }
            () = at(present_at) => {
                present_at = Instant::now().checked_add(PRESENT_EVERY);
                if core.store.run(tell::told).await?.presence {
                    let recent = core.store.run(|tx| receipt::recent(tx, RECENT_MAX)).await?;
                    let mut state = core.ephemerals.lock();
                    recent.iter().for_each(|conversation| state.asked(conversation));
                }
            }
            // Last: a server that sends many keeps none of the above from being done.
            datagram = link.datagram() => hear::hear(core, Event::decode(datagram?)).await?,
        }
    }
}

/// Waits for a time, or for ever where none is set.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}
