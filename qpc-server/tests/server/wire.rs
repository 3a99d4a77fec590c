//! A client that says whatever a test wants: connections, streams, frames, or bytes that are none.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use prost::Message;
use qpc_proto::{
    error::{CloseCode, Code},
    frame::{self, FrameDecoder},
    limits::FRAME_MAX,
    transcript::{EXPORTER_LABEL, EXPORTER_LEN},
    v1::{self, answer::Result as Outcome, request::Method},
};
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream, TransportConfig, VarInt,
    crypto::rustls::QuicClientConfig,
};
use rustls::{RootCertStore, pki_types::CertificateDer, version::TLS13};

use crate::person::{Device, Person, Registration};

/// Nothing in these tests takes this long unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something, or fails the test.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it took too long")
}

/// Makes connections to one server.
#[derive(Clone)]
pub(crate) struct Dialer {
    endpoint: Endpoint,
    server: SocketAddr,
    config: ClientConfig,
}

impl Dialer {
    /// `window` is how much the client lets the server send ahead; `None` for quinn's default.
    pub(crate) fn new(
        server: SocketAddr,
        certificate: &CertificateDer<'static>,
        from: &str,
        window: Option<u32>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let mut tls =
            rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_protocol_versions(&[&TLS13])
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
        tls.alpn_protocols = vec![qpc_proto::ALPN.to_vec()];
        // It would send early data, were it given a ticket that allows it.
        tls.enable_early_data = true;
        let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let endpoint = Endpoint::client(from.parse().unwrap()).unwrap();
        let mut dialer = Self { endpoint, server, config };
        let mut transport = TransportConfig::default();
        if let Some(window) = window {
            transport.stream_receive_window(VarInt::from_u32(window)).receive_window(VarInt::from_u32(window));
        }
        dialer.set(transport);
        dialer
    }

    /// The same, without datagrams.
    pub(crate) fn without_datagrams(mut self) -> Self {
        let mut transport = TransportConfig::default();
        transport.datagram_receive_buffer_size(None);
        self.set(transport);
        self
    }

    fn set(&mut self, transport: TransportConfig) {
        self.config.transport_config(Arc::new(transport));
        self.endpoint.set_default_client_config(self.config.clone());
    }

    /// Could this client send something before the handshake, with what earlier connections have given it?
    pub(crate) fn has_early_data(&self) -> bool {
        self.endpoint.connect(self.server, "localhost").unwrap().into_0rtt().is_ok()
    }

    /// A connection that has said nothing yet.
    pub(crate) async fn connect(&self) -> Result<Wire, ConnectionError> {
        let connection = soon(self.endpoint.connect(self.server, "localhost").unwrap()).await?;
        let mut binding = [0; EXPORTER_LEN];
        connection.export_keying_material(&mut binding, EXPORTER_LABEL, b"").unwrap();
        Ok(Wire { connection, binding, nonce: [0; 32], _endpoint: self.endpoint.clone() })
    }
}

/// One connection.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) connection: Connection,
    pub(crate) binding: [u8; EXPORTER_LEN],
    pub(crate) nonce: [u8; 32],
    _endpoint: Endpoint,
}

impl Wire {
    /// Connects and says hello.
    pub(crate) async fn connect(server: SocketAddr, certificate: &CertificateDer<'static>) -> Self {
        let mut wire = Self::connect_silently(server, certificate).await;
        wire.greet().await;
        wire
    }

    /// Connects.
    pub(crate) async fn connect_silently(server: SocketAddr, certificate: &CertificateDer<'static>) -> Self {
        let from = if server.is_ipv6() { "[::1]:0" } else { "127.0.0.1:0" };
        Dialer::new(server, certificate, from, None).connect().await.unwrap()
    }

    /// Says hello, and keeps the nonce that authentication signs.
    pub(crate) async fn greet(&mut self) {
        let hello = v1::Hello { client: "test".into() };
        let Outcome::Hello(hello) = self.call(Method::Hello(hello)).await else { panic!("no hello") };
        self.nonce = hello.nonce.as_ref().try_into().unwrap();
    }

    pub(crate) async fn open(&self) -> Call {
        let (send, recv) = soon(self.connection.open_bi()).await.unwrap();
        Call { send, answers: Answers { recv, frames: FrameDecoder::new(FRAME_MAX) } }
    }

    /// One request on a stream of its own.
    pub(crate) async fn call(&self, method: Method) -> Outcome {
        let mut call = self.open().await;
        call.request(method).await;
        call.send.finish().unwrap();
        call.answer().await.expect("an answer")
    }

    /// Waits for the server to close the connection, and says with which code.
    pub(crate) async fn close_code(&self) -> Option<CloseCode> {
        match soon(self.connection.closed()).await {
            ConnectionError::ApplicationClosed(close) => CloseCode::from_wire(close.error_code.into_inner()),
            other => panic!("not closed by the server: {other}"),
        }
    }

    /// Registers somebody with a first device.
    pub(crate) async fn register(&self, person: &Person, token: &str, device: &Device) -> Result<(), v1::Error> {
        let (start, registration): (_, Registration) = person.register(token);
        let answer = match self.call(Method::RegisterStart(start)).await {
            Outcome::RegisterStart(answer) => answer,
            Outcome::Error(error) => return Err(error),
            _ => panic!("another answer"),
        };
        let finish = person.finish_registration(registration, &answer, device);
        match self.call(Method::RegisterFinish(finish)).await {
            Outcome::RegisterFinish(_) => Ok(()),
            Outcome::Error(error) => Err(error),
            _ => panic!("another answer"),
        }
    }

    /// Becomes a session.
    pub(crate) async fn authenticate(&self, person: &Person, device: &Device) -> Result<(), v1::Error> {
        let proof = person.authenticate(device, &self.binding, &self.nonce);
        match self.call(Method::Authenticate(proof)).await {
            Outcome::Authenticate(_) => Ok(()),
            Outcome::Error(error) => Err(error),
            _ => panic!("another answer"),
        }
    }

    /// Proves the password, or sends a proof of nothing where the answer shows that it is wrong.
    pub(crate) async fn login(&self, person: &Person) -> Result<v1::LoginFinishAnswer, v1::Error> {
        let (start, state) = person.login();
        let answer = match self.call(Method::LoginStart(start)).await {
            Outcome::LoginStart(answer) => answer,
            Outcome::Error(error) => return Err(error),
            _ => panic!("another answer"),
        };
        let finish = person.finish_login(state, &answer, &self.binding);
        let finish = finish.unwrap_or_else(|| v1::LoginFinish { ke3: vec![1; 64].into() });
        match self.call(Method::LoginFinish(finish)).await {
            Outcome::LoginFinish(answer) => Ok(answer),
            Outcome::Error(error) => Err(error),
            _ => panic!("another answer"),
        }
    }
}

/// One stream.
pub(crate) struct Call {
    pub(crate) send: SendStream,
    pub(crate) answers: Answers,
}

/// The server's side of a stream.
pub(crate) struct Answers {
    recv: RecvStream,
    frames: FrameDecoder,
}

impl Call {
    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        soon(self.send.write_all(bytes)).await.unwrap();
    }

    pub(crate) async fn request(&mut self, method: Method) {
        self.raw(&request_frame(method)).await;
    }

    /// The next answer; `None` where the stream has ended.
    pub(crate) async fn answer(&mut self) -> Option<Outcome> {
        soon(self.answers.next()).await
    }

    /// The code of the next answer, which is a refusal.
    pub(crate) async fn refusal(&mut self) -> Option<Code> {
        self.answer().await.map(|answer| code(&answer).unwrap_or_else(|| panic!("no refusal: {answer:?}")))
    }

    /// Says that nothing more comes.
    pub(crate) fn finish(&mut self) {
        self.send.finish().unwrap();
    }
}

impl Answers {
    /// The next answer, for those who have their own patience.
    pub(crate) async fn next(&mut self) -> Option<Outcome> {
        loop {
            if let Some(frame) = self.frames.next_frame().unwrap() {
                return Some(v1::Answer::decode(frame).unwrap().result.expect("an answer with a result"));
            }
            match self.recv.read_chunk(usize::MAX, true).await {
                Ok(Some(chunk)) => self.frames.push(chunk.bytes),
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

pub(crate) fn request_frame(method: Method) -> Bytes {
    frame::encode(&v1::Request { method: Some(method) })
}

/// The code, where an answer is a refusal.
pub(crate) fn code(answer: &Outcome) -> Option<Code> {
    match answer {
        Outcome::Error(error) => Some(Code::from_wire(error.code).expect("a known code")),
        _ => None,
    }
}
