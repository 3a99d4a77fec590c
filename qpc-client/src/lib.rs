//! The quicprochat client: the only place with plaintext.
//!
//! [`Client`] is a handle on a driver that keeps one home's account connected, its outbox
//! moving and its conversations decrypted; [`Session`] is that, or a seat in another
//! process that has it (D16). The `qpc-client` program is a thin user of them.

pub mod api;
mod apply;
mod archive;
mod auth;
mod blob;
mod client;
mod commands;
mod core;
mod driver;
mod ephemeral;
mod events;
mod expiry;
mod files;
mod fresh;
pub mod home;
mod identity;
mod local;
pub mod mls;
mod opaque;
mod options;
mod scheduled;
mod session;
#[cfg(feature = "simulation")]
pub mod simulation;
mod store;
mod transfer;
mod transport;
mod trust;
pub mod wire;
mod words;

#[cfg(feature = "simulation")]
pub use self::client::Place;
pub use self::{
    client::{Client, Login, OpenError, Registration, SignInError},
    events::{EventStream, Notice},
    home::{Home, KeySource},
    options::{Fingerprint, FirstUse, KsfParams, Options, ServerAddress, Trust},
    session::Session,
};
