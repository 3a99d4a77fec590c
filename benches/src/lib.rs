//! What the benches and `qpc-bench` share.

pub mod bed;
pub mod crowd;
pub mod direct;
pub mod history;
pub mod idle;
pub mod metrics;
pub mod process;
pub mod random;
pub mod report;
pub mod stats;
pub mod timing;
pub mod torture;
