//! One connection from its handshake to its end: what it has proved, its deadlines, its streams.
//!
//! A supervisor accepts streams and closes the connection when a deadline passes, the server stops or
//! the device goes; each stream is served by a task of its own.

use std::{
    future::pending,
    sync::{
        Arc, Mutex as Lock, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use qpc_proto::{
    ephemeral::Event,
    error::{CloseCode, Code},
    limits::{FRAME_MAX, FRAME_MAX_UNAUTHENTICATED},
    transcript::{EXPORTER_LABEL, EXPORTER_LEN},
    v1,
};
use quinn::{Connection, RecvStream, SendStream, VarInt};
use tokio::{
    sync::{MappedMutexGuard, Mutex, MutexGuard, Notify},
    time::{Instant, sleep, sleep_until},
};
use tracing::Span;

use super::{Context, state::Session, stream, wire_error::WireError};
use crate::{
    account::{LoginStage, Recognised},
    metrics::labels::EphemeralDrop,
    policy::{IpPrefix, admission::Place},
    registry::{Line, Peer},
    store::Refusal,
};

/// How long a device that revokes itself has to receive the answer.
const FAREWELL: Duration = Duration::from_millis(300);

/// Datagrams that are taken before others have their turn.
const DATAGRAMS_AT_ONCE: usize = 16;

/// Whether a datagram was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carried {
    Yes,
    /// Too many before it have not left yet.
    NotNow,
    /// The connection carries no datagrams, or none of this length.
    Never,
}

/// What the streams of a connection share.
pub(super) struct Link {
    pub(super) context: Arc<Context>,
    connection: Connection,
    began: Instant,
    prefix: IpPrefix,
    /// There while the connection is on its way to a session, or proves a password again.
    stage: Mutex<Option<Box<LoginStage>>>,
    session: OnceLock<Session>,
    /// Counts against the prefix until the connection is authenticated.
    stranger: Lock<Option<Place>>,
    /// When the login under way will have taken too long.
    login_due: Lock<Option<Instant>>,
    greeted: AtomicBool,
    leaving: AtomicBool,
    requests: AtomicU32,
    streams: AtomicUsize,
    /// For the supervisor: a session was made, a login begun, a stream has ended, or the device is gone.
    changed: Notify,
    doomed: AtomicBool,
}

/// Serves a connection whose handshake has ended. `deadline` is when its first request must have begun.
pub(crate) async fn run(
    context: Arc<Context>,
    connection: Connection,
    prefix: IpPrefix,
    stranger: Place,
    deadline: Instant,
) {
    let link = Arc::new(Link {
        context,
        connection,
        began: Instant::now(),
        prefix,
        stage: Mutex::new(None),
        session: OnceLock::new(),
        stranger: Lock::new(Some(stranger)),
        login_due: Lock::new(None),
        greeted: AtomicBool::new(false),
        leaving: AtomicBool::new(false),
        requests: AtomicU32::new(0),
        streams: AtomicUsize::new(0),
        changed: Notify::new(),
        doomed: AtomicBool::new(false),
    });
    link.supervise(deadline).await;
}

impl Link {
    async fn supervise(self: &Arc<Self>, first_request: Instant) {
        let limits = Arc::clone(&self.context.limits);
        let stopping = self.context.tasks.stopping().clone();
        let mut begun = false;
        let mut deadline = Some(first_request);
        let mut draining = false;
        let mut login_due = None;
        let ephemerals = limits.ephemerals.enabled;
        loop {
            // Every branch only waits: dropping the others loses nothing.
            tokio::select! {
                biased;
                () = stopping.cancelled(), if !draining => {
                    draining = true;
                    deadline = Instant::now().checked_add(limits.session.drain);
                }
                () = self.changed.notified() => {
                    if self.doomed.load(Ordering::SeqCst) {
                        sleep(FAREWELL).await;
                        return self.close(CloseCode::Revoked);
                    }
                    if self.session().is_some() && !draining {
                        deadline = None;
                    }
                    login_due = *self.login_due.lock().unwrap_or_else(PoisonError::into_inner);
                }
                // A session may prove its password again, and would keep the login's place until its end.
                mut stage = self.stage_at(login_due) => {
                    if let Some(stage) = stage.as_mut() {
                        stage.forget_late_login();
                    }
                    login_due = None;
                }
                () = at(deadline) => {
                    return self.close(if draining { CloseCode::ShuttingDown } else { CloseCode::TooSlow });
                }
                // Last: who opens one stream after the other, or sends one datagram, keeps none of the above from being seen.
                stream = self.connection.accept_bi(), if !draining => match stream {
                    Ok((send, recv)) => {
                        if !begun && self.session().is_none() {
                            deadline = Instant::now().checked_add(limits.admission.authentication);
                        }
                        begun = true;
                        self.serve(send, recv);
                    }
                    Err(error) => {
                        tracing::debug!(%error, "the connection has ended");
                        return;
                    }
                },
                datagram = self.connection.read_datagram(), if ephemerals && !draining => match datagram {
                    Ok(datagram) => self.hear(datagram),
                    Err(error) => {
                        tracing::debug!(%error, "the connection has ended");
                        return;
                    }
                },
                _ = self.connection.closed(), if draining => return,
            }
            if draining && self.streams.load(Ordering::SeqCst) == 0 {
                return self.close(CloseCode::ShuttingDown);
            }
        }
    }

    /// Hands a datagram on, and those that are there already. Of a stranger it is nothing.
    fn hear(&self, datagram: Bytes) {
        let Some(session) = self.session() else { return };
        let mut next = Some(datagram);
        for _ in 0..DATAGRAMS_AT_ONCE {
            let Some(datagram) = next.take() else { return };
            self.context.ephemerals.take(session.actor(), Event::decode(datagram));
            next = self.connection.read_datagram().now_or_never().and_then(Result::ok);
        }
        if next.is_some() {
            self.context.metrics.ephemeral.drop(EphemeralDrop::Rate);
        }
    }

    /// Has a datagram sent, if the connection carries datagrams and those before it leave.
    pub(super) fn send_datagram(&self, datagram: &Bytes) -> Carried {
        match self.connection.max_datagram_size() {
            Some(size) if datagram.len() <= size => {}
            _ => return Carried::Never,
        }
        // Where more wait than a moment brings, the path keeps them back: what is ephemeral takes nothing of it from messages.
        if self.connection.datagram_send_buffer_space() < self.context.limits.ephemerals.datagram_buffer / 2 {
            return Carried::NotNow;
        }
        match self.connection.send_datagram(datagram.clone()) {
            Ok(()) => Carried::Yes,
            Err(_) => Carried::NotNow,
        }
    }

    fn serve(self: &Arc<Self>, send: SendStream, recv: RecvStream) {
        self.streams.fetch_add(1, Ordering::SeqCst);
        let open = OpenStream(Arc::clone(self));
        let broken = Arc::downgrade(self);
        let task = async move {
            stream::serve(Arc::clone(&open.0), send, recv).await;
        };
        self.context.tasks.serve("stream", Span::current(), task, move || {
            if let Some(link) = broken.upgrade() {
                link.close(CloseCode::Internal);
            }
        });
    }

    /// Ends the connection at once.
    pub(super) fn close(&self, code: CloseCode) {
        if self.connection.close_reason().is_none() {
            self.context.metrics.closed(code);
            self.connection.close(VarInt::from_u32(code as u32), b"");
        }
    }

    /// The session, once there is one.
    pub(super) fn session(&self) -> Option<&Session> {
        self.session.get()
    }

    /// The session, for what needs one.
    pub(super) fn proved(&self) -> Result<&Session, WireError> {
        self.session().ok_or_else(|| WireError::new(Code::Unauthenticated, "the method needs a device"))
    }

    /// What anonymous peers are charged by.
    pub(super) fn prefix(&self) -> IpPrefix {
        self.prefix
    }

    /// Has the client said Hello?
    pub(super) fn greeted(&self) -> bool {
        self.greeted.load(Ordering::SeqCst)
    }

    pub(super) fn set_greeted(&self) {
        self.greeted.store(true, Ordering::SeqCst);
    }

    /// How long a frame may be now.
    pub(super) fn frame_max(&self) -> usize {
        if self.session().is_some() { FRAME_MAX } else { FRAME_MAX_UNAUTHENTICATED }
    }

    /// Counts a request. Says no, and closes the connection, where a stranger makes too many.
    pub(super) fn count_request(&self) -> bool {
        if self.session().is_some() {
            return true;
        }
        let before = self.requests.fetch_add(1, Ordering::Relaxed);
        let fits = before < self.context.limits.admission.requests;
        if !fits {
            self.close(CloseCode::ProtocolViolation);
        }
        fits
    }

    /// What has been proved on the way to a session, to be read and changed by one call at a time.
    pub(super) async fn stage(&self) -> Result<MappedMutexGuard<'_, LoginStage>, WireError> {
        let mut stage = self.stage.lock().await;
        if stage.is_none() {
            let mut binding = [0; EXPORTER_LEN];
            self.connection
                .export_keying_material(&mut binding, EXPORTER_LABEL, b"")
                .map_err(|_| WireError::new(Code::Internal, "TLS exports no keying material"))?;
            *stage = Some(Box::new(self.context.accounts.stage(binding)));
        }
        MutexGuard::try_map(stage, |stage| stage.as_deref_mut())
            .map_err(|_| WireError::new(Code::Internal, "the stage has just been made"))
    }

    /// A login has begun, which will have taken too long then.
    pub(super) fn expect_login_by(&self, due: Option<Instant>) {
        *self.login_due.lock().unwrap_or_else(PoisonError::into_inner) = due;
        self.changed.notify_one();
    }

    /// The stage at a time, once no call uses it.
    async fn stage_at(&self, due: Option<Instant>) -> MutexGuard<'_, Option<Box<LoginStage>>> {
        at(due).await;
        self.stage.lock().await
    }

    /// Makes this connection the session of a device that has authenticated.
    pub(super) async fn become_session(
        self: &Arc<Self>,
        recognised: Recognised,
    ) -> Result<v1::AuthenticateAnswer, WireError> {
        let Recognised { actor, answer, as_of, last_seen_ms } = recognised;
        let context = &self.context;
        let line = Box::new(Wire(Arc::downgrade(self)));
        let registration = context.registry.enter(actor.account(), actor.device(), line);
        // A revocation up to here is seen now; one from here on cuts what is registered (invariant 12).
        // Where none was carried out since the device was looked up, there is nothing to ask again.
        if context.registry.as_of() != as_of || context.delivery.is_due(last_seen_ms) {
            match context.delivery.arrived(&actor).await {
                Ok(()) => {}
                Err(Refusal::Fault(fault)) => tracing::debug!(%fault, "the store did not note a device's arrival"),
                Err(gone @ (Refusal::DeviceGone | Refusal::Suspended | Refusal::NotFound)) => return Err(gone.into()),
            }
        }
        self.session
            .set(Session::new(actor, registration))
            .map_err(|_| WireError::new(Code::WrongState, "the connection is authenticated"))?;
        drop(self.stranger.lock().unwrap_or_else(PoisonError::into_inner).take());
        let mut stage = self.stage.lock().await;
        if stage.as_ref().is_some_and(|stage| !stage.has_proved_password()) {
            *stage = None;
        }
        let transport = &context.limits.transport;
        self.connection.set_max_concurrent_bi_streams(VarInt::from_u32(transport.max_concurrent_bidi_streams));
        self.connection.set_receive_window(VarInt::from_u32(transport.receive_window));
        self.changed.notify_one();
        Ok(answer)
    }

    /// A stream of this connection carries blobs: more is kept for a client that does not acknowledge it.
    pub(super) fn expect_bulk(&self) {
        self.connection.set_send_window(self.context.limits.blobs.send_window.into());
    }

    /// This device is about to end itself: its answer should reach it before its connection is cut.
    pub(super) fn expect_farewell(&self, expected: bool) {
        self.leaving.store(expected, Ordering::SeqCst);
    }
}

/// Counts a stream for as long as it is served.
struct OpenStream(Arc<Link>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::SeqCst);
        self.0.changed.notify_one();
    }
}

/// The registry's handle on a connection; it keeps nothing alive.
struct Wire(Weak<Link>);

impl Line for Wire {
    fn cut(&self, code: CloseCode) {
        let Some(link) = self.0.upgrade() else { return };
        if code == CloseCode::Revoked && link.leaving.load(Ordering::SeqCst) {
            link.doomed.store(true, Ordering::SeqCst);
            link.changed.notify_one();
        } else {
            link.close(code);
        }
    }

    fn peer(&self) -> Option<Peer> {
        let link = self.0.upgrade()?;
        let account = link.session().map(|session| session.actor().address().clone());
        Some(Peer { from: link.connection.remote_address(), lasted: link.began.elapsed(), account })
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
