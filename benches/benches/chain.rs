//! What an entry's chain value costs: once for the server, once for each reader.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use qpc_bench::specimen;
use qpc_proto::chain::ChainValue;

fn chain(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("chain");
    for bytes in [200_usize, 4 * 1024, 64 * 1024] {
        let Ok(entry) = specimen::log_entry(bytes) else { return };
        let genesis = ChainValue::genesis(&entry.conversation);
        group.throughput(Throughput::Bytes(u64::try_from(bytes).unwrap_or_default()));
        group.bench_function(format!("entry of {bytes} bytes"), |bencher| {
            bencher.iter(|| black_box(&genesis).after(&black_box(&entry).header()));
        });
    }
    group.finish();
}

criterion_group!(benches, chain);
criterion_main!(benches);
