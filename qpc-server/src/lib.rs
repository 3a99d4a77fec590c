//! The quicprochat server: accounts, durable delivery and push over QUIC.
//!
//! `docs/architecture.md` is the map: layers, rooms, a message's path, invariants.

// -- composition
pub mod backup;
pub mod cli;
pub mod config;
pub mod data_dir;
pub mod doctor;
pub mod logging;
pub mod notify;
pub mod server;
pub mod shutdown;
pub mod why_slow;

// -- edge
pub mod acme;
pub mod admin;
pub mod federation;
pub mod session;
pub mod transport;

// -- shared state
pub mod field;
pub mod metrics;
pub mod peers;
pub mod policy;
pub mod registry;
pub mod tasks;
pub mod told;
pub mod turns;

// -- domain
pub mod account;
pub mod blob;
pub mod delivery;
pub mod group;

// -- ports
pub mod blob_store;
pub mod clock;
pub mod remote;
pub mod rng;
pub mod store;
