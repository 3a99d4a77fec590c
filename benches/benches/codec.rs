//! What one message costs in the codec: encoded once for all readers, cut and decoded by each.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use prost::Message;
use qpc_bench::specimen;
use qpc_proto::{
    frame::{FrameDecoder, encode},
    limits::FRAME_MAX,
    v1::Answer,
};

fn codec(criterion: &mut Criterion) {
    for bytes in [200, 4 * 1024] {
        let Ok(entry) = specimen::log_entry(bytes) else { return };
        let answer = specimen::push(&entry);
        criterion.bench_function(&format!("encode an entry of {bytes} bytes"), |bencher| {
            bencher.iter(|| encode(black_box(&answer)));
        });
        let frame = encode(&answer);
        criterion.bench_function(&format!("cut and decode an entry of {bytes} bytes"), |bencher| {
            let decode = |frame: Bytes| {
                let mut decoder = FrameDecoder::new(FRAME_MAX);
                decoder.push(frame);
                decoder.next_frame().ok().flatten().map(|frame| Answer::decode(frame).is_ok())
            };
            bencher.iter_batched(|| frame.clone(), decode, BatchSize::SmallInput);
        });
    }
}

criterion_group!(benches, codec);
criterion_main!(benches);
