//! For the operator: metrics and health over HTTP, and a local socket for changes.
//!
//! HTTP shows and changes nothing; keep its address private. The socket belongs to the
//! data directory and to its owner alone; through it `qpc-server invite create` and
//! `account reset` reach the one process that may write.

mod fetch;
mod http;
mod readers;
mod request;
mod socket;

pub use self::{
    fetch::{Fetched, fetch},
    http::{Health, serve_http},
    request::{AdminAnswer, AdminRequest, Operated, perform},
    socket::{AskError, ask, bind_socket, serve_socket},
};
