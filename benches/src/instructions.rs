//! Instructions of named cases, held against a baseline that is kept with the code.
//!
//! A case that needs more than 5 % more fails the check. Times would need a quiet machine; instructions don't.

pub mod callgrind;

use std::{collections::BTreeMap, fmt};

use anyhow::{Context, bail};

/// A case may cost so many percent more, or less, and still count as the same.
const TOLERANCE_PERCENT: u128 = 5;

/// Instructions of one operation, by case.
pub type Counts = BTreeMap<String, u64>;

/// What was counted before, and with which tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    /// Versions of compiler and counter.
    pub tools: String,
    /// Case by case.
    pub counts: Counts,
}

impl Baseline {
    /// Reads the file's text: a case and its count in each line, comments after `#`; the tools stand after `# tools: `.
    ///
    /// # Errors
    /// Names the line that is neither.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let (mut tools, mut counts) = (String::new(), Counts::new());
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(comment) = line.strip_prefix('#') {
                if let Some(named) = comment.trim().strip_prefix("tools:") {
                    tools = named.trim().to_owned();
                }
                continue;
            }
            let (case, count) = line.split_once(char::is_whitespace).with_context(|| line.to_owned())?;
            let count = count.trim().parse().with_context(|| line.to_owned())?;
            if counts.insert(case.to_owned(), count).is_some() {
                bail!("{case} is there twice");
            }
        }
        Ok(Self { tools, counts })
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Instructions of one operation of each case, by callgrind: `make bench-check` compares them,")?;
        writeln!(f, "# `make bench-baseline` writes them anew.")?;
        writeln!(f, "# tools: {}", self.tools)?;
        let width = self.counts.keys().map(String::len).max().unwrap_or_default();
        self.counts.iter().try_for_each(|(case, count)| writeln!(f, "{case:width$} {count:>12}"))
    }
}

/// What became of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Within the tolerance.
    Same {
        /// In the baseline.
        before: u64,
        /// Counted now.
        now: u64,
    },
    /// More than it may cost.
    Dearer {
        /// In the baseline.
        before: u64,
        /// Counted now.
        now: u64,
    },
    /// So much cheaper that the baseline guards nothing any more.
    Cheaper {
        /// In the baseline.
        before: u64,
        /// Counted now.
        now: u64,
    },
    /// It has no baseline.
    New {
        /// Counted now.
        now: u64,
    },
    /// It has a baseline and was not counted.
    Missing {
        /// In the baseline.
        before: u64,
    },
}

impl Verdict {
    fn of(before: u64, now: u64) -> Self {
        let percent = |count: u64, percent: u128| u128::from(count).saturating_mul(percent);
        if percent(now, 100) > percent(before, 100 + TOLERANCE_PERCENT) {
            Self::Dearer { before, now }
        } else if now < before && percent(now, 100) <= percent(before, 100 - TOLERANCE_PERCENT) {
            Self::Cheaper { before, now }
        } else {
            Self::Same { before, now }
        }
    }

    /// Whether the check fails by it.
    #[must_use]
    pub const fn fails(self) -> bool {
        matches!(self, Self::Dearer { .. } | Self::New { .. } | Self::Missing { .. })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pair = |f: &mut fmt::Formatter<'_>, before: u64, now: u64, what: &str| {
            let percent = 100.0 * (now as f64 - before as f64) / (before as f64).max(1.0);
            write!(f, "{before:>12} {now:>12}  {percent:+6.2} %{what}")
        };
        match *self {
            Self::Same { before, now } => pair(f, before, now, ""),
            Self::Dearer { before, now } => pair(f, before, now, "  FAILED: more than 5 % dearer"),
            Self::Cheaper { before, now } => pair(f, before, now, "  5 % cheaper or more: worth a new baseline"),
            Self::New { now } => write!(f, "{:>12} {now:>12}            FAILED: it has no baseline", "-"),
            Self::Missing { before } => {
                write!(f, "{before:>12} {:>12}            FAILED: it has a baseline and is not counted", "-")
            }
        }
    }
}

/// All cases of the baseline and of now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    verdicts: BTreeMap<String, Verdict>,
    /// Those of the baseline and those of now, where they differ.
    tools: Option<(String, String)>,
}

impl Comparison {
    /// Holds one against the other.
    #[must_use]
    pub fn new(baseline: &Baseline, now: &Baseline) -> Self {
        let counted = now.counts.iter().map(|(case, now)| {
            let verdict =
                baseline.counts.get(case).map_or(Verdict::New { now: *now }, |before| Verdict::of(*before, *now));
            (case.clone(), verdict)
        });
        let missing = baseline.counts.iter().filter(|(case, _)| !now.counts.contains_key(*case));
        let missing = missing.map(|(case, before)| (case.clone(), Verdict::Missing { before: *before }));
        let tools = (baseline.tools != now.tools).then(|| (baseline.tools.clone(), now.tools.clone()));
        Self { verdicts: counted.chain(missing).collect(), tools }
    }

    /// Whether no case fails.
    #[must_use]
    pub fn passed(&self) -> bool {
        !self.verdicts.values().any(|verdict| verdict.fails())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.verdicts.keys().map(String::len).max().unwrap_or_default();
        writeln!(f, "{:width$} {:>12} {:>12}  instructions", "case", "baseline", "now")?;
        for (case, verdict) in &self.verdicts {
            writeln!(f, "{case:width$} {verdict}")?;
        }
        if let Some((before, now)) = &self.tools {
            writeln!(f, "The baseline is of other tools, which alone may change the figures:")?;
            writeln!(f, "  baseline: {before}\n  now:      {now}")?;
        }
        if self.passed() {
            writeln!(f, "passed")
        } else {
            writeln!(f, "NOT PASSED. Where the change is meant: `make bench-baseline`, and commit the new figures.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline<const N: usize>(counts: [(&str, u64); N]) -> Baseline {
        let counts = counts.into_iter().map(|(case, count)| (case.to_owned(), count)).collect();
        Baseline { tools: "rustc 1, valgrind 3".into(), counts }
    }

    fn compared<const N: usize, const M: usize>(before: [(&str, u64); N], now: [(&str, u64); M]) -> Comparison {
        Comparison::new(&baseline(before), &baseline(now))
    }

    #[test]
    fn five_percent_pass_and_one_instruction_more_does_not() {
        for (before, most) in [(1_000, 1_050), (20, 21), (19, 19), (0, 0)] {
            assert!(compared([("chain", before)], [("chain", most)]).passed(), "{before}");
            let dearer = compared([("chain", before)], [("chain", most + 1)]);
            assert!(!dearer.passed(), "{before}");
            assert!(dearer.to_string().contains("chain") && dearer.to_string().contains("bench-baseline"));
        }
        let text = compared([("a", 1), ("chain", 1_000)], [("a", 1), ("chain", 1_051)]).to_string();
        let line = text.lines().find(|line| line.starts_with("chain")).unwrap();
        assert!(line.contains(" 1000 ") && line.contains(" 1051 ") && line.contains("+5.10 %"), "{line}");
        assert_eq!(text.matches("FAILED").count(), 1);
    }

    #[test]
    fn what_became_cheaper_passes_and_is_told() {
        let cheaper = compared([("chain", 1_000)], [("chain", 950)]);
        assert!(cheaper.passed() && cheaper.to_string().contains("worth a new baseline"));
        let same = compared([("chain", 1_000)], [("chain", 951)]);
        assert!(same.passed() && !same.to_string().contains("worth a new baseline"));
    }

    #[test]
    fn a_case_without_its_other_half_fails() {
        let new = compared([], [("chain", 7)]);
        assert!(!new.passed() && new.to_string().contains("no baseline"));
        let missing = compared([("chain", 7)], []);
        assert!(!missing.passed() && missing.to_string().contains("not counted"));
        assert!(compared([], []).passed());
    }

    #[test]
    fn other_tools_are_told_and_fail_nothing() {
        let before = Baseline { tools: "rustc 0".into(), ..baseline([("chain", 7)]) };
        let comparison = Comparison::new(&before, &baseline([("chain", 7)]));
        assert!(comparison.passed() && comparison.to_string().contains("baseline: rustc 0"));
        assert!(!compared([("chain", 7)], [("chain", 7)]).to_string().contains("tools"));
    }

    #[test]
    fn a_baseline_is_read_as_it_was_written() {
        let written = baseline([("chain", 1), ("store-page-50", u64::MAX)]);
        assert_eq!(Baseline::parse(&written.to_string()).unwrap(), written);
        for bad in ["chain", "chain x", "chain -1", "chain 1\nchain 2"] {
            assert!(Baseline::parse(bad).is_err(), "{bad}");
        }
    }
}
