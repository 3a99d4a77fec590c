//! Randomness as a port, so that a simulation can replay a run from its seed.

/// Gives random bytes fit for keys and nonces.
pub trait Rng: Send + Sync + 'static {
    /// Fills the buffer.
    fn fill(&self, buffer: &mut [u8]);
}

/// An array of random bytes.
pub fn bytes<const N: usize>(rng: &dyn Rng) -> [u8; N] {
    let mut buffer = [0; N];
    rng.fill(&mut buffer);
    buffer
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    fn fill(&self, buffer: &mut [u8]) {
        if getrandom::fill(buffer).is_err() {
            // Without randomness no key, nonce or id is safe: stopping is the only answer (D13).
            tracing::error!("the operating system gives no randomness");
            std::process::abort();
        }
    }
}
