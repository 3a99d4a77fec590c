//! Randomness that can be had again: the same seed gives the same run.
//!
//! SplitMix64, as in Vigna's reference. Nothing secret may come from here.

use qpc_proto::id::{ConversationId, MessageId};

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 where `end` is.
    pub const fn below(&mut self, end: u64) -> u64 {
        match self.next().checked_rem(end) {
            Some(number) => number,
            None => 0,
        }
    }

    /// An index below `end`; 0 where `end` is.
    pub fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(u64::try_from(end).unwrap_or(u64::MAX))).unwrap_or_default()
    }

    /// A number from 0 to below 1.
    pub fn fraction(&mut self) -> f64 {
        // As many bits as the number holds.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A time until something that happens by chance, at this mean.
    pub fn exponential(&mut self, mean: std::time::Duration) -> std::time::Duration {
        mean.mul_f64(-(1.0 - self.fraction()).ln())
    }

    /// Another stream that begins here.
    #[must_use]
    pub const fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// Fills a buffer.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            for (byte, random) in chunk.iter_mut().zip(self.next().to_le_bytes()) {
                *byte = random;
            }
        }
    }

    /// An id for a message that is made now.
    pub fn message_id(&mut self) -> MessageId {
        MessageId::new(unix_ms(), self.ten())
    }

    /// An id for a conversation that is made now.
    pub fn conversation_id(&mut self) -> ConversationId {
        ConversationId::new(unix_ms(), self.ten())
    }

    fn ten(&mut self) -> [u8; 10] {
        let mut bytes = [0; 10];
        self.fill(&mut bytes);
        bytes
    }
}

/// Milliseconds since 1970.
#[must_use]
pub fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_stream_again_and_another_gives_another() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            [random.next(), random.fork().next(), random.below(10)]
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        // The first number of the reference implementation for seed 0.
        assert_eq!(Random::new(0).next(), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn numbers_stay_below_their_end_and_reach_all_below() {
        let mut random = Random::new(7);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[random.index(5)] = true;
        }
        assert_eq!((seen, random.index(0)), ([true; 5], 0));
    }

    #[test]
    fn times_by_chance_have_their_mean() {
        let mut random = Random::new(3);
        let mean = std::time::Duration::from_millis(10);
        let sum: std::time::Duration = (0..10_000).map(|_| random.exponential(mean)).sum();
        assert!((95..105).contains(&sum.as_secs()), "{sum:?}");
    }
}
