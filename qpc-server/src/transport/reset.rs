//! Telling clients that a server died: stateless resets (RFC 9000 section 10.3) that survive a restart.
//!
//! A client whose server was killed would otherwise wait for its idle timeout. With a kept key the next
//! server knows the connection ids of the one before, and answers them with the token that the client
//! was given when it connected. Nothing else is remembered of a connection.

use std::{fmt, sync::Arc, time::Duration};

use aws_lc_rs::hmac;
use quinn::EndpointConfig;
use quinn_proto::{ConnectionIdGenerator, HashedConnectionIdGenerator};
use zeroize::Zeroizing;

/// Least time between two resets: none. quinn reads its clock once for all packets that it takes from the socket together, so
/// that any time would let it answer only the first of them, and after a restart under many clients nearly all packets
/// come together: who was not answered would wait for an idle timeout. A reset is bounded without it: each is shorter than
/// the packet that asks for it, and asking takes a connection id that this server made.
const RESET_INTERVAL: Duration = Duration::ZERO;

/// The secret that connection ids and reset tokens are made of.
pub struct ResetKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for ResetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResetKey")
    }
}

impl ResetKey {
    /// Of 32 random bytes.
    #[must_use]
    pub const fn new(seed: Zeroizing<[u8; 32]>) -> Self {
        Self(seed)
    }

    /// What an endpoint is configured with that uses it.
    pub fn endpoint_config(&self) -> EndpointConfig {
        let key = |label: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &*self.0), label);
        let tokens = hmac::Key::new(hmac::HMAC_SHA256, key(b"qpc stateless reset").as_ref());
        let ids = key(b"qpc connection id").as_ref().first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
        let mut config = EndpointConfig::new(Arc::new(tokens));
        config
            .cid_generator(move || -> Box<dyn ConnectionIdGenerator> {
                Box::new(HashedConnectionIdGenerator::from_key(ids))
            })
            .min_reset_interval(RESET_INTERVAL);
        config
    }
}
