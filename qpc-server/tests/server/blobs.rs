//! Blobs over the wire: parts in, ranges out, for members alone, within quotas; and what hostile clients try.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use qpc_proto::{
    error::Code,
    id::{AccountId, ConversationName},
    limits::BLOB_PART,
    v1::{self, answer, request::Method},
};
use qpc_server::{
    blob_store::{
        Answer, BeginError, Begun, BlobDigest, BlobFigures, BlobStore, Budget, Content, Kept, NewUpload, Place, Range,
        ReadBlobError, Sweep, Upload, UploadError, memory::MemoryBlobs,
    },
    metrics::labels::{BlobRejection, Limit},
    policy::limits::Rate,
    store::StoreFault,
};
use tokio::sync::Semaphore;

use crate::{
    edge::{Guest, House, Room},
    wire::{Call, code, soon},
};

/// Bytes of a part, as a request says them.
const PART: u32 = 256 * 1024;

/// Ciphertext, as far as a server can tell.
pub(crate) fn bytes(seed: u8, size: usize) -> Bytes {
    let mut bytes = vec![0; size];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes.into()
}

fn blob(room: &Room, content: &[u8]) -> Option<v1::Blob> {
    Some(v1::Blob { conversation: Some(room.name.to_wire()), digest: blake3::hash(content).as_bytes().to_vec().into() })
}

fn begin(room: &Room, content: &[u8]) -> Method {
    Method::BeginUpload(v1::BeginUpload { blob: blob(room, content), size: content.len() as u64 })
}

fn part(room: &Room, content: &Bytes, number: usize) -> Method {
    let data = content.slice(number * BLOB_PART..content.len().min((number + 1) * BLOB_PART));
    Method::UploadPart(v1::UploadPart { blob: blob(room, content), number: number.try_into().unwrap(), data })
}

fn finish(room: &Room, content: &[u8]) -> Method {
    Method::FinishUpload(v1::FinishUpload { blob: blob(room, content) })
}

fn read(room: &Room, content: &[u8], offset: u64, length: u32) -> Method {
    Method::ReadBlob(v1::ReadBlob { blob: blob(room, content), offset, length })
}

fn release(room: &Room, content: &[u8]) -> Method {
    Method::ReleaseBlob(v1::ReleaseBlob { blob: blob(room, content) })
}

impl Guest {
    /// Parts that are there, or that nothing is to be sent.
    async fn begins(&self, room: &Room, content: &[u8]) -> Result<(u32, bool), Code> {
        match self.wire.call(begin(room, content)).await {
            answer::Result::BeginUpload(begun) => Ok((begun.parts, begun.complete)),
            other => Err(code(&other).unwrap()),
        }
    }

    /// The code of a refusal, or nothing.
    async fn asks(&self, method: Method) -> Option<Code> {
        code(&self.wire.call(method).await)
    }

    /// Everything on one stream, without waiting.
    async fn uploads(&self, room: &Room, content: &Bytes) {
        let Call { mut send, mut answers } = self.wire.open().await;
        let parts = content.len().div_ceil(BLOB_PART);
        let writing = async {
            for method in std::iter::once(begin(room, content))
                .chain((0..parts).map(|number| part(room, content, number)))
                .chain([finish(room, content)])
            {
                send.write_all(&crate::wire::request_frame(method)).await.unwrap();
            }
            send.finish().unwrap();
        };
        let reading = async {
            for _ in 0..parts + 2 {
                let answer = answers.next().await.expect("an answer");
                assert_eq!(code(&answer), None);
            }
        };
        soon(async { tokio::join!(writing, reading) }).await;
    }

    async fn reads(&self, room: &Room, content: &[u8], offset: u64, length: u32) -> Result<Bytes, Code> {
        match self.wire.call(read(room, content, offset, length)).await {
            answer::Result::ReadBlob(range) => {
                assert_eq!(range.size, content.len() as u64);
                Ok(range.data)
            }
            other => Err(code(&other).unwrap()),
        }
    }

    async fn reads_all(&self, room: &Room, content: &[u8]) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < content.len() {
            all.extend_from_slice(&self.reads(room, content, all.len() as u64, PART).await.unwrap());
        }
        all
    }
}

#[tokio::test]
async fn a_blob_goes_in_by_parts_and_comes_out_by_ranges() {
    let house = House::new().await;
    let (alice, bob, room) = house.pair().await;
    let content = bytes(1, 600_000);
    assert_eq!(alice.begins(&room, &content).await, Ok((0, false)));
    assert_eq!(alice.asks(part(&room, &content, 0)).await, None);
    assert_eq!(alice.asks(part(&room, &content, 2)).await, None);
    // Another connection goes on where this one was.
    let again = house.again(&alice).await;
    assert_eq!(again.begins(&room, &content).await, Ok((1, false)));
    assert_eq!(again.asks(finish(&room, &content)).await, Some(Code::PartsMissing));
    assert_eq!(bob.reads(&room, &content, 0, 1).await, Err(Code::NotFound), "nothing is half there");
    assert_eq!(again.asks(part(&room, &content, 1)).await, None);
    assert_eq!(again.asks(part(&room, &content, 1)).await, None, "the same again is answered alike");
    assert_eq!(again.asks(finish(&room, &content)).await, None);
    assert_eq!(again.asks(finish(&room, &content)).await, None);
    assert_eq!(again.begins(&room, &content).await, Ok((0, true)));

    for reader in [&alice, &bob] {
        assert_eq!(reader.reads_all(&room, &content).await, content);
    }
    let size = content.len() as u64;
    assert_eq!(bob.reads(&room, &content, 262_000, 1_000).await, Ok(content.slice(262_000..263_000)));
    assert_eq!(bob.reads(&room, &content, size - 5, 10).await, Ok(content.slice(600_000 - 5..)));
    for (offset, length) in [(size, 1), (u64::MAX, 1), (0, 0), (0, PART + 1), (0, u32::MAX)] {
        assert_eq!(bob.reads(&room, &content, offset, length).await, Err(Code::RangeInvalid), "{offset} {length}");
    }
    house.assert_sound();
}

#[tokio::test]
async fn blobs_are_for_members_and_a_guess_tells_nothing() {
    let house = House::new().await;
    let (alice, bob, room) = house.pair().await;
    let carol = house.register("carol").await;
    let (content, other) = (bytes(1, 1_000), bytes(2, 1_000));
    alice.uploads(&room, &content).await;
    for guess in [&content, &other] {
        assert_eq!(carol.reads(&room, guess, 0, 1).await, Err(Code::NotFound));
        assert_eq!(carol.begins(&room, guess).await, Err(Code::NotFound));
        assert_eq!(carol.asks(part(&room, guess, 0)).await, Some(Code::NotFound));
        assert_eq!(carol.asks(finish(&room, guess)).await, Some(Code::NotFound));
    }
    // Who is in neither that conversation nor has its bytes is treated as if there were none.
    let own = house.befriends(&carol, &bob).await;
    assert_eq!(carol.begins(&own, &content).await, Ok((0, false)));
    assert_eq!(carol.reads(&own, &content, 0, 1).await, Err(Code::NotFound));
    // Who is in both puts it there without sending a byte.
    assert_eq!(bob.begins(&own, &content).await, Ok((0, true)));
    assert_eq!(carol.reads_all(&own, &content).await, content);
    // Of another size it is not that one, whoever says so.
    let longer = Method::BeginUpload(v1::BeginUpload { blob: blob(&own, &content), size: 1_001 });
    assert_eq!(bob.asks(release(&own, &content)).await, None);
    let answer::Result::BeginUpload(begun) = bob.wire.call(longer).await else { panic!("refused") };
    assert!(!begun.complete);
    // Taken out of one conversation it stays in the other, where it is somebody else's.
    assert_eq!(carol.reads(&own, &content, 0, 1).await, Err(Code::NotFound));
    assert_eq!(bob.asks(release(&room, &content)).await, None);
    assert_eq!(bob.reads_all(&room, &content).await, content);
    assert!(house.context.metrics.blob_rejections(BlobRejection::Stranger) > 0);
    house.assert_sound();
}

#[tokio::test]
async fn nothing_is_uploaded_for_somebody_who_has_not_accepted() {
    let house = House::new().await;
    let (alice, carol) = (house.register("alice").await, house.register("carol").await);
    let room = alice.asks_to_talk(&carol).await;
    assert_eq!(alice.begins(&room, &bytes(1, 10)).await, Err(Code::ContactPending));
}

#[tokio::test]
async fn what_no_upload_can_be_is_refused_by_name() {
    let house = House::new().await;
    let (alice, _, room) = house.pair().await;
    let content = bytes(1, BLOB_PART + 10);
    let claim = |size| Method::BeginUpload(v1::BeginUpload { blob: blob(&room, &content), size });
    assert_eq!(alice.asks(claim(10_000_000_000)).await, Some(Code::BlobTooLarge));
    assert_eq!(alice.asks(claim(u64::MAX)).await, Some(Code::BlobTooLarge));
    assert_eq!(alice.asks(claim(0)).await, Some(Code::Malformed));
    assert_eq!(alice.asks(Method::BeginUpload(v1::BeginUpload { blob: None, size: 1 })).await, Some(Code::Malformed));
    assert_eq!(alice.asks(Method::ReleaseBlob(v1::ReleaseBlob { blob: None })).await, Some(Code::Malformed));
    assert_eq!(house.context.metrics.blob_rejections(BlobRejection::Malformed), 3, "each is counted");
    let short = v1::Blob { conversation: Some(room.name.to_wire()), digest: vec![1; 31].into() };
    let short = Method::BeginUpload(v1::BeginUpload { blob: Some(short), size: 1 });
    assert_eq!(alice.asks(short).await, Some(Code::Malformed));
    assert_eq!(alice.asks(part(&room, &content, 0)).await, Some(Code::UploadUnknown));
    assert_eq!(alice.asks(finish(&room, &content)).await, Some(Code::UploadUnknown));

    assert_eq!(alice.begins(&room, &content).await, Ok((0, false)));
    let sends = |number, data: Bytes| Method::UploadPart(v1::UploadPart { blob: blob(&room, &content), number, data });
    let whole = content.slice(..BLOB_PART);
    for (number, data) in [(0, whole.slice(1..)), (1, content.slice(..11)), (1, Bytes::new()), (2, content.slice(..10))]
    {
        assert_eq!(alice.asks(sends(number, data)).await, Some(Code::PartInvalid));
    }
    assert_eq!(alice.asks(sends(0, content.slice(..BLOB_PART + 1))).await, Some(Code::TooLarge));
    assert_eq!(alice.asks(sends(u32::MAX, whole.clone())).await, Some(Code::PartInvalid));
    // Other bytes than those of the digest are thrown away, and it begins anew.
    assert_eq!(alice.asks(sends(0, whole)).await, None);
    assert_eq!(alice.asks(sends(1, bytes(9, 10))).await, None);
    assert_eq!(alice.asks(finish(&room, &content)).await, Some(Code::DigestDiffers));
    assert_eq!(alice.asks(finish(&room, &content)).await, Some(Code::UploadUnknown));
    alice.uploads(&room, &content).await;
    house.assert_sound();
}

/// A part that is stored stays; whoever sends it again with other bytes must not have those counted for the digest.
#[tokio::test]
async fn a_digest_is_that_of_what_is_stored() {
    let house = House::new().await;
    let (alice, _, room) = house.pair().await;
    let content = bytes(1, BLOB_PART + 10);
    let wrong = Method::UploadPart(v1::UploadPart { blob: blob(&room, &content), number: 1, data: bytes(9, 10) });
    assert_eq!(alice.begins(&room, &content).await, Ok((0, false)));
    assert_eq!(alice.asks(wrong).await, None);
    assert_eq!(alice.begins(&room, &content).await, Ok((0, false)));
    assert_eq!(alice.asks(part(&room, &content, 0)).await, None);
    assert_eq!(alice.asks(part(&room, &content, 1)).await, None);
    assert_eq!(alice.asks(finish(&room, &content)).await, Some(Code::DigestDiffers));
}

#[tokio::test]
async fn quotas_are_exact_and_unfinished_uploads_count() {
    let house = House::with(|limits| {
        limits.blobs.account_bytes = 1_000;
        limits.blobs.account_blobs = 3;
        limits.blobs.conversation_bytes = 1_500;
        limits.blobs.uploads = 2;
    })
    .await;
    let (alice, bob, room) = house.pair().await;
    let (first, second) = (bytes(1, 600), bytes(2, 400));
    assert_eq!(alice.begins(&room, &first).await, Ok((0, false)));
    assert_eq!(alice.begins(&room, &bytes(3, 401)).await, Err(Code::BlobQuotaAccount), "one byte too many");
    alice.uploads(&room, &second).await;
    assert_eq!(alice.begins(&room, &bytes(3, 1)).await, Err(Code::BlobQuotaAccount));
    assert_eq!(bob.begins(&room, &bytes(4, 501)).await, Err(Code::BlobQuotaConversation));
    assert_eq!(bob.begins(&room, &bytes(4, 500)).await, Ok((0, false)));
    // Taken back, it makes room: of an unfinished one as of a finished one.
    for content in [&first, &second, &second] {
        assert_eq!(alice.asks(release(&room, content)).await, None);
    }
    for seed in 0..2 {
        assert_eq!(alice.begins(&room, &bytes(10 + seed, 20)).await, Ok((0, false)));
    }
    assert_eq!(alice.begins(&room, &bytes(20, 20)).await, Err(Code::TooManyUploads));
    for seed in 0..2 {
        alice.uploads(&room, &bytes(10 + seed, 20)).await;
    }
    alice.uploads(&room, &bytes(20, 20)).await;
    assert_eq!(alice.begins(&room, &bytes(21, 20)).await, Err(Code::BlobQuotaAccount), "three are as many as may be");
    let rejected = |reason| house.context.metrics.blob_rejections(reason);
    assert_eq!(rejected(BlobRejection::AccountQuota), 3);
    assert_eq!((rejected(BlobRejection::ConversationQuota), rejected(BlobRejection::Uploads)), (1, 1));
    house.assert_sound();
}

#[tokio::test]
async fn who_asks_for_parts_and_ranges_above_the_rate_is_slowed_down() {
    let slow = Rate { per_minute: 60, burst: 5 };
    let house = House::with(|limits| limits.rates.transfer = slow).await;
    let (alice, bob, room) = house.pair().await;
    let content = bytes(1, 10);
    alice.uploads(&room, &content).await;
    for _ in 0..5 {
        assert_eq!(bob.reads_all(&room, &content).await, content);
    }
    assert_eq!(house.context.metrics.rate_limit_hits(Limit::Transfer), 0);
    // The sixth waits for its turn, of which there is one a second.
    let began = Instant::now();
    assert_eq!(bob.reads_all(&room, &content).await, content);
    assert!(began.elapsed() > Duration::from_millis(500));
    assert!(house.context.metrics.rate_limit_hits(Limit::Transfer) > 0);
}

#[tokio::test]
async fn a_client_that_does_not_read_its_blobs_is_still_sent_messages() {
    let house = House::new().await;
    let (alice, bob, room) = house.pair().await;
    let content = bytes(1, 8 * BLOB_PART);
    alice.uploads(&room, &content).await;
    // More than any window holds, asked for and not taken.
    let mut greedy = bob.wire.open().await;
    for number in 0..64 {
        greedy.request(read(&room, &content, number % 8 * BLOB_PART as u64, PART)).await;
    }
    let mut sync = bob.sync(vec![room.cursor(0)]).await;
    assert_eq!(code(&alice.wire.call(room.message(2, "hello")).await), None);
    loop {
        match sync.answer().await.expect("the sync call goes on") {
            answer::Result::Entry(entry) if entry.seq == 2 => break,
            _ => {}
        }
    }
    let answer::Result::ReadBlob(range) = greedy.answer().await.unwrap() else { panic!("no range") };
    assert_eq!(range.data, content.slice(..BLOB_PART));
    house.assert_sound();
}

/// Blobs whose ranges are given when the test says so.
struct Held {
    blobs: MemoryBlobs,
    begun: Arc<AtomicUsize>,
    go: Arc<Semaphore>,
}

impl BlobStore for Held {
    fn read(&self, place: Place, offset: u64, length: usize) -> Answer<Range, ReadBlobError> {
        let (range, go) = (self.blobs.read(place, offset, length), Arc::clone(&self.go));
        self.begun.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            drop(go.acquire().await.unwrap());
            range.await
        })
    }

    fn places(&self, digest: BlobDigest, size: u64, limit: usize) -> Answer<Vec<ConversationName>, StoreFault> {
        self.blobs.places(digest, size, limit)
    }

    fn begin(&self, new: NewUpload) -> Answer<Begun, BeginError> {
        self.blobs.begin(new)
    }

    fn put_part(&self, upload: Upload, number: u32, data: Bytes, now_ms: u64) -> Answer<Option<Content>, UploadError> {
        self.blobs.put_part(upload, number, data, now_ms)
    }

    fn part(&self, upload: Upload, number: u32) -> Answer<(u64, Bytes), UploadError> {
        self.blobs.part(upload, number)
    }

    fn ready(&self, upload: Upload) -> Answer<Option<Content>, UploadError> {
        self.blobs.ready(upload)
    }

    fn finish(&self, upload: Upload, whole: Content, kept: Kept) -> Answer<(), UploadError> {
        self.blobs.finish(upload, whole, kept)
    }

    fn discard(&self, upload: Upload) -> Answer<(), StoreFault> {
        self.blobs.discard(upload)
    }

    fn release(&self, upload: Upload) -> Answer<(), StoreFault> {
        self.blobs.release(upload)
    }

    fn sweep(&self, sweep: Sweep) -> Answer<bool, StoreFault> {
        self.blobs.sweep(sweep)
    }

    fn figures(&self) -> Answer<BlobFigures, StoreFault> {
        self.blobs.figures()
    }

    fn used(&self, account: AccountId) -> Answer<Budget, StoreFault> {
        self.blobs.used(account)
    }

    fn close(&self) -> Answer<(), StoreFault> {
        self.blobs.close()
    }
}

#[tokio::test]
async fn few_ranges_are_read_ahead_however_many_are_asked_for() {
    let (begun, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let held = Held { blobs: MemoryBlobs::new(), begun: Arc::clone(&begun), go: Arc::clone(&go) };
    let house = House::keeping(Arc::new(held), |_| ()).await;
    let (alice, bob, room) = house.pair().await;
    let content = bytes(1, 2 * BLOB_PART);
    alice.uploads(&room, &content).await;
    let mut asking = bob.wire.open().await;
    for number in 0..64 {
        asking.request(read(&room, &content, number % 2 * BLOB_PART as u64, PART)).await;
    }
    // The server has all of them, and turns to bob's stream many times.
    house.until(|_| begun.load(Ordering::SeqCst) >= 2).await;
    for counter in 2..22 {
        assert_eq!(code(&alice.wire.call(room.message(counter, "meanwhile")).await), None);
        assert_eq!(code(&bob.wire.call(Method::ListDevices(v1::ListDevices {})).await), None);
    }
    assert_eq!(begun.load(Ordering::SeqCst), 2, "two ranges are 512 KiB");
    go.add_permits(1);
    for _ in 0..64 {
        let answer::Result::ReadBlob(range) = asking.answer().await.unwrap() else { panic!("no range") };
        assert_eq!(range.data.len(), BLOB_PART);
    }
    house.assert_sound();
}
