//! Random lives of a few blobs have the same outcomes in memory and in SQLCipher, restarts included.

use proptest::prelude::*;
use qpc_proto::{
    id::{AccountId, ConversationName},
    limits::BLOB_PART,
};

use super::*;
use crate::blob_store::{
    Budget, Quota,
    conformance::world::{Blob, World, account, conversation, wait},
    memory::tests::Memory,
};

/// Something that somebody does with one of the blobs in one of the conversations.
#[derive(Debug, Clone)]
enum Step {
    /// Perhaps with a size that is none of the blob's, perhaps naming where it can be read.
    Begin(Which, bool, Option<u8>),
    Put(Which, u32),
    Finish(Which),
    Discard(Which),
    Release(Which),
    Sweep(u64, u64, usize),
    Later(u64),
    Restart,
}

/// Account, conversation, blob.
type Which = (u8, u8, u8);

fn step() -> impl Strategy<Value = Step> {
    let which = || (0_u8..2, 0_u8..2, 0_u8..3);
    prop_oneof![
        4 => (which(), prop::bool::weighted(0.1), prop::option::weighted(0.3, 0_u8..2)).prop_map(|(which, wrong, readable)| Step::Begin(which, wrong, readable)),
        10 => (which(), 0_u32..3).prop_map(|(which, number)| Step::Put(which, number)),
        5 => which().prop_map(Step::Finish),
        1 => which().prop_map(Step::Discard),
        2 => which().prop_map(Step::Release),
        1 => (0_u64..400, 0_u64..400, 1_usize..4).prop_map(|(uploads, blobs, batch)| Step::Sweep(uploads, blobs, batch)),
        2 => (1_u64..100).prop_map(Step::Later),
        1 => Just(Step::Restart),
    ]
}

fn blob(number: u8) -> Blob {
    Blob::new(number, [10, BLOB_PART, BLOB_PART + 10].get(usize::from(number)).copied().unwrap_or(1))
}

fn named((who, place, what): Which) -> (AccountId, ConversationName, Blob) {
    (account(who), conversation(place), blob(what))
}

/// Takes a step and tells what came of it.
fn take(world: &mut World, step: &Step) -> String {
    match step {
        Step::Begin(which, wrong, readable) => {
            let (account, place, blob) = named(*which);
            let size = blob.size() + u64::from(*wrong);
            let readable = readable.map(conversation);
            format!("{:?}", world.begin_with(&blob.by(account, &place), size, readable.as_ref()))
        }
        Step::Put(which, number) => {
            let (account, place, blob) = named(*which);
            let data = if *number < blob.parts() { blob.part(*number) } else { bytes::Bytes::from_static(b"x") };
            format!("{:?}", world.put(&blob.by(account, &place), *number, data))
        }
        Step::Finish(which) => {
            let (account, place, blob) = named(*which);
            let upload = blob.by(account, &place);
            let ready = world.ready(&upload);
            // As callers do: another size is another digest.
            if ready.as_ref().is_ok_and(|size| size.is_some_and(|size| size != blob.size())) {
                return format!("{:?}", wait(world.store.discard(upload)));
            }
            format!("{ready:?} {:?}", world.finish(&upload))
        }
        Step::Discard(which) => {
            let (account, place, blob) = named(*which);
            format!("{:?}", wait(world.store.discard(blob.by(account, &place))))
        }
        Step::Release(which) => {
            let (account, place, blob) = named(*which);
            world.release(&blob.by(account, &place));
            String::new()
        }
        Step::Sweep(uploads, blobs, batch) => {
            let ago = |by: u64| world.now_ms.saturating_sub(by);
            world.sweep(ago(*uploads), ago(*blobs), *batch);
            String::new()
        }
        Step::Later(by) => {
            world.now_ms += by;
            String::new()
        }
        Step::Restart => String::new(),
    }
}

/// All that can be seen.
fn seen(world: &World) -> String {
    let mut seen = format!("{:?}", world.figures());
    for number in 0..3 {
        let blob = blob(number);
        seen += &format!(" {:?}", world.places(&blob, blob.size()));
        for place in (0..2).map(conversation) {
            seen += &format!(" {}", world.holds(&place, &blob));
        }
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn memory_and_sqlcipher_are_the_same_store(steps in prop::collection::vec(step(), 1..60)) {
        let folder = Folder::new();
        let budget = Budget { bytes: 3 * BLOB_PART as u64, blobs: 4 };
        let quota = Quota { account: budget, conversation: budget, uploads: 2 };
        let (mut one, mut other) = (World::new(&Memory), World::new(&folder));
        (one.quota, other.quota) = (quota, quota);
        for step in &steps {
            if matches!(step, Step::Restart) {
                other = other.reopened(&folder);
            }
            prop_assert_eq!(take(&mut one, step), take(&mut other, step), "{:?}", step);
        }
        prop_assert_eq!(seen(&one), seen(&other));
    }
}
