//! What every backend of blobs must do: one suite of cases, run on each of them.
//!
//! A backend's own tests call `blob_store_conformance!` with a [`Backend`]; each case becomes a test. A case that fails
//! panics and says what it saw.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "these are tests, also where they are compiled for other crates"
)]
#![allow(missing_docs, reason = "a case's name says what it asks")]

pub mod quotas;
pub mod reading;
pub mod sharing;
pub mod upkeep;
pub mod uploads;
pub mod world;

use std::sync::Arc;

use super::BlobStore;
use crate::store::conformance::suite;

/// Makes stores for the suite.
pub trait Backend: Sync {
    /// A fresh, empty store; a persistent backend opens what it had before, once that is closed.
    fn open(&self) -> Arc<dyn BlobStore>;

    /// Does a store that is opened again hold what it held?
    fn persistent(&self) -> bool;
}

suite! { $ blob_store_conformance of blob_store:
    uploads:
        parts_come_in_any_order_and_twice, a_part_that_does_not_fit_is_refused, an_upload_goes_on_where_it_stopped,
        parts_are_counted_without_a_gap, an_upload_that_began_anew_is_not_finished_by_an_earlier_look,
        an_upload_is_not_finished_without_all_parts, an_unknown_upload_takes_nothing,
        another_size_begins_anew, finished_is_finished, a_discarded_upload_is_gone;
    reading:
        ranges_are_cut_at_the_end, a_range_is_never_longer_than_a_part, who_guesses_finds_nothing,
        everything_is_there_after_a_restart, a_closed_store_refuses;
    quotas:
        quotas_are_exact_to_the_byte_and_the_blob, a_refusal_changes_nothing, what_goes_makes_room,
        sizes_beyond_all_bounds_are_refused;
    sharing:
        a_blob_that_can_be_read_needs_no_bytes, two_accounts_upload_the_same_at_once,
        the_second_to_finish_in_one_place_pays_nothing, nobody_releases_what_another_put_there;
    upkeep:
        expired_uploads_go, expired_blobs_go, a_blob_goes_when_it_was_to_be_there_no_longer, bytes_outlive_a_conversation_that_shares_them, figures_are_exact;
}
