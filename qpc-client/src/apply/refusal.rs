//! What a definite refusal of a message means: by the server that it was sent to, or later by the hub that it was queued for.

use qpc_proto::{
    chain::Digest,
    error::Code,
    id::{ConversationName, Counter, MessageId},
    v1,
};
use rusqlite::Transaction;

use super::{Applied, ApplyError, Batch, end, refuse, words};
use crate::{
    api::{Event, OutboxState},
    store::{
        StoreError,
        conversation::{self, Conversation, State, Trusted},
        message,
        outbox::{self, Outgoing, Sealed},
    },
    transport::Refused,
    trust::Me,
};

impl Batch<'_> {
    /// The hub of a conversation has refused what was queued for it. An answer to other bytes than those that would be sent
    /// now is one that was acted upon already.
    pub(super) fn outcome(&mut self, notice: &v1::OutcomeNotice) -> Result<(), ApplyError> {
        let (Ok(name), Ok(id), Some(error)) = (
            ConversationName::parse(notice.conversation.as_ref()),
            MessageId::parse(&notice.message_id),
            notice.error.clone(),
        ) else {
            return Ok(());
        };
        let Some(known) = conversation::by_name(self.tx, &name)? else { return Ok(()) };
        let Some(outgoing) = outbox::by_id(self.tx, id)?.filter(|outgoing| outgoing.conversation == known.local) else {
            return Ok(());
        };
        let Some(sealed) = outgoing.sealed.clone() else { return Ok(()) };
        if Digest::parse(&notice.body_digest) != Some(Digest::of(&sealed.body)) {
            return Ok(());
        }
        self.out.outbox = true;
        refused(self.tx, self.me, (&outgoing, &sealed), (&Refused::parse(error), None), &mut self.out)
    }
}

/// Does what a definite refusal of something that was sent asks for; what comes after it is made anew.
pub(crate) fn refused(
    tx: &Transaction<'_>,
    me: &Me,
    (outgoing, sealed): (&Outgoing, &Sealed),
    (refused, counter): (&Refused, Option<Counter>),
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
                    words(&conversation)
                ),
            )?;
            conversation::set_counter(tx, local, counter.unwrap_or(refused.counter))?;
            outbox::doubt(tx, local)?;
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
            me.with_mls(tx, |mls| end(tx, &conversation, &mut mls.group(name), out))?;
            out.gone.push(name.clone());
        }
        _ => {
            let reason = refused.to_string();
            let told = message::notice(tx, local, &format!("A message could not be sent: {reason}"))?;
            out.events.push(Event::Message(told));
            refuse(tx, outgoing.id, &reason, out)?;
        }
    }
    outbox::unseal_from(tx, outgoing.conversation, outgoing.place)?;
    Ok(())
}

/// The server contradicts itself.
pub(crate) fn distrust(
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
        words(conversation)
    );
    out.alarm(tx, text)
}
