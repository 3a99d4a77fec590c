//! Failure reports: a device can't follow a commit that this one could, and is put in anew by one of those who can
//! (`qpc_proto::report`).

use bytes::Bytes;
use qpc_proto::{
    address::Address,
    chain::{EntryContent, EntryKind, LogEntry},
    credential::VerifiedDevice,
    report::Report,
};

use super::{ApplyError, Batch, Open, log::Step};
use crate::{
    fresh,
    mls::{self, GroupError, Member},
    store::{
        StoreError, entry,
        report::{self, Outgoing},
        reported::{self, Noted, Reported},
    },
};

impl<'b> Batch<'b> {
    /// Another device says that it can't follow a commit.
    pub(super) fn report(&mut self, log: &mut Open<'b>, said: &LogEntry, body: &Bytes) -> Result<Step, ApplyError> {
        let members = super::members(&mut log.group)?;
        match self.believed(log, said, body, &members)? {
            Some(reported) => self.note(log, &reported)?,
            None => tracing::debug!(seq = said.seq.0, "a failure report that nothing is done about"),
        }
        Ok(Step::On)
    }

    /// A report by a member's device, of a commit that this device has seen as well.
    fn believed(
        &self,
        log: &Open<'b>,
        said: &LogEntry,
        body: &Bytes,
        members: &[Member],
    ) -> Result<Option<Reported>, StoreError> {
        let (Some(device), Ok(report)) = (said.sender, Report::decode(body.clone())) else { return Ok(None) };
        let Some(reporter) = members.iter().map(|member| &member.device).find(|member| member.device() == device)
        else {
            return Ok(None);
        };
        // The server can't make one up, nor put it under another commit.
        if report.verify(&log.name, reporter.device_key()).is_err() {
            return Ok(None);
        }
        let commit =
            entry::get(self.tx, log.conversation.local, report.seq)?.and_then(|entry| LogEntry::parse(entry).ok());
        let Some(commit) = commit.filter(|commit| commit.kind == EntryKind::Commit && commit.chain == report.chain)
        else {
            return Ok(None);
        };
        Ok(Some(Reported {
            device,
            address: reporter.address().clone(),
            maker: blamed(&commit, members.iter().map(|member| &member.device), reporter.address()),
            seq: report.seq,
            key_package: Some(report.key_package),
        }))
    }

    fn note(&mut self, log: &Open<'b>, reported: &Reported) -> Result<(), StoreError> {
        let noted = reported::put(self.tx, log.conversation.local, fresh::now_ms(), reported)?;
        if noted == Noted::First {
            let what = match &reported.maker {
                Some(maker) => format!("a change that {maker} made"),
                None => "a change of this conversation".to_owned(),
            };
            self.notice(log, &format!("A device of {} can't follow {what}. It is put in anew.", reported.address))?;
        }
        self.out.proposals |= noted != Noted::TooMany;
        Ok(())
    }

    /// This device can't follow a commit: that is told to the others, and who made it is remembered.
    pub(super) fn reports(
        &mut self,
        log: &mut Open<'b>,
        commit: &LogEntry,
        members: &[Member],
    ) -> Result<(), ApplyError> {
        let local = log.conversation.local;
        let own = &self.me.identity;
        let reported = Reported {
            device: own.device,
            address: own.address.clone(),
            maker: blamed(commit, members.iter().map(|member| &member.device), &own.address),
            seq: commit.seq,
            key_package: None,
        };
        reported::put(self.tx, local, fresh::now_ms(), &reported)?;
        let suite = match log.group.suite() {
            Ok(suite) => suite,
            Err(GroupError::Fault(fault)) => return Err(fault.into()),
            Err(GroupError::NoGroup | GroupError::Removed) => return Ok(()),
        };
        let made = self.mls.report(&log.name, suite, (commit.seq, commit.chain))?;
        let (id, epoch) = (fresh::message_id().map_err(StoreError::from)?, commit.epoch);
        let outgoing =
            Outgoing { conversation: local, id, epoch, body: made.encode(), counter: None, answered_ms: None };
        Ok(report::put(self.tx, &outgoing)?)
    }
}

/// Whose commit it was. Who came in by it is not to blame, having had nothing to go by but a group info that others made;
/// nor does an account blame itself.
fn blamed<'m>(
    commit: &LogEntry,
    mut members: impl Iterator<Item = &'m VerifiedDevice>,
    reporter: &Address,
) -> Option<Address> {
    let EntryContent::Body(body) = &commit.content else { return None };
    if mls::is_external(body) {
        return None;
    }
    let maker = members.find(|member| Some(member.device()) == commit.sender)?;
    Some(maker.address().clone()).filter(|maker| maker != reporter)
}
