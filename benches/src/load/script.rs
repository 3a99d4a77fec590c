//! When a client talks.

use std::time::Duration;

use crate::random::Random;

/// See the module's text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Script {
    /// Never.
    Silent,
    /// At even intervals, the first after a while of its own: an open load.
    Paced {
        /// From the start to the first message.
        first: Duration,
        /// From one to the next.
        interval: Duration,
    },
    /// By chance, at this mean: an open load.
    ByChance {
        /// From one to the next, on average.
        mean: Duration,
    },
    /// As soon as there are fewer than so many without an answer: a closed load, for the maximum.
    Window {
        /// Messages without an answer.
        messages: usize,
    },
}

/// Messages without an answer that an open load has on its stream, at most: fewer than the server reads ahead.
const OPEN_WINDOW: usize = 32;

impl Script {
    /// Messages without an answer, at most.
    pub(super) const fn window(&self) -> usize {
        match self {
            Self::Window { messages } => *messages,
            _ => OPEN_WINDOW,
        }
    }

    /// From the start to the first message; nothing where none has a time.
    pub(super) fn first(&self, random: &mut Random) -> Option<Duration> {
        match self {
            Self::Paced { first, .. } => Some(*first),
            Self::ByChance { mean } => Some(random.exponential(*mean)),
            Self::Silent | Self::Window { .. } => None,
        }
    }

    /// From one message to the next.
    pub(super) fn next(&self, random: &mut Random) -> Option<Duration> {
        match self {
            Self::Paced { interval, .. } => Some(*interval),
            _ => self.first(random),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paced_messages_are_even_and_chance_has_its_mean() {
        let mut random = Random::new(1);
        let (first, interval) = (Duration::from_millis(3), Duration::from_millis(50));
        let paced = Script::Paced { first, interval };
        assert_eq!((paced.first(&mut random), paced.next(&mut random)), (Some(first), Some(interval)));
        let chance = Script::ByChance { mean: interval };
        let sum: Duration = (0..1_000).filter_map(|_| chance.next(&mut random)).sum();
        assert!((45..55).contains(&sum.as_secs()), "{sum:?}");
        assert_eq!((Script::Silent.first(&mut random), Script::Window { messages: 8 }.window()), (None, 8));
    }
}
