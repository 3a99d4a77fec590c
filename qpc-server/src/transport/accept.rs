//! The door: every connection attempt is judged before it costs memory, its handshake is timed, and at
//! the end the house is emptied politely.

use std::sync::Arc;

use qpc_proto::error::CloseCode;
use quinn::{Connection, Endpoint, Incoming, VarInt};
use tokio::time::{Instant, MissedTickBehavior, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug_span};

use crate::{
    metrics::labels::Refused,
    policy::{
        IpPrefix,
        admission::{Admission, Admitted, Verdict},
    },
    session::{self, Context},
};

/// Serves until the tasks' owner begins to stop; then no one else is let in, sessions finish what runs within
/// the drain limit, and what is left is closed.
pub async fn serve(endpoint: Endpoint, context: Arc<Context>) {
    let limits = &context.limits;
    let admission =
        Admission::new(limits.admission.clone(), limits.transport.max_connections, Arc::clone(&context.metrics));
    upkeep(&context);
    each_attempt(&endpoint, context.tasks.stopping(), |incoming| judge(incoming, &admission, &context)).await;
    // Sessions close themselves within their own drain limit; this one is for those that don't.
    let patience = limits.session.drain.saturating_mul(2);
    if timeout(patience, endpoint.wait_idle()).await.is_err() {
        tracing::warn!(connections = admission.connections(), "connections were left when the server stopped");
    }
    endpoint.close(VarInt::from_u32(CloseCode::ShuttingDown as u32), b"");
}

/// Hands every attempt to connect on, until the server begins to stop; then no one else is let in.
pub(crate) async fn each_attempt(endpoint: &Endpoint, stopping: &CancellationToken, mut judge: impl FnMut(Incoming)) {
    loop {
        // Both branches only wait: dropping either loses nothing.
        let incoming = tokio::select! {
            () = stopping.cancelled() => break,
            incoming = endpoint.accept() => incoming,
        };
        match incoming {
            Some(incoming) => judge(incoming),
            None => break,
        }
    }
    endpoint.set_server_config(None);
}

/// Why a handshake came to nothing.
pub(crate) enum Unshaken {
    /// It failed.
    Failed,
    /// It took too long.
    Slow,
}

/// The handshake of an attempt, in time.
pub(crate) async fn shake_hands(incoming: Incoming, deadline: Instant) -> Result<Connection, Unshaken> {
    let shaken = match incoming.accept() {
        Ok(connecting) => timeout_at(deadline, connecting).await,
        Err(error) => Ok(Err(error)),
    };
    match shaken {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a handshake failed");
            Err(Unshaken::Failed)
        }
        Err(_) => Err(Unshaken::Slow),
    }
}

fn judge(incoming: Incoming, admission: &Arc<Admission>, context: &Arc<Context>) {
    let prefix = IpPrefix::of(incoming.remote_address().ip());
    // One that can't be asked again has answered already.
    let validated = incoming.remote_address_validated() || !incoming.may_retry();
    match admission.judge(prefix, validated) {
        Verdict::Admit(admitted) => {
            let span = debug_span!("connection");
            let task = connection(incoming, prefix, admitted, Arc::clone(context));
            // A panic here drops what it holds, and with it the connection.
            context.tasks.serve("connection", span, task, || ());
        }
        Verdict::Retry => {
            context.metrics.refused(Refused::Retry);
            if let Err(error) = incoming.retry() {
                error.into_incoming().refuse();
            }
        }
        Verdict::Refuse(reason) => {
            context.metrics.refused(reason);
            incoming.refuse();
        }
    }
}

/// One connection, from its first packet to its end.
async fn connection(incoming: Incoming, prefix: IpPrefix, admitted: Admitted, context: Arc<Context>) {
    let began = Instant::now();
    let deadline = began.checked_add(context.limits.admission.first_request).unwrap_or(began);
    let Admitted { connection: _place, handshake, stranger } = admitted;
    let connection = match shake_hands(incoming, deadline).await {
        Ok(connection) => connection,
        Err(Unshaken::Failed) => return context.metrics.refused(Refused::Failed),
        Err(Unshaken::Slow) => return context.metrics.refused(Refused::Slow),
    };
    drop(handshake);
    context.metrics.tls_handshake.observe(began.elapsed().as_secs_f64());
    session::run(context, connection, prefix, stranger, deadline).await;
}

/// What is done from time to time: rates that have recovered are forgotten, figures are taken.
fn upkeep(context: &Arc<Context>) {
    let (owner, context) = (context.tasks.clone(), Arc::clone(context));
    let task = async move {
        let stopping = context.tasks.stopping().clone();
        let mut clean = tokio::time::interval(context.limits.rates.clean);
        let mut look = tokio::time::interval(context.limits.session.figures);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // All branches only wait.
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = clean.tick() => {
                    context.policy.clean();
                    continue;
                }
                _ = look.tick() => {}
            }
            if let Err(error) = context.delivery.measure(context.limits.session.seen).await {
                tracing::debug!(%error, "no figures from the store");
            }
        }
    };
    owner.share("upkeep", debug_span!("upkeep"), task.in_current_span());
}
