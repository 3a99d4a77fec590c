//! Ephemeral events as they leave: in datagrams where the connection carries them, or else on the stream of the sync
//! call, and in either way only when nothing that counts waits.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use qpc_proto::{
    frame,
    v1::{self, answer},
};

use super::{
    Context,
    link::{Carried, Link},
};
use crate::{metrics::labels::EphemeralDrop, registry::Ephemeral};

/// Says events. Gives those that have to go on the stream, as frames.
pub(super) fn say(link: &Link, events: &mut Vec<Arc<Ephemeral>>) -> Vec<Bytes> {
    let metrics = &link.context.metrics.ephemeral;
    let mut frames = Vec::new();
    for event in std::mem::take(events) {
        if event.taken.elapsed() > link.context.limits.ephemerals.fresh {
            metrics.drop(EphemeralDrop::Stale);
            continue;
        }
        match link.send_datagram(&event.datagram) {
            Carried::Yes => metrics.delivered.inc(),
            Carried::NotNow => metrics.drop(EphemeralDrop::Behind),
            Carried::Never => {
                // Encoded here, because few need it.
                if let Ok(event) = v1::Ephemeral::decode(event.datagram.clone()) {
                    frames.push(frame::encode(&v1::Answer { result: Some(answer::Result::Ephemeral(event)) }));
                    metrics.delivered.inc();
                }
            }
        }
    }
    frames
}

/// Drops events, because there is something that counts to say.
pub(super) fn forget(context: &Context, events: &mut Vec<Arc<Ephemeral>>) {
    for _ in std::mem::take(events) {
        context.metrics.ephemeral.drop(EphemeralDrop::Behind);
    }
}
