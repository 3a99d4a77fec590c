//! What the server's answers mean for the outbox.

use qpc_proto::{
    chain::ChainValue,
    error::Code,
    id::{Counter, Seq},
    v1,
};
use rusqlite::Transaction;

use crate::{
    api::{Event, OutboxState},
    apply::{self, Applied, ApplyError},
    store::{
        StoreError,
        conversation::{self, Conversation, State, Trusted},
        entry, message,
        outbox::{self, Outgoing, Sealed},
    },
    transport::Refused,
    trust::Me,
};

/// A conversation that had something refused.
#[derive(Default)]
pub(super) struct Trouble {
    /// The first definite refusal; what came after it was refused because of it.
    pub(super) first: Option<(Outgoing, Sealed, Box<Refused>)>,
}

/// What is to be noted in one transaction.
#[derive(Default)]
pub(super) struct Settling {
    pub(super) stored: Vec<(Outgoing, Sealed, v1::SendAnswer)>,
    /// Refused for now: the same bytes again, later.
    pub(super) grounded: Vec<i64>,
    /// Refused for good, with nothing of the conversation left in flight; and the server's counter where it was asked for.
    pub(super) refused: Vec<(Outgoing, Sealed, Box<Refused>, Option<Counter>)>,
}

/// Notes it.
pub(super) fn settle(tx: &Transaction<'_>, me: &Me, settling: Settling) -> Result<Applied, ApplyError> {
    let mut out = Applied { outbox: true, ..Applied::default() };
    for (outgoing, sealed, answer) in settling.stored {
        let conversation = conversation::get(tx, outgoing.conversation)?;
        let seq = Seq(answer.seq);
        let chain = ChainValue::parse(&answer.chain);
        let fits = chain.map_or(Ok(false), |chain| entry::promise(tx, conversation.local, seq, &chain))?;
        if !fits {
            distrust(tx, &conversation, "gives two answers for the same place", &mut out)?;
        }
        // It may have come back already, by the sync call.
        if outbox::by_id(tx, outgoing.id)?.is_none() {
            continue;
        }
        // Who leaves reads what was said before that: it is out when the log has brought it.
        if outgoing.leave && conversation.state == State::Active && conversation.seq < seq {
            continue;
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
    for (outgoing, sealed, refused, counter) in settling.refused {
        act(tx, me, (&outgoing, &sealed), &refused, counter, &mut out)?;
        outbox::unseal_from(tx, outgoing.conversation, outgoing.place)?;
    }
    Ok(out)
}

/// Does what a definite refusal asks for.
fn act(
    tx: &Transaction<'_>,
    me: &Me,
    (outgoing, sealed): (&Outgoing, &Sealed),
    refused: &Refused,
    counter: Option<Counter>,
    out: &mut Applied,
) -> Result<(), ApplyError> {
    let conversation = conversation::get(tx, outgoing.conversation)?;
    let local = conversation.local;
    match refused.code {
        Some(Code::WrongEpoch) => {
            // What the log has brought meanwhile may be later than this answer, which can't be of before the message.
            if refused.epoch <= sealed.epoch {
                distrust(tx, &conversation, "has gone back to an earlier state of its members", out)?;
            } else {
                conversation::hold_until(tx, local, refused.epoch)?;
            }
        }
        Some(Code::CounterGap) if refused.counter < conversation.counter => {
            distrust(tx, &conversation, "has lost messages that it had acknowledged", out)?;
        }
        Some(Code::CounterGap) if refused.counter == conversation.counter => {}
        Some(Code::CounterGap | Code::IdConflict) if counter.unwrap_or(refused.counter) > conversation.counter => {
            out.alarm(
                tx,
                format!(
                    "{}: the server has more of this device's messages than this home. It was restored from an older \
                     copy or is used twice; log out here and log in anew.",
                    apply::words(&conversation)
                ),
            )?;
            conversation::set_counter(tx, local, counter.unwrap_or(refused.counter))?;
        }
        Some(Code::ContactPending) => {
            let reason = format!("{} has not accepted your request yet", conversation.title);
            conversation::set_waiting(tx, local, Some(&reason))?;
            for id in outbox::of_conversation(tx, local)? {
                let (id, reason) = (id.to_string(), Some(reason.clone()));
                out.events.push(Event::Outbox { id, state: OutboxState::Waiting, reason });
            }
        }
        // What was said before this account was out of it is still to come, and its end with it.
        Some(Code::NotFound) if conversation.state == State::Active => {
            conversation::set_waiting(tx, local, Some("you are no longer in this conversation, says the server"))?;
        }
        Some(Code::NotFound) => {
            let name = conversation.named()?;
            me.with_mls(tx, |mls| apply::end(tx, &conversation, &mut mls.group(name), out))?;
            out.gone.push(name.clone());
        }
        _ => {
            let reason = refused.to_string();
            let told = message::notice(tx, local, &format!("A message could not be sent: {reason}"))?;
            out.events.push(Event::Message(told));
            apply::refuse(tx, outgoing.id, &reason, out)?;
        }
    }
    Ok(())
}

/// The server contradicts itself.
fn distrust(
    tx: &Transaction<'_>,
    conversation: &Conversation,
    what: &str,
    out: &mut Applied,
) -> Result<(), StoreError> {
    conversation::set_trusted(tx, conversation.local, Trusted::Never)?;
    out.gone.extend(conversation.name.clone());
    let text = format!(
        "{}: the server {what}. Nothing more is read from it or sent to it. Ask the operator what happened; what you have \
         stays here.",
        apply::words(conversation)
    );
    out.alarm(tx, text)
}
