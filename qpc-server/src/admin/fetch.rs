//! Reading one page of a running server: what `serve_http` shows, for programs of the operator.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// How long a server may take to be reached, and for each piece of its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer that is read, in bytes: the page of metrics has some 100,000.
const PAGE_MAX: u64 = 8 * 1024 * 1024;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The status of HTTP.
    pub status: u16,
    /// What stands below the head.
    pub body: String,
}

/// Fetches a path such as `/readyz`.
///
/// # Errors
/// Nothing listens there, it takes too long, or it is not HTTP.
pub fn fetch(address: SocketAddr, path: &str) -> io::Result<Fetched> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(PAGE_MAX).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.split([' ', '\r']).next()?.parse().ok());
    let status = status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))?;
    Ok(Fetched { status, body: body.to_owned() })
}
