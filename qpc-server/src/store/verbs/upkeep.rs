//! Upkeep: retention in small batches, figures, the probe.

use crate::store::{Retention, StoreFault, StoreFigures, tables::Tables};

/// Pages given back in one step: one mebibyte, so that a step stays short.
const PAGES_PER_STEP: usize = 256;

/// Bodies first, then old entries of conversations, then what inboxes no longer need or nobody came for, then space.
pub(in crate::store) fn retention_step(tables: &mut dyn Tables, retention: &Retention) -> Result<bool, StoreFault> {
    let mut left = retention.batch.max(1);
    left = left.saturating_sub(tables.strip_bodies(retention.bodies_before_ms, left)?);
    if left > 0 {
        left = left.saturating_sub(tables.drop_entries(retention.entries_before_ms, left)?);
    }
    if left > 0 {
        let (read, all) = (retention.bodies_before_ms, retention.entries_before_ms);
        left = left.saturating_sub(tables.drop_inbox_entries(read, all, left)?);
    }
    tables.drop_invites(retention.bodies_before_ms)?;
    tables.drop_links(retention.bodies_before_ms)?;
    tables.drop_outgoing(retention.bodies_before_ms)?;
    let pages = tables.release_pages(PAGES_PER_STEP)?;
    Ok(left == 0 || pages)
}

pub(in crate::store) fn figures(
    tables: &mut dyn Tables,
    seen_since_ms: u64,
    queue: u64,
) -> Result<StoreFigures, StoreFault> {
    let (undelivered, oldest_ms) = tables.undelivered(seen_since_ms)?;
    Ok(StoreFigures { undelivered, oldest_ms, queue })
}

pub(in crate::store) fn count_accounts(tables: &mut dyn Tables) -> Result<u64, StoreFault> {
    tables.count_accounts()
}

pub(in crate::store) fn probe(tables: &mut dyn Tables) -> Result<(), StoreFault> {
    tables.probe()
}
