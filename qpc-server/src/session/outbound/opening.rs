//! The logs that a sync call begins to follow: their positions are asked of the store many at a time, and answered in
//! the order in which the client named them.

use std::{collections::VecDeque, future::pending, sync::Arc};

use qpc_proto::id::{ConversationName, Seq};

use crate::store::{Position, Refusal, Reply};

/// A log, and the last entry of it that the client has.
pub(super) type Cursor = (ConversationName, Seq);

/// What the store says of some cursors, in their order.
pub(super) type Positions = Reply<Vec<Option<Position>>, Refusal>;

/// Logs whose position is not known yet.
#[derive(Default)]
pub(super) struct Opening {
    /// Not asked yet.
    waiting: VecDeque<Cursor>,
    /// Asked; the answer is due.
    asked: Option<(Arc<[Cursor]>, Positions)>,
}

impl Opening {
    pub(super) fn push(&mut self, cursor: Cursor) {
        self.waiting.push_back(cursor);
    }

    /// How many have not been asked yet.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Asks for the first that wait, at most so many, unless an answer is due.
    pub(super) fn ask(&mut self, limit: usize, ask: impl FnOnce(Arc<[Cursor]>) -> Positions) {
        if self.asked.is_some() || self.waiting.is_empty() {
            return;
        }
        let some = self.waiting.len().min(limit.max(1));
        let cursors: Arc<[Cursor]> = self.waiting.drain(..some).collect();
        if self.waiting.is_empty() {
            // Room for many logs is needed once, and a session stays for long.
            self.waiting = VecDeque::new();
        }
        self.asked = Some((Arc::clone(&cursors), ask(cursors)));
    }

    /// Waits for the answer that is due, or for ever where none is. Nothing is lost when it is dropped.
    pub(super) async fn answered(&mut self) -> Result<(Arc<[Cursor]>, Vec<Option<Position>>), Refusal> {
        let positions = match &mut self.asked {
            Some((_, reply)) => reply.await?,
            None => pending().await,
        };
        let cursors = self.asked.take().map_or_else(Arc::default, |(cursors, _)| cursors);
        Ok((cursors, positions))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use qpc_proto::{address::Domain, chain::ChainValue, id::ConversationId};
    use tokio::sync::oneshot;

    use super::*;
    use crate::store::LogPlace;

    type Answer = oneshot::Sender<Result<Vec<Option<Position>>, Refusal>>;

    fn cursor(number: u8) -> Cursor {
        let domain = Domain::parse("chat.example").unwrap();
        (ConversationName { domain, id: ConversationId::new(1, [number; 10]) }, Seq(number.into()))
    }

    fn position(cursor: &Cursor) -> Position {
        Position { after: cursor.1, chain: ChainValue([0; 32]), head: Seq(100), place: LogPlace(7) }
    }

    /// Has the queue ask for at most three, and keeps what it asked and how to answer.
    fn ask(opening: &mut Opening) -> Option<(Arc<[Cursor]>, Answer)> {
        let mut asked = None;
        opening.ask(3, |cursors| {
            let (answer, reply) = Reply::channel();
            asked = Some((cursors, answer));
            reply
        });
        asked
    }

    #[test]
    fn many_are_asked_at_once_and_answered_in_order() {
        let mut opening = Opening::default();
        assert!(ask(&mut opening).is_none());
        (1..=5).for_each(|number| opening.push(cursor(number)));
        let (first, answer) = ask(&mut opening).unwrap();
        assert_eq!(*first, [cursor(1), cursor(2), cursor(3)]);
        assert_eq!(opening.waiting(), 2);
        // One answer is due: what comes meanwhile waits, whoever looks for it meanwhile.
        opening.push(cursor(1));
        assert!(ask(&mut opening).is_none());
        assert!(opening.answered().now_or_never().is_none());
        let positions = vec![Some(position(&first[0])), None, Some(position(&first[2]))];
        answer.send(Ok(positions.clone())).unwrap();
        assert_eq!(opening.answered().now_or_never(), Some(Ok((first, positions))));
        assert!(opening.answered().now_or_never().is_none());
        let (second, _) = ask(&mut opening).unwrap();
        assert_eq!(*second, [cursor(4), cursor(5), cursor(1)]);
        assert_eq!((opening.waiting(), opening.waiting.capacity()), (0, 0));
    }

    #[test]
    fn a_refusal_is_of_all_that_were_asked() {
        let mut opening = Opening::default();
        opening.push(cursor(1));
        let (_, answer) = ask(&mut opening).unwrap();
        answer.send(Err(Refusal::DeviceGone)).unwrap();
        assert_eq!(opening.answered().now_or_never(), Some(Err(Refusal::DeviceGone)));
    }
}
