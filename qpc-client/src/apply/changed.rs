//! Changes of earlier messages: other people's as they come in the log, and our own when the log has come to them.

use qpc_proto::{
    address::Address,
    chain::LogEntry,
    content::Content,
    id::MessageId,
    role::{Action, Role, may},
};
use rusqlite::Transaction;

use super::{Applied, ApplyError, Batch, Open};
use crate::{
    api::Event,
    mls::{Group, GroupError},
    store::{
        Local, StoreError,
        change::{self, By, Change, Effect},
        conversation::Kind,
        history, message, orphan,
        own_change::{self, May},
    },
};

/// What an account may do to what others have said: in a group by its role, and between two what both may.
pub(crate) fn what_may(group: &mut Group<'_>, kind: Kind, who: &str) -> Result<May, ApplyError> {
    if kind != Kind::Group {
        return Ok(May { moderates: false, pins: true });
    }
    let role = match (group.roles(), Address::parse(who)) {
        (Ok(roles), Ok(who)) => roles.of(&who),
        (Err(GroupError::Fault(fault)), _) => return Err(fault.into()),
        _ => Role::Member,
    };
    // Whoever may send a member away may take away what a member says.
    Ok(May { moderates: may(role, Action::Remove(Role::Member)), pins: may(role, Action::Describe) })
}

impl<'b> Batch<'b> {
    /// Does what a content does to an earlier message. Says whether that was all; otherwise it is shown as a message.
    pub(super) fn changes(
        &mut self,
        log: &mut Open<'b>,
        entry: &LogEntry,
        content: &Content,
        sender: &str,
    ) -> Result<bool, ApplyError> {
        let Some((target, change)) = Change::of(&content.kind) else { return Ok(false) };
        let me = self.me.address().to_string();
        let May { moderates, pins } = what_may(&mut log.group, log.conversation.kind, sender)?;
        let by = By { account: sender, moderates, pins, time_ms: content.sent_ms, me: &me };
        match change::apply(self.tx, log.conversation.local, target, &change, by)? {
            Effect::Changed(local) => self.out.events.push(Event::Changed(message::get(self.tx, local)?)),
            Effect::None => {}
            Effect::NoTarget => {
                tracing::debug!("a change of a message that is not here");
                if !history::is_whole(self.tx)? {
                    orphan::put(self.tx, log.conversation.local, (entry.id, content), target, by)?;
                }
                // An edit of what has disappeared is none; of another it is shown as a message of its own.
                return Ok(!matches!(change, Change::Edit(_)) || content.lifetime_s > 0);
            }
        }
        Ok(true)
    }

    /// The log has come to a change of our own: it is done to its message, with what this account may there.
    pub(super) fn own_change(&mut self, log: &mut Open<'b>, id: MessageId) -> Result<(), ApplyError> {
        let Some(own) = own_change::take(self.tx, id)? else { return Ok(()) };
        let me = self.me.address().to_string();
        let may = what_may(&mut log.group, log.conversation.kind, &me)?;
        own_change::apply(self.tx, &own, Some(may))?;
        told(self.tx, own.conversation, own.target, &mut self.out)
    }

    /// Does those that the log has passed without bringing them.
    pub(super) fn passed_changes(&mut self, log: &mut Open<'b>) -> Result<(), ApplyError> {
        while let Some(id) = own_change::passed(self.tx, log.conversation.local, log.seq)? {
            self.own_change(log, id)?;
        }
        Ok(())
    }
}

/// A change of our own will never be sent: its message is what it was without it.
pub(super) fn refused(tx: &Transaction<'_>, id: MessageId, out: &mut Applied) -> Result<(), StoreError> {
    match own_change::take(tx, id)? {
        Some(own) => told(tx, own.conversation, own.target, out),
        None => Ok(()),
    }
}

fn told<E: From<StoreError>>(
    tx: &Transaction<'_>,
    conversation: Local,
    target: MessageId,
    out: &mut Applied,
) -> Result<(), E> {
    if let Some(now) = message::by_id(tx, conversation, target)? {
        out.events.push(Event::Changed(now));
    }
    Ok(())
}
