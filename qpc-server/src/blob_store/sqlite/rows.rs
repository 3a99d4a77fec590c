//! One transaction's view of the database, and the columns that several tables have.

use qpc_proto::id::ConversationName;
use rusqlite::{Connection, Row};

use crate::{
    blob_store::{BlobDigest, Place},
    store::sqlite::statements::{domain, id},
};

/// Rows, as one transaction sees them.
pub(super) struct Rows<'a> {
    pub(super) connection: &'a Connection,
    /// Where the bytes of parts are.
    pub(super) bytes: super::Bytes,
}

/// Reads a domain and, in the next column, the id of a conversation there.
pub(super) fn conversation(row: &Row<'_>, column: usize) -> rusqlite::Result<ConversationName> {
    Ok(ConversationName { domain: domain(row, column)?, id: id(row, column.saturating_add(1))? })
}

/// Reads a conversation and, in the next column, a digest.
pub(super) fn place(row: &Row<'_>, column: usize) -> rusqlite::Result<Place> {
    let digest = BlobDigest(row.get(column.saturating_add(2))?);
    Ok(Place { conversation: conversation(row, column)?, digest })
}
