//! A whole server in this process: real sockets on free ports, a memory store, a certificate of its own.

use std::sync::Arc;

use qpc_server::{
    account::OpaqueSetup,
    blob_store::memory::MemoryBlobs,
    clock::SystemClock,
    config::{Config, Secret},
    data_dir::ServerCertificate,
    group::HubKey,
    metrics::Metrics,
    rng::SystemRng,
    server::{self, Parts, Running},
    store::{Store, memory::MemoryStore},
    transport::ResetKey,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use crate::{
    person::{Device, Person, domain},
    wire::Wire,
};

/// Lets everybody register with these servers.
pub(crate) const TOKEN: &str = "the standing token";

/// A server and what its clients need to know.
pub(crate) struct House {
    pub(crate) running: Running,
    pub(crate) certificate: CertificateDer<'static>,
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
        let mut config = Config::default();
        config.server.listen = "127.0.0.1:0".parse().unwrap();
        config.metrics.listen = "127.0.0.1:0".parse().unwrap();
        config.server.domain = domain().as_str().into();
        config.server.auth_token = Some(Secret::new(TOKEN.into()));
        change(&mut config);
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let certificate = made.cert.der().clone();
        let parts = Parts {
            store,
            blobs: Arc::new(MemoryBlobs::new()),
            aftermath: None,
            metrics: Arc::new(Metrics::new().unwrap()),
            setup: OpaqueSetup::generate(&SystemRng),
            certificate: ServerCertificate {
                chain: vec![certificate.clone()],
                key: PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into(),
            },
            hub_key: HubKey::from_seed(&[4; 32]),
            reset_key: ResetKey::new([5; 32].into()),
            federation: None,
            admin_socket: None,
            clock: Arc::new(SystemClock),
            rng: Arc::new(SystemRng),
        };
        Self { running: server::start(&config, parts).await.unwrap(), certificate }
    }

    /// A connection that has said hello.
    pub(crate) async fn connect(&self) -> Wire {
        Wire::connect(self.running.listen, &self.certificate).await
    }

    /// Somebody new with a first device, and a session of it.
    pub(crate) async fn newcomer(&self, name: &str) -> (Person, Device, Wire) {
        let (person, device) = (Person::new(name), Device::new());
        let wire = self.connect().await;
        wire.register(&person, TOKEN, &device).await.unwrap();
        wire.authenticate(&person, &device).await.unwrap();
        (person, device, wire)
    }
}
