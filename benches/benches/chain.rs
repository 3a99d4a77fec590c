//! What an entry's chain value costs: once for the server, once for each reader.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use qpc_proto::{
    chain::{ChainValue, Digest, EntryKind, Header},
    id::{ConversationId, ConversationName, Counter, DeviceId, Epoch, MessageId, Seq},
};

fn chain(criterion: &mut Criterion) {
    let Ok(domain) = "chat.example".parse() else { return };
    let name = ConversationName { domain, id: ConversationId::new(1, [1; 10]) };
    let genesis = ChainValue::genesis(&name);
    let mut group = criterion.benchmark_group("chain");
    for bytes in [200_usize, 4 * 1024, 64 * 1024] {
        let body = vec![7_u8; bytes];
        group.throughput(Throughput::Bytes(u64::try_from(bytes).unwrap_or_default()));
        group.bench_function(format!("entry of {bytes} bytes"), |bencher| {
            bencher.iter(|| {
                let header = Header {
                    conversation: &name,
                    seq: Seq(9),
                    kind: EntryKind::Message,
                    epoch: Epoch(1),
                    sender: Some(DeviceId::new(2, [2; 10])),
                    counter: Counter(8),
                    id: MessageId::new(3, [3; 10]),
                    digest: Digest::of(black_box(&body)),
                };
                black_box(&genesis).after(&header)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, chain);
criterion_main!(benches);
