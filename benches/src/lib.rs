//! What the benches and `qpc-bench` share.

pub mod accounts;
pub mod bed;
pub mod crowd;
pub mod direct;
pub mod fanout;
pub mod history;
pub mod idle;
pub mod latency;
pub mod layout;
pub mod ledger;
pub mod load;
pub mod login;
pub mod machine;
pub mod mark;
pub mod metrics;
pub mod outcome;
pub mod process;
pub mod profile;
pub mod progress;
pub mod random;
pub mod report;
pub mod sampler;
pub mod stats;
pub mod talk;
pub mod timing;
pub mod torture;
