//! The quicprochat server: accounts, durable delivery and push over QUIC.
//!
//! `docs/architecture.md` is the map: layers, rooms, a message's path, invariants.

// -- composition
pub mod config;
pub mod data_dir;
pub mod logging;
pub mod shutdown;

// -- shared state
pub mod field;
pub mod metrics;
pub mod policy;
pub mod registry;
pub mod tasks;

// -- edge
pub mod session;
pub mod transport;

// -- domain
pub mod account;
pub mod delivery;
pub mod group;

// -- ports
pub mod clock;
pub mod rng;
pub mod store;
