//! A whole server in this process: real sockets on free ports, a memory store, a certificate of its own.

use std::{net::SocketAddr, sync::Arc};

use qpc_server::{
    account::OpaqueSetups,
    admin::{self, AdminAnswer, AdminRequest, Controls},
    blob_store::memory::MemoryBlobs,
    clock::SystemClock,
    config::{Config, FederationPeer, Secret},
    data_dir::ServerCertificate,
    federation::Source,
    group::HubKey,
    metrics::Metrics,
    rng::SystemRng,
    server::{self, AdminSocket, Parts, Running},
    store::{Store, memory::MemoryStore},
    transport::ResetKey,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_util::sync::CancellationToken;

use crate::{
    peer::{self, Authority, Claims},
    person::{Device, Person, domain},
    wire::Wire,
};

/// Lets everybody register with these servers.
pub(crate) const TOKEN: &str = "the standing token";

/// A server and what its clients need to know.
pub(crate) struct House {
    pub(crate) running: Running,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) domain: String,
    /// Where its admin socket is.
    directory: tempfile::TempDir,
}

impl House {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    /// Starts one with another configuration than the default.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_on(Arc::new(MemoryStore::new()), change).await
    }

    /// Starts one on a store.
    pub(crate) async fn start_on(store: Arc<dyn Store>, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_of(store, None, change).await
    }

    /// Starts one of a federation: its domain, where it listens for other servers, and those.
    pub(crate) async fn start_among(
        authority: &Authority,
        (own, at): (&'static str, SocketAddr),
        peers: &[(&str, SocketAddr)],
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let material = authority.material(&Claims::of(own));
        let source: Source = Arc::new(move || Ok(peer::copy(&material)));
        let peer = |(domain, address): &(&str, SocketAddr)| FederationPeer {
            domain: (*domain).into(),
            address: address.to_string(),
            max_in_flight: 64,
        };
        let peers = peers.iter().map(peer).collect();
        Self::start_of(Arc::new(MemoryStore::new()), Some(source), |config| {
            config.server.domain = own.into();
            config.federation.enabled = true;
            config.federation.listen = at;
            config.federation.peers = peers;
            change(config);
        })
        .await
    }

    /// Starts one of other parts than usual.
    pub(crate) async fn start_of_parts(adjust: impl FnOnce(&mut Parts)) -> Self {
        Self::build(Arc::new(MemoryStore::new()), None, |_| (), adjust).await
    }

    async fn start_of(store: Arc<dyn Store>, federation: Option<Source>, change: impl FnOnce(&mut Config)) -> Self {
        Self::build(store, federation, change, |_| ()).await
    }

    async fn build(
        store: Arc<dyn Store>,
        federation: Option<Source>,
        change: impl FnOnce(&mut Config),
        adjust: impl FnOnce(&mut Parts),
    ) -> Self {
        let mut config = Config::default();
        config.server.listen = "127.0.0.1:0".parse().unwrap();
        config.metrics.listen = "127.0.0.1:0".parse().unwrap();
        config.server.domain = domain().as_str().into();
        config.server.auth_token = Some(Secret::new(TOKEN.into()));
        change(&mut config);
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let certificate = made.cert.der().clone();
        let directory = tempfile::tempdir().unwrap();
        let mut parts = Parts {
            store,
            blobs: Arc::new(MemoryBlobs::new()),
            aftermath: None,
            metrics: Arc::new(Metrics::new().unwrap()),
            setups: OpaqueSetups::generate(&SystemRng, 0),
            certificate: ServerCertificate {
                chain: vec![certificate.clone()],
                key: PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into(),
            },
            certificate_source: None,
            acme: None,
            backups: None,
            hub_key: HubKey::from_seed(&[4; 32]),
            reset_key: ResetKey::new([5; 32].into()),
            federation,
            admin_socket: Some(AdminSocket {
                path: directory.path().join("admin.sock"),
                controls: Controls {
                    settings: Box::new(Vec::new),
                    log_level: Box::new(|_| Err("it has none".into())),
                    drain: CancellationToken::new(),
                },
            }),
            clock: Arc::new(SystemClock),
            rng: Arc::new(SystemRng),
        };
        adjust(&mut parts);
        let running = server::start(&config, parts).await.unwrap();
        Self { running, certificate, domain: config.server.domain, directory }
    }

    /// Has the operator ask for something.
    pub(crate) async fn admin(&self, request: AdminRequest) -> AdminAnswer {
        let socket = self.directory.path().join("admin.sock");
        tokio::task::spawn_blocking(move || admin::ask(&socket, &request)).await.unwrap().unwrap()
    }

    /// A connection that has said hello.
    pub(crate) async fn connect(&self) -> Wire {
        Wire::connect(self.running.listen, &self.certificate).await
    }

    /// Somebody new with a first device, and a session of it.
    pub(crate) async fn newcomer(&self, name: &str) -> (Person, Device, Wire) {
        let (person, device) = (Person::at(name, &self.domain), Device::new());
        let wire = self.connect().await;
        wire.register(&person, TOKEN, &device).await.unwrap();
        wire.authenticate(&person, &device).await.unwrap();
        (person, device, wire)
    }
}
