//! The door for other servers: every connection proves its domain before anything is read from it.

use std::sync::Arc;

use prost::Message;
use qpc_proto::{
    address::Domain,
    error::{CloseCode, Code},
    frame,
    limits::FRAME_MAX,
    v1::{self, peer_answer, peer_request},
};
use quinn::{Connection, Endpoint, Incoming, SendStream, VarInt};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Duration, Instant, timeout, timeout_at},
};
use tracing::debug_span;

use super::{Hall, House, act, blob, claim, close, hello, push, restored};
use crate::{
    metrics::labels::{Direction, PeerRefused},
    session::WireError,
    transport::{
        accept::{Unshaken, each_attempt, shake_hands},
        frames::{Frames, FramesEnd},
    },
};

/// How long a stopping server waits for its last packets to leave.
const FAREWELL: Duration = Duration::from_millis(500);

/// How a connection ends that a task served which panicked.
const BROKEN: CloseCode = CloseCode::Internal;

/// Serves until the tasks' owner begins to stop.
pub(super) async fn serve(hall: Arc<Hall>, house: House, endpoint: Endpoint) {
    let handshakes = Arc::new(Semaphore::new(hall.limits.handshakes));
    each_attempt(&endpoint, hall.tasks.stopping(), |incoming| judge(incoming, &handshakes, (&hall, &house))).await;
    endpoint.close(VarInt::from_u32(CloseCode::ShuttingDown as u32), b"");
    // Until the peers have been told. QUIC would go on for some seconds to answer what is still on its way, of a peer
    // that can't be reached as well, and nobody needs that.
    timeout(FAREWELL, endpoint.wait_idle()).await.ok();
}

/// Peers are few and known: whoever has not proved their address is asked to, at the price of one round trip.
fn judge(incoming: Incoming, handshakes: &Arc<Semaphore>, (hall, house): (&Arc<Hall>, &House)) {
    if !incoming.remote_address_validated() && incoming.may_retry() {
        hall.metrics.refused(PeerRefused::Retry);
        if let Err(error) = incoming.retry() {
            error.into_incoming().refuse();
        }
        return;
    }
    match Arc::clone(handshakes).try_acquire_owned() {
        Ok(place) => {
            let task = connection(incoming, place, (Arc::clone(hall), house.clone()));
            // A panic here drops what it holds, and with it the connection.
            hall.tasks.serve("peer", debug_span!("peer"), task, || ());
        }
        Err(_) => {
            hall.metrics.refused(PeerRefused::Handshakes);
            incoming.refuse();
        }
    }
}

/// One connection, from its first packet to its end.
async fn connection(incoming: Incoming, place: OwnedSemaphorePermit, (hall, house): (Arc<Hall>, House)) {
    let began = Instant::now();
    let deadline = began.checked_add(hall.limits.handshake).unwrap_or(began);
    let connection = match shake_hands(incoming, deadline).await {
        Ok(connection) => connection,
        Err(Unshaken::Failed) => return hall.metrics.refused(PeerRefused::Failed),
        Err(Unshaken::Slow) => return hall.metrics.refused(PeerRefused::Slow),
    };
    let keys = Arc::clone(&hall.keys.borrow());
    let domain = match keys.peer(&connection, hall.now()) {
        Ok(domain) => domain,
        Err(fault) => {
            tracing::debug!(%fault, "a certificate was refused");
            return hall.refuse(&connection, PeerRefused::Certificate);
        }
    };
    if !hall.allows(&domain) {
        tracing::debug!(%domain, "not a domain that this server federates with");
        return hall.refuse(&connection, PeerRefused::NotAllowed);
    }
    let restored = match house.store.restored().await {
        Ok(restored) => restored.map_or(0, |restored| restored.at_ms),
        Err(fault) => {
            tracing::warn!(%fault, "whether this server was restored could not be read");
            return close(&connection, BROKEN);
        }
    };
    let (send, frames) = match timeout_at(deadline, hello::hear(&hall, &connection, (&domain, restored))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(fault)) => {
            tracing::debug!(%domain, %fault, "a hello was refused");
            return hall.refuse(&connection, PeerRefused::Protocol);
        }
        Err(_) => return hall.refuse(&connection, PeerRefused::Slow),
    };
    drop(place);
    if !hall.joined(&domain, Direction::In, &connection) {
        tracing::debug!(%domain, "as many servers that are not configured are connected as may be");
        return hall.refuse(&connection, PeerRefused::NotAllowed);
    }
    hall.wake(&domain);
    answer_streams((&hall, &house), &connection, &domain, (send, frames)).await;
    hall.left(&domain, Direction::In, &connection);
}

/// Answers what is asked on a connection's streams, of which there are never more than the transport allows.
async fn answer_streams(
    (hall, house): (&Arc<Hall>, &House),
    connection: &Connection,
    domain: &Domain,
    first: (SendStream, Frames),
) {
    let begin = |stream: (SendStream, Frames)| {
        let (host, house, connection, domain) = (Arc::clone(hall), house.clone(), connection.clone(), domain.clone());
        let broken = connection.clone();
        let task = async move {
            if answer((&host, &house), &domain, stream).await.is_err() {
                tracing::debug!(%domain, "a peer does not keep to the protocol");
                host.refuse(&connection, PeerRefused::Protocol);
            }
        };
        hall.tasks.serve("peer", debug_span!("stream"), task, move || close(&broken, BROKEN));
    };
    begin(first);
    while let Ok((send, recv)) = connection.accept_bi().await {
        begin((send, Frames::new(recv, FRAME_MAX, hall.limits.frame)));
    }
}

/// What was read is no request.
struct Broken;

/// Answers the requests of one stream in their order.
async fn answer(
    (hall, house): (&Hall, &House),
    domain: &Domain,
    (mut send, mut frames): (SendStream, Frames),
) -> Result<(), Broken> {
    loop {
        let request = match frames.next().await {
            Ok(Some(frame)) => v1::PeerRequest::decode(frame).map_err(|_| Broken)?,
            // Done, or gone with its connection.
            Ok(None) | Err(FramesEnd::Lost(_)) => break,
            Err(_) => return Err(Broken),
        };
        let outcome = judged((hall, house), domain, request).await;
        hall.metrics.answered(outcome.as_ref().err().map(WireError::code));
        let result = outcome.unwrap_or_else(|refusal| peer_answer::Result::Error(refusal.into_wire()));
        let answer = v1::PeerAnswer { result: Some(result) };
        if send.write_all(&frame::encode(&answer)).await.is_err() {
            break;
        }
    }
    // A stream that is over already needs no end.
    drop(send.finish());
    Ok(())
}

/// One request of a peer: how often it may ask, and who does what it asks for.
async fn judged(
    (hall, house): (&Hall, &House),
    domain: &Domain,
    request: v1::PeerRequest,
) -> Result<peer_answer::Result, WireError> {
    house.policy.peer_request(domain)?;
    match request.method {
        Some(peer_request::Method::Hello(_)) => {
            Err(WireError::new(Code::WrongState, "the hello is the first request of a connection"))
        }
        Some(peer_request::Method::ClaimKeyPackages(request)) => {
            claim::answer(house, (&hall.domain, domain), request).await
        }
        Some(peer_request::Method::Push(request)) => push::answer(house, (&hall.domain, domain), request).await,
        Some(peer_request::Method::ReadTree(request)) => act::tree(house, (&hall.domain, domain), request).await,
        Some(peer_request::Method::ReadCopy(request)) => restored::answer(house, domain, request).await,
        Some(peer_request::Method::ReadBlob(request)) => blob::answer(house, (&hall.domain, domain), request).await,
        Some(peer_request::Method::Act(request)) => act::answer(house, (&hall.domain, domain), request).await,
        None => Err(WireError::new(Code::UnknownMethod, "no method that this server knows")),
    }
}
