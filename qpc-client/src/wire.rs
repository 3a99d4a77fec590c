//! The wire without a home: connections, calls and streams for tools that measure and test.
//! People's programs use [`crate::Client`].
//!
//! What it promises is what the driver's own connections do: it is their transport, registration and
//! authentication with another face. There is no store and no retry here; who wants messages encrypted has an
//! [`Engine`] besides.

mod device;
mod engine;

use std::{
    io,
    net::IpAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use qpc_proto::{
    address::Domain,
    error::CloseCode,
    v1::{answer::Result as Outcome, request::Method},
};

pub use self::{
    device::Device,
    engine::{Engine, EngineError, Founded, Invited, Welcomed},
};
use crate::{
    Fingerprint, KsfParams, Login, Registration, ServerAddress, Trust,
    api::Password,
    auth::{self, AuthError},
    home::KnownServers,
    opaque::LoggingIn,
    transport::{Ask, CallError, ConnectError, Endpoints, Frames, Link, Transport, request_frame},
};

/// Why a connection, a call or a stream gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// There is no connection.
    #[error("{0}")]
    Connect(String),
    /// The server refused: the number of its code, and its text for traces.
    #[error("the server refused with code {code}: {detail}")]
    Refused {
        /// One of [`qpc_proto::error::Code`], or of a later version.
        code: u32,
        /// For people.
        detail: String,
    },
    /// No answer, or one that is none: whether the request took effect is unknown.
    #[error("{0}")]
    Unknown(String),
}

impl From<CallError> for WireError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(refused) => Self::Refused { code: refused.number, detail: refused.detail },
            error => Self::Unknown(error.to_string()),
        }
    }
}

impl From<ConnectError> for WireError {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error.to_string())
    }
}

impl From<AuthError> for WireError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Call(error) => error.into(),
            error => Self::Unknown(error.to_string()),
        }
    }
}

/// Any request, whose answer is looked at by whoever asks.
impl Ask for Method {
    type Answer = Outcome;

    fn method(self) -> Method {
        self
    }

    fn answer(outcome: Outcome) -> Option<Outcome> {
        Some(outcome)
    }
}

/// One server, and the sockets that many connections to it share.
#[derive(Debug)]
pub struct Dialer {
    sockets: Vec<Transport>,
    next: AtomicUsize,
    server: ServerAddress,
    pin: Fingerprint,
}

impl Dialer {
    /// Opens one UDP socket for each source address; connections take turns on them. Among loopback addresses
    /// any of `127.0.0.0/8` will do, so that limits for one address can be kept apart from what is measured.
    ///
    /// # Errors
    /// The system's, for an address that can't be bound.
    pub fn new(
        server: &ServerAddress,
        pin: Fingerprint,
        sources: &[IpAddr],
        longest_call: Duration,
    ) -> io::Result<Self> {
        let transport = |source: &IpAddr| {
            Ok(Transport {
                server: server.clone(),
                trust: Trust::Pin(pin),
                known: KnownServers::none(),
                program: concat!("qpc-wire/", env!("CARGO_PKG_VERSION")).into(),
                datagrams: true,
                timeout: longest_call,
                endpoints: Endpoints::from_source(*source)?,
            })
        };
        let sockets = sources.iter().map(transport).collect::<io::Result<Vec<_>>>()?;
        Ok(Self { sockets, next: AtomicUsize::new(0), server: server.clone(), pin })
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> &ServerAddress {
        &self.server
    }

    /// A greeted connection that is nobody's yet.
    ///
    /// # Errors
    /// [`WireError::Connect`].
    pub async fn connect(&self) -> Result<Wire, WireError> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let turn = turn.checked_rem(self.sockets.len()).unwrap_or_default();
        let transport = self.sockets.get(turn).ok_or_else(|| WireError::Connect("no source address".into()))?;
        let link = transport.connect_to(self.pin).await?;
        Ok(Wire { link, server: self.server.to_string() })
    }

    /// Tells the server that all connections are over, and waits a moment for that to arrive.
    pub async fn close(&self) {
        for transport in &self.sockets {
            transport.endpoints.close().await;
        }
    }
}

/// A connection. Clones are the same one; it ends with the last of them.
#[derive(Debug, Clone)]
pub struct Wire {
    link: Link,
    server: String,
}

impl Wire {
    /// The domain that the server is the hub of.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.link.domain
    }

    /// Makes an account with its first device. The password is stretched as cheaply as can be, so the account is
    /// no use to a person's client.
    ///
    /// # Errors
    /// [`WireError`].
    pub async fn register(&self, name: &str, password: &str, token: &str) -> Result<Device, WireError> {
        let registration = Registration {
            name: name.to_owned(),
            password: Password(password.to_owned()),
            token: Some(token.to_owned()),
            device_name: "wire".to_owned(),
        };
        let identity = auth::register(&self.link, KsfParams::weak(), &registration, self.server.clone()).await?;
        Ok(Device::of(identity))
    }

    /// Proves the password of an account that [`Wire::register`] made, enrols a new device of it, and makes the
    /// connection its session.
    ///
    /// # Errors
    /// [`WireError`].
    pub async fn log_in(&self, name: &str, password: &str) -> Result<Device, WireError> {
        let login =
            Login { name: name.to_owned(), password: Password(password.to_owned()), device_name: "wire".to_owned() };
        let logged_in = auth::log_in(&self.link, KsfParams::weak(), &login, self.server.clone()).await?;
        logged_in.authenticated?;
        Ok(Device::of(logged_in.identity))
    }

    /// Makes the connection a session of this device.
    ///
    /// # Errors
    /// [`WireError`].
    pub async fn authenticate(&self, device: &Device) -> Result<(), WireError> {
        auth::authenticate(&self.link, device.identity()).await?;
        Ok(())
    }

    /// One call on a stream of its own.
    ///
    /// # Errors
    /// [`WireError`].
    pub async fn call(&self, request: Method) -> Result<Outcome, WireError> {
        Ok(self.link.call(request).await?)
    }

    /// A stream for many requests, or for a sync call.
    ///
    /// # Errors
    /// [`WireError::Unknown`].
    pub async fn open(&self) -> Result<(Requests, Answers), WireError> {
        let (requests, answers) = self.link.open().await?;
        Ok((Requests(requests), Answers(answers)))
    }

    /// Sends a datagram, if the connection carries such; says whether it does.
    #[must_use]
    pub fn send_datagram(&self, datagram: &Bytes) -> bool {
        self.link.send_datagram(datagram)
    }

    /// The next datagram. Cancel-safe.
    ///
    /// # Errors
    /// [`WireError::Unknown`].
    pub async fn datagram(&self) -> Result<Bytes, WireError> {
        Ok(self.link.datagram().await?)
    }

    /// Waits until the connection has ended, and says why.
    pub async fn closed(&self) -> WireError {
        self.link.closed().await.into()
    }

    /// Ends the connection and says so.
    pub fn close(&self) {
        self.link.close(CloseCode::Done);
    }
}

/// The half of a stream that asks.
pub struct Requests(crate::transport::Requests);

impl Requests {
    /// Sends a request without waiting for its answer.
    ///
    /// # Errors
    /// [`WireError::Unknown`].
    pub async fn send(&mut self, request: Method) -> Result<(), WireError> {
        self.send_frame(frame(request)).await
    }

    /// Sends a [`frame`], for instance one that was sent before.
    ///
    /// # Errors
    /// [`WireError::Unknown`].
    pub async fn send_frame(&mut self, frame: Bytes) -> Result<(), WireError> {
        self.0.write_chunk(frame).await.map_err(|error| CallError::from(error).into())
    }
}

/// The half of a stream that answers.
pub struct Answers(Frames);

impl Answers {
    /// The next answer, refusals among them; `None` where the server has ended the stream. Cancel-safe.
    ///
    /// # Errors
    /// [`WireError::Unknown`].
    pub async fn next(&mut self) -> Result<Option<Outcome>, WireError> {
        Ok(self.0.next().await?)
    }

    /// The next answer as its bytes, for who needs only a part of it. Cancel-safe.
    ///
    /// # Errors
    /// [`WireError::Unknown`].
    pub async fn next_frame(&mut self) -> Result<Option<Bytes>, WireError> {
        Ok(self.0.next_frame().await?)
    }

    /// The next answer that has arrived already, as its bytes.
    ///
    /// # Errors
    /// [`WireError::Unknown`].
    pub fn ready_frame(&mut self) -> Result<Option<Bytes>, WireError> {
        Ok(self.0.ready_frame()?)
    }
}

/// A request as bytes, to be sent more than once.
#[must_use]
pub fn frame(request: Method) -> Bytes {
    request_frame(request)
}

/// A first message of OPAQUE (RFC 9807 section 6.3) for a login that nobody means to finish.
///
/// # Errors
/// [`WireError::Unknown`], where there is no randomness.
pub fn ke1(password: &str) -> Result<Bytes, WireError> {
    match LoggingIn::start(password) {
        Ok((_, ke1)) => Ok(ke1.into()),
        Err(error) => Err(WireError::Unknown(error.to_string())),
    }
}
