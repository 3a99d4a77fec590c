//! What many seeds came to, and which were done: a run that was cut off goes on where it was.

use std::{
    collections::BTreeSet,
    fmt,
    fs::{self, File, OpenOptions},
    io::Write,
};

use qpc_client::simulation::Witness;
use qpc_proto::chain::EntryKind;

use crate::town::{Fate, Town};

/// What happened in a seed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tally([u64; KINDS.len()]);

const KINDS: [&str; 9] = [
    "messages said",
    "entries stored",
    "commits",
    "groups",
    "devices",
    "crashes of devices",
    "crashes of the server",
    "lines cut",
    "revocations",
];

impl Tally {
    pub(crate) fn of(town: &Town, witness: &Witness) -> Self {
        let said = town.sayings.lock().unwrap().iter().filter(|saying| saying.fate != Fate::Refused).count();
        let commits = witness.entries.values().filter(|seen| seen.kind == EntryKind::Commit).count();
        let groups: BTreeSet<_> = witness.epochs.keys().map(|(name, _)| name).collect();
        let count = |number: usize| u64::try_from(number).unwrap();
        let happened = town.happened.get();
        Self([
            count(said),
            count(witness.entries.len()),
            count(commits),
            count(groups.len()),
            count(town.devices.borrow().len()),
            happened.device_crashes,
            happened.server_crashes,
            happened.cuts,
            happened.revocations,
        ])
    }

    fn text(&self) -> String {
        self.0.map(|number| number.to_string()).join(" ")
    }

    fn parse(text: &str) -> Option<Self> {
        let numbers: Vec<u64> = text.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self(numbers.try_into().ok()?))
    }
}

/// What many came to.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    pub(crate) seeds: u64,
    pub(crate) wrong: BTreeSet<u64>,
    tally: Tally,
}

impl Sum {
    pub(crate) fn add(&mut self, seed: u64, wrong: bool, tally: &Tally) {
        self.seeds += 1;
        self.wrong.extend(wrong.then_some(seed));
        for (sum, one) in self.tally.0.iter_mut().zip(tally.0) {
            *sum += one;
        }
    }

    pub(crate) fn and(mut self, mut other: Self) -> Self {
        self.seeds += other.seeds;
        self.wrong.append(&mut other.wrong);
        for (sum, one) in self.tally.0.iter_mut().zip(other.tally.0) {
            *sum += one;
        }
        self
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} seeds, {} of them wrong", self.seeds, self.wrong.len())?;
        KINDS.iter().zip(self.tally.0).try_for_each(|(kind, number)| write!(f, ", {number} {kind}"))
    }
}

/// The file of `QPC_SEEDS_FILE`, a line for each seed: its number, `ok` or `wrong`, and what happened.
pub(crate) struct Ledger {
    lines: Vec<(u64, bool, Tally)>,
    file: Option<File>,
}

impl Ledger {
    pub(crate) fn open() -> Self {
        let Some(path) = std::env::var_os("QPC_SEEDS_FILE") else { return Self { lines: Vec::new(), file: None } };
        let text = fs::read_to_string(&path).unwrap_or_default();
        let line = |line: &str| {
            let (seed, rest) = line.split_once(' ')?;
            let (outcome, tally) = rest.split_once(' ')?;
            Some((seed.parse().ok()?, outcome == "wrong", Tally::parse(tally)?))
        };
        let lines = text.lines().filter_map(line).collect();
        let file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        Self { lines, file: Some(file) }
    }

    pub(crate) fn done(&self) -> BTreeSet<u64> {
        self.lines.iter().map(|(seed, ..)| *seed).collect()
    }

    /// Of the runs before this one.
    pub(crate) fn sum(&mut self) -> Sum {
        let mut sum = Sum::default();
        for (seed, wrong, tally) in &self.lines {
            sum.add(*seed, *wrong, tally);
        }
        sum
    }

    pub(crate) fn note(&mut self, seed: u64, wrong: &[String], tally: &Tally) {
        if let Some(file) = &mut self.file {
            let outcome = if wrong.is_empty() { "ok" } else { "wrong" };
            writeln!(file, "{seed} {outcome} {}", tally.text()).unwrap();
        }
    }
}
