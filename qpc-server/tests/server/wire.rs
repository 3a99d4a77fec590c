//! A client that speaks the wire by hand: one QUIC connection, calls as frames, nothing clever.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use prost::Message;
use qpc_proto::{
    frame::{self, FrameDecoder},
    limits::FRAME_MAX,
    transcript::{EXPORTER_LABEL, EXPORTER_LEN},
    v1::{self, answer::Result as Outcome, request::Method},
};
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, crypto::rustls::QuicClientConfig};
use rustls::{RootCertStore, pki_types::CertificateDer, version::TLS13};
use tokio::time::timeout;

use crate::person::{Device, Person, Registration};

/// Nothing in these tests takes this long unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
pub(crate) struct Wire {
    pub(crate) connection: Connection,
    pub(crate) binding: [u8; 32],
    pub(crate) nonce: [u8; 32],
    _endpoint: Endpoint,
}

/// One call: a stream that stays open for more.
pub(crate) struct Call {
    pub(crate) send: SendStream,
    receive: RecvStream,
    frames: FrameDecoder,
}

impl Call {
    pub(crate) async fn request(&mut self, method: Method) {
        self.raw(&frame::encode(&v1::Request { method: Some(method) })).await;
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.send.write_all(bytes).await.unwrap();
    }

    /// The next answer; `None` at the stream's end.
    pub(crate) async fn answer(&mut self) -> Option<Outcome> {
        let frame = timeout(PATIENCE, async {
            loop {
                if let Some(frame) = self.frames.next_frame().unwrap() {
                    return Some(frame);
                }
                self.frames.push(self.receive.read_chunk(usize::MAX, true).await.ok()??.bytes);
            }
        });
        let frame: Bytes = frame.await.expect("an answer in time")?;
        v1::Answer::decode(frame).unwrap().result
    }
}

impl Wire {
    /// Connects and says hello.
    pub(crate) async fn connect(server: SocketAddr, certificate: &CertificateDer<'static>) -> Self {
        let mut wire = Self::connect_silently(server, certificate).await;
        let hello = v1::Hello { client: "test".into() };
        let Outcome::Hello(hello) = wire.call(Method::Hello(hello)).await else { panic!("no hello") };
        wire.nonce = hello.nonce.as_ref().try_into().unwrap();
        wire
    }

    /// Connects.
    pub(crate) async fn connect_silently(server: SocketAddr, certificate: &CertificateDer<'static>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let mut tls =
            rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_protocol_versions(&[&TLS13])
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
        tls.alpn_protocols = vec![qpc_proto::ALPN.to_vec()];
        let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let connecting = endpoint.connect_with(config, server, "localhost").unwrap();
        let connection = timeout(PATIENCE, connecting).await.expect("a handshake in time").unwrap();
        let mut binding = [0; EXPORTER_LEN];
        connection.export_keying_material(&mut binding, EXPORTER_LABEL, b"").unwrap();
        Self { connection, binding, nonce: [0; 32], _endpoint: endpoint }
    }

    pub(crate) async fn open(&self) -> Call {
        let (send, receive) = timeout(PATIENCE, self.connection.open_bi()).await.expect("a stream in time").unwrap();
        Call { send, receive, frames: FrameDecoder::new(FRAME_MAX) }
    }

    /// One request on a stream of its own.
    pub(crate) async fn call(&self, method: Method) -> Outcome {
        let mut call = self.open().await;
        call.request(method).await;
        call.send.finish().unwrap();
        call.answer().await.expect("an answer")
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
