//! What the writer keeps in memory so that a message costs no read: heads, members, counters.
//!
//! Only the writer changes the database, so what is here is true. It is dropped whole when a transaction
//! is undone, which is rare, and loaded again from the database when it is missed.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroUsize,
    sync::Arc,
};

use lru::LruCache;
use qpc_proto::{
    address::Domain,
    id::{AccountId, ConversationName, Counter, DeviceId, Seq},
};

use crate::store::tables::{DeviceRow, Ends, LogId, LogRow, MemberRow, Stance};

/// Names and devices kept.
const NAMES: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();
/// Stances kept: two for each direct conversation in use.
const STANCES: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();
/// Members and senders kept, over all logs; about 100 bytes each.
const WEIGHT_MAX: usize = 1_000_000;
/// What a log weighs besides its members and senders.
const LOG_WEIGHT: usize = 4;

/// A log that is in use.
pub(super) struct LogState {
    pub(super) row: LogRow,
    pub(super) ends: Ends,
    pub(super) members: Option<Members>,
    pub(super) senders: Option<Senders>,
    /// The domains that read it.
    pub(super) followers: Option<Arc<[Domain]>>,
    /// How many devices read it, as far as the figures count them, and of which generation the count is.
    pub(super) readers: Option<(u64, u64)>,
    weight: usize,
}

/// Those who are members now.
#[derive(Clone)]
pub(super) struct Members {
    pub(super) rows: Arc<[MemberRow]>,
    pub(super) audience: Arc<[AccountId]>,
}

/// The last counters of devices.
pub(super) struct Senders {
    pub(super) counters: HashMap<DeviceId, Counter>,
    /// Those whose row in the database is older.
    pub(super) changed: HashSet<DeviceId>,
    /// The entry up to which the rows in the database are true.
    pub(super) as_of: Seq,
}

impl LogState {
    pub(super) fn new(row: LogRow, ends: Ends) -> Self {
        Self { row, ends, members: None, senders: None, followers: None, readers: None, weight: 0 }
    }

    fn weigh(&self) -> usize {
        let members = self.members.as_ref().map_or(0, |members| members.rows.len());
        let senders = self.senders.as_ref().map_or(0, |senders| senders.counters.len());
        LOG_WEIGHT.saturating_add(members).saturating_add(senders)
    }
}

/// All that the writer keeps.
pub(super) struct Cache {
    pub(super) names: LruCache<ConversationName, LogId>,
    pub(super) devices: LruCache<DeviceId, DeviceRow>,
    pub(super) stances: LruCache<(AccountId, AccountId), Stance>,
    logs: LruCache<LogId, LogState>,
    weight: usize,
    /// Whether any log is read by another domain, once known.
    pub(super) followed: Option<bool>,
    /// Until when, if anybody is awaited after a restore, once known.
    pub(super) awaited_until: Option<Option<u64>>,
    /// The row number of the next entry, once known.
    pub(super) next_entry: Option<i64>,
    /// Where upkeep of inboxes goes on.
    pub(super) inboxes_after: i64,
    /// Rises when counts of readers are no longer true.
    pub(super) generation: u64,
}

impl Cache {
    pub(super) fn new() -> Self {
        Self {
            names: LruCache::new(NAMES),
            devices: LruCache::new(NAMES),
            stances: LruCache::new(STANCES),
            logs: LruCache::unbounded(),
            weight: 0,
            followed: None,
            awaited_until: None,
            next_entry: None,
            inboxes_after: 0,
            generation: 0,
        }
    }

    /// Forgets everything: the database may not hold it.
    pub(super) fn clear(&mut self) {
        *self = Self { generation: self.generation, ..Self::new() };
    }

    pub(super) fn log(&mut self, log: LogId) -> Option<&mut LogState> {
        self.logs.get_mut(&log)
    }

    pub(super) fn put_log(&mut self, log: LogId, state: LogState) {
        self.forget_log(log);
        self.logs.put(log, state);
        self.settle(log);
    }

    pub(super) fn forget_log(&mut self, log: LogId) {
        if let Some(state) = self.logs.pop(&log) {
            self.weight = self.weight.saturating_sub(state.weight);
        }
    }

    /// Weighs a log again after it has grown, and lets go of those not used for longest.
    pub(super) fn settle(&mut self, log: LogId) {
        if let Some(state) = self.logs.get_mut(&log) {
            let weight = state.weigh();
            self.weight = self.weight.saturating_sub(state.weight).saturating_add(weight);
            state.weight = weight;
        }
        while self.weight > WEIGHT_MAX && self.logs.len() > 1 {
            if let Some((_, state)) = self.logs.pop_lru() {
                self.weight = self.weight.saturating_sub(state.weight);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tables::LogKind;
    use qpc_proto::{
        address::Domain,
        chain::ChainValue,
        id::{ConversationId, Epoch},
    };

    fn state(number: u8, senders: usize) -> LogState {
        let name =
            ConversationName { domain: Domain::parse("localhost").unwrap(), id: ConversationId::new(0, [number; 10]) };
        let chain = ChainValue([0; 32]);
        let ends = Ends { head: Seq(0), chain, epoch: Epoch(0), floor: Seq(0), floor_chain: chain };
        let mut state =
            LogState::new(LogRow { name, kind: LogKind::Group, creation: None, created_ms: 0, continues: None }, ends);
        let counters = (0..senders).map(|n| (DeviceId::new(n as u64, [number; 10]), Counter(1))).collect();
        state.senders = Some(Senders { counters, changed: HashSet::new(), as_of: Seq(0) });
        state
    }

    #[test]
    fn it_stays_within_its_weight_and_lets_go_of_the_oldest() {
        let mut cache = Cache::new();
        let each = WEIGHT_MAX / 3;
        for number in 0..4_u8 {
            cache.put_log(LogId(number.into()), state(number, each));
        }
        let kept: Vec<_> = (0..4).filter(|number| cache.log(LogId(*number)).is_some()).collect();
        assert_eq!(kept, [2, 3]);
        cache.forget_log(LogId(2));
        cache.forget_log(LogId(3));
        assert_eq!(cache.weight, 0);
    }
}
