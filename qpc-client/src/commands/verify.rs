//! Verification: a safety number shown, compared, marked; and a contact's other key, accepted or known to be nobody's.

use std::sync::Arc;

use qpc_proto::{
    address::Address,
    safety::{Code, Party, SafetyNumber, Typed},
};
use rusqlite::Transaction;

use super::{
    contacts, done, noted,
    target::{self, Target},
    usage,
};
use crate::{
    api::{self, CommandError, Compared, Event, Outcome},
    apply::{self, Applied},
    core::Core,
    identity::key_fingerprint,
    mls::GroupError,
    store::{
        contact::{self, Contact},
        conversation::{self, Kind},
        due::{self, What},
        verification,
    },
    trust::{self, Me},
    words,
};

/// Longest number or code that is read, in bytes.
const COMPARED_MAX: usize = 1024;

/// The safety number with a contact.
pub(super) async fn number(core: &Arc<Core>, who: String) -> Result<Outcome, CommandError> {
    let address = target::person(&core.me, &who)?;
    let me = core.me.clone();
    core.store
        .run(move |tx| {
            let (contact, known) = known(tx, &address)?;
            // Where another key is presented, that is the one to compare: it is what they have if they were reset.
            let key = contact.offered_key.unwrap_or(known);
            let (here, there) = parties(&me, &address, &key);
            let number = SafetyNumber::of(&here, &there);
            Ok(Outcome::SafetyNumber(api::SafetyNumber {
                standing: trust::standing(&contact),
                number: number.to_string(),
                words: number.words().join(" "),
                code: Code::of(&here, &there).to_string(),
                account_key: key_fingerprint(&key),
                address: address.to_string(),
            }))
        })
        .await
}

/// Marks the key of which the contact has the number or code.
pub(super) async fn verify(core: &Arc<Core>, who: String, compared: Compared) -> Result<Outcome, CommandError> {
    let address = target::person(&core.me, &who)?;
    let theirs = Theirs::parse(&compared)?;
    let (me, teller) = (core.me.clone(), Arc::clone(core));
    let note = core
        .store
        .run_and(
            move |tx| {
                let (contact, known) = known(tx, &address)?;
                let mut out = Applied::default();
                let is = |key: &[u8; 32]| theirs.is_of(&me, &address, key);
                let (key, note) = match contact.offered_key {
                    Some(offered) if is(&offered)? => {
                        accept(tx, &me, &address, &mut out)?;
                        (offered, None)
                    }
                    Some(_) if is(&known)? => {
                        contact::drop_offer(tx, &address)?;
                        (known, Some(nobodys(&address)))
                    }
                    None if is(&known)? => (known, None),
                    _ => return Err(differs(&address, &contact)),
                };
                verification::mark(tx, &address, &key, true, me.identity.device)?;
                told(tx, &address, &mut out)?;
                Ok((out, note))
            },
            move |(applied, _)| teller.tell(applied),
        )
        .await?
        .1;
    Ok(note.map_or_else(done, noted))
}

/// Takes a mark back.
pub(super) async fn unverify(core: &Arc<Core>, who: String) -> Result<Outcome, CommandError> {
    let address = target::person(&core.me, &who)?;
    let (me, teller) = (core.me.clone(), Arc::clone(core));
    core.store
        .run_and(
            move |tx| {
                let mark = contact::get(tx, &address)?.and_then(|contact| contact.mark);
                let Some(mark) = mark else { return Err(usage(format!("{address} is not marked as verified"))) };
                verification::mark(tx, &address, &mark.account_key, false, me.identity.device)?;
                let mut out = Applied::default();
                told(tx, &address, &mut out)?;
                Ok(out)
            },
            move |applied| teller.tell(applied),
        )
        .await?;
    Ok(done())
}

/// Accepts a contact's new account key unseen.
pub(super) async fn trust_key(core: &Arc<Core>, who: String, though_verified: bool) -> Result<Outcome, CommandError> {
    let address = target::person(&core.me, &who)?;
    let (me, teller) = (core.me.clone(), Arc::clone(core));
    core.store
        .run_and(
            move |tx| {
                let contact = contact::get(tx, &address)?.filter(|contact| contact.offered_key.is_some());
                let Some(contact) = contact else {
                    return Err(usage(format!("{address} has no key that waits for acceptance")));
                };
                if contact.verified_ms().is_some() && !though_verified {
                    return Err(changed_error(&contact));
                }
                let mut out = Applied::default();
                accept(tx, &me, &address, &mut out)?;
                told(tx, &address, &mut out)?;
                Ok(out)
            },
            move |applied| teller.tell(applied),
        )
        .await?;
    Ok(noted("The new key is accepted."))
}

/// Who presents another key, of all contacts or of a conversation.
pub(super) async fn changed(core: &Arc<Core>, to: Option<String>) -> Result<Outcome, CommandError> {
    let me = core.me.clone();
    let changed = core.store.run(move |tx| {
        let mut changed = contact::changed(tx)?;
        if let (Some(to), false) = (to, changed.is_empty()) {
            let people = people(tx, &me, &to)?;
            changed.retain(|contact| people.contains(&contact.address));
        }
        Ok::<_, CommandError>(changed)
    });
    Ok(Outcome::Contacts { contacts: changed.await?.iter().map(contacts::shown_as).collect() })
}

/// The error for whoever writes to somebody with another key.
pub(super) fn changed_error(contact: &Contact) -> CommandError {
    let (who, compared) = (&contact.address, contact.verified_ms());
    let since = contact.offered_ms.map(|ms| format!(" since {}", words::day(ms))).unwrap_or_default();
    let compared_on = match compared {
        Some(ms) => format!("You had compared the earlier one with them, on {}", words::day(ms)),
        None => "The earlier one was never compared".to_owned(),
    };
    CommandError::KeyChanged {
        message: format!(
            "{who} has another account key{since}, which you have not accepted.\n{compared_on}. They were reset, or \
             somebody is in between. Nothing is sent."
        ),
        who: who.to_string(),
        verified: compared.is_some(),
    }
}

/// A number or code as the contact has it.
enum Theirs {
    Number(Typed),
    Code(Code),
}

impl Theirs {
    fn parse(compared: &Compared) -> Result<Self, CommandError> {
        let (Compared::Number(text) | Compared::Code(text)) = compared;
        if text.len() > COMPARED_MAX {
            return Err(usage("that is longer than a number or a code is"));
        }
        match compared {
            Compared::Number(text) => Typed::parse(text).map(Self::Number).map_err(|error| usage(error.to_string())),
            Compared::Code(text) => Code::parse(text).map(Self::Code).map_err(|error| usage(error.to_string())),
        }
    }

    /// Is this what they have if their key is this one?
    fn is_of(&self, me: &Me, address: &Address, key: &[u8; 32]) -> Result<bool, CommandError> {
        let (here, there) = parties(me, address, key);
        match self {
            Self::Number(typed) => Ok(SafetyNumber::of(&here, &there).is(typed)),
            Self::Code(code) if *code == Code::of(&here, &there) => {
                Err(usage(format!("that is the code that you show yourself: scan the one that {address} shows")))
            }
            Self::Code(code) => Ok(*code == Code::of(&there, &here)),
        }
    }
}

fn parties<'p>(me: &'p Me, address: &'p Address, key: &'p [u8; 32]) -> (Party<'p>, Party<'p>) {
    let here = Party { address: me.address(), account_key: &me.identity.account_key };
    (here, Party { address, account_key: key })
}

/// A contact whose key is known, and that key.
fn known(tx: &Transaction<'_>, address: &Address) -> Result<(Contact, [u8; 32]), CommandError> {
    contact::get(tx, address)?.and_then(|contact| contact.account_key.map(|key| (contact, key))).ok_or_else(|| {
        usage(format!("the key of {address} is not known yet: write to them first, or wait until they write to you"))
    })
}

/// Believes the offered key from now on, and tries again what was left alone because of it.
fn accept(tx: &Transaction<'_>, me: &Me, address: &Address, out: &mut Applied) -> Result<(), CommandError> {
    contact::accept_offer(tx, address)?;
    conversation::trust_again(tx)?;
    *out = apply::retry_welcomes(tx, me)?;
    // What this device did not join because of it is in the server's list.
    due::put(tx, What::Conversations)?;
    (out.follow, out.outbox, out.elsewhere) = (true, true, true);
    Ok(())
}

/// Has everybody who listens told how things stand now.
fn told(tx: &Transaction<'_>, address: &Address, out: &mut Applied) -> Result<(), CommandError> {
    out.own = true;
    if let Some(contact) = contact::get(tx, address)? {
        let (address, standing) = (address.to_string(), trust::standing(&contact));
        out.events.push(Event::Verification { address, standing });
    }
    Ok(())
}

fn nobodys(address: &Address) -> String {
    format!(
        "Verified: it is the number of the key that was known before. The other key that was presented for {address} is \
         not theirs: somebody tried to take their place, perhaps with the server's help. It is forgotten, and refused \
         again if it comes back."
    )
}

fn differs(address: &Address, contact: &Contact) -> CommandError {
    let keys = if contact.offered_key.is_some() { "neither key" } else { "no key" };
    CommandError::KeyDiffers {
        message: format!(
            "THE NUMBERS DIFFER: what you entered is of {keys} that this device was shown for\n{address}. Either it was \
             misread, or it is somebody else who read it to you,\nor somebody is in between and reads along. Nothing was \
             marked."
        ),
        who: address.to_string(),
    }
}

/// The people of a conversation; none where it has not begun.
fn people(tx: &Transaction<'_>, me: &Me, to: &str) -> Result<Vec<Address>, CommandError> {
    let conversation = match target::read(tx, me, to)? {
        Target::Person(person) => return Ok(vec![person]),
        Target::Conversation(conversation) => conversation,
    };
    let Some(name) = conversation.name.as_ref().filter(|_| conversation.kind == Kind::Group) else {
        return Ok(conversation.peer.into_iter().collect());
    };
    match me.with_mls(tx, |mls| mls.group(name).members()) {
        Ok(devices) => Ok(devices.into_iter().map(|member| member.device.address().clone()).collect()),
        Err(GroupError::NoGroup | GroupError::Removed) => Ok(Vec::new()),
        Err(GroupError::Fault(fault)) => Err(fault.into()),
    }
}
