//! A text and whom it names: mentions are ranges of bytes, and those that make no sense are none.
//!
//! A reader drops what is wrong in a mention and keeps the text: whoever sends nonsense beside their words is still read.

use std::ops::Range;

use crate::{
    address::Address,
    limits::{MENTIONS_MAX, TEXT_MAX},
    v1,
};

/// A text, and who is named in it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Words {
    /// The text.
    pub text: String,
    /// In the order in which they stand in it; no two share a byte.
    pub mentions: Vec<Mention>,
}

/// Somebody who is named in a text.
#[derive(Clone, PartialEq, Eq)]
pub struct Mention {
    /// Who.
    pub address: Address,
    /// Where in the text, in bytes.
    pub place: Range<usize>,
}

impl Words {
    /// A text with what is right of the mentions that came with it.
    #[must_use]
    pub fn read(text: String, wire: Vec<v1::Mention>) -> Self {
        let mut mentions: Vec<Mention> = Vec::new();
        for told in wire.into_iter().take(MENTIONS_MAX) {
            let begins_at = mentions.last().map_or(0, |last| last.place.end);
            if let Some(mention) = Mention::read(&told, &text).filter(|mention| mention.place.start >= begins_at) {
                mentions.push(mention);
            }
        }
        Self { text, mentions }
    }

    /// The mentions as they are sent.
    #[must_use]
    pub fn mentions_to_wire(&self) -> Vec<v1::Mention> {
        self.mentions.iter().map(Mention::to_wire).collect()
    }

    /// Is this account named?
    #[must_use]
    pub fn mention(&self, who: &Address) -> bool {
        self.mentions.iter().any(|mention| mention.address == *who)
    }

    pub(super) const fn fit(&self) -> bool {
        self.text.len() <= TEXT_MAX && self.mentions.len() <= MENTIONS_MAX
    }
}

impl Mention {
    fn read(wire: &v1::Mention, text: &str) -> Option<Self> {
        let start = usize::try_from(wire.start).ok()?;
        let end = start.checked_add(usize::try_from(wire.length).ok()?)?;
        // The text has these bytes, and none of its characters is cut.
        text.get(start..end).filter(|named| !named.is_empty())?;
        Some(Self { address: Address::parse(&wire.address).ok()?, place: start..end })
    }

    fn to_wire(&self) -> v1::Mention {
        // Texts are far shorter than what a number holds.
        let number = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        let length = number(self.place.end.saturating_sub(self.place.start));
        v1::Mention { address: self.address.to_string(), start: number(self.place.start), length }
    }
}

impl From<String> for Words {
    fn from(text: String) -> Self {
        Self { text, mentions: Vec::new() }
    }
}

impl From<&str> for Words {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(start: u32, length: u32) -> v1::Mention {
        v1::Mention { address: "bob@a.example".into(), start, length }
    }

    fn places(text: &str, told: Vec<v1::Mention>) -> Vec<Range<usize>> {
        Words::read(text.into(), told).mentions.into_iter().map(|mention| mention.place).collect()
    }

    #[test]
    fn a_mention_lies_in_the_text_and_cuts_nothing() {
        let text = "ö @bob and @bob";
        assert_eq!(places(text, vec![told(3, 4), told(12, 4)]), [3..7, 12..16]);
        let wrong = [told(0, 1), told(1, 4), told(12, 5), told(16, 1), told(3, 0), told(u32::MAX, u32::MAX)];
        assert!(places(text, wrong.to_vec()).is_empty());
        let shared = places(text, vec![told(3, 4), told(6, 4), told(3, 4)]);
        assert!(matches!(&shared[..], [only] if *only == (3..7)), "they share a byte");
        let nobody = v1::Mention { address: "no address".into(), ..told(3, 4) };
        assert!(places(text, vec![nobody]).is_empty());
        assert!(places(text, vec![told(12, 4); MENTIONS_MAX + 1]).len() == 1);
    }

    #[test]
    fn so_many_are_named_and_no_more() {
        let text = "@".repeat(MENTIONS_MAX + 1);
        let all = (0..=u32::try_from(MENTIONS_MAX).unwrap()).map(|at| told(at, 1)).collect();
        assert_eq!(places(&text, all).len(), MENTIONS_MAX);
    }

    proptest! {
        #[test]
        fn what_is_kept_can_be_cut_out_and_reads_back(
            text in any::<String>(),
            ranges in prop::collection::vec((0u32..80, 0u32..20), 0..8),
        ) {
            let words = Words::read(text.clone(), ranges.into_iter().map(|(start, length)| told(start, length)).collect());
            let mut end = 0;
            for mention in &words.mentions {
                prop_assert!(mention.place.start >= end && text.get(mention.place.clone()).is_some());
                end = mention.place.end;
            }
            prop_assert!(Words::read(text, words.mentions_to_wire()) == words);
        }
    }
}
