//! What every storage backend must do: one suite of cases, run on each of them.
//!
//! A backend's own tests call `store_conformance!` with a [`Backend`]; each case becomes a test.
//! A case that fails panics and says what it saw.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "these are tests, also where they are compiled for other crates"
)]
#![allow(missing_docs, reason = "a case's name says what it asks")]

pub mod accounts;
pub mod appends;
pub mod blocks;
pub mod contacts;
pub mod continuations;
pub mod copies;
pub mod devices;
pub mod followers;
pub mod groups;
pub mod guests;
pub mod key_packages;
pub mod links;
pub mod operator;
pub mod reading;
pub mod restore;
mod theirs;
pub mod upkeep;
pub mod world;

use std::sync::Arc;

use super::Store;

/// Makes stores for the suite.
pub trait Backend: Sync {
    /// A fresh, empty store; a persistent backend opens what it had before, once that is closed.
    fn open(&self) -> Arc<dyn Store>;

    /// Does a store that is opened again hold what it held?
    fn persistent(&self) -> bool;
}

/// Makes the cases of a suite known: to programs by a list, and to an adapter's tests by a macro of this name.
macro_rules! suite {
    ($d:tt $macro:ident of $port:ident: $($module:ident: $($case:ident),+;)+) => {
        /// Every case with its name.
        pub const CASES: &[(&str, fn(&dyn Backend))] = &[$($((stringify!($case), $module::$case)),+),+];

        /// Makes a test of each case, on the backend that the expression makes.
        #[macro_export]
        macro_rules! $macro {
            ($d backend:expr) => {
                $($(
                    #[test]
                    fn $case() {
                        $d crate::$port::conformance::$module::$case(&$d backend);
                    }
                )+)+
            };
        }
    };
}
pub(crate) use suite;

suite! { $ store_conformance of store:
    accounts:
        an_account_logs_in_with_what_it_registered, names_are_taken_once, invites_let_in_as_often_as_they_say,
        invites_expire, an_invite_is_used_up_once_by_many_at_the_same_moment, devices_are_enrolled_up_to_the_limit,
        a_revoked_device_can_do_nothing, a_password_change_replaces_both_parts, a_deleted_account_is_gone_for_good,
        a_reset_account_comes_back_with_its_token_alone, a_device_is_noted_once_a_day;
    appends:
        entries_are_chained_and_gap_free, the_same_message_is_stored_once, a_used_counter_or_id_is_a_conflict,
        counters_have_no_gaps, messages_of_another_epoch_are_refused, strangers_find_no_conversation,
        counters_outlive_many_entries, the_sink_sees_the_order_of_the_log, verbs_take_effect_in_the_order_of_calls,
        many_senders_at_once_leave_no_gap;
    contacts:
        a_stranger_places_one_small_message, accepting_lets_the_other_write_and_tells_them,
        writing_back_accepts, creating_back_accepts_and_names_the_one_conversation,
        a_decline_looks_like_waiting, what_was_not_asked_cannot_be_answered, contacts_are_listed_in_pages;
    continuations:
        who_is_in_what_a_group_continues_has_agreed_to_be_added, what_a_group_continues_is_known_as_long_as_it_is,
        a_device_is_welcomed_by_whom_it_has_agreed_with_elsewhere;
    blocks:
        a_block_withholds_bodies_and_shows_nothing, a_blocked_request_is_stored_and_its_welcome_held,
        a_blocked_contact_can_be_added_without_a_word, a_block_holds_so_many_welcomes;
    copies:
        a_copy_takes_what_follows_and_nothing_else, who_has_not_agreed_is_in_no_group_of_another_domain, a_copy_takes_of_people_of_here_what_they_have_sent,
        what_waits_for_a_hub_waits_in_order_until_it_has_said_something,
        what_is_sent_at_once_is_known_until_it_is_refused, a_hub_is_told_of_devices_and_accounts_that_are_gone,
        what_a_hub_refused_before_it_heard_of_an_acceptance_is_sent_again,
        of_another_domains_inbox_a_device_is_told_what_that_domain_may_say;
    followers:
        a_domain_that_was_restored_is_handed_again_what_it_lacks,
        a_domain_reads_what_its_people_may_from_where_the_first_came_in,
        a_guest_who_makes_a_conversation_reads_it_from_its_beginning,
        what_a_guests_server_has_read_of_an_inbox_the_device_has, a_guest_that_is_gone_is_gone_everywhere;
    devices:
        devices_that_were_not_welcomed_are_told_where_their_account_is,
        devices_are_told_what_another_one_has_asked_or_answered, an_account_has_one_personal_conversation,
        a_device_that_is_gone_is_proposed_for_removal_in_each_epoch,
        an_account_that_is_gone_leaves_its_groups_with_all_devices;
    groups:
        one_commit_an_epoch, a_commit_welcomes_those_it_adds, the_tree_that_a_welcome_needs_is_kept_with_its_commit, only_contacts_are_added,
        roles_follow_the_group, a_groups_state_is_stored_with_its_change,
        a_judgement_counts_for_the_state_it_was_passed_on,
        a_report_names_a_commit_of_somebody_else_in_an_epoch_that_has_passed, only_enrolled_devices_are_added,
        a_device_that_joins_by_itself_reads_from_there, a_group_has_a_limit, a_commit_changes_so_many,
        who_is_removed_reads_up_to_that_entry, who_leaves_reads_up_to_that_entry,
        who_joins_reads_from_the_commit_that_added_them, a_direct_conversation_keeps_its_two,
        a_group_of_one_begins_without_an_entry, a_creation_is_answered_alike, a_name_is_used_once,
        conversations_are_listed_in_pages;
    guests:
        a_guest_takes_part_like_people_of_here,
        a_guest_may_have_the_name_of_somebody_here_and_takes_nothing_from_them,
        a_guests_devices_are_those_that_its_server_names, a_guest_with_another_key_is_one_that_was_reset;
    key_packages:
        a_key_package_is_handed_out_once, a_peer_claims_of_each_device_what_nobody_else_gets, each_suite_has_its_own_key_packages,
        of_the_newer_suite_all_devices_have_some_or_none_is_taken, the_oldest_go_beyond_the_limit, many_claim_at_once;
    links:
        a_link_lets_in_whoever_asks_by_it_as_often_as_it_says, two_who_race_for_the_last_use_are_not_both_let_in,
        a_link_ends_with_its_time, a_link_that_is_withdrawn_refuses_who_waits,
        links_are_made_and_requests_read_by_who_may_add, nobody_asks_for_somebody_else,
        who_was_removed_comes_again_by_a_link_that_has_uses, who_has_asked_is_welcomed_whomever_they_block,
        links_and_requests_are_so_many;
    operator:
        a_suspended_account_can_do_nothing_and_loses_nothing, a_suspension_outlives_a_restart,
        an_operator_ends_accounts_and_devices_as_their_owners_could, everything_is_listed_in_pages,
        accounts_are_counted_by_their_setup;
    reading:
        pages_end_at_their_limits, who_is_in_a_conversation_now_may_send_there_or_not, a_position_is_clamped_to_what_is_there, positions_are_given_in_the_order_asked,
        an_inbox_has_one_reader, everything_is_there_after_a_restart, a_closed_store_refuses;
    restore:
        a_restored_conversation_is_read_only_until_its_devices_have_come,
        what_was_made_after_the_backup_is_made_again_while_a_restore_is_under_way,
        a_restored_conversation_waits_for_a_time_and_for_those_who_were_here_of_late,
        what_is_given_back_is_stored_as_it_was, a_restored_conversation_waits_for_the_domains_that_follow_it,
        a_restored_server_takes_what_went_through_it_before;
    upkeep:
        retention_takes_bodies_then_entries_and_keeps_the_chain, whoever_is_behind_what_is_kept_is_to_be_taken_out, counters_outlive_their_entries,
        an_inbox_keeps_what_is_not_acknowledged_until_commits_days, undelivered_entries_are_counted,
        a_cursor_is_found_by_its_place_or_by_its_name;
}
