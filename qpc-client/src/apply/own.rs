//! What other devices of this account say: what was read and compared there, and what was said before this one came.

use qpc_proto::{
    address::Address,
    id::{ConversationName, DeviceId, MessageId, Seq},
    v1,
};

use super::{ApplyError, Batch, Open};
use crate::{
    api::Event,
    fresh,
    store::{
        StoreError, contact,
        conversation::{self, Kind, New, State},
        history, lifetime, message as messages, missed, verification,
    },
    trust,
};

/// Longest id of a question.
const REQUEST_LEN: usize = 16;
/// A device that answers waits so long for each one that is older and may do so, in milliseconds.
const TURN_MS: u64 = 2_000;
/// And so much longer where it waits for an answer itself: it says what it has, and the rest once it has been told.
const WAITING_MS: u64 = 10_000;

impl<'b> Batch<'b> {
    pub(super) fn own_devices(
        &mut self,
        log: &mut Open<'b>,
        from: DeviceId,
        told: &v1::OwnDevices,
    ) -> Result<(), ApplyError> {
        for read in &told.read {
            self.read_elsewhere(read)?;
        }
        for mark in &told.marks {
            self.marked_elsewhere(mark)?;
        }
        if told.history_wanted.len() == REQUEST_LEN {
            let waiting = if history::is_whole(self.tx)? { 0 } else { WAITING_MS };
            let begin = self.turn(log)?.saturating_add(waiting);
            history::put_asked(self.tx, &told.history_wanted, from, begin)?;
            verification::tell_all(self.tx)?;
            self.out.own = true;
        }
        if let Some(page) = &told.history {
            self.page(log, from, page)?;
        }
        Ok(())
    }

    fn read_elsewhere(&mut self, read: &v1::ReadUpTo) -> Result<(), ApplyError> {
        let Ok(name) = read.conversation.parse::<ConversationName>() else { return Ok(()) };
        if let Some(known) = conversation::by_name(self.tx, &name)?
            && messages::read_up_to(self.tx, known.local, Seq(read.seq))?
        {
            self.out.events.push(Event::Read { conversation: name.to_string() });
        }
        Ok(())
    }

    fn marked_elsewhere(&mut self, mark: &v1::VerificationMark) -> Result<(), ApplyError> {
        let Ok(address) = Address::parse(&mark.address) else { return Ok(()) };
        if verification::heard(self.tx, &address, mark)?
            && let Some(contact) = contact::get(self.tx, &address)?
        {
            let (address, standing) = (address.to_string(), trust::standing(&contact));
            self.out.events.push(Event::Verification { address, standing });
        }
        Ok(())
    }

    /// When it is this device's turn to answer: the account's older devices have more to tell, and come first.
    fn turn(&self, log: &mut Open<'b>) -> Result<u64, ApplyError> {
        let members = super::members(&mut log.group)?;
        let older = members.iter().filter(|member| member.device.device() < self.me.identity.device).count();
        let wait = u64::try_from(older).unwrap_or(u64::MAX).saturating_mul(TURN_MS);
        Ok(fresh::now_ms().saturating_add(wait))
    }

    /// Part of an answer: to this device's question, or to another's.
    fn page(&mut self, log: &mut Open<'b>, from: DeviceId, page: &v1::HistoryPage) -> Result<(), ApplyError> {
        let ours = history::wanted(self.tx)?.is_some_and(|(request, _)| request == page.request.as_ref());
        if !ours {
            // What one says that was not told everything takes nothing off the others.
            return if page.in_part { Ok(()) } else { Ok(history::leave_to_others(self.tx, &page.request)?) };
        }
        let new = self.before(page)?;
        let complete = page.last && !page.in_part;
        if complete {
            history::answered(self.tx, self.turn(log)?)?;
            self.out.own = true;
        } else if page.in_part {
            history::told_in_part(self.tx, from)?;
        }
        self.out.events.push(Event::History { messages: new, complete });
        Ok(())
    }

    /// What was said before; tells how much of it was not known.
    pub(super) fn before(&mut self, page: &v1::HistoryPage) -> Result<u64, StoreError> {
        for told in &page.conversations {
            self.conversation_elsewhere(told)?;
        }
        let mut new: u64 = 0;
        for told in &page.messages {
            new = new.saturating_add(u64::from(self.said_before(told)?));
        }
        if page.last {
            history::in_order(self.tx)?;
        }
        Ok(new)
    }

    /// A conversation that another device knows: one that is over has its place here, too.
    fn conversation_elsewhere(&mut self, told: &v1::HistoryConversation) -> Result<(), StoreError> {
        let (Ok(name), Some(kind)) = (told.conversation.parse::<ConversationName>(), Kind::from_wire(told.kind()))
        else {
            return Ok(());
        };
        match conversation::by_name(self.tx, &name)? {
            Some(known) if known.kind == Kind::Group && known.title == super::inbox::untitled(&name) => {
                conversation::set_title(self.tx, known.local, &told.title)?;
                lifetime::learn(self.tx, known.local, told.lifetime_s)
            }
            Some(known) => lifetime::learn(self.tx, known.local, told.lifetime_s),
            None => {
                let peer = Address::parse(&told.peer).ok();
                let title = told.title.clone();
                let new = New { name: Some(name), kind, peer, title, state: State::Ended };
                conversation::insert(self.tx, &new).map(drop)
            }
        }
    }

    /// Something that was said before this device came; tells whether it was not known.
    fn said_before(&mut self, told: &v1::HistoryMessage) -> Result<bool, StoreError> {
        let (Ok(name), Ok(id)) = (told.conversation.parse::<ConversationName>(), MessageId::parse(&told.message_id))
        else {
            return Ok(false);
        };
        let Some(conversation) = conversation::by_name(self.tx, &name)? else { return Ok(false) };
        // It is still to come, in its place.
        if conversation.is_read() && Seq(told.seq) > conversation.seq {
            return Ok(false);
        }
        // It has disappeared meanwhile.
        if told.state.as_ref().is_some_and(|state| state.expires_ms > 0 && state.expires_ms <= fresh::now_ms()) {
            return Ok(false);
        }
        // It was heard, and is nothing to be shown.
        let missed = missed::has(self.tx, conversation.local, Seq(told.seq))?;
        if !missed && messages::begins_before(self.tx, conversation.local, Seq(told.seq))? {
            return Ok(false);
        }
        let me = self.me.address().to_string();
        let new = history::take(self.tx, conversation.local, id, (told.sender == me, &me), told)?;
        self.out.expiring |= new && told.state.as_ref().is_some_and(|state| state.expires_ms > 0);
        Ok(new)
    }
}
