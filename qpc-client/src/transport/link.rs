//! A connection that has been greeted: the server has said who it is and given its nonce.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use qpc_proto::{
    address::Domain,
    suite::Suite,
    transcript::{EXPORTER_LABEL, EXPORTER_LEN},
    v1,
};
use quinn::{Connection, VarInt, crypto::rustls::HandshakeData};
use tokio::time::timeout;

use super::{
    call::{Ask, CallError, Frames, Requests, read_answer, request_frame},
    door::{Door, Last},
};
use crate::{Fingerprint, mls::HubSender};

/// A greeted connection. Clones are the same connection.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    connection: Connection,
    timeout: Duration,
    door: Arc<Door>,
    /// The domain the server is the hub of.
    pub(crate) domain: Domain,
    /// What groups that are made there name as their hub; `None` where the server has no key to propose with.
    pub(crate) hub: Option<HubSender>,
    /// Does the server tell key packages of the post-quantum suite apart, and follow such groups?
    pub(crate) post_quantum: bool,
    /// Does the server hand on what is ephemeral?
    pub(crate) ephemerals: bool,
    /// May it go in datagrams?
    datagrams: bool,
    /// To be signed.
    pub(crate) nonce: [u8; 32],
    /// The key stretching the server's new registrations use.
    pub(crate) ksf_version: u32,
    /// TLS exporter output of this connection.
    pub(crate) binding: [u8; EXPORTER_LEN],
    /// Of the server's certificate.
    pub(crate) fingerprint: Fingerprint,
    /// The TLS key exchange group.
    pub(crate) key_exchange: String,
}

impl Link {
    pub(super) async fn greet(
        connection: Connection,
        fingerprint: Fingerprint,
        program: &str,
        (timeout, datagrams): (Duration, bool),
    ) -> Result<Self, CallError> {
        let mut binding = [0; EXPORTER_LEN];
        connection
            .export_keying_material(&mut binding, EXPORTER_LABEL, b"")
            .map_err(|_| CallError::Protocol("TLS gives no binding"))?;
        let handshake = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
        let key_exchange = handshake.map(|data| format!("{:?}", data.negotiated_key_exchange_group));
        let hello = v1::Hello { client: program.to_owned() };
        let door = Arc::new(Door::default());
        let hello = door.call(&connection, timeout, hello, Last::No).await?;
        let domain = Domain::parse(&hello.domain).map_err(|_| CallError::Protocol("the server's domain is none"))?;
        let hub_key = <[u8; 32]>::try_from(hello.hub_key.as_ref()).ok();
        Ok(Self {
            connection,
            timeout,
            door,
            ephemerals: hello.ephemerals,
            datagrams,
            post_quantum: hello.suites.contains(&Suite::PostQuantum.to_wire()),
            hub: hub_key.map(|signature_key| HubSender { domain: domain.clone(), signature_key }),
            domain,
            nonce: hello.nonce.as_ref().try_into().map_err(|_| CallError::Protocol("a nonce has 32 bytes"))?,
            ksf_version: hello.ksf_version,
            binding,
            fingerprint,
            key_exchange: key_exchange.unwrap_or_default(),
        })
    }

    /// One call.
    pub(crate) async fn call<A: Ask>(&self, request: A) -> Result<A::Answer, CallError> {
        call_on(&self.connection, self.timeout, request).await
    }

    /// A call on the way to a session: these share a stream.
    pub(crate) async fn knock<A: Ask>(&self, request: A, last: Last) -> Result<A::Answer, CallError> {
        self.door.call(&self.connection, self.timeout, request, last).await
    }

    /// The last two calls on the way to a session, sent together. Gives the second answer where the first is one.
    pub(crate) async fn knock_twice<A: Ask, B: Ask>(
        &self,
        first: A,
        second: B,
    ) -> Result<(A::Answer, Result<B::Answer, CallError>), CallError> {
        self.door.both(&self.connection, self.timeout, first, second).await
    }

    /// A stream for many requests.
    pub(crate) async fn open(&self) -> Result<(Requests, Frames), CallError> {
        let (requests, answers) = self.connection.open_bi().await?;
        Ok((requests, Frames::new(answers)))
    }

    /// The next datagram; waits for ever where the connection carries none.
    pub(crate) async fn datagram(&self) -> Result<Bytes, CallError> {
        Ok(self.connection.read_datagram().await?)
    }

    /// Sends a datagram, if the connection carries such; says whether it does.
    pub(crate) fn send_datagram(&self, datagram: &Bytes) -> bool {
        let fits = self.connection.max_datagram_size().is_some_and(|size| datagram.len() <= size);
        if !self.datagrams || !fits {
            return false;
        }
        // One that can't be sent now is lost, as any may be.
        drop(self.connection.send_datagram(datagram.clone()));
        true
    }

    /// Waits until the connection has ended.
    pub(crate) async fn closed(&self) -> CallError {
        self.connection.closed().await.into()
    }

    /// Why the connection has ended, if it has.
    pub(crate) fn lost(&self) -> Option<CallError> {
        self.connection.close_reason().map(CallError::from)
    }

    /// Says that this is over.
    pub(crate) fn close(&self, code: qpc_proto::error::CloseCode) {
        self.connection.close(VarInt::from_u32(code as u32), b"");
    }
}

async fn call_on<A: Ask>(connection: &Connection, longest: Duration, request: A) -> Result<A::Answer, CallError> {
    let frame = request_frame(request.method());
    let exchange = async {
        let (mut requests, answers) = connection.open_bi().await?;
        let mut answers = Frames::new(answers);
        requests.write_chunk(frame).await?;
        // Only a stream that was reset can't be finished, and then the answer says so.
        requests.finish().ok();
        let outcome = answers.next().await?.ok_or(CallError::Protocol("a call without an answer"))?;
        read_answer::<A>(outcome)
    };
    timeout(longest, exchange).await.unwrap_or(Err(CallError::Timeout))
}
