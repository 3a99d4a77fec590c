//! Messages: decrypted, read, shown; and our own, when they come back.

use bytes::Bytes;
use qpc_proto::{
    chain::{Digest, EntryContent, LogEntry},
    content::{Content, Kind as Said},
    credential::VerifiedDevice,
    id::{Counter, Seq},
    role::{Action, may},
    v1::ContactState,
};
use rusqlite::Transaction;

use super::{Applied, ApplyError, Batch, Open, change, inbox::untitled, log::Step};
use crate::{
    api::{Event, OutboxState},
    fresh,
    mls::{Group, GroupError, ProcessError, Processed, ProposalKind, Proposed, Proposer},
    store::{
        StoreError, attachment, contact,
        conversation::{self, Conversation, Kind, State, Trusted},
        entry::Promise,
        lifetime,
        message::{self, New},
        outbox::{self, Outgoing},
        own_change, poll, release, trace, undescribed,
    },
    words::{KNOWN_NOT, PICTURED, describe},
};

impl<'b> Batch<'b> {
    /// Somebody's message.
    pub(super) fn message(&mut self, log: &mut Open<'b>, entry: &LogEntry, body: &Bytes) -> Result<Step, ApplyError> {
        match log.group.process(entry.kind, body) {
            Ok(Processed::Message { sender, id, plaintext }) if id == entry.id => {
                self.show(log, entry, &sender, &plaintext)?;
            }
            Ok(Processed::OwnMessage) => self.not_of_this_home(log)?,
            Ok(_) => self.notice(log, "A message was dropped: it is not the one that its sender sent.")?,
            Err(ProcessError::Replayed | ProcessError::TooOld { .. }) => {
                tracing::debug!("an entry that was handled before, or is from before this device joined");
            }
            Err(ProcessError::Group(GroupError::Fault(fault))) => return Err(fault.into()),
            // The server takes messages of the current epoch alone, and what made that epoch stands before them.
            Err(ProcessError::TooNew { .. }) => {
                let text = format!(
                    "{} is not followed any further: the server has left out a change of its members. Ask its operator what \
                     happened, and ask to be added again.",
                    log.words()
                );
                return self.stop_here(log, Trusted::Never, text);
            }
            Err(error) => {
                tracing::debug!(%error, "a message that can't be read");
                self.notice(log, "A message could not be decrypted.")?;
            }
        }
        Ok(Step::On)
    }

    /// A message whose body is not there any more, or not for us.
    pub(super) fn withheld(&mut self, log: &Open<'b>) -> Result<Step, ApplyError> {
        let peer = log.conversation.peer.as_ref();
        let contact = peer.map(|peer| contact::get(self.tx, peer)).transpose()?.flatten();
        // What a blocked person writes is not even mentioned.
        if contact.is_none_or(|contact| contact.state != ContactState::Blocked) {
            self.notice(log, "A message was removed from the server before it got here.")?;
        }
        Ok(Step::On)
    }

    fn show(
        &mut self,
        log: &mut Open<'b>,
        entry: &LogEntry,
        from: &VerifiedDevice,
        plaintext: &[u8],
    ) -> Result<(), ApplyError> {
        let sender = from.address().to_string();
        let own = sender == self.me.address().to_string();
        let content = Content::decode(plaintext);
        let (kind, mut body) = match &content {
            Ok(Content { kind: Said::Receipt(..), .. }) => return Ok(()),
            // Among this account's devices alone: others have no business to say such a thing.
            Ok(Content { kind: Said::OwnDevices(told), .. }) => {
                let among_us = own && log.conversation.kind == Kind::Personal;
                return if among_us { self.own_devices(log, from.device(), told) } else { Ok(()) };
            }
            Ok(Content { kind: Said::GroupLinks(told), .. }) => return self.group_links(log, &sender, told),
            Ok(Content { kind: Said::Lifetime(seconds), .. }) => {
                if log.conversation.kind == Kind::Group && !may_be_described_by(&mut log.group, &sender)? {
                    return Ok(());
                }
                lifetime::set(self.tx, log.conversation.local, entry.seq, *seconds)?;
                (Said::Lifetime(0).name(), describe(&Said::Lifetime(*seconds)))
            }
            Ok(content) => {
                if self.changes(log, entry, content, &sender)? {
                    return if own { Ok(()) } else { Ok(self.peer_spoke(log)?) };
                }
                (content.kind.name(), describe(&content.kind))
            }
            Err(_) => (Said::Unknown.name(), KNOWN_NOT.to_owned()),
        };
        // What happens to a conversation is nothing to be read.
        let mut shown = own || matches!(&content, Ok(Content { kind: Said::Lifetime(_), .. }));
        if let Ok(Content { kind: Said::GroupState(state), .. }) = &content {
            // The title of a conversation of two is the other's name.
            if log.conversation.kind != Kind::Group || !may_be_described_by(&mut log.group, &sender)? {
                return Ok(());
            }
            undescribed::remove(self.tx, log.conversation.local)?;
            let came = log.conversation.title == untitled(&log.name);
            let news = conversation::describe(self.tx, log.conversation.local, Some(entry.seq), state)?;
            if news.words {
                log.conversation.title.clone_from(&state.name);
                log.conversation.topic.clone_from(&state.topic);
            }
            // Said once more, for somebody who has come: to nobody else it is news, and to them neither.
            if came || news == conversation::News::default() {
                return Ok(());
            }
            if !news.words {
                PICTURED.clone_into(&mut body);
            }
            shown = true;
        }
        let lifetime_s = content.as_ref().map_or(0, |content| content.lifetime_s);
        if !matches!(&content, Ok(Content { kind: Said::Lifetime(_), .. })) {
            lifetime::learn(self.tx, log.conversation.local, lifetime_s)?;
        }
        let now_ms = fresh::now_ms();
        let end_ms = lifetime::end(lifetime_s, entry.stored_ms, now_ms);
        // It disappeared before it came: whoever was away so long does not see it, as if they had seen it then.
        if end_ms.is_some_and(|end_ms| end_ms <= now_ms) {
            return if own { Ok(()) } else { Ok(self.peer_spoke(log)?) };
        }
        let inserted = message::insert(
            self.tx,
            &New {
                conversation: log.conversation.local,
                seq: entry.seq,
                id: entry.id,
                sender: &sender,
                own,
                time_ms: content.as_ref().map_or(entry.stored_ms, |content| content.sent_ms),
                kind,
                body: &body,
                shown,
            },
        )?;
        if let Some(local) = inserted {
            if let Ok(Content { kind: Said::Attachment(told), .. }) = &content {
                attachment::put(self.tx, log.conversation.local, entry.id, told)?;
            }
            if let Ok(content) = &content {
                if let Said::Poll(poll) = &content.kind {
                    poll::put(self.tx, log.conversation.local, entry.id, poll)?;
                }
                message::refer(self.tx, local, content, &self.me.address().to_string())?;
            }
            if let Some(end_ms) = end_ms {
                lifetime::put_end(self.tx, local, lifetime_s, end_ms)?;
                self.out.expiring = true;
            }
            self.out.events.push(Event::Message(message::get(self.tx, local)?));
        }
        if !own {
            self.peer_spoke(log)?;
        }
        Ok(())
    }

    /// Who writes into a conversation that we asked for has accepted it.
    fn peer_spoke(&mut self, log: &mut Open<'b>) -> Result<(), ApplyError> {
        let Some(peer) = log.conversation.peer.clone() else { return Ok(()) };
        if log.conversation.waiting.take().is_some() {
            conversation::set_waiting(self.tx, log.conversation.local, None)?;
            self.out.outbox = true;
        }
        let requested = contact::get(self.tx, &peer)?.is_some_and(|known| known.state == ContactState::Requested);
        if requested {
            set_contact(self.tx, &peer, ContactState::Accepted, &mut self.out)?;
        }
        Ok(())
    }

    /// Something this device has sent comes back.
    pub(super) fn own_entry(
        &mut self,
        log: &mut Open<'b>,
        entry: &LogEntry,
        promise: Promise,
    ) -> Result<Step, ApplyError> {
        release::remove(self.tx, entry.id)?;
        trace::returned(self.tx, entry.id, entry.stored_ms)?;
        if let Some(outgoing) = outbox::by_id(self.tx, entry.id)? {
            let same = outgoing.sealed.as_ref().is_some_and(|sealed| {
                let digest = match &entry.content {
                    EntryContent::Body(body) => Digest::of(body),
                    EntryContent::Removed(digest) => *digest,
                };
                sealed.counter == entry.counter && Digest::of(&sealed.body) == digest
            });
            if same {
                sent(self.tx, &log.conversation, &outgoing, entry.counter, entry.seq, &mut self.out)?;
                if outgoing.leave {
                    change::end(self.tx, &log.conversation, &mut log.group, &mut self.out)?;
                }
                self.own_change(log, entry.id)?;
                return Ok(Step::On);
            }
        } else if promise == Promise::Kept
            || message::is_own(self.tx, log.conversation.local, entry.id)?
            || own_change::is_there(self.tx, entry.id)?
        {
            self.own_change(log, entry.id)?;
            return Ok(Step::On);
        }
        self.not_of_this_home(log)?;
        outbox::doubt(self.tx, log.conversation.local)?;
        conversation::raise_counter(self.tx, log.conversation.local, entry.counter)?;
        Ok(Step::On)
    }

    fn not_of_this_home(&mut self, log: &Open<'b>) -> Result<(), StoreError> {
        let text = format!(
            "{} holds something that this device is said to have sent, and that this home has not. Either the home was \
             restored from an older copy or is used twice, or the server made it up. If it was copied, log out here and \
             log in anew.",
            log.words()
        );
        self.out.alarm(self.tx, text)
    }

    /// Somebody proposes; who leaves above all.
    pub(super) fn proposal(&mut self, log: &mut Open<'b>, body: &Bytes) -> Result<Step, ApplyError> {
        match log.group.process(qpc_proto::chain::EntryKind::Proposal, body) {
            Ok(Processed::Proposal(Proposed { from: Proposer::Member(device), kind: ProposalKind::Leave }))
                if device.address() == self.me.address() =>
            {
                self.notice(log, "You left on another device.")?;
                change::end(self.tx, &log.conversation, &mut log.group, &mut self.out)?;
                self.out.gone.push(log.name.clone());
                log.conversation.trusted = Trusted::Never;
            }
            Ok(_) => self.out.proposals = true,
            Err(ProcessError::Group(GroupError::Fault(fault))) => return Err(fault.into()),
            Err(ProcessError::Refused(refusal)) => {
                self.out.refused(self.tx, self.me, &refusal)?;
            }
            // Nobody commits a proposal that is not one, so it changes nothing.
            Err(error) => tracing::debug!(%error, "a proposal that does not count"),
        }
        Ok(Step::On)
    }
}

fn may_be_described_by(group: &mut Group<'_>, sender: &str) -> Result<bool, ApplyError> {
    match qpc_proto::address::Address::parse(sender) {
        Ok(sender) => may_describe(group, &sender),
        Err(_) => Ok(false),
    }
}

/// May an account say what a group is called and about?
pub(crate) fn may_describe(group: &mut Group<'_>, who: &qpc_proto::address::Address) -> Result<bool, ApplyError> {
    match group.roles() {
        Ok(roles) => Ok(may(roles.of(who), Action::Describe)),
        Err(GroupError::Fault(fault)) => Err(fault.into()),
        Err(_) => Ok(false),
    }
}

/// Notes how things stand with somebody, and tells where that is news.
pub(crate) fn set_contact(
    tx: &Transaction<'_>,
    address: &qpc_proto::address::Address,
    state: ContactState,
    out: &mut Applied,
) -> Result<(), StoreError> {
    if contact::set_state(tx, address, state)? {
        let state = crate::words::contact_state(state).to_owned();
        out.events.push(Event::Contact { address: address.to_string(), state });
    }
    Ok(())
}

/// Takes the server's word for how things stand with somebody: another device of the account may have asked or answered.
pub(crate) fn stands(
    tx: &Transaction<'_>,
    address: &qpc_proto::address::Address,
    state: ContactState,
    out: &mut Applied,
) -> Result<(), StoreError> {
    set_contact(tx, address, state, out)?;
    let Some(direct) = conversation::direct_with(tx, address)? else { return Ok(()) };
    let request = state == ContactState::Pending;
    if direct.request != request {
        conversation::set_request(tx, direct.local, request)?;
    }
    if state == ContactState::Accepted && direct.state == State::Active && direct.waiting.is_some() {
        conversation::set_waiting(tx, direct.local, None)?;
        out.outbox = true;
    }
    Ok(())
}

/// Notes that something of the outbox is in the log. Who leaves must still be put out of the conversation.
pub(crate) fn sent(
    tx: &Transaction<'_>,
    conversation: &Conversation,
    outgoing: &Outgoing,
    counter: Counter,
    seq: Seq,
    out: &mut Applied,
) -> Result<(), StoreError> {
    outbox::remove(tx, outgoing.id)?;
    conversation::raise_counter(tx, conversation.local, counter)?;
    match Content::decode(&outgoing.content).map(|content| content.kind) {
        Ok(Said::GroupState(state)) if conversation.kind == Kind::Group => {
            conversation::describe(tx, conversation.local, Some(seq), &state)?;
        }
        Ok(Said::Lifetime(seconds)) => {
            lifetime::want(tx, conversation.local, None)?;
            lifetime::set(tx, conversation.local, seq, seconds)?;
        }
        _ => {}
    }
    own_change::stored(tx, outgoing.id, seq)?;
    if let Some(told) = message::stored(tx, conversation.local, outgoing.id, seq)? {
        out.expiring |= told.details.disappears.is_some();
        out.events.push(Event::Message(told));
    }
    let id = outgoing.id.to_string();
    out.events.push(Event::Outbox { id, state: OutboxState::Sent, reason: None });
    // Whoever answers a request accepts it.
    if let (true, Some(peer)) = (conversation.request, &conversation.peer) {
        conversation::set_request(tx, conversation.local, false)?;
        set_contact(tx, peer, ContactState::Accepted, out)?;
    }
    Ok(())
}
