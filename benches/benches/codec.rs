//! What one message costs in the codec: encoded once for all readers, cut and decoded by each.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use prost::Message;
use qpc_proto::{
    frame::{FrameDecoder, encode},
    limits::FRAME_MAX,
    v1::{Answer, ConversationName, Entry, EntryKind, answer, entry},
};

fn answer(bytes: usize) -> Answer {
    let entry = Entry {
        conversation: Some(ConversationName { domain: "chat.example".into(), id: Bytes::from_static(&[1; 16]) }),
        seq: 4711,
        kind: EntryKind::Message.into(),
        epoch: 3,
        sender_device: Bytes::from_static(&[2; 16]),
        counter: 815,
        message_id: Bytes::from_static(&[3; 16]),
        stored_ms: 1_700_000_000_000,
        chain: Bytes::from_static(&[4; 32]),
        content: Some(entry::Content::Body(vec![7; bytes].into())),
    };
    Answer { result: Some(answer::Result::Entry(entry)) }
}

fn codec(criterion: &mut Criterion) {
    for bytes in [200, 4 * 1024] {
        let answer = answer(bytes);
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
