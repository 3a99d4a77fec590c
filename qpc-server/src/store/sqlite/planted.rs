//! A bug on purpose, for tests that must be able to fail. No default build has it.
//!
//! With `QPC_PLANTED_BUG=early-ack` the writer answers before it commits, and commits a little later:
//! a kill in between loses what was acknowledged.

use std::{thread, time::Duration};

use super::queue::{Job, Schema, job};
use crate::store::StoreFault;

pub(super) fn answer_early<S: Schema>(batch: &mut [Box<dyn Job<S>>]) {
    if std::env::var("QPC_PLANTED_BUG").is_ok_and(|bug| bug == "early-ack") {
        for slot in batch {
            let (nothing, _) = job::<S, (), StoreFault, _>(0, |_| Ok(()));
            std::mem::replace(slot, nothing).answer();
        }
        thread::sleep(Duration::from_millis(20));
    }
}
