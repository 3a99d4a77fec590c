//! The wire of quicprochat: schema, ids, limits, error codes, codecs, and the rules
//! that server and client must judge alike.
//!
//! This crate says, the server decides, the client understands. It has no runtime,
//! clock, randomness or I/O, and builds for wasm32. `docs/protocol.md` describes the
//! same in prose, with test vectors.

pub mod address;
pub mod chain;
pub mod content;
pub mod continuation;
pub mod credential;
pub mod ephemeral;
pub mod error;
pub mod frame;
pub mod id;
pub mod judge;
pub mod limits;
pub mod link;
mod redacted;
pub mod report;
pub mod role;
pub mod safety;
pub mod suite;
pub mod transcript;

/// The generated message types of package `qpc.v1`.
///
/// Those that carry secrets or people's words print nothing but their name as
/// `Debug`: they must never end in a log.
#[allow(missing_docs, reason = "documented in the .proto files")]
#[allow(clippy::doc_markdown, clippy::large_enum_variant, clippy::doc_overindented_list_items, reason = "generated")]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/qpc.v1.rs"));
}

/// TLS application protocol of clients (RFC 7301).
pub const ALPN: &[u8] = b"qpc/1";

/// UDP port where a host name is given without one.
pub const DEFAULT_PORT: u16 = 7000;

/// TLS application protocol between servers.
pub const FEDERATION_ALPN: &[u8] = b"qpc-fed/1";

/// UDP port on which servers listen for each other.
pub const FEDERATION_PORT: u16 = 7001;

/// The version of the key stretching function that new registrations use:
/// Argon2id, 64 MiB, 3 passes, 1 lane (RFC 9106), over the OPRF output.
pub const KSF_VERSION: u32 = 1;
