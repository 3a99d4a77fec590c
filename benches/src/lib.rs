//! What the benches and `qpc-bench` share.

pub mod history;
pub mod process;
pub mod stats;
