//! For the operator: metrics and health over HTTP, and a local socket for changes.
//!
//! HTTP shows and changes nothing; keep its address private. The socket belongs to the
//! data directory and to its owner alone; through it `qpc-server admin`, `invite create` and
//! `account reset` reach the one process that may write. What they do leaves a trace in a log whose lines hang together.

mod accounts;
mod audit;
mod fetch;
mod http;
mod lists;
mod perform;
mod readers;
mod request;
mod rows;
mod sessions;
mod setups;
mod socket;

pub use self::{
    audit::{AuditEntry, AuditError, AuditLog, Audited, Head, LineFault, Trouble, read_audit},
    fetch::{Fetched, fetch},
    http::{Health, serve_http},
    perform::{ADMIN_ROWS, Controls, Live, LogLevel, Operated, ShowSettings, perform},
    request::{AdminAnswer, AdminRequest},
    rows::*,
    socket::{AskError, ask, bind_socket, serve_socket},
};
