//! What one committed message costs the registry and the mailboxes: offered to all sessions that listen,
//! and until all of them have taken it. Connections are not in it.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use qpc_bench::listeners::Listeners;

fn fanout(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan-out");
    for sessions in [1, 100, 500, 5_000] {
        let Ok(mut listeners) = Listeners::new(sessions) else { return };
        group.throughput(Throughput::Elements(sessions.into()));
        group.bench_function(format!("wake {sessions} sessions"), |bencher| {
            bencher.iter_custom(|messages| {
                let mut took = Duration::ZERO;
                for _ in 0..messages {
                    let began = Instant::now();
                    listeners.wake();
                    took = took.saturating_add(began.elapsed());
                    listeners.settle();
                }
                took
            });
        });
        group.bench_function(format!("wake {sessions} sessions, until all have taken it"), |bencher| {
            bencher.iter(|| {
                listeners.wake();
                listeners.settle();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, fanout);
criterion_main!(benches);
