//! How long messages are: texts of stated lengths, as long as MLS makes them.

use std::fmt;

use anyhow::{Context, bail};
use qpc_client::wire::{Device, Engine};

use crate::{
    ledger::Tag,
    mark::{Clock, Mark},
    random::Random,
};

/// One in so many messages has a text of so many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Class {
    percent: u64,
    text: usize,
    /// Encrypted and padded.
    body: usize,
}

/// See the module's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes(Vec<Class>);

/// What people write, by percent: most of it short.
const MIX: [(u64, usize); 5] = [(60, 40), (25, 160), (10, 500), (4, 1_500), (1, 4_000)];

impl Sizes {
    /// Texts of one length.
    ///
    /// # Errors
    /// When nothing can be encrypted.
    pub fn of_text(text: usize, devices: &[Device]) -> anyhow::Result<Self> {
        Self::measured(&[(100, text)], devices)
    }

    /// The mix of the `seed` profile.
    ///
    /// # Errors
    /// When nothing can be encrypted.
    pub fn mixed(devices: &[Device]) -> anyhow::Result<Self> {
        Self::measured(&MIX, devices)
    }

    /// Encrypts a text of each length, to see how long it gets.
    fn measured(mix: &[(u64, usize)], devices: &[Device]) -> anyhow::Result<Self> {
        let [one, other, ..] = devices else { bail!("two users at least") };
        let (mut alice, mut bob) = (Engine::new(one)?, Engine::new(other)?);
        let name = qpc_proto::id::ConversationName {
            domain: one.address().domain.clone(),
            id: Random::new(1).conversation_id(),
        };
        let welcome = alice.create(&name, &[bob.invited(qpc_proto::suite::Suite::Classical)?])?;
        bob.join(&name, &welcome)?;
        let clock = Clock::start();
        let mut classes = Vec::new();
        for (number, (percent, text)) in (1..).zip(mix) {
            let due = clock.parts(std::time::Instant::now());
            let id = Mark { tag: Tag { sender: 0, number }, due, encrypted: true }.id();
            let body = alice.encrypt(&name, id, &vec![b'a'; *text])?.len();
            classes.push(Class { percent: *percent, text: *text, body });
        }
        classes.first().context("a length")?;
        Ok(Self(classes))
    }

    /// Bytes of a message, on average.
    #[must_use]
    pub fn mean(&self) -> f64 {
        let (bytes, of) = self.0.iter().fold((0.0, 0.0), |(bytes, of), class| {
            (bytes + class.percent as f64 * class.body as f64, of + class.percent as f64)
        });
        bytes / f64::max(of, 1.0)
    }

    /// Bytes of the next text, and of its message.
    pub(super) fn draw(&self, random: &mut Random) -> (usize, usize) {
        let mut drawn = if self.0.len() > 1 { random.below(100) } else { 0 };
        for class in &self.0 {
            match drawn.checked_sub(class.percent) {
                Some(left) => drawn = left,
                None => return (class.text, class.body),
            }
        }
        self.0.first().map(|class| (class.text, class.body)).unwrap_or_default()
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let classes = self.0.iter().map(|class| format!("{} % {} (text {})", class.percent, class.body, class.text));
        f.write_str(&classes.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_come_in_their_shares() {
        let class = |percent, body| Class { percent, text: body / 2, body };
        let sizes = Sizes(vec![class(60, 200), class(40, 400)]);
        let mut random = Random::new(1);
        let short = (0..1_000).filter(|_| sizes.draw(&mut random) == (100, 200)).count();
        assert!((550..650).contains(&short), "{short}");
        assert!((sizes.mean() - 280.0).abs() < 1e-9);
        assert_eq!(sizes.to_string(), "60 % 200 (text 100), 40 % 400 (text 200)");
    }
}
