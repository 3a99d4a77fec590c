//! What is on its way: transfers of blobs, and what goes through a socket.

use prometheus::{IntCounter, IntGauge};

/// A part or range of a blob that is on its way into the store or out of it.
#[derive(Debug)]
pub struct Transfer(IntGauge);

impl Transfer {
    /// Counts it in this gauge, until it is dropped.
    pub(super) fn begin(under_way: IntGauge) -> Self {
        under_way.inc();
        Self(under_way)
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What goes through a socket one way.
#[derive(Debug, Clone)]
pub struct Flow {
    pub(super) datagrams: IntCounter,
    pub(super) bytes: IntCounter,
}

impl Flow {
    /// So many bytes went, in datagrams of this length; the last one may be shorter.
    pub fn went(&self, bytes: usize, each: usize) {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        self.datagrams.inc_by(count(bytes.div_ceil(each.max(1))));
        self.bytes.inc_by(count(bytes));
    }
}
