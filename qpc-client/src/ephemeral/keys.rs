//! The keys of conversations whose events were sealed or opened lately, and how far each leaf has counted.

use std::{collections::HashMap, sync::Arc, time::Duration};

use qpc_proto::id::{ConversationName, Epoch};
use rusqlite::Transaction;
use tokio::time::Instant;

use crate::{
    mls::{EphemeralKey, Fault, GroupError},
    trust::Me,
};

/// Conversations whose keys are kept.
const KEYS_MAX: usize = 64;
/// Leaves whose counters are kept of one conversation.
const LEAVES_MAX: usize = 1_024;
/// How long after a group has gone on an event of the epoch before is believed.
const GRACE: Duration = Duration::from_secs(10);

struct Known {
    now: Arc<EphemeralKey>,
    /// That of the epoch before, and until when it counts.
    before: Option<(Arc<EphemeralKey>, Instant)>,
    /// The last counter of each leaf in each epoch.
    counters: HashMap<(Epoch, u32), u64>,
    used: Instant,
}

/// See the module's text.
#[derive(Default)]
pub(crate) struct Keys(HashMap<ConversationName, Known>);

impl Keys {
    /// The key of the epoch in which the group is; `None` where this device is not in it.
    pub(crate) fn current(
        &mut self,
        tx: &Transaction<'_>,
        me: &Me,
        (name, epoch): (&ConversationName, Epoch),
    ) -> Result<Option<Arc<EphemeralKey>>, Fault> {
        let now = Instant::now();
        if let Some(known) = self.0.get_mut(name)
            && known.now.epoch() == epoch
        {
            known.used = now;
            return Ok(Some(Arc::clone(&known.now)));
        }
        let key = match me.with_mls(tx, |mls| mls.group(name).ephemeral_key()) {
            Ok(key) => Arc::new(key),
            Err(GroupError::NoGroup | GroupError::Removed) => {
                self.0.remove(name);
                return Ok(None);
            }
            Err(GroupError::Fault(fault)) => return Err(fault),
        };
        self.make_room(name);
        let before = self.0.remove(name);
        let (before, counters) = match before {
            Some(Known { now: key, mut counters, .. }) => {
                counters.retain(|(of, _), _| *of == key.epoch());
                (now.checked_add(GRACE).map(|until| (key, until)), counters)
            }
            None => (None, HashMap::new()),
        };
        self.0.insert(name.clone(), Known { now: Arc::clone(&key), before, counters, used: now });
        Ok(Some(key))
    }

    /// The key of the epoch before, for as long as it counts. After [`Keys::current`].
    pub(crate) fn before(&self, name: &ConversationName, epoch: Epoch) -> Option<Arc<EphemeralKey>> {
        let (key, until) = self.0.get(name)?.before.as_ref()?;
        (key.epoch() == epoch && *until > Instant::now()).then(|| Arc::clone(key))
    }

    /// Is this counter news of this leaf? It is not from here on.
    pub(crate) fn is_news(&mut self, name: &ConversationName, leaf: (Epoch, u32), counter: u64) -> bool {
        let Some(known) = self.0.get_mut(name) else { return false };
        if known.counters.len() >= LEAVES_MAX && !known.counters.contains_key(&leaf) {
            return false;
        }
        let last = known.counters.entry(leaf).or_default();
        let news = counter > *last;
        *last = counter.max(*last);
        news
    }

    /// As if a key of this epoch were known.
    #[cfg(test)]
    pub(crate) fn know(&mut self, name: &ConversationName, epoch: Epoch) {
        let now = Arc::new(EphemeralKey::for_tests(name.clone(), epoch));
        self.0.insert(name.clone(), Known { now, before: None, counters: HashMap::new(), used: Instant::now() });
    }

    fn make_room(&mut self, name: &ConversationName) {
        if self.0.len() >= KEYS_MAX && !self.0.contains_key(name) {
            let oldest = self.0.iter().min_by_key(|(_, known)| known.used).map(|(name, _)| name.clone());
            oldest.map(|oldest| self.0.remove(&oldest));
        }
    }
}
