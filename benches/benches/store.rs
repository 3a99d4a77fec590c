//! What a durable message costs the store: appended alone or in company, to conversations of
//! several sizes, and read back by the page.

use std::{cell::Cell, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use qpc_bench::workbench::Workbench;
use qpc_server::store::sqlite::Options;

/// Messages on their way at the same time, where they share commits.
const COMPANY: u64 = 200;

fn run(criterion: &mut Criterion) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let bench = Workbench::open(folder.path(), Options::default())?;
    let people = (0..100).map(|_| bench.person()).collect::<anyhow::Result<Vec<_>>>()?;
    let failed = Cell::new(None);
    let timed = |outcome: anyhow::Result<Duration>| {
        outcome.unwrap_or_else(|error| {
            failed.set(Some(error));
            Duration::ZERO
        })
    };
    for members in [1, 10, 100] {
        let talk = [bench.talk(members, &people)?];
        criterion.bench_function(&format!("append to a group of {members}, alone"), |bencher| {
            bencher.iter_custom(|messages| timed(bench.send(&talk, messages, 1)));
        });
        criterion.bench_function(&format!("append to a group of {members}, {COMPANY} at a time"), |bencher| {
            bencher.iter_custom(|messages| timed(bench.send(&talk, messages, COMPANY)));
        });
    }
    let talks = (0..1000).map(|_| bench.talk(2, &people)).collect::<anyhow::Result<Vec<_>>>()?;
    criterion.bench_function(&format!("append to 1000 conversations in turn, {COMPANY} at a time"), |bencher| {
        bencher.iter_custom(|messages| timed(bench.send(&talks, messages, COMPANY)));
    });
    let last = talks.iter().map(|talk| talk.sent()).min().unwrap_or_default().saturating_sub(50);
    let mut turn = talks.iter().cycle();
    criterion.bench_function("read the last 50 of 1000 conversations in turn", |bencher| {
        bencher.iter(|| turn.next().map(|talk| bench.read(talk, last).ok()));
    });
    criterion.bench_function("read the last 50 of one conversation", |bencher| {
        bencher.iter(|| talks.first().map(|talk| bench.read(talk, last).ok()));
    });
    bench.close()?;
    failed.take().map_or(Ok(()), Err)
}

fn store(criterion: &mut Criterion) {
    let outcome = run(criterion);
    assert!(outcome.is_ok(), "{outcome:?}");
}

criterion_group!(benches, store);
criterion_main!(benches);
