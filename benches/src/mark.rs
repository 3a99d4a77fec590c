//! What a load writes into a message's id: who sent it, which of theirs it is, and when it was due.
//!
//! The id is all that a reader needs to look at, encrypted or not. It stays a UUIDv7 that is used once.

use std::time::{Duration, Instant};

use qpc_proto::id::MessageId;

use crate::{ledger::Tag, random::unix_ms};

/// Parts of a millisecond that an id tells apart.
const PARTS: u64 = 256;
/// In the first random byte: the body is an MLS message of the sender's engine.
const ENCRYPTED: u8 = 1;

/// See the module's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The message.
    pub tag: Tag,
    /// When it was due, in parts of a millisecond since 1970.
    pub due: u64,
    /// Whether it is encrypted by a real engine.
    pub encrypted: bool,
}

impl Mark {
    /// The id.
    #[must_use]
    pub fn id(self) -> MessageId {
        let [_, s0, s1, s2] = self.tag.sender.to_be_bytes();
        let [n0, n1, n2, n3] = self.tag.number.to_be_bytes();
        let flags = if self.encrypted { ENCRYPTED } else { 0 };
        let part = u8::try_from(self.due.wrapping_rem(PARTS)).unwrap_or_default();
        MessageId::new(self.due.wrapping_div(PARTS), [flags, part, 0, s0, s1, s2, n0, n1, n2, n3])
    }

    /// What an id says.
    #[must_use]
    pub fn read(id: &[u8]) -> Option<Self> {
        let [t0, t1, t2, t3, t4, t5, flags, part, _, s0, s1, s2, n0, n1, n2, n3] = *<&[u8; 16]>::try_from(id).ok()?;
        let millis = u64::from_be_bytes([0, 0, t0, t1, t2, t3, t4, t5]);
        let tag = Tag { sender: u32::from_be_bytes([0, s0, s1, s2]), number: u32::from_be_bytes([n0, n1, n2, n3]) };
        let due = millis.wrapping_mul(PARTS).wrapping_add(part.into());
        Some(Self { tag, due, encrypted: flags & ENCRYPTED != 0 })
    }
}

/// The time of marks: runs evenly, whatever happens to the machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    began: Instant,
    at: u64,
}

impl Clock {
    /// From now on.
    #[must_use]
    pub fn start() -> Self {
        Self { began: Instant::now(), at: unix_ms().wrapping_mul(PARTS) }
    }

    /// A moment in parts of a millisecond.
    #[must_use]
    pub fn parts(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.began);
        let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        // 10^6 / 256 nanoseconds are a part; the product stays far below 2^64 for days.
        self.at.saturating_add(nanos.saturating_mul(16).wrapping_div(62_500))
    }

    /// From one moment to a later one.
    #[must_use]
    pub fn between(due: u64, now: u64) -> Duration {
        Duration::from_nanos(now.saturating_sub(due).saturating_mul(62_500).wrapping_div(16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_from_its_id() {
        for (sender, number, encrypted) in [(0, 1, false), (0x00ff_ffff, u32::MAX, true), (20_000, 77, false)] {
            let mark = Mark { tag: Tag { sender, number }, due: 1_700_000_000_123 * PARTS + 200, encrypted };
            let id = mark.id();
            assert_eq!(MessageId::parse(id.as_bytes()), Ok(id));
            assert_eq!(Mark::read(id.as_bytes()), Some(mark));
        }
        assert_eq!(Mark::read(&[7; 15]), None);
    }

    #[test]
    fn time_in_parts_is_time() {
        let clock = Clock::start();
        let (from, upto) = (clock.began, clock.began + Duration::from_millis(1_500));
        let took = Clock::between(clock.parts(from), clock.parts(upto));
        assert_eq!(took, Duration::from_millis(1_500));
        assert_eq!(Clock::between(5, 4), Duration::ZERO);
    }
}
