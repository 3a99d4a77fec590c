//! Commits: judged by MLS and the rules of roles, then told in words.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use qpc_proto::{
    address::Address,
    chain::{EntryKind, LogEntry},
    content::{Content, Kind as Said},
    credential::VerifiedDevice,
    id::{Epoch, Seq},
    v1,
};
use rusqlite::Transaction;

use super::{Applied, ApplyError, Batch, Open, inbox::untitled, links, log::Step, message::may_describe};
use crate::{
    api::{Event, OutboxState},
    fresh,
    mls::{Change, Group, GroupError, Member, ProcessError, Processed},
    store::{
        Local, StoreError,
        conversation::{self, Conversation, Kind, State, Trusted},
        ending, group_link, lifetime, message, missed, outbox, own_change, pending, picture, release, report, reported,
        returned::{self, Left},
        undescribed, unheard, unjoined,
    },
};

impl<'b> Batch<'b> {
    /// The group changes.
    pub(super) fn commit(
        &mut self,
        log: &mut Open<'b>,
        entry: &LogEntry,
        body: &Bytes,
        own: bool,
    ) -> Result<Step, ApplyError> {
        let pending = pending::id_of(self.tx, log.conversation.local)?;
        if own && pending != Some(entry.id) {
            let text = format!(
                "{} was changed by this device, and this home knows nothing of it: it was restored from an older copy or is \
                 used twice. Log out here and log in anew.",
                log.words()
            );
            return self.stop_here(log, Trusted::Never, text);
        }
        match log.group.process(EntryKind::Commit, body) {
            Ok(Processed::Commit(change)) => {
                // Ours was accepted, or has lost to this one.
                if let Some(id) = pending {
                    pending::remove(self.tx, log.conversation.local, id)?;
                }
                if own {
                    conversation::raise_counter(self.tx, log.conversation.local, entry.counter)?;
                }
                self.changed(log, &change, own)?;
                Ok(Step::On)
            }
            Err(ProcessError::TooOld { .. } | ProcessError::Replayed) => Ok(Step::On),
            Err(ProcessError::Group(GroupError::Fault(fault))) => Err(fault.into()),
            Err(ProcessError::Group(GroupError::NoGroup | GroupError::Removed)) => {
                end(self.tx, &log.conversation, &mut log.group, &mut self.out)?;
                self.out.gone.push(log.name.clone());
                log.conversation.trusted = Trusted::Never;
                Ok(Step::On)
            }
            Err(ProcessError::Refused(refusal)) => {
                self.out.refused(self.tx, self.me, &refusal)?;
                let text = format!(
                    "{} is not followed any further: somebody brought a device into it that is refused ({refusal}).",
                    log.words()
                );
                self.stop_here(log, Trusted::OnceKeyAccepted, text)
            }
            Err(ProcessError::NotAllowed(violation)) => {
                let text = format!(
                    "{} is not followed any further: it was changed against its rules ({violation}).",
                    log.words()
                );
                self.stop_here(log, Trusted::Never, text)
            }
            Err(ProcessError::Unprocessable(reason))
                if returned::may(self.tx, log.conversation.local, fresh::now_ms())? =>
            {
                tracing::debug!(%reason, "a change that can't be followed");
                self.comes_back(log, entry)
            }
            Ok(_) | Err(_) => {
                let text = format!(
                    "{} is not followed any further: a change of its members can't be verified. Ask to be added again.",
                    log.words()
                );
                self.stop_here(log, Trusted::Never, text)
            }
        }
    }

    /// The server took a change that is wrong in what only members can check: this device leaves the group as it has it,
    /// and comes back by itself, into whatever the group is by then.
    fn comes_back(&mut self, log: &mut Open<'b>, entry: &LogEntry) -> Result<Step, ApplyError> {
        if log.conversation.is_over() {
            self.has_ended(log)?;
            return Ok(Step::Stopped);
        }
        let members = super::members(&mut log.group)?;
        self.reports(log, entry, &members)?;
        missed::begins(self.tx, log.conversation.local, log.seq)?;
        self.leaves_to_come_back(log)?;
        // Of what was encrypted for the group as it was, nothing that is still here was taken: it would stand in the log
        // before this change.
        let local = log.conversation.local;
        outbox::unseal_from(self.tx, local, i64::MIN)?;
        if let Some(id) = pending::id_of(self.tx, local)? {
            pending::remove(self.tx, local, id)?;
        }
        // Who came in by it is no member yet, and may have been shown a wrong group info.
        let maker = members.iter().find(|member| Some(member.device.device()) == entry.sender);
        let (maker, advice) = match maker.map(|member| member.device.address()) {
            Some(maker) => (maker.to_string(), format!("have {maker} removed, or go on in a new group")),
            None => ("somebody".to_owned(), "go on in a new group".to_owned()),
        };
        let text = format!(
            "{}: {maker} changed it in a way that this device can't follow. The others are asked to put it in anew, or else it \
             comes back by itself; what was said in that moment may be missing here. If it happens again, {advice}.",
            log.words()
        );
        self.out.alarm(self.tx, text)?;
        Ok(Step::Stopped)
    }

    /// The server has nothing for this device between the last entry that it read and this one: its account was out of the
    /// conversation meanwhile, or the device was away for longer than entries are kept. Its group can't go on from there.
    pub(super) fn passed_over(&mut self, log: &mut Open<'b>, after: Seq) -> Result<(), ApplyError> {
        let missing = format!("What was said between entries {} and {after}", log.seq);
        if !returned::may(self.tx, log.conversation.local, fresh::now_ms())? {
            let text = format!("{} is not followed any further: {missing} is not there for this device.", log.words());
            self.stop_here(log, Trusted::Never, text)?;
            return Ok(());
        }
        self.notice(log, &format!("{missing} did not reach this device: you were out of it, or away for too long."))?;
        missed::begins(self.tx, log.conversation.local, log.seq)?;
        if log.conversation.is_over() {
            return self.has_ended(log);
        }
        // What was encrypted or submitted and not answered stays as it is: it may have been taken in between.
        self.leaves_to_come_back(log)?;
        self.out.outbox = true;
        let (name, read) = (log.name.clone(), log.seq);
        self.welcome_again(&name, read)
    }

    /// This device lets go of the group as it has it, to come back.
    fn leaves_to_come_back(&mut self, log: &mut Open<'b>) -> Result<(), ApplyError> {
        let members = super::members(&mut log.group)?;
        let accounts = members.iter().map(|member| member.device.address().clone()).collect();
        let left = Left { epoch: log.conversation.epoch, members: accounts };
        returned::put(self.tx, log.conversation.local, fresh::now_ms(), &left)?;
        self.awaits(log)
    }

    fn awaits(&mut self, log: &mut Open<'b>) -> Result<(), ApplyError> {
        let (local, name) = (log.conversation.local, log.name.clone());
        log.group.delete()?;
        conversation::set_state(self.tx, local, State::Awaiting)?;
        conversation::set_waiting(self.tx, local, Some("waiting until this device has come back into the group"))?;
        unjoined::put(self.tx, &name, log.conversation.kind)?;
        (log.conversation.state, log.conversation.trusted) = (State::Awaiting, Trusted::Never);
        self.out.elsewhere = true;
        self.out.gone.push(name);
        Ok(())
    }

    fn changed(&mut self, log: &mut Open<'b>, change: &Change, own: bool) -> Result<(), ApplyError> {
        let local = log.conversation.local;
        conversation::set_epoch(self.tx, local, change.epoch)?;
        log.conversation.epoch = change.epoch;
        #[cfg(feature = "simulation")]
        crate::simulation::entered(&log.name, &mut log.group);
        self.me.pin_all(self.tx, &change.added)?;
        if own {
            conversation::set_renewed(self.tx, local, fresh::now_ms())?;
        }
        self.out.outbox = true;
        let unheard = self.unheard(local, change)?;
        let by_link = links::let_in(self.tx, local, &log.name, change)?;
        for text in told(change, own, self.me.address(), log.conversation.kind, (&unheard, &by_link)) {
            self.notice(log, &text)?;
        }
        self.reported(local, change)?;
        // Its account stays: it was put in anew, or was away for so long that it was taken out.
        if change.removed_self && !change.accounts_removed.contains(self.me.address()) {
            return self.put_in_anew(log, change);
        }
        if change.removed_self {
            end(self.tx, &log.conversation, &mut log.group, &mut self.out)?;
            self.out.gone.push(log.name.clone());
            log.conversation.trusted = Trusted::Never;
            return Ok(());
        }
        if change.roles_changed.iter().any(|(who, _)| who == self.me.address()) {
            self.look_who_waits(log)?;
        }
        if log.conversation.kind == Kind::Group {
            if own && !change.accounts_added.is_empty() {
                describe_group(self.tx, &log.conversation)?;
            } else if !own && !change.added.is_empty() {
                self.undescribed(log, change)?;
            }
        }
        Ok(())
    }

    /// Who reported something and is in again by this change waits no more; who is out is not blamed any more.
    fn reported(&mut self, local: Local, change: &Change) -> Result<(), StoreError> {
        for device in change.added.iter().chain(change.removed.iter().map(|gone| &gone.device)) {
            reported::in_again(self.tx, local, device.device())?;
        }
        for gone in &change.accounts_removed {
            reported::pardon(self.tx, local, gone)?;
        }
        Ok(())
    }

    /// This device alone is out by a commit that it could follow: it goes on with the welcome where there is one, as one who
    /// could not, and comes back by itself otherwise.
    fn put_in_anew(&mut self, log: &mut Open<'b>, change: &Change) -> Result<(), ApplyError> {
        let local = log.conversation.local;
        conversation::set_position(self.tx, local, log.seq, &log.chain)?;
        // The welcome is of the epoch that this change makes, and it missed nothing of who came and went.
        let left = Left { epoch: Epoch(change.epoch.0.saturating_sub(1)), members: BTreeSet::new() };
        returned::put_uncounted(self.tx, local, &left)?;
        missed::begins(self.tx, local, log.seq)?;
        log.moved = false;
        self.awaits(log)?;
        outbox::unseal_from(self.tx, local, i64::MIN)?;
        self.out.outbox = true;
        let (name, read) = (log.name.clone(), log.seq);
        self.welcome_again(&name, read)
    }

    /// Devices have come in: whoever brought them tells them what the group is called, and who comes by itself is told by
    /// one of those who may. The other devices of its own account are the first to.
    fn undescribed(&mut self, log: &mut Open<'b>, change: &Change) -> Result<(), ApplyError> {
        if log.conversation.title == untitled(&log.name) || !may_describe(&mut log.group, self.me.address())? {
            return Ok(());
        }
        let ours = change.added.iter().any(|device| device.address() == self.me.address());
        let (least, spread) = if ours { (500, 1_500) } else { (2_500, 10_000) };
        let wait = fresh::jitter(Duration::from_millis(spread)).saturating_add(Duration::from_millis(least));
        let due = fresh::now_ms().saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        undescribed::put(self.tx, log.conversation.local, due)?;
        self.out.described = true;
        Ok(())
    }

    /// Notes whose leaving was overtaken by this change, and who is out now; gives those who had left before it.
    fn unheard(&mut self, local: Local, change: &Change) -> Result<BTreeSet<Address>, StoreError> {
        let before = unheard::of(self.tx, local)?;
        for gone in &change.accounts_removed {
            unheard::remove(self.tx, local, gone)?;
        }
        for address in change.unheard.iter().filter(|address| *address != self.me.address()) {
            unheard::put(self.tx, local, address)?;
            self.out.proposals = true;
        }
        Ok(before)
    }
}

/// Who came and went while this device was out of a group, which no commit has told.
pub(crate) fn meanwhile(members: &[Member], left: &Left) -> Vec<String> {
    if left.members.is_empty() {
        return Vec::new();
    }
    let members: BTreeSet<_> = members.iter().map(|member| member.device.address().clone()).collect();
    let came = members.difference(&left.members).map(|address| format!("{address} has come in meanwhile."));
    let went = left.members.difference(&members).map(|address| format!("{address} has gone meanwhile."));
    came.chain(went).collect()
}

/// Sends the group's description, for those who can't have read it, or because it is another one.
pub(crate) fn describe_group(tx: &Transaction<'_>, conversation: &Conversation) -> Result<(), StoreError> {
    let (name, topic) = (conversation.title.clone(), conversation.topic.clone());
    let picture = picture::get(tx, conversation.local)?.unwrap_or_default().into();
    let state = v1::GroupState { name, topic, picture };
    let content = Content::new(fresh::now_ms(), Said::GroupState(state));
    let content = content.encode().map_err(|_| StoreError::Corrupt("a group's title"))?;
    outbox::put(tx, conversation.local, fresh::message_id()?, &content)?;
    links::tell_links(tx, conversation)
}

/// Accounts whose leave a change has overtaken before; and whom it lets in by a link, with who made that.
type Known<'k> = (&'k BTreeSet<Address>, &'k BTreeMap<Address, Address>);

/// A change in words, one for each. Devices that come and go are told in every conversation; that a conversation of two
/// begins with two members is no news.
fn told(change: &Change, own: bool, me: &Address, kind: Kind, known: Known<'_>) -> Vec<String> {
    // With whom a conversation begins is no news to who began it.
    let begun = (own && change.epoch == Epoch(1)) || kind == Kind::Personal;
    let mut all = if begun { Vec::new() } else { devices(change, me) };
    if kind == Kind::Group {
        all.extend(members(change, own, me, known));
    }
    all
}

/// Devices of accounts that stay.
fn devices(change: &Change, me: &Address) -> Vec<String> {
    let told = |device: &VerifiedDevice, did: &str| match device.address() {
        address if address == me => format!("You {did} a device."),
        address => format!("{address} {did} a device."),
    };
    let gone: Vec<_> = change.removed.iter().map(|gone| &gone.device).collect();
    // One that lost its place has gone and come at once: by itself, or put in anew by somebody else.
    let anew = |device: &&VerifiedDevice| gone.contains(device) && device.address() != change.committer.address();
    let put: BTreeSet<_> = change.added.iter().filter(anew).map(VerifiedDevice::address).collect();
    let added = change.added.iter().filter(|device| !change.accounts_added.contains(device.address()) && !anew(device));
    let added = added.map(|device| told(device, if gone.contains(&device) { "brought back" } else { "added" }));
    let added = added.chain(told_anew(change.committer.address(), &put, me));
    let removed = gone
        .iter()
        .filter(|device| !change.accounts_removed.contains(device.address()) && !change.added.contains(device));
    added.chain(removed.map(|device| told(device, "removed"))).collect()
}

/// Whose devices somebody has put in anew: by name while they are few.
fn told_anew(who: &Address, whose: &BTreeSet<&Address>, me: &Address) -> Option<String> {
    let who = if who == me { "You".to_owned() } else { who.to_string() };
    let mut names: Vec<_> = whose.iter().take(3).map(ToString::to_string).collect();
    if let Some(more) = whose.len().checked_sub(3).filter(|more| *more > 0) {
        names.push(format!("{more} more"));
    }
    (!names.is_empty()).then(|| format!("{who} put devices in anew, of {}.", names.join(", ")))
}

fn members(change: &Change, own: bool, me: &Address, (unheard, by_link): Known<'_>) -> Vec<String> {
    let who = if own { "You".to_owned() } else { change.committer.address().to_string() };
    let added = change.accounts_added.iter().map(|address| match by_link.get(address) {
        Some(maker) if maker == me => format!("{who} let {address} in by a link of yours."),
        Some(maker) => format!("{who} let {address} in by a link of {maker}."),
        None => format!("{who} added {address}."),
    });
    let removed = change.accounts_removed.iter().map(|address| {
        let left = unheard.contains(address)
            || change.removed.iter().any(|gone| gone.left && gone.device.address() == address);
        if left { format!("{address} left.") } else { format!("{who} removed {address}.") }
    });
    let roles = change.roles_changed.iter().map(|(address, role)| format!("{who} made {address} {}.", role.name()));
    added.chain(removed).chain(roles).collect()
}

/// This account is out of the conversation, or the other one is: what was to be sent never will be.
pub(crate) fn end(
    tx: &Transaction<'_>,
    conversation: &Conversation,
    group: &mut Group<'_>,
    out: &mut Applied,
) -> Result<(), ApplyError> {
    group.delete()?;
    unheard::forget(tx, conversation.local)?;
    reported::forget(tx, conversation.local)?;
    report::remove(tx, conversation.local)?;
    undescribed::remove(tx, conversation.local)?;
    group_link::forget(tx, conversation.local)?;
    conversation::set_state(tx, conversation.local, State::Ended)?;
    if let Some(id) = pending::id_of(tx, conversation.local)? {
        pending::remove(tx, conversation.local, id)?;
    }
    let farewell = ending::take(tx, conversation.local)?;
    if let Some(text) = &farewell {
        out.events.push(Event::Message(message::notice(tx, conversation.local, text)?));
    }
    refuse_all(tx, conversation, farewell.as_deref().unwrap_or("you are no longer in this conversation"), out)?;
    Ok(())
}

/// What is queued for a conversation will never be sent.
pub(crate) fn refuse_all(
    tx: &Transaction<'_>,
    conversation: &Conversation,
    reason: &str,
    out: &mut Applied,
) -> Result<(), StoreError> {
    for id in outbox::of_conversation(tx, conversation.local)? {
        refuse(tx, id, reason, out)?;
    }
    Ok(())
}

/// One message will never be sent.
pub(crate) fn refuse(
    tx: &Transaction<'_>,
    id: qpc_proto::id::MessageId,
    reason: &str,
    out: &mut Applied,
) -> Result<(), StoreError> {
    release::note(tx, id)?;
    if let Some(refused) = outbox::by_id(tx, id)?
        && matches!(Content::decode(&refused.content), Ok(Content { kind: Said::Lifetime(_), .. }))
    {
        lifetime::want(tx, refused.conversation, None)?;
    }
    outbox::remove(tx, id)?;
    super::changed::refused(tx, id, out)?;
    // Nobody gets what they change.
    for change in own_change::of_target(tx, id)? {
        refuse(tx, change, reason, out)?;
    }
    let (id, reason) = (id.to_string(), Some(reason.to_owned()));
    out.events.push(Event::Outbox { id, state: OutboxState::Refused, reason });
    Ok(())
}
