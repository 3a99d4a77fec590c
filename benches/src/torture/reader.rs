//! A device that follows its conversations, checks what comes at once, and acknowledges it now and then.

use std::collections::HashMap;

use anyhow::{Context, bail};
use qpc_client::wire::Wire;
use qpc_proto::{
    chain::{ChainValue, EntryKind, LogEntry},
    id::{ConversationName, Seq},
    v1::{self, answer::Result as Outcome, request::Method},
};

use super::recorder::Recorder;
use crate::{crowd, history::Sent, random::Random};

/// One in so many connections begins from nothing, as a device that lost its store would.
const FORGETS: u64 = 4;
/// Entries between two acknowledgements, at most.
const ACKNOWLEDGE: u64 = 30;

/// See the module's text.
pub(super) struct Reader {
    cursors: HashMap<ConversationName, (Seq, ChainValue)>,
    /// Its number; another one each time it forgets.
    number: u64,
    random: Random,
}

impl Reader {
    pub(super) fn new(
        conversations: impl Iterator<Item = ConversationName>,
        recorder: &Recorder,
        random: Random,
    ) -> Self {
        let begin = |name: ConversationName| {
            let genesis = ChainValue::genesis(&name);
            (name, (Seq(0), genesis))
        };
        Self { cursors: conversations.map(begin).collect(), number: recorder.reader(), random }
    }

    /// Follows on one connection until that fails.
    pub(super) async fn run(&mut self, wire: &Wire, recorder: &Recorder) -> anyhow::Result<()> {
        if self.random.below(FORGETS) == 0 {
            self.number = recorder.reader();
            for (name, place) in &mut self.cursors {
                *place = (Seq(0), ChainValue::genesis(name));
            }
        }
        let (mut requests, mut answers) = wire.open().await?;
        let cursors = self.cursors.iter().map(|(name, (seq, _))| crowd::cursor(name, *seq)).collect();
        requests.send(Method::Sync(v1::Sync { cursors, ephemerals: false })).await?;
        let mut until_acknowledged = self.random.below(ACKNOWLEDGE);
        loop {
            match answers.next().await?.context("the sync call ended")? {
                Outcome::Entry(entry) => {
                    let entry = LogEntry::parse(entry)?;
                    let cursor = crowd::cursor(&entry.conversation, entry.seq);
                    self.entry(entry, recorder);
                    until_acknowledged = until_acknowledged.saturating_sub(1);
                    if until_acknowledged == 0 {
                        until_acknowledged = self.random.below(ACKNOWLEDGE);
                        requests.send(Method::Acknowledge(v1::Acknowledge { cursors: vec![cursor] })).await?;
                    }
                }
                Outcome::Following(following) => self.following(&following, recorder)?,
                Outcome::CaughtUp(_) => {}
                Outcome::NotFollowed(_) => recorder.alarm("a member may not follow its conversation".into()),
                Outcome::GoAway(_) => bail!("the server stops"),
                _ => bail!("an answer that does not belong to a sync call"),
            }
        }
    }

    fn entry(&mut self, entry: LogEntry, recorder: &Recorder) {
        let Some((seq, chain)) = self.cursors.get_mut(&entry.conversation) else {
            recorder.alarm(format!("an entry of {} came unasked", entry.conversation));
            return;
        };
        if entry.seq != seq.next() {
            recorder.alarm(format!("{}: after entry {seq} came {}", entry.conversation, entry.seq));
        } else if !entry.follows(chain) {
            recorder.alarm(format!("{}: entry {} does not continue the chain", entry.conversation, entry.seq));
        }
        (*seq, *chain) = (entry.seq, entry.chain);
        if let Some(sent) = sent(&entry) {
            recorder.delivered(self.number, sent, entry.seq);
        } else {
            recorder.alarm(format!("{}: entry {} is nobody's message", entry.conversation, entry.seq));
        }
    }

    fn following(&mut self, following: &v1::Following, recorder: &Recorder) -> anyhow::Result<()> {
        let name = ConversationName::parse(following.conversation.as_ref())?;
        let Some(place) = self.cursors.get_mut(&name) else { return Ok(()) };
        let theirs = (Seq(following.after_seq), ChainValue::parse(&following.chain).context("a chain value")?);
        if *place != theirs {
            recorder.alarm(format!("{name}: a reader at {} is followed from {}, or forked", place.0, theirs.0));
            *place = theirs;
        }
        Ok(())
    }
}

/// The message of an entry, if it is one and holds the body it was sent with.
pub(super) fn sent(entry: &LogEntry) -> Option<Sent> {
    let qpc_proto::chain::EntryContent::Body(body) = &entry.content else { return None };
    let ours = match entry.kind {
        EntryKind::Message => body.starts_with(entry.id.as_bytes()),
        // MLS's own; the chain says whether it is the one that was stored.
        EntryKind::Commit => true,
        _ => false,
    };
    ours.then_some(Sent {
        conversation: entry.conversation.clone(),
        device: entry.sender?,
        counter: entry.counter,
        id: entry.id,
    })
}
