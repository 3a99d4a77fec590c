//! What an operation costs in instructions, and whether that is still what it was.
//!
//!     instructions            does each operation once, as a test
//!     instructions check      counts and compares with benches/instructions.txt (`make bench-check`)
//!     instructions baseline   counts and writes that file (`make bench-baseline`)
//!
//! Each case runs twice under callgrind, with one round and with many: the difference is what the rounds cost,
//! on all threads, without what precedes and follows them.

use std::{
    env, fs,
    hint::black_box,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use prost::Message;
use qpc_bench::{
    instructions::{Baseline, Comparison, Counts, callgrind},
    listeners::Listeners,
    specimen,
    workbench::{Gate, Workbench},
};
use qpc_proto::{
    chain::{ChainValue, LogEntry},
    frame::{FrameDecoder, encode},
    limits::FRAME_MAX,
    v1,
};
use qpc_server::{delivery, store::sqlite::Options};

/// One round of a case.
type Round = Box<dyn FnMut() -> anyhow::Result<()>>;

/// An operation that is counted.
struct Case {
    name: &'static str,
    /// Operations over which the count is an average.
    rounds: u64,
    /// Everything that is not counted; gives what is.
    prepare: fn() -> anyhow::Result<Round>,
}

const CASES: [Case; 9] = [
    Case { name: "frame-encode", rounds: 10_000, prepare: frame_encode },
    Case { name: "frame-decode-push", rounds: 10_000, prepare: frame_decode_push },
    Case { name: "frame-decode-request", rounds: 10_000, prepare: frame_decode_request },
    Case { name: "chain-step", rounds: 10_000, prepare: chain_step },
    Case { name: "publish-encode", rounds: 10_000, prepare: publish_encode },
    Case { name: "publish-fanout-500", rounds: 100, prepare: publish_fanout },
    Case { name: "store-append-100", rounds: 20, prepare: store_append },
    Case { name: "store-read-50", rounds: 100, prepare: store_read },
    Case { name: "store-positions-16", rounds: 100, prepare: store_positions },
];

/// A short text as MLS makes it.
const BODY: usize = 215;

fn frame_encode() -> anyhow::Result<Round> {
    let push = specimen::push(&specimen::log_entry(BODY)?);
    Ok(Box::new(move || {
        black_box(encode(black_box(&push)));
        Ok(())
    }))
}

/// Cuts a message out of what came in, and decodes it.
fn decode<T: Message + Default>(frame: &bytes::Bytes) -> anyhow::Result<T> {
    let mut decoder = FrameDecoder::new(FRAME_MAX);
    decoder.push(black_box(frame).clone());
    Ok(T::decode(decoder.next_frame()?.context("a frame")?)?)
}

fn frame_decode_push() -> anyhow::Result<Round> {
    let frame = encode(&specimen::push(&specimen::log_entry(BODY)?));
    Ok(Box::new(move || {
        let Some(v1::answer::Result::Entry(entry)) = decode::<v1::Answer>(&frame)?.result else { bail!("no entry") };
        black_box(LogEntry::parse(entry)?);
        Ok(())
    }))
}

fn frame_decode_request() -> anyhow::Result<Round> {
    let frame = encode(&specimen::send(&specimen::log_entry(BODY)?));
    Ok(Box::new(move || {
        black_box(decode::<v1::Request>(&frame)?);
        Ok(())
    }))
}

fn chain_step() -> anyhow::Result<Round> {
    let entry = specimen::log_entry(BODY)?;
    let before = ChainValue::genesis(&entry.conversation);
    Ok(Box::new(move || {
        black_box(black_box(&before).after(&black_box(&entry).header()));
        Ok(())
    }))
}

fn publish_encode() -> anyhow::Result<Round> {
    let entry = specimen::log_entry(BODY)?;
    Ok(Box::new(move || {
        black_box(delivery::entry_frame(black_box(&entry)));
        Ok(())
    }))
}

/// One commit's message wakes 500 sessions, and all of them take it.
fn publish_fanout() -> anyhow::Result<Round> {
    let mut listeners = Listeners::new(500)?;
    Ok(Box::new(move || {
        listeners.wake();
        listeners.settle();
        Ok(())
    }))
}

/// Nothing in it depends on the time: neither gathering nor checkpoints nor figures that are counted anew.
fn options() -> Options {
    Options {
        reader_threads: 1,
        wal_autocheckpoint: u32::MAX,
        commit_gather: Duration::ZERO,
        figures_refresh: Duration::MAX,
        ..Options::default()
    }
}

/// A hundred messages into a hundred conversations, in one commit.
fn store_append() -> anyhow::Result<Round> {
    let (folder, gate) = (tempfile::tempdir()?, Gate::new());
    let bench = Workbench::open(folder.path(), Options { observer: gate.clone(), ..options() })?;
    let people = [bench.person()?];
    let talks = (0..100).map(|_| bench.talk(2, &people)).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Box::new(move || {
        bench.send_in_one_commit(&gate, &talks)?;
        // It stays as long as the store.
        black_box(&folder);
        Ok(())
    }))
}

/// The last page of a conversation that was read before.
fn store_read() -> anyhow::Result<Round> {
    let folder = tempfile::tempdir()?;
    let bench = Workbench::open(folder.path(), options())?;
    let talk = bench.talk(2, &[bench.person()?])?;
    bench.send(std::slice::from_ref(&talk), 50, 50)?;
    let after = talk.sent().saturating_sub(50);
    Ok(Box::new(move || {
        ensure!(bench.read(&talk, after)? == 50, "fewer than 50 entries");
        black_box(&folder);
        Ok(())
    }))
}

/// Where sixteen conversations stand for one who comes back and has missed the last entries of half of them.
fn store_positions() -> anyhow::Result<Round> {
    let folder = tempfile::tempdir()?;
    let bench = Workbench::open(folder.path(), options())?;
    let reader = bench.person()?;
    let people = [reader.clone()];
    let talks = (0..16).map(|_| bench.talk(2, &people)).collect::<anyhow::Result<Vec<_>>>()?;
    bench.send(&talks, 16 * 8, 16)?;
    let missed = [0, 3].into_iter().cycle();
    let cursors: Vec<_> = talks.iter().zip(missed).map(|(talk, missed)| talk.cursor(missed)).collect();
    Ok(Box::new(move || {
        ensure!(bench.positions(&reader, &cursors)? == 16, "fewer than 16 positions");
        black_box(&folder);
        Ok(())
    }))
}

fn main() -> ExitCode {
    // The one that cargo adds says nothing here.
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nowhere is left to say that standard error is closed.
            _ = writeln!(io::stderr(), "instructions: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> anyhow::Result<bool> {
    match args {
        ["case", name, number] => {
            let case = CASES.iter().find(|case| case.name == *name).context("no such case")?;
            rounds(case, number.parse()?)?;
            Ok(true)
        }
        ["check"] => {
            let baseline = Baseline::parse(&fs::read_to_string(baseline())?)?;
            let comparison = Comparison::new(&baseline, &measure()?);
            say(&comparison.to_string())?;
            Ok(comparison.passed())
        }
        ["baseline"] => {
            let now = measure()?;
            fs::write(baseline(), now.to_string())?;
            say(&now.to_string())?;
            Ok(true)
        }
        // Whatever cargo hands to all benches and tests.
        _ => {
            CASES.iter().try_for_each(|case| rounds(case, 1))?;
            say(&format!("{} cases run; `make bench-check` counts their instructions\n", CASES.len()))?;
            Ok(true)
        }
    }
}

fn rounds(case: &Case, number: u64) -> anyhow::Result<()> {
    let mut round = (case.prepare)().context(case.name)?;
    (0..number).try_for_each(|_| round()).context(case.name)
}

fn measure() -> anyhow::Result<Baseline> {
    let program = env::current_exe()?;
    let counts = CASES.iter().map(|case| Ok((case.name.to_owned(), operation(&program, case)?)));
    Ok(Baseline { tools: callgrind::tools()?, counts: counts.collect::<anyhow::Result<Counts>>()? })
}

/// Instructions of one operation.
fn operation(program: &Path, case: &Case) -> anyhow::Result<u64> {
    let count = |rounds: u64| callgrind::count(program, &["case", case.name, &rounds.to_string()]);
    let (once, often) = (count(1)?, count(case.rounds.saturating_add(1))?);
    often.saturating_sub(once).checked_div(case.rounds).context("no rounds")
}

/// Kept with the code.
fn baseline() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.txt")
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(io::stdout().lock().write_all(text.as_bytes())?)
}
