//! What the benches and `qpc-bench` share.

pub mod history;
