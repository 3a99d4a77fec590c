//! What judges a load: what was acknowledged, what arrived where, and whether all of it is the same.
//!
//! A ledger is one conversation: which message stands at which place, by the first who says so, whoever that is.
//! A place is how far one reader has come. Memory is eight bytes for each message.

/// A message: who sent it, and which of theirs it is, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    /// Below 2^24.
    pub sender: u32,
    /// The sender's count in this conversation.
    pub number: u32,
}

impl Tag {
    const NOTHING: u64 = 0;

    fn packed(self) -> u64 {
        (u64::from(self.sender) << 32) | u64::from(self.number)
    }
}

/// Something no correct server does, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Acknowledged or stored, and not delivered to somebody; or gone from the log.
    pub lost: u64,
    /// Delivered or stored again.
    pub duplicated: u64,
    /// Out of the log's order, or of the sender's.
    pub reordered: u64,
    /// Not the same for all who saw it.
    pub disagreed: u64,
}

impl Faults {
    /// All of two.
    pub fn add(&mut self, other: Self) {
        self.lost = self.lost.saturating_add(other.lost);
        self.duplicated = self.duplicated.saturating_add(other.duplicated);
        self.reordered = self.reordered.saturating_add(other.reordered);
        self.disagreed = self.disagreed.saturating_add(other.disagreed);
    }
}

/// One conversation. See the module's text.
#[derive(Debug)]
pub struct Ledger {
    /// Where the conversation stood before the load.
    base: u64,
    /// What stands at base + 1, base + 2 ...
    tags: Vec<u64>,
    acknowledged: u64,
    disagreed: u64,
}

impl Ledger {
    /// Nothing, after a place.
    #[must_use]
    pub const fn new(base: u64) -> Self {
        Self { base, tags: Vec::new(), acknowledged: base, disagreed: 0 }
    }

    /// Somebody saw a message at a place.
    pub fn saw(&mut self, seq: u64, tag: Tag) {
        let at = seq.checked_sub(self.base).and_then(|at| at.checked_sub(1)).and_then(|at| usize::try_from(at).ok());
        // A place before the load, or far beyond it, is nobody's message.
        let Some(at) = at.filter(|at| *at < self.tags.len().saturating_add(1_000_000)) else {
            self.disagreed = self.disagreed.saturating_add(1);
            return;
        };
        if self.tags.len() <= at {
            self.tags.resize(at.saturating_add(1), Tag::NOTHING);
        }
        let Some(slot) = self.tags.get_mut(at) else { return };
        if *slot == Tag::NOTHING {
            *slot = tag.packed();
        } else if *slot != tag.packed() {
            self.disagreed = self.disagreed.saturating_add(1);
        }
    }

    /// The server told the sender where its message stands.
    pub fn acknowledged(&mut self, seq: u64, tag: Tag) {
        self.saw(seq, tag);
        self.acknowledged = self.acknowledged.max(seq);
    }

    /// The last place that a sender was told of: every reader must get there.
    #[must_use]
    pub const fn head(&self) -> u64 {
        self.acknowledged
    }

    /// What is wrong with the log itself.
    #[must_use]
    pub fn judge(&self) -> Faults {
        let mut faults = Faults { disagreed: self.disagreed, ..Faults::default() };
        let mut last = std::collections::HashMap::new();
        for packed in &self.tags {
            if *packed == Tag::NOTHING {
                faults.lost = faults.lost.saturating_add(1);
                continue;
            }
            let (sender, number) = (packed >> 32, packed & u64::from(u32::MAX));
            let before = last.entry(sender).or_insert(0);
            match number.cmp(before) {
                std::cmp::Ordering::Greater => *before = number,
                std::cmp::Ordering::Equal => faults.duplicated = faults.duplicated.saturating_add(1),
                std::cmp::Ordering::Less => faults.reordered = faults.reordered.saturating_add(1),
            }
        }
        faults
    }
}

/// How far one reader has come in one conversation.
#[derive(Debug, Clone)]
pub struct Place {
    seq: u64,
    /// Passed over so far.
    missing: Vec<u64>,
    faults: Faults,
}

/// Passed over places that one reader remembers; those beyond are lost at once.
const MISSING_MAX: u64 = 1_000;

impl Place {
    /// Before what comes next.
    #[must_use]
    pub const fn at(seq: u64) -> Self {
        let faults = Faults { lost: 0, duplicated: 0, reordered: 0, disagreed: 0 };
        Self { seq, missing: Vec::new(), faults }
    }

    /// The last that came.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// An entry came. Says whether it is new.
    pub fn came(&mut self, seq: u64) -> bool {
        let next = self.seq.saturating_add(1);
        if seq < next {
            return self.came_late(seq);
        }
        for passed in next..seq {
            if passed.saturating_sub(next) >= MISSING_MAX {
                self.faults.lost = self.faults.lost.saturating_add(seq.saturating_sub(passed));
                break;
            }
            self.missing.push(passed);
        }
        self.seq = seq;
        true
    }

    fn came_late(&mut self, seq: u64) -> bool {
        match self.missing.iter().position(|missing| *missing == seq) {
            Some(at) => {
                self.missing.swap_remove(at);
                self.faults.reordered = self.faults.reordered.saturating_add(1);
                true
            }
            None => {
                self.faults.duplicated = self.faults.duplicated.saturating_add(1);
                false
            }
        }
    }

    /// What is wrong, where the log was acknowledged up to `head`.
    #[must_use]
    pub fn judge(&self, head: u64) -> Faults {
        let missing = u64::try_from(self.missing.len()).unwrap_or(u64::MAX);
        let mut faults = self.faults;
        faults.lost = faults.lost.saturating_add(missing).saturating_add(head.saturating_sub(self.seq));
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn tag(sender: u32, number: u32) -> Tag {
        Tag { sender, number }
    }

    fn log(tags: &[(u64, Tag)]) -> Faults {
        let mut ledger = Ledger::new(10);
        tags.iter().for_each(|(seq, tag)| ledger.saw(*seq, *tag));
        ledger.judge()
    }

    fn reader(seqs: &[u64], head: u64) -> Faults {
        let mut place = Place::at(10);
        for seq in seqs {
            place.came(*seq);
        }
        place.judge(head)
    }

    #[test]
    fn a_clean_log_and_a_clean_reader_have_no_faults() {
        let clean = [(11, tag(1, 1)), (12, tag(2, 1)), (13, tag(1, 2)), (12, tag(2, 1))];
        assert_eq!(log(&clean), Faults::default());
        assert_eq!(reader(&[11, 12, 13], 13), Faults::default());
        // What nobody was told of may come all the same.
        assert_eq!(reader(&[11, 12, 13], 12), Faults::default());
    }

    #[test]
    fn each_fault_of_a_log_is_found() {
        let hole = log(&[(11, tag(1, 1)), (13, tag(1, 2))]);
        assert_eq!(hole, Faults { lost: 1, ..Faults::default() });
        let twice = log(&[(11, tag(1, 1)), (12, tag(1, 1))]);
        assert_eq!(twice, Faults { duplicated: 1, ..Faults::default() });
        let backwards = log(&[(11, tag(1, 2)), (12, tag(1, 1))]);
        assert_eq!(backwards, Faults { reordered: 1, ..Faults::default() });
        let forked = log(&[(11, tag(1, 1)), (11, tag(2, 1))]);
        assert_eq!(forked, Faults { disagreed: 1, ..Faults::default() });
        let outside = log(&[(10, tag(1, 1)), (u64::MAX, tag(1, 2))]);
        assert_eq!(outside, Faults { disagreed: 2, ..Faults::default() });
    }

    #[test]
    fn each_fault_of_a_reader_is_found() {
        assert_eq!(reader(&[11, 13], 13), Faults { lost: 1, ..Faults::default() });
        assert_eq!(reader(&[11], 13), Faults { lost: 2, ..Faults::default() });
        assert_eq!(reader(&[11, 13, 12], 13), Faults { reordered: 1, ..Faults::default() });
        assert_eq!(reader(&[11, 12, 12], 12), Faults { duplicated: 1, ..Faults::default() });
        assert_eq!(reader(&[10_000_011], 10_000_011), Faults { lost: 10_000_000, ..Faults::default() });
    }

    #[test]
    fn what_is_acknowledged_is_owed_to_every_reader() {
        let mut ledger = Ledger::new(10);
        ledger.acknowledged(12, tag(1, 1));
        ledger.saw(13, tag(1, 2));
        assert_eq!(ledger.head(), 12);
        // At 11 stands what nobody saw.
        assert_eq!(ledger.judge().lost, 1);
    }
}
