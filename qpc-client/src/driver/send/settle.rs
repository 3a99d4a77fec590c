//! What the server's answers mean for the outbox.

use qpc_proto::{
    chain::{ChainValue, EntryContent, LogEntry},
    error::Code,
    id::{Counter, MessageId, Seq},
    v1,
};
use rusqlite::Transaction;

use crate::{
    api::{Event, OutboxState},
    apply::{self, Applied, ApplyError},
    store::{
        Local, answered,
        conversation::{self, State},
        entry,
        outbox::{self, Outgoing, Sealed},
        release, trace,
    },
    transport::Refused,
    trust::Me,
};

/// A conversation that had something refused.
#[derive(Default)]
pub(super) struct Trouble {
    /// The first definite refusal; what came after it was refused because of it.
    pub(super) first: Option<(Outgoing, Sealed, Box<Refused>)>,
    /// All that the server surely has not.
    pub(super) refused: Vec<MessageId>,
}

impl Trouble {
    /// Takes a definite refusal.
    pub(super) fn add(&mut self, outgoing: Outgoing, sealed: Sealed, refused: Box<Refused>) {
        // It has one of this id, or what it says is not known here.
        if !matches!(refused.code, None | Some(Code::IdConflict)) {
            self.refused.push(outgoing.id);
        }
        if self.first.is_none() {
            self.first = Some((outgoing, sealed, refused));
        }
    }
}

/// What is to be noted in one transaction.
#[derive(Default)]
pub(super) struct Settling {
    pub(super) stored: Vec<(Outgoing, Sealed, v1::SendAnswer)>,
    /// Refused for now: the same bytes again, later.
    pub(super) grounded: Vec<i64>,
    /// Something of these conversations was refused for now, and may have been taken all the same.
    pub(super) doubtful: Vec<Local>,
    /// Refused for good, with nothing of the conversation left in flight; and the server's counter where it was asked for.
    pub(super) refused: Vec<(Outgoing, Sealed, Box<Refused>, Option<Counter>)>,
    /// All messages of such conversations that the server surely has not.
    pub(super) absent: Vec<MessageId>,
}

/// Notes it.
pub(super) fn settle(tx: &Transaction<'_>, me: &Me, settling: Settling) -> Result<Applied, ApplyError> {
    let mut out = Applied { outbox: true, ..Applied::default() };
    for (outgoing, sealed, answer) in settling.stored {
        // On its way to another server: the log shows it, or the inbox says why not.
        if answer.queued {
            if outbox::set_queued(tx, outgoing.id)? {
                let hub = conversation::get(tx, outgoing.conversation)?.name.map(|name| name.domain.to_string());
                out.events.push(Event::Outbox {
                    id: outgoing.id.to_string(),
                    state: OutboxState::Queued,
                    reason: hub.map(|hub| format!("{hub} orders this conversation")),
                });
            }
            continue;
        }
        trace::answered(tx, outgoing.id, answer.stored_ms)?;
        let conversation = conversation::get(tx, outgoing.conversation)?;
        let seq = Seq(answer.seq);
        let chain = ChainValue::parse(&answer.chain);
        let fits = chain.map_or(Ok(false), |chain| entry::promise(tx, conversation.local, seq, &chain))?;
        if !fits {
            apply::distrust(tx, &conversation, "gives two answers for the same place", &mut out)?;
        }
        release::remove(tx, outgoing.id)?;
        // It may have come back already, by the sync call.
        if outbox::by_id(tx, outgoing.id)?.is_none() {
            continue;
        }
        // Who leaves reads what was said before that: it is out when the log has brought it.
        if outgoing.leave && conversation.state == State::Active && conversation.seq < seq {
            continue;
        }
        if let Some(chain) = chain.filter(|_| conversation.seq < seq) {
            let entry = LogEntry {
                conversation: conversation.named()?.clone(),
                seq,
                kind: outgoing.kind,
                epoch: sealed.epoch,
                sender: Some(me.identity.device),
                counter: sealed.counter,
                id: outgoing.id,
                stored_ms: answer.stored_ms,
                chain,
                content: EntryContent::Body(sealed.body.clone()),
            };
            answered::put(tx, conversation.local, &entry, &outgoing.content)?;
        }
        apply::sent(tx, &conversation, &outgoing, sealed.counter, seq, &mut out)?;
        if outgoing.leave {
            let name = conversation.named()?;
            me.with_mls(tx, |mls| apply::end(tx, &conversation, &mut mls.group(name), &mut out))?;
            out.gone.push(name.clone());
        }
    }
    for place in settling.grounded {
        outbox::set_flying(tx, place, false)?;
    }
    for conversation in settling.doubtful {
        outbox::doubt(tx, conversation)?;
    }
    for (outgoing, sealed, refused, counter) in settling.refused {
        apply::refused(tx, me, (&outgoing, &sealed), (&refused, counter), &mut out)?;
    }
    for id in settling.absent {
        release::confirm(tx, id)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_absent_unless_the_server_has_another_of_its_id() {
        let refused = |code: u32| {
            let mut trouble = Trouble::default();
            let sealed = Sealed { counter: Counter(1), epoch: qpc_proto::id::Epoch(1), body: bytes::Bytes::new() };
            let outgoing = Outgoing {
                place: 1,
                conversation: 1,
                id: crate::fresh::message_id().unwrap(),
                content: Vec::new(),
                kind: qpc_proto::chain::EntryKind::Message,
                leave: false,
                sealed: None,
            };
            let error = v1::Error { code, ..Default::default() };
            trouble.add(outgoing, sealed, Box::new(Refused::parse(error)));
            assert!(trouble.first.is_some());
            trouble.refused.len()
        };
        assert_eq!((refused(Code::NotFound as u32), refused(Code::WrongEpoch as u32)), (1, 1));
        assert_eq!((refused(Code::IdConflict as u32), refused(9_999)), (0, 0));
    }
}
