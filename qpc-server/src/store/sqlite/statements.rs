//! Statements that stay prepared on their connection, and columns of our types. The same for every database.

use qpc_proto::{
    address::{AccountName, Address, Domain},
    id::{AccountId, ConversationId, DeviceId, IdError, MessageId},
};
use rusqlite::{Connection, OptionalExtension, Params, Row, types::Type};

use super::error::fault;
use crate::store::StoreFault;

/// What a connection is asked and told.
pub(crate) trait Statements {
    /// The one row that a statement gives, if any.
    fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreFault>;

    /// All rows that a statement gives.
    fn many<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreFault>;

    /// Runs a statement that gives no rows; says how many it changed.
    fn run(&self, sql: &str, params: impl Params) -> Result<usize, StoreFault>;

    /// Gives so many free pages at the end of the file back to the disk, at most.
    fn give_pages_back(&self, pages: usize) -> Result<(), StoreFault>;
}

impl Statements for Connection {
    fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreFault> {
        let mut statement = self.prepare_cached(sql).map_err(fault)?;
        statement.query_row(params, read).optional().map_err(fault)
    }

    fn many<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreFault> {
        let mut statement = self.prepare_cached(sql).map_err(fault)?;
        let rows = statement.query_map(params, read).map_err(fault)?;
        rows.collect::<rusqlite::Result<_>>().map_err(fault)
    }

    fn run(&self, sql: &str, params: impl Params) -> Result<usize, StoreFault> {
        let mut statement = self.prepare_cached(sql).map_err(fault)?;
        statement.execute(params).map_err(fault)
    }

    fn give_pages_back(&self, pages: usize) -> Result<(), StoreFault> {
        let mut statement = self.prepare(&format!("PRAGMA incremental_vacuum({pages})")).map_err(fault)?;
        let mut steps = statement.query([]).map_err(fault)?;
        // One page a step.
        while steps.next().map_err(fault)?.is_some() {}
        Ok(())
    }
}

/// An id of 16 bytes in a column.
pub(crate) trait IdColumn: Sized {
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
pub(crate) fn id<T: IdColumn>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    T::from_column(row.get_ref(column)?.as_blob()?).map_err(|error| malformed(column, error))
}

/// Reads an id that may be absent.
pub(crate) fn maybe_id<T: IdColumn>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    row.get_ref(column)?.as_blob_or_null()?.map(T::from_column).transpose().map_err(|error| malformed(column, error))
}

/// Reads a name and, in the next column, its domain.
pub(crate) fn address(row: &Row<'_>, column: usize) -> rusqlite::Result<Address> {
    let domain_column = column.saturating_add(1);
    let name = AccountName::parse(row.get_ref(column)?.as_str()?).map_err(|error| malformed(column, error))?;
    Ok(Address { name, domain: domain(row, domain_column)? })
}

/// Reads a domain.
pub(crate) fn domain(row: &Row<'_>, column: usize) -> rusqlite::Result<Domain> {
    Domain::parse(row.get_ref(column)?.as_str()?).map_err(|error| malformed(column, error))
}

/// Reads a number that can't be negative.
pub(crate) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(super::error::num)
}
