//! One transaction's view of the database: the row operations of the verbs in SQL.
//!
//! The writer's view has caches behind it; a reader's has none and asks the database each time.

use rusqlite::{Connection, Params, Row};

use super::{
    cache::Cache,
    figures::{Delta, Figures},
    statements::Statements,
};
use crate::store::{
    WakeUps,
    tables::{Fallible, Tables},
};

/// What a transaction does besides its rows, once it is durable.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) wake_ups: WakeUps,
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
    fn wake_ups(&mut self) -> &mut WakeUps {
        &mut self.effects.wake_ups
    }
}

impl Rows<'_> {
    /// See [`Statements::one`].
    pub(super) fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Fallible<Option<T>> {
        self.connection.one(sql, params, read)
    }

    /// See [`Statements::many`].
    pub(super) fn many<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Fallible<Vec<T>> {
        self.connection.many(sql, params, read)
    }

    /// See [`Statements::run`].
    pub(super) fn run(&self, sql: &str, params: impl Params) -> Fallible<usize> {
        Statements::run(self.connection, sql, params)
    }
}
