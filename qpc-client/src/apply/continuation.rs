//! A group that says it continues another one, whose hub is gone: believed where somebody owns it who could have continued
//! that one, and where it names the end that this device has seen.

use std::collections::BTreeMap;

use qpc_proto::{
    address::{Address, Domain},
    continuation::{Continued, may_continue},
    id::Seq,
    role::{Role, RoleTable},
};
use rusqlite::Transaction;

use super::{Applied, ApplyError, Batch, Open};
use crate::{
    api::Event,
    mls::{GroupError, Joined, Mls},
    store::{
        StoreError,
        continuation::{self, Fit},
        conversation::{self, Conversation, Kind},
        entry, message as messages,
    },
    trust::Me,
};

/// The accounts in a group with their roles, as far as they have not said to leave; nobody where this device is not in it.
pub(crate) fn accounts(mls: &Mls<'_>, of: &Conversation) -> Result<BTreeMap<Address, Role>, ApplyError> {
    let Some(name) = &of.name else { return Ok(BTreeMap::new()) };
    let mut group = mls.group(name);
    let read = group.members().and_then(|devices| Ok((devices, group.roles()?, group.leaving()?)));
    match read {
        Ok((devices, roles, leaving)) => {
            let staying = devices.iter().map(|member| member.device.address()).filter(|who| !leaving.contains(who));
            Ok(staying.map(|who| (who.clone(), roles.of(who))).collect())
        }
        Err(GroupError::Fault(fault)) => Err(fault.into()),
        Err(GroupError::NoGroup | GroupError::Removed) => Ok(BTreeMap::new()),
    }
}

/// Could one of those who own a group have continued the other one?
fn is_led(me: &Me, roles: &RoleTable, before: &BTreeMap<Address, Role>, gone: &Domain) -> bool {
    let mut owners = roles.iter().filter(|(_, role)| *role == Role::Owner);
    before.contains_key(me.address()) && owners.any(|(owner, _)| may_continue(owner, before, gone))
}

/// Compares what is said of a conversation's end with what this device has of it.
fn compare(tx: &Transaction<'_>, before: &Conversation, continued: &Continued) -> Result<Fit, StoreError> {
    let known = match continued.seq {
        later if later > before.seq => return Ok(Fit::Ahead),
        last if last == before.seq => before.chain,
        earlier => entry::chain_at(tx, before.local, earlier)?,
    };
    Ok(match known {
        None => Fit::Unknown,
        Some(chain) if chain == continued.chain => Fit::Same,
        Some(_) => Fit::Differs,
    })
}

/// Tells in both what has become of a conversation that goes on in another one, and which of several counts.
pub(crate) fn tell(
    tx: &Transaction<'_>,
    (before, group): (&Conversation, &Conversation),
    (continued, fit): (&Continued, Fit),
    out: &mut Applied,
) -> Result<(), StoreError> {
    let mut say = |local, text: String| {
        let told = messages::notice(tx, local, &text)?;
        out.events.push(Event::Message(told));
        Ok::<_, StoreError>(())
    };
    let gone = &continued.conversation.domain;
    let mut text = format!("This group continues {}, which the server of {gone} has ordered.", before.title);
    match fit {
        Fit::Ahead => {
            let more = continued.seq.0.saturating_sub(before.seq.0);
            let entries = if more == 1 { "1 entry".to_owned() } else { format!("{more} entries") };
            text.push_str(&format!(" Whoever continued it had {entries} of it more than this device."));
        }
        Fit::Unknown => {
            text.push_str(" Whether it had the same history could not be compared: that is not kept here any more.");
        }
        Fit::Same | Fit::Foreign | Fit::Differs => {}
    }
    say(group.local, text)?;
    let Some(first) = continuation::successor(tx, &continued.conversation)? else { return Ok(()) };
    if first.local == group.local {
        say(before.local, format!("This conversation was continued in {}: write there.", called(&first)))?;
    }
    for other in continuation::all_of(tx, &continued.conversation)?.iter().filter(|other| other.fit.counts()) {
        // Of two, each knows of the other once the later one has come.
        if other.conversation != first.local && (first.local == group.local || other.conversation == group.local) {
            let text = format!(
                "{} was continued twice, and this is the second one. The other one counts, {}: write there.",
                before.title,
                called(&first)
            );
            say(other.conversation, text)?;
        }
    }
    Ok(())
}

/// A group by title and name: the one that it continues is often called the same.
pub(crate) fn called(group: &Conversation) -> String {
    match &group.name {
        Some(name) => format!("{} ({name})", group.title),
        None => group.title.clone(),
    }
}

fn differs(before: &Conversation, group: &Conversation, seq: Seq) -> String {
    format!(
        "The group {} says that it continues {}, and names another history than this device has seen: entry {seq} is not \
         the same. It is not taken for its continuation. Ask whoever made it what happened.",
        called(group),
        before.title
    )
}

impl<'b> Batch<'b> {
    /// Notes what a group continues that this device has come into.
    pub(super) fn continues(&mut self, group: &Conversation, joined: &Joined) -> Result<(), ApplyError> {
        let Some(continued) = joined.roles.continues() else { return Ok(()) };
        if continuation::of(self.tx, group.local)?.is_some() {
            return Ok(());
        }
        let before = conversation::by_name(self.tx, &continued.conversation)?;
        let elsewhere = group.name.as_ref().is_some_and(|name| name.domain != continued.conversation.domain);
        let Some(before) = before.filter(|before| before.kind == Kind::Group && elsewhere) else {
            return Ok(continuation::put(self.tx, group.local, continued, (Fit::Foreign, false))?);
        };
        let led = is_led(self.me, &joined.roles, &accounts(self.mls, &before)?, &continued.conversation.domain);
        let fit = if led { compare(self.tx, &before, continued)? } else { Fit::Foreign };
        continuation::put(self.tx, group.local, continued, (fit, false))?;
        match fit {
            Fit::Foreign => {
                let text = format!(
                    "This group says that it continues {}, which nobody could have who owns it: they are two.",
                    before.title
                );
                let told = messages::notice(self.tx, group.local, &text)?;
                self.out.events.push(Event::Message(told));
                Ok(())
            }
            Fit::Differs => Ok(self.out.alarm(self.tx, differs(&before, group, continued.seq))?),
            Fit::Same | Fit::Ahead | Fit::Unknown => {
                // Until somebody says what it is called.
                conversation::set_title(self.tx, group.local, &before.title)?;
                let group = conversation::get(self.tx, group.local)?;
                Ok(tell(self.tx, (&before, &group), (continued, fit), &mut self.out)?)
            }
        }
    }

    /// A log has come to where a continuation of it begins: now the two can be compared.
    pub(super) fn reaches_its_end(&mut self, log: &Open<'b>) -> Result<(), StoreError> {
        if log.conversation.kind != Kind::Group {
            return Ok(());
        }
        for later in continuation::all_of(self.tx, &log.name)? {
            if later.fit != Fit::Ahead || later.continued.seq > log.seq {
                continue;
            }
            let now = conversation::get(self.tx, log.conversation.local)?;
            let fit = compare(self.tx, &now, &later.continued)?;
            continuation::set_fit(self.tx, later.conversation, fit)?;
            if fit == Fit::Differs {
                let group = conversation::get(self.tx, later.conversation)?;
                self.out.alarm(self.tx, differs(&now, &group, later.continued.seq))?;
            }
        }
        Ok(())
    }
}
