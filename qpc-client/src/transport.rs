//! The way to the server: names to addresses, QUIC with a judged certificate, calls on streams.
//!
//! A connection comes back as a [`Link`], greeted but not authenticated. What it can't do is
//! said in words that name the cause ([`ConnectError`]). Who reconnects, and when, is decided elsewhere.

mod call;
mod diagnose;
mod dial;
mod door;
mod link;
mod tls;

use std::{
    path::{self, PathBuf},
    sync::Arc,
    time::Duration,
};

pub(crate) use self::{
    call::{Ask, CallError, Frames, Lost, Refused, Requests, read_answer, request_frame},
    dial::Endpoints,
    door::Last,
    link::Link,
};
use self::{
    dial::DialError,
    tls::{Policy, Verdict},
};
use crate::{
    Fingerprint, ServerAddress, Trust,
    home::{HomeError, Known, KnownServers},
};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("{server} can't be found: {reason}. Is the name right, and does this machine have a network?")]
    Name { server: ServerAddress, reason: String },
    #[error("{server} can't be reached: {diagnosis}")]
    Unreachable { server: ServerAddress, diagnosis: String },
    #[error(
        "{server} answers, but does not speak this protocol (ALPN qpc/1): is the port right, is the server's version?"
    )]
    OtherProtocol { server: ServerAddress },
    #[error("{server} takes no more connections: {reason}")]
    Full { server: ServerAddress, reason: String },
    #[error(
        "{server} shows a certificate that no root of this system vouches for: {fingerprint}. If its operator confirms \
         this fingerprint, give it with --pin"
    )]
    Unvouched { server: ServerAddress, fingerprint: Fingerprint },
    #[error("the certificate of {server} ({fingerprint}) was not accepted")]
    Declined { server: ServerAddress, fingerprint: Fingerprint },
    #[error("{server} has the certificate {presented}, not the one asked for, {wanted}: nothing was sent to it")]
    OtherPin { server: ServerAddress, presented: Fingerprint, wanted: Fingerprint },
    #[error(
        "THE KEY OF {server} HAS CHANGED. It now shows {presented}; {file} says {known}. Either its operator replaced the \
         certificate, or somebody is in between. Nothing was sent to it. Ask the operator for the fingerprint; if it is \
         the new one, remove the line of {server} from {file} and connect again"
    )]
    Changed { server: ServerAddress, presented: Fingerprint, known: String, file: PathBuf },
    #[error("the certificate of {server} is not valid: {reason}")]
    Certificate { server: ServerAddress, reason: String },
    #[error("{server} shows a certificate that no root of {path} vouches for: {presented}. Nothing was sent to it")]
    OtherCa { server: ServerAddress, presented: Fingerprint, path: PathBuf },
    #[error("{path} can't be used as a list of roots: {reason}")]
    Roots { path: PathBuf, reason: String },
    #[error(
        "{path}, whose roots are to vouch for {server} as {file} says, can't be used: {reason}. Put it back, or say with \
         --ca where it is now"
    )]
    RootsGone { server: ServerAddress, path: PathBuf, file: PathBuf, reason: String },
    #[error("{server} broke off: {error}")]
    Greeting { server: ServerAddress, error: CallError },
    #[error(transparent)]
    Home(#[from] HomeError),
    #[error("TLS can't be set up: {0}")]
    Setup(String),
}

impl ConnectError {
    /// Is there no use in trying again until a person has done something?
    pub(crate) fn needs_person(&self) -> bool {
        match self {
            Self::Unvouched { .. }
            | Self::Declined { .. }
            | Self::OtherPin { .. }
            | Self::Changed { .. }
            | Self::Certificate { .. }
            | Self::OtherCa { .. }
            | Self::Roots { .. }
            | Self::RootsGone { .. }
            | Self::Home(_)
            | Self::Setup(_) => true,
            Self::Name { .. }
            | Self::Unreachable { .. }
            | Self::OtherProtocol { .. }
            | Self::Full { .. }
            | Self::Greeting { .. } => false,
        }
    }
}

/// How one home reaches its server.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) server: ServerAddress,
    pub(crate) trust: Trust,
    pub(crate) known: KnownServers,
    /// Program and version, for `Hello`.
    pub(crate) program: String,
    /// For one call, and for a handshake.
    pub(crate) timeout: Duration,
    /// Take and send what is ephemeral in datagrams, where the server does?
    pub(crate) datagrams: bool,
    pub(crate) endpoints: Endpoints,
}

impl Transport {
    /// Connects and greets. Asks a person where [`Trust::FirstUse`] says so.
    pub(crate) async fn connect(&self) -> Result<Link, ConnectError> {
        let known = match self.trust {
            Trust::Pin(_) | Trust::Ca(_) => None,
            Trust::System | Trust::FirstUse(_) => self.known.get(&self.server)?,
        };
        let policy = match (&self.trust, &known) {
            (Trust::Pin(wanted), _) => Policy::Pin(*wanted),
            (Trust::Ca(path), _) => {
                tls::roots(path).map_err(|reason| ConnectError::Roots { path: path.clone(), reason })?
            }
            (_, Some(Known::Pin(pin))) => Policy::Pin(*pin),
            (_, Some(Known::Ca(path))) => tls::roots(path).map_err(|reason| ConnectError::RootsGone {
                server: self.server.clone(),
                path: path.clone(),
                file: self.known.path().to_owned(),
                reason,
            })?,
            (_, Some(Known::Roots) | None) => tls::system().map_err(ConnectError::Setup)?,
        };
        match self.dial(policy).await {
            Ok(link) => {
                // What a person pinned or a root vouched for is known from here on, and needs no saying again.
                match (&self.trust, known) {
                    (Trust::Pin(pin), _) => self.known.put(&self.server, &Known::Pin(*pin))?,
                    (Trust::Ca(path), _) => {
                        // Later commands are run elsewhere.
                        let path = path::absolute(path).map_err(HomeError::io(path))?;
                        self.known.put(&self.server, &Known::Ca(path))?;
                    }
                    (Trust::System | Trust::FirstUse(_), None) => self.known.put(&self.server, &Known::Roots)?,
                    (Trust::System | Trust::FirstUse(_), Some(_)) => {}
                }
                Ok(link)
            }
            Err(DialError::Judged(verdict)) => self.meet(verdict, known).await,
            Err(error) => Err(self.explain(error)),
        }
    }

    /// Connects to the server with this certificate and greets. Looks nothing up and remembers nothing.
    pub(crate) async fn connect_to(&self, pin: Fingerprint) -> Result<Link, ConnectError> {
        self.dial(Policy::Pin(pin)).await.map_err(|error| self.explain(error))
    }

    /// What to make of a certificate that was not accepted.
    async fn meet(&self, verdict: Verdict, known: Option<Known>) -> Result<Link, ConnectError> {
        let server = self.server.clone();
        let Verdict { presented, reason, unvouched } = verdict;
        match (&self.trust, known) {
            (Trust::Pin(wanted), _) => Err(ConnectError::OtherPin { server, presented, wanted: *wanted }),
            (Trust::Ca(path), _) if unvouched => Err(ConnectError::OtherCa { server, presented, path: path.clone() }),
            (_, Some(known)) if matches!(known, Known::Pin(_)) || unvouched => {
                let known = match known {
                    Known::Pin(pin) => pin.to_string(),
                    Known::Roots => "that a root of this system vouches for it".to_owned(),
                    Known::Ca(path) => format!("that a root of {} vouches for it", path.display()),
                };
                Err(ConnectError::Changed { server, presented, known, file: self.known.path().to_owned() })
            }
            (Trust::FirstUse(ask), None) if unvouched => {
                let (ask, asked) = (Arc::clone(ask), server.clone());
                let answer = tokio::task::spawn_blocking(move || ask(&asked, &presented)).await;
                if !answer.unwrap_or(false) {
                    return Err(ConnectError::Declined { server, fingerprint: presented });
                }
                let link = self.dial(Policy::Pin(presented)).await.map_err(|error| self.explain(error))?;
                self.known.put(&self.server, &Known::Pin(presented))?;
                Ok(link)
            }
            (Trust::System, None) if unvouched => Err(ConnectError::Unvouched { server, fingerprint: presented }),
            _ => Err(ConnectError::Certificate { server, reason }),
        }
    }

    async fn dial(&self, policy: Policy) -> Result<Link, DialError> {
        let (connection, fingerprint) = dial::dial(self, policy).await?;
        Link::greet(connection, fingerprint, &self.program, (self.timeout, self.datagrams))
            .await
            .map_err(DialError::Greeting)
    }

    fn explain(&self, error: DialError) -> ConnectError {
        let server = self.server.clone();
        match error {
            DialError::Name(reason) => ConnectError::Name { server, reason },
            DialError::Unreachable(diagnosis) => ConnectError::Unreachable { server, diagnosis },
            DialError::OtherProtocol => ConnectError::OtherProtocol { server },
            DialError::Full(reason) => ConnectError::Full { server, reason },
            DialError::Judged(verdict) => ConnectError::Certificate { server, reason: verdict.reason },
            DialError::Greeting(error) => ConnectError::Greeting { server, error },
            DialError::Setup(reason) => ConnectError::Setup(reason),
        }
    }
}
