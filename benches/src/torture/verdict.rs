//! After everything: every log from its first entry, and whether clients were told the truth.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, bail};
use qpc_client::wire::Wire;
use qpc_proto::{
    chain::{ChainValue, LogEntry},
    id::{ConversationName, MessageId, Seq},
    limits::LOG_PAGE_MAX,
    v1::{self, answer::Result as Outcome, request::Method},
};

use super::{reader, recorder::Record};
use crate::history::{self, Final};

/// A log as it is in the end.
#[derive(Debug, Default)]
pub(super) struct Log {
    entries: Vec<Final>,
    chains: HashMap<MessageId, ChainValue>,
    faults: Vec<String>,
}

/// Reads a log from its beginning.
pub(super) async fn read(wire: &Wire, name: &ConversationName) -> anyhow::Result<Log> {
    let mut log = Log::default();
    let (mut after, mut chain) = (Seq(0), ChainValue::genesis(name));
    loop {
        let limit = u32::try_from(LOG_PAGE_MAX)?;
        let request = v1::ReadLog { conversation: Some(name.to_wire()), after_seq: after.0, limit };
        let Outcome::ReadLog(page) = wire.call(Method::ReadLog(request)).await.context("reading a log")? else {
            bail!("an answer of another kind");
        };
        let head = Seq(page.head_seq);
        if page.entries.is_empty() {
            if after != head {
                log.faults.push(format!("{name}: the head is {head}, and after entry {after} there is nothing"));
            }
            return Ok(log);
        }
        for entry in page.entries {
            let entry = LogEntry::parse(entry)?;
            if entry.conversation != *name || !entry.follows(&chain) {
                log.faults.push(format!("{name}: entry {} does not continue the chain", entry.seq));
            }
            (after, chain) = (entry.seq, entry.chain);
            log.chains.insert(entry.id, entry.chain);
            match reader::sent(&entry) {
                Some(sent) => log.entries.push(Final { seq: entry.seq, sent }),
                None => log.faults.push(format!("{name}: entry {} is nobody's message", entry.seq)),
            }
        }
    }
}

impl Log {
    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Where another server's copy of it is another one, in words.
    pub(super) fn differs(&self, name: &ConversationName, of: &str, copy: &Self) -> Vec<String> {
        let mut faults: Vec<_> = copy.faults.iter().map(|fault| format!("at {of}: {fault}")).collect();
        if self.entries != copy.entries {
            let (own, theirs) = (self.entries.len(), copy.entries.len());
            let same = self.entries.iter().zip(&copy.entries).take_while(|(one, other)| one == other).count();
            faults.push(format!("{name}: {own} entries at its hub, {theirs} at {of}, of which the first {same} agree"));
        }
        if self.chains != copy.chains {
            faults.push(format!("{name}: the chain at {of} is another one"));
        }
        faults
    }
}

/// Everything that no correct server does, in words.
pub(super) fn judge(record: Record, logs: BTreeMap<ConversationName, Log>) -> Vec<String> {
    let mut faults = record.alarms;
    let mut chains = HashMap::new();
    let mut finals = BTreeMap::new();
    for (name, log) in logs {
        faults.extend(log.faults);
        chains.extend(log.chains);
        finals.insert(name, log.entries);
    }
    faults.extend(history::check(&record.events, &finals).iter().map(ToString::to_string));
    for (id, told) in &record.chains {
        if chains.get(id).is_some_and(|chain| chain != told) {
            faults.push(format!("message {id} was acknowledged with another chain value than the log's"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use qpc_proto::{
        address::Domain,
        id::{ConversationId, Counter, DeviceId},
    };

    use super::*;
    use crate::history::{Event, Sent};

    #[test]
    fn alarms_faults_losses_and_other_chains_all_count() {
        let name =
            ConversationName { domain: Domain::parse("chat.example").unwrap(), id: ConversationId::new(1, [1; 10]) };
        let sent = |n: u8| Sent {
            conversation: name.clone(),
            device: DeviceId::new(1, [2; 10]),
            counter: Counter(n.into()),
            id: MessageId::new(n.into(), [3; 10]),
        };
        let (one, two) = (sent(1), sent(2));
        let record = |alarms: &[&str], chain: u8| Record {
            events: vec![Event::Invoked(one.clone()), Event::Acknowledged(one.clone(), Seq(1))],
            chains: HashMap::from([(one.id, ChainValue([chain; 32]))]),
            alarms: alarms.iter().map(ToString::to_string).collect(),
            acknowledged: 1,
        };
        let logs = |of: &Sent, faults: &[&str]| {
            let log = Log {
                entries: vec![Final { seq: Seq(1), sent: of.clone() }],
                chains: HashMap::from([(of.id, ChainValue([1; 32]))]),
                faults: faults.iter().map(ToString::to_string).collect(),
            };
            BTreeMap::from([(name.clone(), log)])
        };
        assert_eq!(judge(record(&[], 1), logs(&one, &[])), Vec::<String>::new());
        assert_eq!(judge(record(&["seen"], 1), logs(&one, &["read"])), ["seen", "read"]);
        assert_eq!(judge(record(&[], 2), logs(&one, &[])).len(), 1);
        let lost = judge(record(&[], 1), logs(&two, &[]));
        assert!(lost.iter().any(|fault| fault.contains("is lost")), "{lost:?}");
    }
}
