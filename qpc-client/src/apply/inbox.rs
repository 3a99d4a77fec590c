//! The inbox: who added this device to what, who accepted, whose account is another one now.

use bytes::Bytes;
use prost::Message;
use qpc_proto::{
    address::Address,
    chain::{ChainValue, EntryKind},
    id::{ConversationName, Seq},
    v1::{self, AccountEvent, ContactEvent, ContactState},
};

use super::{ApplyError, Batch, change, message::set_contact};
use crate::{
    api::Event,
    fresh,
    mls::{Coming, JoinError, Joined},
    store::{
        StoreError, asked, contact,
        conversation::{self, Conversation, Kind, New, State},
        due::{self, What},
        entry, key_packages, message as messages, missed, pending, report, returned, unjoined, welcome_tree,
    },
    trust::{self, Me},
};

/// Tries again what was refused before somebody's new key was accepted.
pub(crate) fn retry_welcomes(tx: &rusqlite::Transaction<'_>, me: &Me) -> Result<super::Applied, ApplyError> {
    let welcomes = entry::welcomes(tx)?;
    me.with_mls(tx, |mls| {
        let mut batch = Batch { tx, me, mls, out: super::Applied::default() };
        for body in welcomes {
            let notice = v1::WelcomeNotice::decode(body).unwrap_or_default();
            let name = ConversationName::parse(notice.conversation.as_ref());
            // One that was entered before was not refused.
            if let Ok(name) = name
                && conversation::by_name(tx, &name)?.is_none()
            {
                batch.welcome(&notice)?;
            }
        }
        Ok(batch.out)
    })
}

/// The row of a conversation whose group this device is about to be in; `None` where it is not what it is said to be.
pub(crate) fn enter(
    tx: &rusqlite::Transaction<'_>,
    me: &Me,
    name: &ConversationName,
    kind: Kind,
    joined: &Joined,
    out: &mut super::Applied,
) -> Result<Option<Conversation>, ApplyError> {
    me.with_mls(tx, |mls| {
        let mut batch = Batch { tx, me, mls, out: std::mem::take(out) };
        let entered = batch.enter(name, kind, joined).and_then(|entered| {
            if let Some(group) = entered.as_ref().filter(|_| kind == Kind::Group) {
                batch.continues(group, joined)?;
            }
            Ok(entered)
        });
        *out = batch.out;
        entered
    })
}

/// What a group is called until its name is known.
pub(crate) fn untitled(name: &ConversationName) -> String {
    let short: String = name.id.to_string().chars().rev().take(6).collect();
    format!("group-{short}")
}

impl<'b> Batch<'b> {
    fn enter(
        &mut self,
        name: &ConversationName,
        kind: Kind,
        joined: &Joined,
    ) -> Result<Option<Conversation>, ApplyError> {
        match kind {
            Kind::Direct => self.enter_direct(name, joined),
            Kind::Group => self.enter_group(name),
            Kind::Personal => self.enter_personal(name, joined),
            Kind::Inbox => Ok(None),
        }
    }

    pub(super) fn inbox_entry(&mut self, kind: EntryKind, body: &Bytes) -> Result<(), ApplyError> {
        // What can't be read is the server's nonsense: it is passed over.
        match kind {
            EntryKind::Welcome => match v1::WelcomeNotice::decode(body.clone()) {
                Ok(notice) => self.welcome(&notice),
                Err(_) => Ok(()),
            },
            EntryKind::Contact => match v1::ContactNotice::decode(body.clone()) {
                Ok(notice) if notice.event() == ContactEvent::Accepted => self.accepted(&notice.address),
                Ok(notice) if notice.event() == ContactEvent::Changed => Ok(self.ask(What::Contacts)?),
                Ok(notice) if notice.event() == ContactEvent::AskedToJoin => {
                    self.asked_to_join(notice.conversation.as_ref())
                }
                Ok(notice) if notice.event() == ContactEvent::JoinRefused => self.join_refused(&notice),
                _ => Ok(()),
            },
            EntryKind::Account => match v1::AccountNotice::decode(body.clone()) {
                Ok(notice) => self.account(&notice),
                Err(_) => Ok(()),
            },
            EntryKind::Outcome => match v1::OutcomeNotice::decode(body.clone()) {
                Ok(notice) => self.outcome(&notice),
                Err(_) => Ok(()),
            },
            EntryKind::Message | EntryKind::Commit | EntryKind::Proposal | EntryKind::Report => Ok(()),
        }
    }

    /// A welcome that is later than what was read of a conversation, and came while its group seemed to go on.
    pub(super) fn welcome_again(&mut self, name: &ConversationName, read: Seq) -> Result<(), ApplyError> {
        for body in entry::welcomes(self.tx)? {
            let notice = v1::WelcomeNotice::decode(body).unwrap_or_default();
            let named = ConversationName::parse(notice.conversation.as_ref());
            let (fits, seq) = (named.is_ok_and(|named| named == *name), Seq(notice.seq));
            // Without its tree it can't be opened: then this device comes by itself.
            let whole = !notice.without_tree || welcome_tree::get(self.tx, name, seq)?.is_some();
            if fits && seq > read && whole {
                self.welcome(&notice)?;
            }
        }
        Ok(())
    }

    fn welcome(&mut self, notice: &v1::WelcomeNotice) -> Result<(), ApplyError> {
        let (Ok(name), Some(chain)) =
            (ConversationName::parse(notice.conversation.as_ref()), ChainValue::parse(&notice.chain))
        else {
            return Ok(());
        };
        let Some(kind) = Kind::from_wire(notice.kind()) else { return Ok(()) };
        if notice.welcome.is_empty() {
            return Ok(self.named(&name, kind)?);
        }
        let tree = welcome_tree::get(self.tx, &name, Seq(notice.seq))?;
        if notice.without_tree && tree.is_none() {
            // The server gives it to members: this account is out of it again, or this device has to come by itself.
            return Ok(self.named(&name, kind)?);
        }
        let known = conversation::by_name(self.tx, &name)?.filter(|known| known.state == State::Awaiting);
        let left = known.map(|known| returned::last(self.tx, known.local)).transpose()?.flatten();
        let coming = left.as_ref().map_or(Coming::First, |left| Coming::Again { after: left.epoch });
        let joined = match self.mls.join_coming(&name, coming, &notice.welcome, tree.as_deref()) {
            Ok(joined) => joined,
            Err(JoinError::Fault(fault)) => return Err(fault.into()),
            Err(JoinError::AlreadyMember) => return Ok(()),
            Err(JoinError::Refused(refusal)) => {
                self.out.refused(self.tx, self.me, &refusal)?;
                return Ok(());
            }
            Err(JoinError::NotAllowed(violation)) => {
                let text = format!("An invitation from {} was refused: {violation}.", notice.from);
                return Ok(self.out.alarm(self.tx, text)?);
            }
            Err(error) => {
                let text = format!(
                    "{} wrote to this device or added it to a group, but the invitation can't be opened ({error}).",
                    notice.from
                );
                return Ok(self.out.alarm(self.tx, text)?);
            }
        };
        self.out.welcomed = true;
        if joined.last_resort {
            self.out.last_resort.push(joined.suite);
        } else {
            key_packages::welcomed(self.tx)?;
        }
        self.me.pin_all(self.tx, joined.members.iter().map(|member| &member.device))?;
        let Some(conversation) = self.enter(&name, kind, &joined)? else {
            return Ok(self.mls.group(&name).delete()?);
        };
        unjoined::remove(self.tx, &name)?;
        welcome_tree::remove(self.tx, &name)?;
        let local = conversation.local;
        let reported = report::remove(self.tx, local)?;
        conversation::set_position(self.tx, local, Seq(notice.seq), &chain)?;
        self.out.own |= missed::ends(self.tx, local, Seq(notice.seq))?;
        conversation::set_state(self.tx, local, State::Active)?;
        conversation::set_epoch(self.tx, local, joined.epoch)?;
        #[cfg(feature = "simulation")]
        crate::simulation::entered(&name, &mut self.mls.group(&name));
        conversation::set_waiting(self.tx, local, None)?;
        conversation::set_renewed(self.tx, local, fresh::now_ms())?;
        let own = joined.inviter.address() == self.me.address();
        if let (Kind::Direct, Some(peer)) = (kind, &conversation.peer) {
            if own {
                // What was said to the other one, or by them, the server knows.
                self.ask(What::Contacts)?;
                self.out.follow = true;
                self.out.outbox = true;
                return Ok(());
            }
            let known = contact::get(self.tx, peer)?.map_or(ContactState::Unspecified, |contact| contact.state);
            let request = notice.contact_request;
            conversation::set_request(self.tx, local, request)?;
            match (request, known) {
                (true, ContactState::Blocked) => {}
                (true, _) => set_contact(self.tx, peer, ContactState::Pending, &mut self.out)?,
                (false, _) => set_contact(self.tx, peer, ContactState::Accepted, &mut self.out)?,
            }
        } else if kind == Kind::Group {
            let asked = asked::remove(self.tx, &name)?;
            let anew = reported || left.as_ref().is_some_and(|left| left.members.is_empty());
            let text = if own {
                "This device was added.".to_owned()
            } else if asked {
                format!("{} let you in by your link.", joined.inviter.address())
            } else if anew {
                format!("{} has put this device in anew.", joined.inviter.address())
            } else {
                format!("{} added you.", joined.inviter.address())
            };
            let meanwhile = left.map(|left| change::meanwhile(&joined.members, &left)).unwrap_or_default();
            for text in std::iter::once(text).chain(meanwhile) {
                let told = messages::notice(self.tx, local, &text)?;
                self.out.events.push(Event::Message(told));
            }
            self.continues(&conversation, &joined)?;
        }
        self.out.follow = true;
        self.out.outbox = true;
        Ok(())
    }

    /// The account is in a conversation to which this device was not welcomed: it joins by itself.
    fn named(&mut self, name: &ConversationName, kind: Kind) -> Result<(), StoreError> {
        let known = conversation::by_name(self.tx, name)?;
        if known.is_none_or(|known| !matches!(known.state, State::Creating | State::Active)) {
            unjoined::put(self.tx, name, kind)?;
            self.ask(What::Contacts)?;
        }
        Ok(())
    }

    /// Something is to be asked of the server.
    fn ask(&mut self, what: What) -> Result<(), StoreError> {
        self.out.elsewhere = true;
        due::put(self.tx, what)
    }

    /// The row of a direct conversation that this device was welcomed to; `None` where it is not one of two.
    fn enter_direct(&mut self, name: &ConversationName, joined: &Joined) -> Result<Option<Conversation>, ApplyError> {
        let mut others =
            joined.members.iter().map(|member| member.device.address()).filter(|a| *a != self.me.address());
        let Some(peer) = others.next().cloned() else { return Ok(None) };
        if let Some(known) = conversation::by_name(self.tx, name)? {
            return Ok(Some(known));
        }
        if others.any(|other| *other != peer) {
            self.out.alarm(
                self.tx,
                format!("{peer} invited this device to a conversation of two that has more members."),
            )?;
            return Ok(None);
        }
        if let Some(old) = conversation::direct_with(self.tx, &peer)? {
            if old.state != State::Active {
                // What was begun here has lost to theirs; what waits to be sent goes there.
                if let Some(id) = pending::id_of(self.tx, old.local)? {
                    pending::remove(self.tx, old.local, id)?;
                }
                if let Some(own) = &old.name {
                    self.mls.group(own).delete()?;
                }
                conversation::set_name(self.tx, old.local, name)?;
                return Ok(Some(conversation::get(self.tx, old.local)?));
            }
            self.ends_when_read(&old, &format!("{peer} begins anew: this conversation has ended."))?;
        }
        Ok(Some(self.insert(name, Kind::Direct, Some(peer.clone()), peer.to_string())?))
    }

    /// The row of the account's own conversation; `None` where somebody else is in it.
    fn enter_personal(&mut self, name: &ConversationName, joined: &Joined) -> Result<Option<Conversation>, ApplyError> {
        if let Some(other) = joined.members.iter().find(|member| member.device.address() != self.me.address()) {
            let other = other.device.address();
            self.out.alarm(
                self.tx,
                format!("{other} is in what the server says is the conversation of your own devices: not joined."),
            )?;
            return Ok(None);
        }
        let old = conversation::want_personal(self.tx, self.me.address())?;
        if old.name.as_ref() == Some(name) {
            return Ok(Some(old));
        }
        // What was begun here has lost to another device's.
        if let Some(id) = pending::id_of(self.tx, old.local)? {
            pending::remove(self.tx, old.local, id)?;
        }
        if let Some(own) = &old.name {
            self.mls.group(own).delete()?;
        }
        conversation::set_name(self.tx, old.local, name)?;
        Ok(Some(conversation::get(self.tx, old.local)?))
    }

    /// The row of a group that this device was welcomed to, perhaps not for the first time.
    fn enter_group(&mut self, name: &ConversationName) -> Result<Option<Conversation>, ApplyError> {
        if let Some(known) = conversation::by_name(self.tx, name)? {
            return Ok(Some(known));
        }
        Ok(Some(self.insert(name, Kind::Group, None, untitled(name))?))
    }

    fn insert(
        &self,
        name: &ConversationName,
        kind: Kind,
        peer: Option<Address>,
        title: String,
    ) -> Result<Conversation, StoreError> {
        let new = New { name: Some(name.clone()), kind, peer, title, state: State::Active };
        let local = conversation::insert(self.tx, &new)?;
        conversation::get(self.tx, local)
    }

    fn accepted(&mut self, who: &str) -> Result<(), ApplyError> {
        let Ok(peer) = Address::parse(who) else { return Ok(()) };
        set_contact(self.tx, &peer, ContactState::Accepted, &mut self.out)?;
        if let Some(direct) = conversation::direct_with(self.tx, &peer)? {
            conversation::set_waiting(self.tx, direct.local, None)?;
            self.out.outbox = true;
        } else {
            // Another device of this account has asked them; until they accepted, this one could not join.
            self.ask(What::Conversations)?;
        }
        Ok(())
    }

    fn account(&mut self, notice: &v1::AccountNotice) -> Result<(), ApplyError> {
        let Ok(who) = Address::parse(&notice.address) else { return Ok(()) };
        match notice.event() {
            AccountEvent::Reset => {
                let mut text = format!("The account of {who} was reset: it has another key now.");
                if let Ok(key) = notice.account_key.as_ref().try_into() {
                    text.push_str(&trust::offered(self.tx, &who, key)?);
                }
                self.out.alarm(self.tx, text)?;
            }
            AccountEvent::Deleted => {}
            AccountEvent::Unspecified => return Ok(()),
        }
        if let Some(direct) = conversation::direct_with(self.tx, &who)? {
            let text = match notice.event() {
                AccountEvent::Deleted => format!("{who} has deleted the account."),
                _ => format!("{who} begins anew: this conversation has ended."),
            };
            self.ends_when_read(&direct, &text)?;
        }
        Ok(())
    }
}
