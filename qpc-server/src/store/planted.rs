//! A bug on purpose, for a simulation that must find it. No default build has it.

use std::cell::Cell;

thread_local! {
    static TWO_COMMITS: Cell<bool> = const { Cell::new(false) };
}

/// From now on a store of this thread takes a second commit of an epoch, or no longer does.
pub fn accept_two_commits(wanted: bool) {
    TWO_COMMITS.set(wanted);
}

pub(super) fn accepts_two_commits() -> bool {
    TWO_COMMITS.get()
}
