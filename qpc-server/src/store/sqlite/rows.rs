//! One transaction's view of the database: the row operations of the verbs in SQL.
//!
//! The writer's view has caches behind it; a reader's has none and asks the database each time.

use rusqlite::{Connection, OptionalExtension, Params, Row, types::Type};

use super::{
    cache::Cache,
    error::fault,
    figures::{Delta, Figures},
};
use crate::store::{
    Committed,
    tables::{Fallible, Tables},
};
use qpc_proto::{
    address::{AccountName, Address, Domain},
    id::{AccountId, ConversationId, DeviceId, IdError, MessageId},
};

/// What a transaction does besides its rows, once it is durable.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) committed: Vec<Committed>,
    pub(super) gone: Vec<DeviceId>,
    pub(super) delta: Delta,
}

/// Rows, as one transaction sees them.
pub(super) struct Rows<'a> {
    pub(super) connection: &'a Connection,
    /// The writer's alone.
    pub(super) cache: Option<&'a mut Cache>,
    pub(super) effects: &'a mut Effects,
    pub(super) figures: &'a Figures,
}

impl Tables for Rows<'_> {
    fn emit(&mut self, committed: Committed) {
        self.effects.committed.push(committed);
    }

    fn gone(&mut self, device: DeviceId) {
        self.effects.gone.push(device);
    }
}

impl Rows<'_> {
    /// The one row that a statement gives, if any.
    pub(super) fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Fallible<Option<T>> {
        let mut statement = self.connection.prepare_cached(sql).map_err(fault)?;
        statement.query_row(params, read).optional().map_err(fault)
    }

    /// All rows that a statement gives.
    pub(super) fn many<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Fallible<Vec<T>> {
        let mut statement = self.connection.prepare_cached(sql).map_err(fault)?;
        let rows = statement.query_map(params, read).map_err(fault)?;
        rows.collect::<rusqlite::Result<_>>().map_err(fault)
    }

    /// Runs a statement that gives no rows; says how many it changed.
    pub(super) fn run(&self, sql: &str, params: impl Params) -> Fallible<usize> {
        let mut statement = self.connection.prepare_cached(sql).map_err(fault)?;
        statement.execute(params).map_err(fault)
    }
}

/// An id of 16 bytes in a column.
pub(super) trait IdColumn: Sized {
    fn from_column(bytes: &[u8]) -> Result<Self, IdError>;
}

macro_rules! id_columns {
    ($($id:ty),+) => {
        $(impl IdColumn for $id {
            fn from_column(bytes: &[u8]) -> Result<Self, IdError> {
                Self::parse(bytes)
            }
        })+
    };
}

id_columns!(AccountId, DeviceId, MessageId, ConversationId);

fn malformed(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error))
}

/// Reads an id.
pub(super) fn id<T: IdColumn>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    T::from_column(row.get_ref(column)?.as_blob()?).map_err(|error| malformed(column, error))
}

/// Reads an id that may be absent.
pub(super) fn maybe_id<T: IdColumn>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    row.get_ref(column)?.as_blob_or_null()?.map(T::from_column).transpose().map_err(|error| malformed(column, error))
}

/// Reads a name and, in the next column, its domain.
pub(super) fn address(row: &Row<'_>, column: usize) -> rusqlite::Result<Address> {
    let domain_column = column.saturating_add(1);
    let name = AccountName::parse(row.get_ref(column)?.as_str()?).map_err(|error| malformed(column, error))?;
    Ok(Address { name, domain: domain(row, domain_column)? })
}

/// Reads a domain.
pub(super) fn domain(row: &Row<'_>, column: usize) -> rusqlite::Result<Domain> {
    Domain::parse(row.get_ref(column)?.as_str()?).map_err(|error| malformed(column, error))
}

/// Reads a number that can't be negative.
pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(super::error::num)
}
