//! Encrypting what may be sent, and keeping the bytes before they leave.

use std::collections::{HashMap, HashSet};

use qpc_proto::{id::Counter, v1};
use rusqlite::Transaction;

use crate::{
    apply::{Applied, ApplyError, refuse},
    mls::{CommitError, EncryptError, Encrypted, Group, GroupError, Member, Mls},
    store::{
        Local, contact,
        conversation::{self, Conversation},
        lost,
        outbox::{self, Outgoing, Sealed},
        trace,
    },
    trust::Me,
};

/// What is ready to leave.
pub(super) struct Batch {
    pub(super) ready: Vec<(Outgoing, Sealed, v1::ConversationName)>,
    pub(super) applied: Applied,
}

/// Takes what may be sent now, at most `room`, and encrypts what is not encrypted. `held` conversations get
/// nothing encrypted, `troubled` ones send nothing, nor do those that the server does not know.
pub(super) fn next(
    tx: &Transaction<'_>,
    me: &Me,
    room: usize,
    held: &HashSet<Local>,
    troubled: &HashSet<Local>,
) -> Result<Batch, ApplyError> {
    let lost = lost::locals(tx)?;
    let due = outbox::next(tx, room, |conversation, sealed| {
        !troubled.contains(&conversation) && !lost.contains(&conversation) && (sealed || !held.contains(&conversation))
    })?;
    let mut batch = Batch { ready: Vec::new(), applied: Applied::default() };
    if due.is_empty() {
        return Ok(batch);
    }
    me.with_mls(tx, |mls| {
        let mut logs: HashMap<Local, Log<'_>> = HashMap::new();
        let mut blocked: HashSet<Local> = HashSet::new();
        for outgoing in due {
            let local = outgoing.conversation;
            if blocked.contains(&local) {
                continue;
            }
            let log = match logs.remove(&local) {
                Some(log) => log,
                None => Log::open(tx, mls, local)?,
            };
            let log = logs.entry(local).or_insert(log);
            let sealed = match outgoing.sealed.clone() {
                Some(sealed) => sealed,
                None => match log.seal(tx, &outgoing)? {
                    Made::Sealed(sealed) => sealed,
                    Made::Later { proposals } => {
                        batch.applied.proposals |= proposals;
                        blocked.insert(local);
                        continue;
                    }
                    Made::Never(reason) => {
                        refuse(tx, outgoing.id, &reason, &mut batch.applied)?;
                        continue;
                    }
                },
            };
            outbox::set_flying(tx, outgoing.place, true)?;
            trace::sent(tx, outgoing.id)?;
            batch.ready.push((outgoing, sealed, log.conversation.named()?.to_wire()));
        }
        Ok(batch)
    })
}

/// What came of encrypting.
enum Made {
    Sealed(Sealed),
    /// Something has to happen first.
    Later {
        proposals: bool,
    },
    Never(String),
}

struct Log<'m> {
    conversation: Conversation,
    group: Group<'m>,
    counter: Counter,
    /// Why nothing may be said in it.
    mute: Option<String>,
}

impl<'m> Log<'m> {
    fn open(tx: &Transaction<'_>, mls: &'m Mls<'m>, local: Local) -> Result<Self, ApplyError> {
        let conversation = conversation::get(tx, local)?;
        let given = outbox::last_counter(tx, local)?.unwrap_or_default();
        let mut group = mls.group(conversation.named()?);
        let mute = earlier_key(tx, &conversation, &mut group)?;
        Ok(Self { counter: conversation.counter.max(given), conversation, group, mute })
    }

    fn seal(&mut self, tx: &Transaction<'_>, outgoing: &Outgoing) -> Result<Made, ApplyError> {
        let made = if outgoing.leave { self.leave() } else { self.encrypt(outgoing) };
        let encrypted = match made? {
            Ok(encrypted) => encrypted,
            Err(not) => return Ok(not),
        };
        let counter = self.counter.next();
        let sealed = Sealed { counter, epoch: encrypted.epoch, body: encrypted.bytes.into() };
        outbox::seal(tx, outgoing.place, &sealed)?;
        trace::encrypted(tx, outgoing.id, &sealed)?;
        self.counter = counter;
        Ok(Made::Sealed(sealed))
    }

    fn encrypt(&mut self, outgoing: &Outgoing) -> Result<Result<Encrypted, Made>, ApplyError> {
        if let Some(reason) = &self.mute {
            return Ok(Err(Made::Never(reason.clone())));
        }
        match self.group.encrypt(outgoing.id, &outgoing.content) {
            Ok(encrypted) => Ok(Ok(encrypted)),
            Err(EncryptError::ProposalsPending) => Ok(Err(Made::Later { proposals: true })),
            Err(EncryptError::Group(GroupError::Fault(fault))) => Err(fault.into()),
            Err(error) => Ok(Err(Made::Never(error.to_string()))),
        }
    }

    fn leave(&mut self) -> Result<Result<Encrypted, Made>, ApplyError> {
        match self.group.leave() {
            Ok(proposal) => Ok(Ok(proposal)),
            Err(CommitError::Pending) => Ok(Err(Made::Later { proposals: false })),
            Err(CommitError::Group(GroupError::Fault(fault))) => Err(fault.into()),
            Err(error) => Ok(Err(Made::Never(error.to_string()))),
        }
    }
}

/// Between two, nothing is encrypted for a key that is not the one that is believed: a conversation that began before
/// another one was accepted is with whoever has the earlier one.
fn earlier_key(
    tx: &Transaction<'_>,
    conversation: &Conversation,
    group: &mut Group<'_>,
) -> Result<Option<String>, ApplyError> {
    let Some(peer) = &conversation.peer else { return Ok(None) };
    let Some(known) = contact::get(tx, peer)?.and_then(|contact| contact.account_key) else { return Ok(None) };
    let members = match group.members() {
        Ok(members) => members,
        Err(GroupError::Fault(fault)) => return Err(fault.into()),
        Err(GroupError::NoGroup | GroupError::Removed) => return Ok(None),
    };
    let other = |member: &Member| member.device.address() == peer && *member.device.account_key() != known;
    let text = || format!("this conversation is with an earlier key of {peer} than the one that you have accepted");
    Ok(members.iter().any(other).then(text))
}
