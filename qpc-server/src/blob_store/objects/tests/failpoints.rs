//! The process ends between any two steps of a write, in the index or between an object and its row.

use super::*;
use crate::blob_store::sqlite::tests::failpoints::{POINTS, survives};

/// An index, and objects beside it.
struct At(PathBuf);

impl Backend for At {
    fn open(&self) -> Arc<dyn BlobStore> {
        let key = DbKey::parse(&"5a".repeat(32)).unwrap();
        let place = ObjectPlace::Directory(self.0.with_extension("objects"));
        Arc::new(ObjectBlobs::open(&self.0, key, SqliteBlobs::options(), &place).unwrap())
    }

    fn persistent(&self) -> bool {
        true
    }
}

#[test]
fn whatever_a_kill_interrupts_is_whole_or_nothing() {
    let test = "blob_store::objects::tests::failpoints::whatever_a_kill_interrupts_is_whole_or_nothing";
    let between = [("blobs::object_written", 1), ("blobs::objects_removed", 0)];
    survives(|path| Box::new(At(path)), test, &[POINTS.as_slice(), &between].concat());
}
