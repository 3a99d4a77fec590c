//! Between columns and types: numbers that SQLite signs and we do not, ids, names.

use qpc_proto::{
    address::Address,
    chain::ChainValue,
    id::{ConversationName, MessageId},
};
use rusqlite::Row;

use super::StoreError;

/// Our numbers stay far below 2^63.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn number(row: &Row<'_>, column: &str) -> Result<u64, StoreError> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|_| StoreError::Corrupt("a negative number"))
}

pub(super) fn name(text: &str) -> Result<ConversationName, StoreError> {
    text.parse().map_err(|_| StoreError::Corrupt("a conversation's name"))
}

pub(super) fn address(text: &str) -> Result<Address, StoreError> {
    Address::parse(text).map_err(|_| StoreError::Corrupt("an address"))
}

pub(super) fn message_id(bytes: &[u8]) -> Result<MessageId, StoreError> {
    MessageId::parse(bytes).map_err(|_| StoreError::Corrupt("a message id"))
}

pub(super) fn chain(bytes: &[u8]) -> Result<ChainValue, StoreError> {
    ChainValue::parse(bytes).ok_or(StoreError::Corrupt("a chain value"))
}

pub(super) fn key(bytes: Vec<u8>) -> Result<[u8; 32], StoreError> {
    bytes.try_into().map_err(|_| StoreError::Corrupt("a key"))
}
