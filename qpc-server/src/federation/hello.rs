//! The first call on a connection: each side says who it is, and is believed only what its certificate says.

use prost::Message;
use qpc_proto::{
    address::Domain,
    error::Code,
    frame,
    limits::{FRAME_MAX_UNAUTHENTICATED, PEER_PROGRAM_MAX},
    v1::{self, peer_answer, peer_request},
};
use quinn::{Connection, ReadError, SendStream, WriteError};

use super::Hall;
use crate::transport::frames::{Frames, FramesEnd};

/// Why a hello came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelloFault {
    /// The stream or connection ended.
    #[error("the connection ended during the hello: {0}")]
    Lost(String),
    /// What came is no hello, or no answer to one.
    #[error("the peer does not speak this protocol: {0}")]
    Malformed(&'static str),
    /// Somebody else answered, or wants to talk to somebody else.
    #[error("the peer says that it is {said}, and its certificate is of {proved}")]
    Other {
        /// What it says.
        said: String,
        /// What it proves.
        proved: Domain,
    },
    /// It was meant for another server.
    #[error("the peer wants to talk to {0}, which is not this server")]
    Misdirected(String),
    /// The peer refused.
    #[error("the peer refused the hello: {0}")]
    Refused(String),
}

impl From<FramesEnd> for HelloFault {
    fn from(end: FramesEnd) -> Self {
        match end {
            FramesEnd::Frame(_) => Self::Malformed("no frames"),
            end => Self::Lost(end.to_string()),
        }
    }
}

macro_rules! lost {
    ($($error:ty),+) => {
        $(impl From<$error> for HelloFault {
            fn from(error: $error) -> Self {
                Self::Lost(error.to_string())
            }
        })+
    };
}

lost!(quinn::ConnectionError, WriteError, ReadError);

/// Program and version, for traces.
fn program() -> String {
    concat!("qpc-server/", env!("CARGO_PKG_VERSION")).into()
}

/// Greets a peer whose certificate has been looked at; gives when its server was restored from a backup last.
pub(super) async fn greet(hall: &Hall, connection: &Connection, peer: &Domain) -> Result<u64, HelloFault> {
    let (mut send, recv) = connection.open_bi().await?;
    let hello = v1::PeerHello { domain: hall.domain.to_string(), peer: peer.to_string(), server: program() };
    let request = v1::PeerRequest { method: Some(peer_request::Method::Hello(hello)) };
    send.write_all(&frame::encode(&request)).await?;
    // One call on this stream: the peer sees its end.
    drop(send.finish());
    let mut frames = Frames::new(recv, FRAME_MAX_UNAUTHENTICATED, hall.limits.frame);
    let answer = frames.next().await?.ok_or(HelloFault::Malformed("no answer"))?;
    let answer = v1::PeerAnswer::decode(answer).map_err(|_| HelloFault::Malformed("no answer of this protocol"))?;
    match answer.result {
        Some(peer_answer::Result::Hello(hello)) if hello.domain == peer.as_str() => Ok(hello.restored_ms),
        Some(peer_answer::Result::Hello(hello)) => {
            Err(HelloFault::Other { said: shown(&hello.domain), proved: peer.clone() })
        }
        Some(peer_answer::Result::Error(error)) => {
            let code = Code::from_wire(error.code).map_or_else(|| error.code.to_string(), |code| code.name().into());
            Err(HelloFault::Refused(code))
        }
        Some(_) | None => Err(HelloFault::Malformed("another answer than a hello")),
    }
}

/// Hears a peer's hello on its first stream and answers it, with when this server was restored last. More may be asked there.
pub(super) async fn hear(
    hall: &Hall,
    connection: &Connection,
    (peer, restored_ms): (&Domain, u64),
) -> Result<(SendStream, Frames), HelloFault> {
    let (mut send, recv) = connection.accept_bi().await?;
    let mut frames = Frames::new(recv, FRAME_MAX_UNAUTHENTICATED, hall.limits.frame);
    let request = frames.next().await?.ok_or(HelloFault::Malformed("no hello"))?;
    let request = v1::PeerRequest::decode(request).map_err(|_| HelloFault::Malformed("no request of this protocol"))?;
    let Some(peer_request::Method::Hello(hello)) = request.method else {
        return Err(HelloFault::Malformed("the first request is no hello"));
    };
    if hello.server.len() > PEER_PROGRAM_MAX {
        return Err(HelloFault::Malformed("the program's name is too long"));
    }
    // Byte by byte: a name in capitals or with a dot at its end is another name.
    if hello.domain != peer.as_str() {
        return Err(HelloFault::Other { said: shown(&hello.domain), proved: peer.clone() });
    }
    if hello.peer != hall.domain.as_str() {
        return Err(HelloFault::Misdirected(shown(&hello.peer)));
    }
    let hello = v1::PeerHelloAnswer { domain: hall.domain.to_string(), server: program(), restored_ms };
    let answer = v1::PeerAnswer { result: Some(peer_answer::Result::Hello(hello)) };
    send.write_all(&frame::encode(&answer)).await?;
    Ok((send, frames))
}

/// Text of a peer as an operator may see it: short, and without anything that moves a cursor.
fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_default).collect()
}
