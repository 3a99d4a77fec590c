//! The quicprochat server: accounts, durable delivery and push over QUIC.
//!
//! `docs/architecture.md` is the map: layers, rooms, a message's path, invariants.

// -- shared by all layers
pub mod metrics;

// -- domain
pub mod account;

// -- ports
pub mod clock;
pub mod rng;
pub mod store;
