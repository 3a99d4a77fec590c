//! The quicprochat client: the only place with plaintext.
//!
//! [`Client`](api) is a handle on a driver that keeps one home's account connected,
//! its outbox moving and its conversations decrypted. The `qpc-client` program is a
//! thin user of it.

pub mod api;
