//! Fairness among those who change a group at once: a device that has lost some races in a row gets its turn, one of
//! those after the other, and nobody else changes the group before them.
//!
//! In memory alone: what is lost with a restart costs another race. Without races there is nothing here.

use std::{
    collections::{HashMap, VecDeque},
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lru::LruCache;
use prometheus::IntCounter;
use qpc_proto::id::{ConversationName, DeviceId};
use tokio::time::Instant;

use crate::policy::limits::GroupLimits;

/// Races lost in a row that give a turn.
const LOSSES: u32 = 3;

/// When it is a device's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// So many changes of the group come before it.
    pub ahead: u64,
    /// At the latest it is its turn after this long, because those before it did not come.
    pub wait: Duration,
}

/// See the module's text.
pub(super) struct Reservations {
    groups: Mutex<LruCache<ConversationName, Contest>>,
    waiting_max: usize,
    slot: Duration,
    given: IntCounter,
}

#[derive(Default)]
struct Contest {
    /// Races in a row that devices have lost.
    losses: HashMap<DeviceId, u32>,
    /// Whose turns come, in order, and since when the first one has it.
    queue: VecDeque<DeviceId>,
    since: Option<Instant>,
}

impl Reservations {
    pub(super) fn new(limits: &GroupLimits, given: IntCounter) -> Self {
        let groups = NonZeroUsize::new(limits.contests_kept).unwrap_or(NonZeroUsize::MIN);
        Self { groups: Mutex::new(LruCache::new(groups)), waiting_max: limits.turns_waiting, slot: limits.turn, given }
    }

    /// May this device change the group now? Where others have their turns first, it gets one after them.
    pub(super) fn judge(&self, name: &ConversationName, device: DeviceId, now: Instant) -> Result<(), Turn> {
        let mut groups = self.lock();
        let Some(contest) = groups.get_mut(name) else { return Ok(()) };
        self.expire(contest, now);
        match contest.queue.front() {
            Some(first) if *first != device => Err(self.enqueue(contest, device, now)),
            _ => Ok(()),
        }
    }

    /// Another device's change came first; gives the turn, where that happened too often.
    pub(super) fn lost(&self, name: &ConversationName, device: DeviceId, now: Instant) -> Option<Turn> {
        let mut groups = self.lock();
        let contest = groups.get_or_insert_mut(name.clone(), Contest::default);
        self.expire(contest, now);
        if contest.losses.len() >= self.waiting_max && !contest.losses.contains_key(&device) {
            contest.losses.clear();
        }
        let losses = contest.losses.entry(device).or_default();
        *losses = losses.saturating_add(1);
        let due = *losses >= LOSSES || contest.queue.contains(&device);
        due.then(|| self.enqueue(contest, device, now))
    }

    /// Its change was stored.
    pub(super) fn won(&self, name: &ConversationName, device: DeviceId, now: Instant) {
        let mut groups = self.lock();
        let Some(contest) = groups.get_mut(name) else { return };
        contest.losses.remove(&device);
        contest.queue.retain(|other| *other != device);
        contest.since = (!contest.queue.is_empty()).then_some(now);
        if contest.losses.is_empty() && contest.queue.is_empty() {
            groups.pop(name);
        }
    }

    /// The device's place; a new one at the end where it has none and there is room.
    fn enqueue(&self, contest: &mut Contest, device: DeviceId, now: Instant) -> Turn {
        let place = match contest.queue.iter().position(|other| *other == device) {
            Some(place) => place,
            None => {
                if contest.queue.len() < self.waiting_max {
                    contest.queue.push_back(device);
                    self.given.inc();
                    contest.since.get_or_insert(now);
                }
                contest.queue.len().saturating_sub(1)
            }
        };
        let slots = u32::try_from(place).unwrap_or(u32::MAX);
        Turn { ahead: u64::from(slots), wait: self.slot.saturating_mul(slots) }
    }

    /// Whose turn has passed without a change has it no longer.
    fn expire(&self, contest: &mut Contest, now: Instant) {
        while let Some(since) = contest.since {
            if now.saturating_duration_since(since) < self.slot {
                return;
            }
            if let Some(device) = contest.queue.pop_front() {
                contest.losses.remove(&device);
            }
            contest.since = (!contest.queue.is_empty()).then(|| since.checked_add(self.slot).unwrap_or(now));
        }
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<ConversationName, Contest>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use qpc_proto::id::ConversationId;

    use super::*;

    const SLOT: Duration = Duration::from_secs(2);

    fn device(number: u8) -> DeviceId {
        DeviceId::new(1, [number; 10])
    }

    fn name(number: u8) -> ConversationName {
        ConversationName { domain: "a.example".parse().unwrap(), id: ConversationId::new(1, [number; 10]) }
    }

    fn reservations(turns_waiting: usize) -> Reservations {
        let limits = GroupLimits { turns_waiting, turn: SLOT, contests_kept: 2, ..GroupLimits::default() };
        Reservations::new(&limits, IntCounter::new("given", "given").unwrap())
    }

    fn turn(ahead: u64) -> Turn {
        Turn { ahead, wait: SLOT * u32::try_from(ahead).unwrap() }
    }

    #[test]
    fn who_loses_three_times_in_a_row_is_next_and_nobody_else() {
        let (reservations, now) = (reservations(10), Instant::now());
        for _ in 0..2 {
            assert_eq!(reservations.lost(&name(1), device(1), now), None);
        }
        assert_eq!(reservations.judge(&name(1), device(2), now), Ok(()));
        assert_eq!(reservations.lost(&name(1), device(1), now), Some(turn(0)));
        assert_eq!(reservations.judge(&name(1), device(2), now), Err(turn(1)), "it has its turn after that");
        assert_eq!(reservations.judge(&name(1), device(3), now), Err(turn(2)));
        assert_eq!(reservations.judge(&name(2), device(3), now), Ok(()), "another group");
        assert_eq!(reservations.judge(&name(1), device(1), now), Ok(()));
        reservations.won(&name(1), device(1), now);
        assert_eq!(reservations.judge(&name(1), device(3), now), Err(turn(1)));
        assert_eq!(reservations.judge(&name(1), device(1), now), Err(turn(2)));
        for number in [2, 3, 1] {
            assert_eq!(reservations.judge(&name(1), device(number), now), Ok(()));
            reservations.won(&name(1), device(number), now);
        }
        assert_eq!(reservations.judge(&name(1), device(9), now), Ok(()));
        assert!(reservations.lock().is_empty(), "nothing is left");
    }

    #[test]
    fn a_win_forgets_the_losses_before_it() {
        let (reservations, now) = (reservations(10), Instant::now());
        for _ in 0..5 {
            assert_eq!(reservations.lost(&name(1), device(1), now), None);
            assert_eq!(reservations.lost(&name(1), device(1), now), None);
            reservations.won(&name(1), device(1), now);
        }
    }

    #[test]
    fn a_turn_that_is_not_taken_passes_to_the_next() {
        let (reservations, now) = (reservations(10), Instant::now());
        for number in 1..=3 {
            for _ in 0..3 {
                reservations.lost(&name(1), device(number), now);
            }
        }
        let almost = now + SLOT - Duration::from_millis(1);
        assert_eq!(reservations.judge(&name(1), device(2), almost), Err(turn(1)));
        assert_eq!(reservations.judge(&name(1), device(2), now + SLOT), Ok(()));
        assert_eq!(reservations.judge(&name(1), device(1), now + SLOT), Err(turn(2)), "at the end again");
        // All pass when nobody comes for long.
        assert_eq!(reservations.judge(&name(1), device(9), now + SLOT * 10), Ok(()));
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let (reservations, now) = (reservations(2), Instant::now());
        for number in 1..=4 {
            for _ in 0..3 {
                reservations.lost(&name(1), device(number), now);
            }
        }
        assert_eq!(reservations.lock().peek(&name(1)).unwrap().queue.len(), 2);
        assert!(reservations.lock().peek(&name(1)).unwrap().losses.len() <= 2);
        assert_eq!(reservations.judge(&name(1), device(4), now), Err(turn(1)), "behind the last who has one");
        for number in 2..=4 {
            reservations.lost(&name(number), device(1), now);
        }
        assert_eq!(reservations.lock().len(), 2, "groups");
    }
}
