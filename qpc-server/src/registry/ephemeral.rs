//! Ephemeral events that wait for one session: few, the newest of each device, and the first to go.

use std::{mem, sync::Arc};

use bytes::Bytes;
use qpc_proto::id::{ConversationName, DeviceId};
use tokio::time::Instant;

use crate::metrics::labels::EphemeralDrop;

/// An ephemeral event on its way to those who are here, encoded once for all.
#[derive(Debug, PartialEq, Eq)]
pub struct Ephemeral {
    /// Where.
    pub conversation: ConversationName,
    /// The device that has authenticated.
    pub sender: DeviceId,
    /// As it goes out.
    pub datagram: Bytes,
    /// When it came.
    pub taken: Instant,
}

/// The events of one session, in order.
#[derive(Default)]
pub(super) struct Waiting(Vec<Arc<Ephemeral>>);

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one in the place of an older one of its device in its conversation, or of the oldest where there are too many.
    pub(super) fn put(&mut self, event: &Arc<Ephemeral>, most: usize) -> Option<EphemeralDrop> {
        let older = |old: &Arc<Ephemeral>| old.sender == event.sender && old.conversation == event.conversation;
        let lost = match self.0.iter().position(older) {
            Some(place) => Some((place, EphemeralDrop::Replaced)),
            None if self.0.len() >= most.max(1) => Some((0, EphemeralDrop::Full)),
            None => None,
        };
        if let Some((place, _)) = lost {
            self.0.remove(place);
        }
        self.0.push(Arc::clone(event));
        lost.map(|(_, reason)| reason)
    }

    /// Takes all; the memory goes with them.
    pub(super) fn take(&mut self) -> Vec<Arc<Ephemeral>> {
        mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use qpc_proto::{address::Domain, id::ConversationId};

    use super::*;

    fn event(conversation: u8, sender: u8, text: &'static str) -> Arc<Ephemeral> {
        let domain = Domain::parse("chat.example").unwrap();
        Arc::new(Ephemeral {
            conversation: ConversationName { domain, id: ConversationId::new(1, [conversation; 10]) },
            sender: DeviceId::new(1, [sender; 10]),
            datagram: Bytes::from_static(text.as_bytes()),
            taken: Instant::now(),
        })
    }

    #[tokio::test]
    async fn a_later_one_takes_an_earlier_ones_place_and_the_oldest_goes_first() {
        let mut waiting = Waiting::default();
        let put =
            |waiting: &mut Waiting, conversation, sender, text| waiting.put(&event(conversation, sender, text), 3);
        assert_eq!(put(&mut waiting, 1, 1, "a"), None);
        assert_eq!(put(&mut waiting, 1, 2, "b"), None);
        assert_eq!(put(&mut waiting, 2, 1, "c"), None);
        assert_eq!(put(&mut waiting, 1, 1, "d"), Some(EphemeralDrop::Replaced));
        assert_eq!(put(&mut waiting, 3, 3, "e"), Some(EphemeralDrop::Full));
        let texts: Vec<_> = waiting.take().iter().map(|event| event.datagram.clone()).collect();
        assert_eq!(texts, ["c", "d", "e"]);
        assert!(waiting.is_empty());
    }
}
