//! What happens by chance, by the seed of this thread's simulation.

use qpc_client::simulation;

/// A number below `end`.
pub(crate) fn below(end: u64) -> u64 {
    u64::from_le_bytes(simulation::random().unwrap()) % end
}

/// An index of something that has so many.
pub(crate) fn index(end: usize) -> usize {
    usize::try_from(below(u64::try_from(end).unwrap())).unwrap()
}

/// One of them.
pub(crate) fn one_of<T>(all: &[T]) -> &T {
    &all[index(all.len())]
}

/// So many times out of a hundred.
pub(crate) fn percent(times: u64) -> bool {
    below(100) < times
}
