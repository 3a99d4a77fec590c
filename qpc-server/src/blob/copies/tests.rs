//! Copies, of a domain that does as a test says.

use std::sync::Mutex;

use futures_util::future::join_all;

use super::*;
use crate::{
    blob_store::{
        BlobStore, Kept,
        conformance::world::{Blob, conversation},
        memory::MemoryBlobs,
    },
    clock::SystemClock,
    metrics::{Metrics, labels::BlobRejection},
    policy::limits::BlobLimits,
    remote::scripted::Scripted,
    store::memory::MemoryStore,
};

const PART: u64 = BLOB_PART as u64;

/// A server, and what it has asked for: offsets, in order.
struct Here {
    blobs: Blobs,
    store: Arc<MemoryBlobs>,
    asked: Arc<Mutex<Vec<u64>>>,
}

impl Here {
    fn new(says: impl Fn(u64) -> Result<PeerRange, RemoteError> + Send + Sync + 'static) -> Self {
        Self::with(Arc::new(MemoryBlobs::new()), &FederationLimits::default(), says)
    }

    fn with(
        store: Arc<MemoryBlobs>,
        limits: &FederationLimits,
        says: impl Fn(u64) -> Result<PeerRange, RemoteError> + Send + Sync + 'static,
    ) -> Self {
        let asked = Arc::<Mutex<Vec<u64>>>::default();
        let offsets = Arc::clone(&asked);
        let blob = move |offset| {
            offsets.lock().unwrap().push(offset);
            says(offset)
        };
        let remote = Arc::new(Scripted { blob: Box::new(blob), ..Scripted::default() });
        let parts = (Arc::new(MemoryStore::new()) as Arc<_>, Arc::clone(&store) as Arc<_>);
        let metrics = Arc::new(Metrics::new().unwrap());
        let blobs = Blobs::new(parts, Arc::new(SystemClock), metrics, &BlobLimits::default());
        Self { blobs: blobs.with_remote(remote, limits), store, asked }
    }

    async fn read(&self, of: &Blob, offset: u64, length: usize) -> Result<(u64, Bytes), BlobError> {
        self.blobs.find(Asked { place: of.in_place(&conversation(1)), offset, length }).await
    }

    /// All of it, range by range.
    async fn read_all(&self, of: &Blob, length: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while (all.len() as u64) < of.size() {
            let (size, data) = self.read(of, all.len() as u64, length).await.unwrap();
            assert!(size == of.size() && (data.len() == length || all.len() + data.len() == of.0.len()));
            all.extend_from_slice(&data);
        }
        all
    }

    fn asked(&self) -> Vec<u64> {
        self.asked.lock().unwrap().clone()
    }

    fn rejections(&self, reason: BlobRejection) -> u64 {
        self.blobs.metrics.blob_rejections(reason)
    }

    async fn figures(&self) -> (u64, u64) {
        let figures = self.store.figures().await.unwrap();
        (figures.blobs.blobs, figures.uploads.blobs)
    }
}

/// What an honest hub says.
fn honest(blob: &Blob, kept_ms: u64) -> impl Fn(u64) -> Result<PeerRange, RemoteError> + Send + Sync + use<> {
    let blob = blob.clone();
    move |offset| {
        if offset >= blob.size() {
            return Err(RemoteError::Range);
        }
        let data = blob.part(u32::try_from(offset / PART).unwrap());
        Ok(PeerRange { size: blob.size(), data, kept_ms })
    }
}

#[tokio::test]
async fn a_part_is_asked_for_once_however_many_read_it_and_how() {
    let blob = Blob::new(1, 3 * BLOB_PART + 7);
    let here = Here::new(honest(&blob, 5_000));
    // Ranges that begin anywhere, and several readers at once.
    let lengths = [BLOB_PART, BLOB_PART - 1, 100_000, BLOB_PART, 77_777];
    let readers = lengths.map(|length| here.read_all(&blob, length));
    for read in join_all(readers).await {
        assert!(read == blob.0, "other bytes came");
    }
    let mut asked = here.asked();
    asked.sort_unstable();
    assert_eq!(asked, [0, PART, 2 * PART, 3 * PART]);
    assert_eq!(here.figures().await, (1, 0));
    // It goes when the hub's goes.
    let Kept { added_ms, until_ms } = here.store.read(blob.in_place(&conversation(1)), 0, 1).await.unwrap().kept;
    assert!((added_ms..=added_ms + 5_000).contains(&until_ms) && until_ms > 0);
    assert_eq!(here.read(&blob, blob.size(), 1).await, Err(BlobError::Range));
}

#[tokio::test]
async fn what_was_there_before_a_restart_is_not_asked_for_again() {
    let blob = Blob::new(1, 2 * BLOB_PART);
    let before = Here::new(honest(&blob, 0));
    assert!(before.read(&blob, PART, 10).await.is_ok());
    let store = Arc::clone(&before.store);
    let here = Here::with(store, &FederationLimits::default(), honest(&blob, 0));
    assert!(here.read_all(&blob, BLOB_PART).await == blob.0);
    assert_eq!((before.asked(), here.asked()), (vec![PART], vec![0]));
    assert_eq!(here.figures().await, (1, 0));
    assert_eq!(here.store.read(blob.in_place(&conversation(1)), 0, 1).await.unwrap().kept.until_ms, 0);
}

#[tokio::test]
async fn what_is_not_the_blob_is_not_kept() {
    let (blob, other) = (Blob::new(1, 2 * BLOB_PART), Blob::new(2, 2 * BLOB_PART));
    let here = Here::new(honest(&other, 0));
    // Its reader will find out what it is.
    assert!(here.read_all(&blob, BLOB_PART).await == other.0);
    assert_eq!((here.figures().await, here.rejections(BlobRejection::Digest)), ((0, 0), 1));
    for (what, size, len) in [
        ("nothing", blob.size(), 0),
        ("too short", blob.size(), BLOB_PART - 1),
        ("too long", blob.size(), BLOB_PART + 1),
        ("of nothing", 0, 0),
        ("of less than it has", 10, BLOB_PART),
    ] {
        let here = Here::new(move |_| Ok(PeerRange { size, data: vec![7; len].into(), kept_ms: 0 }));
        assert_eq!(here.read(&blob, 0, 10).await, Err(RemoteError::Unfit.into()), "{what}");
        assert_eq!(here.figures().await, (0, 0), "{what}");
    }
    // One that has another size each time begins anew each time, and never ends.
    let sizes = Mutex::new(1..);
    let here = Here::new(move |_| {
        let size = 2 * PART + sizes.lock().unwrap().next().unwrap();
        Ok(PeerRange { size, data: vec![7; BLOB_PART].into(), kept_ms: 0 })
    });
    for offset in [0, PART, PART + 1] {
        assert!(here.read(&blob, offset, 10).await.is_ok());
    }
    assert_eq!(here.figures().await, (0, 1));
}

#[tokio::test]
async fn a_domain_has_so_much_room_and_what_does_not_fit_is_passed_on() {
    let (one, two, three) = (Blob::new(1, 100), Blob::new(2, 50), Blob::new(3, 51));
    let limits = FederationLimits { copied_bytes: 150, ..FederationLimits::default() };
    let store = Arc::new(MemoryBlobs::new());
    let asked = |of: &Blob| Here::with(Arc::clone(&store), &limits, honest(of, 0));
    for (blob, kept) in [(&one, true), (&three, false), (&two, true)] {
        let here = asked(blob);
        for _ in 0..2 {
            assert!(here.read_all(blob, BLOB_PART).await == blob.0);
        }
        assert_eq!(here.asked().len(), if kept { 1 } else { 2 });
        assert_eq!(here.rejections(BlobRejection::AccountQuota), if kept { 0 } else { 2 });
    }
    let limits = FederationLimits { copied_blobs: 1, copies_begun: 1, ..FederationLimits::default() };
    let (store, large) = (Arc::new(MemoryBlobs::new()), Blob::new(4, BLOB_PART + 1));
    for (blob, figures) in [(&large, (0, 1)), (&Blob::new(5, BLOB_PART + 1), (0, 1))] {
        let here = Here::with(Arc::clone(&store), &limits, honest(blob, 0));
        assert!(here.read(blob, 0, 10).await.is_ok());
        assert_eq!(here.figures().await, figures);
    }
}

#[tokio::test]
async fn what_a_domain_refuses_is_refused() {
    let blob = Blob::new(1, 100);
    for error in [RemoteError::NotFound, RemoteError::Unreachable, RemoteError::Unknown, RemoteError::Range] {
        let here = Here::new(move |_| Err(error));
        assert_eq!(here.read(&blob, 0, 10).await, Err(error.into()));
    }
    let nobody = Here::new(honest(&blob, 0));
    let here = Blobs { copies: None, ..nobody.blobs };
    let asked = Asked { place: blob.in_place(&conversation(1)), offset: 0, length: 10 };
    assert_eq!(here.find(asked).await, Err(RemoteError::Unknown.into()));
}

#[test]
fn a_copy_is_kept_no_longer_than_what_it_is_of() {
    let here = Here::new(|_| Err(RemoteError::Unknown));
    let now_ms = here.blobs.clock.unix_ms();
    let day = 24 * 60 * 60 * 1_000;
    let left = |kept: std::time::Duration, added_ms, until_ms| {
        let Here { blobs, .. } = Here::new(|_| Err(RemoteError::Unknown));
        Blobs { kept, ..blobs }.kept_ms(&Kept { added_ms, until_ms })
    };
    let close = |left: u64, to: u64| (to.saturating_sub(60_000)..=to).contains(&left);
    let days = |days: u32| std::time::Duration::from_secs(u64::from(days) * 24 * 60 * 60);
    assert_eq!(left(days(0), now_ms, 0), 0, "for ever");
    assert!(close(left(days(2), now_ms, 0), 2 * day));
    assert!(close(left(days(2), now_ms, now_ms + day), day));
    assert!(close(left(days(2), now_ms - day, now_ms + 3 * day), day));
    assert!(close(left(days(0), now_ms, now_ms + day), day));
    assert_eq!(left(days(2), now_ms - 3 * day, 0), 1, "0 would be for ever");
}
