//! How it goes with certificates that an ACME authority signs.

use prometheus::IntCounter;

use super::Builder;

/// All of it.
#[derive(Debug)]
pub struct AcmeMetrics {
    /// Certificates that the authority signed.
    pub issued: IntCounter,
    /// Orders that failed; each is made again.
    pub failed: IntCounter,
}

impl AcmeMetrics {
    pub(super) fn new(new: &Builder) -> Result<Self, prometheus::Error> {
        Ok(Self {
            issued: new.counter("qpc_acme_issued_total", "Certificates that the ACME authority signed.")?,
            failed: new
                .counter("qpc_acme_failed_total", "Orders at the ACME authority that failed; each is made again.")?,
        })
    }
}
