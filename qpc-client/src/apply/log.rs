//! Following a log: gap-free, chained, and what it holds handed to where it belongs (invariants 3 and 4).

use qpc_proto::{
    chain::{ChainValue, EntryContent, EntryKind, LogEntry},
    id::Seq,
};

use super::{ApplyError, Batch, Open};
use crate::{
    fresh,
    store::{
        conversation::{Kind, Trusted},
        entry::{self, Promise},
        restore,
    },
};

/// What became of an entry.
pub(super) enum Step {
    /// It is handled; the position moves past it.
    On,
    /// The log is not followed any further, and the position stays before it.
    Stopped,
}

impl<'b> Batch<'b> {
    /// Takes the next entry of a log.
    pub(super) fn entry(&mut self, log: &mut Open<'b>, entry: &LogEntry) -> Result<(), ApplyError> {
        if log.conversation.trusted != Trusted::Yes {
            return Ok(());
        }
        if entry.seq <= log.seq {
            return self.known(log, entry);
        }
        if entry.seq != log.seq.next() {
            return Err(ApplyError::Gap);
        }
        let promise = entry::keep(self.tx, log.conversation.local, entry)?;
        if !entry.follows(&log.chain) || promise == Promise::Broken {
            self.forked(log, entry.seq)?;
            if log.conversation.kind != Kind::Inbox {
                return Ok(());
            }
        }
        #[cfg(feature = "simulation")]
        crate::simulation::read(entry);
        if matches!(self.step(log, entry, promise)?, Step::On) {
            log.seq = entry.seq;
            log.chain = entry.chain;
            log.moved = true;
        }
        Ok(())
    }

    /// What comes again is what came before.
    fn known(&mut self, log: &mut Open<'b>, entry: &LogEntry) -> Result<(), ApplyError> {
        match entry::chain_at(self.tx, log.conversation.local, entry.seq)? {
            Some(chain) if chain != entry.chain && log.conversation.kind != Kind::Inbox => self.forked(log, entry.seq),
            _ => Ok(()),
        }
    }

    fn step(&mut self, log: &mut Open<'b>, entry: &LogEntry, promise: Promise) -> Result<Step, ApplyError> {
        let own = entry.sender == Some(self.me.identity.device);
        match (entry.kind, &entry.content) {
            (EntryKind::Welcome | EntryKind::Contact | EntryKind::Account | EntryKind::Outcome, content) => {
                if let (Kind::Inbox, EntryContent::Body(body)) = (log.conversation.kind, content) {
                    self.inbox_entry(entry.kind, body)?;
                }
                Ok(Step::On)
            }
            _ if log.conversation.kind == Kind::Inbox => Ok(Step::On),
            // Said before this device came in again.
            (EntryKind::Report, _) if own => Ok(Step::On),
            (EntryKind::Report, EntryContent::Body(body)) => self.report(log, entry, body),
            (EntryKind::Report, EntryContent::Removed(_)) => Ok(Step::On),
            (EntryKind::Message | EntryKind::Proposal, _) if own => self.own_entry(log, entry, promise),
            (EntryKind::Message, EntryContent::Body(body)) => self.message(log, entry, body),
            (EntryKind::Message, EntryContent::Removed(_)) => self.withheld(log),
            (EntryKind::Proposal, EntryContent::Body(body)) => self.proposal(log, body),
            (EntryKind::Commit, EntryContent::Body(body)) => self.commit(log, entry, body, own),
            (EntryKind::Proposal | EntryKind::Commit, EntryContent::Removed(_)) => {
                let text = format!(
                    "{} can't be read any further: this device was away for longer than the server keeps changes of its \
                     members. Ask to be added again.",
                    log.words()
                );
                self.stop_here(log, Trusted::Never, text)
            }
        }
    }

    /// Stops at this entry.
    pub(super) fn stop_here(&mut self, log: &mut Open<'b>, trusted: Trusted, text: String) -> Result<Step, ApplyError> {
        self.stop(log, trusted, text)?;
        log.conversation.trusted = trusted;
        Ok(Step::Stopped)
    }

    /// The server shows another history than before.
    fn forked(&mut self, log: &mut Open<'b>, seq: Seq) -> Result<(), ApplyError> {
        let text = format!(
            "{} was rewritten by the server: entry {seq} is not what it showed before. {}",
            log.words(),
            consequence(log)
        );
        self.disbelieve(log, text)
    }

    /// Compares where the server says the log stands with where this device has seen it.
    pub(super) fn following(
        &mut self,
        log: &mut Open<'b>,
        head: Seq,
        after: Seq,
        chain: &ChainValue,
    ) -> Result<(), ApplyError> {
        if head < log.seq && log.conversation.kind != Kind::Inbox && self.is_restored()? {
            // Others may have what is between; what comes then is compared with what came before.
            return Ok(());
        }
        if head < log.seq {
            let text = format!(
                "{} was rolled back by the server: this device has seen entry {}, and the server says that it ends at {}. \
                 {}",
                log.words(),
                log.seq,
                head,
                consequence(log)
            );
            self.disbelieve(log, text)?;
        } else if after < log.seq {
            // It begins before what was read: where this account was in the conversation before, and left. What is
            // known is passed over, and what comes after it has to follow its chain.
            return Ok(());
        } else if after == log.seq && *chain != log.chain {
            return self.forked(log, after);
        } else if after > log.seq && log.conversation.kind != Kind::Inbox {
            return self.passed_over(log, after);
        }
        if log.conversation.trusted == Trusted::Yes && (after, *chain) != (log.seq, log.chain) {
            (log.seq, log.chain, log.moved) = (after, *chain, true);
        }
        Ok(())
    }

    /// Is the server given back what it lost?
    fn is_restored(&self) -> Result<bool, ApplyError> {
        Ok(restore::is_under_way(self.tx, fresh::now_ms())?)
    }

    /// Raises the alarm. A conversation is left alone from here on; an inbox is the server's own word anyway.
    fn disbelieve(&mut self, log: &mut Open<'b>, text: String) -> Result<(), ApplyError> {
        if log.conversation.kind == Kind::Inbox {
            self.out.alarm(self.tx, text)?;
        } else {
            self.stop_here(log, Trusted::Never, text)?;
        }
        Ok(())
    }
}

fn consequence(log: &Open<'_>) -> &'static str {
    match log.conversation.kind {
        Kind::Inbox => "Ask its operator what happened.",
        Kind::Direct | Kind::Group | Kind::Personal => {
            "Nothing more is read from it or sent to it. Ask the operator what happened; what you have stays here."
        }
    }
}
