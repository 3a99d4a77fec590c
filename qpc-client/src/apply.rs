//! What the server streams, applied to the store: one transaction for a batch, in order.
//!
//! Every entry is checked against the chain before anything in it is believed; a log that forks, rolls back
//! or shows a device that nobody signed is not followed any further, and the person is told. The position in
//! a log moves in the transaction that stores what the entry meant, so nothing is handled twice or not at all.

mod change;
mod changed;
mod continuation;
mod ending;
mod inbox;
mod links;
mod log;
mod message;
mod own;
mod refusal;
mod report;
#[cfg(test)]
mod tests;

use qpc_proto::{
    chain::{ChainValue, LogEntry},
    id::{ConversationName, Seq},
    suite::Suite,
    v1,
};
use rusqlite::Transaction;

pub(crate) use self::{
    change::{describe_group, end, meanwhile, refuse, refuse_all},
    changed::what_may,
    continuation::{accounts, called, tell as tell_continued},
    inbox::{enter, retry_welcomes, untitled},
    links::{Judged, judge, may_add, not_let_in, tell_links},
    message::{may_describe, sent, set_contact, stands},
    refusal::{distrust, refused},
};
use crate::{
    api::Event,
    mls::{Fault, Group, GroupError, Member, Mls, Refusal},
    store::{
        StoreError, alarm,
        conversation::{self, Conversation, Kind, Trusted},
        message as messages,
    },
    trust::Me,
};

/// One thing that the sync call brought.
#[derive(Clone)]
pub(crate) enum Item {
    Entry(Box<LogEntry>),
    /// Where the log stands on the server.
    Following {
        log: ConversationName,
        head: Seq,
        after: Seq,
        chain: ChainValue,
    },
    CaughtUp(ConversationName),
    NotFollowed(ConversationName),
    /// An entry that this version can't read.
    Unreadable(ConversationName),
}

/// What a batch has changed, for those who are told after its commit.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    pub(crate) events: Vec<Event>,
    /// Where logs stand now: to be acknowledged.
    pub(crate) cursors: Vec<(ConversationName, Seq)>,
    pub(crate) caught_up: Vec<ConversationName>,
    /// Logs from which nothing more is to be expected.
    pub(crate) gone: Vec<ConversationName>,
    /// There are other logs to follow than before.
    pub(crate) follow: bool,
    /// What was held back in the outbox may move.
    pub(crate) outbox: bool,
    /// Somebody's proposals wait for a commit.
    pub(crate) proposals: bool,
    /// There are conversations to join, or questions to the server.
    pub(crate) elsewhere: bool,
    /// There is something to tell the account's other devices.
    pub(crate) own: bool,
    /// Somebody is to be told what a group is called.
    pub(crate) described: bool,
    /// Somebody may wait to be let in by a link.
    pub(crate) links: bool,
    /// There may be a message that disappears sooner than others.
    pub(crate) expiring: bool,
    /// A key package was used.
    pub(crate) welcomed: bool,
    /// Suites whose last-resort key package was used.
    pub(crate) last_resort: Vec<Suite>,
}

impl Applied {
    /// Is there anything to tell anybody?
    pub(crate) fn has_news(&self) -> bool {
        !self.events.is_empty()
            || !self.gone.is_empty()
            || self.follow
            || self.outbox
            || self.proposals
            || self.elsewhere
            || self.own
            || self.described
            || self.links
            || self.expiring
            || self.welcomed
    }

    /// Raises the alarm about a device that is refused.
    pub(crate) fn refused(&mut self, tx: &Transaction<'_>, me: &Me, refusal: &Refusal) -> Result<(), StoreError> {
        let text = me.refuse(tx, refusal)?;
        self.alarm(tx, text)
    }

    pub(crate) fn alarm(&mut self, tx: &Transaction<'_>, text: String) -> Result<(), StoreError> {
        if alarm::raise(tx, &text)? {
            self.events.push(Event::Alarm { text });
        }
        Ok(())
    }
}

/// Why a batch was not applied: nothing of it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the MLS state: {0}")]
    Mls(#[from] Fault),
    #[error("the server left entries out")]
    Gap,
}

/// Takes in what a person has of what was said before, as if another device had told it; says how much was not known.
pub(crate) fn import(tx: &Transaction<'_>, me: &Me, page: &v1::HistoryPage) -> Result<(u64, Applied), ApplyError> {
    me.with_mls(tx, |mls| {
        let mut batch = Batch { tx, me, mls, out: Applied::default() };
        let messages = batch.before(page)?;
        batch.out.events.push(Event::History { messages, complete: page.last });
        Ok((messages, batch.out))
    })
}

/// Applies a batch.
pub(crate) fn batch(tx: &Transaction<'_>, me: &Me, items: Vec<Item>) -> Result<Applied, ApplyError> {
    me.with_mls(tx, |mls| {
        let mut batch = Batch { tx, me, mls, out: Applied::default() };
        let mut open: Option<Open<'_>> = None;
        for item in items {
            match item {
                Item::Entry(entry) => {
                    if open.as_ref().is_none_or(|log| log.name != entry.conversation) {
                        batch.put_back(open.take())?;
                        open = batch.open(&entry.conversation)?;
                    }
                    if let Some(log) = &mut open {
                        batch.entry(log, &entry)?;
                    }
                    continue;
                }
                Item::CaughtUp(log) => {
                    batch.put_back(open.take())?;
                    batch.caught_up(&log)?;
                    batch.out.caught_up.push(log);
                }
                Item::Following { log, head, after, chain } => {
                    batch.put_back(open.take())?;
                    if let Some(mut log) = batch.open(&log)? {
                        batch.following(&mut log, head, after, &chain)?;
                        batch.put_back(Some(log))?;
                    }
                }
                Item::NotFollowed(log) => {
                    batch.put_back(open.take())?;
                    batch.not_followed(&log)?;
                }
                Item::Unreadable(log) => {
                    batch.put_back(open.take())?;
                    if let Some(log) = batch.open(&log)? {
                        let text = format!(
                            "{} holds an entry that this version can't read, so it can't be followed: update this program.",
                            log.words()
                        );
                        batch.stop(&log, Trusted::Never, text)?;
                    }
                }
            }
        }
        batch.put_back(open)?;
        Ok(batch.out)
    })
}

/// A batch under way.
struct Batch<'b> {
    tx: &'b Transaction<'b>,
    me: &'b Me,
    mls: &'b Mls<'b>,
    out: Applied,
}

/// A log that is being read.
struct Open<'b> {
    name: ConversationName,
    conversation: Conversation,
    seq: Seq,
    chain: ChainValue,
    moved: bool,
    group: Group<'b>,
}

impl Open<'_> {
    /// What to call it in an alarm.
    fn words(&self) -> String {
        words(&self.conversation)
    }
}

/// Who is in a group; nobody where this device has none.
pub(crate) fn members(group: &mut Group<'_>) -> Result<Vec<Member>, ApplyError> {
    match group.members() {
        Ok(members) => Ok(members),
        Err(GroupError::Fault(fault)) => Err(fault.into()),
        Err(GroupError::NoGroup | GroupError::Removed) => Ok(Vec::new()),
    }
}

/// What to call a conversation in an alarm.
pub(crate) fn words(conversation: &Conversation) -> String {
    match conversation.kind {
        Kind::Inbox => "The list of what happened to this device".to_owned(),
        Kind::Direct => format!("The conversation with {}", conversation.title),
        Kind::Group => format!("The group {}", conversation.title),
        Kind::Personal => "The conversation of your own devices".to_owned(),
    }
}

impl<'b> Batch<'b> {
    /// A log that is known, read and trusted.
    fn open(&self, name: &ConversationName) -> Result<Option<Open<'b>>, StoreError> {
        let Some(conversation) = conversation::by_name(self.tx, name)? else { return Ok(None) };
        if conversation.trusted != Trusted::Yes || !conversation.is_read() {
            return Ok(None);
        }
        Ok(Some(Open {
            seq: conversation.seq,
            chain: conversation.chain.unwrap_or_else(|| ChainValue::genesis(name)),
            moved: false,
            group: self.mls.group(name),
            name: name.clone(),
            conversation,
        }))
    }

    /// Notes where the log stands now.
    fn put_back(&mut self, log: Option<Open<'b>>) -> Result<(), ApplyError> {
        if let Some(mut log) = log.filter(|log| log.moved) {
            self.passed_changes(&mut log)?;
            conversation::set_position(self.tx, log.conversation.local, log.seq, &log.chain)?;
            self.reaches_its_end(&log)?;
            self.out.cursors.push((log.name, log.seq));
        }
        Ok(())
    }

    /// No longer reads a log, and says why.
    fn stop(&mut self, log: &Open<'b>, trusted: Trusted, text: String) -> Result<(), ApplyError> {
        conversation::set_trusted(self.tx, log.conversation.local, trusted)?;
        self.out.gone.push(log.name.clone());
        self.out.alarm(self.tx, text)?;
        // Of one that is over this is the end.
        if log.conversation.is_over() {
            end(self.tx, &log.conversation, &mut self.mls.group(&log.name), &mut self.out)?;
        }
        Ok(())
    }

    fn not_followed(&mut self, name: &ConversationName) -> Result<(), ApplyError> {
        if let Some(mut log) = self.open(name)?.filter(|log| log.conversation.kind != Kind::Inbox) {
            // Of one that is over, its end is told in other words.
            if !log.conversation.is_over() {
                self.notice(&log, "You are no longer in this conversation.")?;
            }
            end(self.tx, &log.conversation, &mut log.group, &mut self.out)?;
        }
        self.out.gone.push(name.clone());
        Ok(())
    }

    /// Says something in a conversation that nobody sent.
    fn notice(&mut self, log: &Open<'b>, text: &str) -> Result<(), StoreError> {
        let told = messages::notice(self.tx, log.conversation.local, text)?;
        self.out.events.push(Event::Message(told));
        Ok(())
    }
}
