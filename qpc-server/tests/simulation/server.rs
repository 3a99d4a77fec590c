//! The server of a town: the whole of it but its sockets, on a store in memory. When it crashes, what it had stored stays
//! and nothing else does.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use qpc_client::{Fingerprint, simulation};
use qpc_server::{
    account::OpaqueSetups,
    blob_store::memory::MemoryBlobs,
    clock::Clock,
    config::{Config, Rate, Secret},
    data_dir::ServerCertificate,
    group::HubKey,
    metrics::Metrics,
    rng::{Rng, SystemRng},
    server::{self, Parts, Running},
    store::memory::MemoryStore,
    transport::ResetKey,
};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::network::Network;

pub(crate) const ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 7000);
pub(crate) const TOKEN: &str = "the standing token of this town";

/// A server that runs, or has crashed.
pub(crate) struct Server {
    network: Network,
    store: Arc<MemoryStore>,
    blobs: Arc<MemoryBlobs>,
    running: Option<Running>,
}

/// Made once for all towns: nothing in it depends on a seed.
fn keys() -> &'static (String, CertificateDer<'static>, Vec<u8>) {
    static KEYS: OnceLock<(String, CertificateDer<'static>, Vec<u8>)> = OnceLock::new();
    KEYS.get_or_init(|| {
        let setup = OpaqueSetups::generate(&SystemRng, 0).to_file_text().to_string();
        // Of a kind whose certificates and signatures all have the same length: it decides over the packets.
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut certificate = CertificateParams::new(vec!["localhost".into()]).unwrap();
        certificate.serial_number = Some(1.into());
        (setup, certificate.self_signed(&key).unwrap().der().clone(), key.serialize_der())
    })
}

/// What its clients pin.
pub(crate) fn fingerprint() -> Fingerprint {
    let (_, certificate, key) = keys();
    shown(certificate, key).fingerprint().parse().unwrap()
}

fn shown(certificate: &CertificateDer<'static>, key: &[u8]) -> ServerCertificate {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.to_vec()));
    ServerCertificate { chain: vec![certificate.clone()], key }
}

struct SimulatedClock;

impl Clock for SimulatedClock {
    fn unix_ms(&self) -> u64 {
        simulation::now_ms()
    }
}

struct SeededRng;

impl Rng for SeededRng {
    fn fill(&self, buffer: &mut [u8]) {
        for byte in buffer {
            [*byte] = simulation::random().unwrap();
        }
    }
}

impl Server {
    pub(crate) async fn start(network: Network) -> Self {
        let mut server =
            Self { network, store: Arc::new(MemoryStore::new()), blobs: Arc::new(MemoryBlobs::new()), running: None };
        server.restart().await;
        server
    }

    pub(crate) fn is_up(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) async fn restart(&mut self) {
        let (setup, certificate, key) = keys();
        let mut config = Config::default();
        config.server.domain = "localhost".into();
        config.server.auth_token = Some(Secret::new(TOKEN.into()));
        // Rates are kept by the machine's clock, which stands still here.
        let often = Rate { rate: 6_000_000, burst: 1_000_000 };
        let limits = &mut config.limits;
        for rate in [
            &mut limits.message,
            &mut limits.change,
            &mut limits.login_account,
            &mut limits.login_prefix,
            &mut limits.registration,
            &mut limits.claim_requester,
            &mut limits.claim_target,
            &mut limits.contact,
            &mut limits.lookup,
            &mut limits.blob,
            &mut limits.transfer,
            &mut limits.request,
        ] {
            *rate = often;
        }
        let parts = Parts {
            store: self.store.clone(),
            blobs: self.blobs.clone(),
            aftermath: None,
            metrics: Arc::new(Metrics::new().unwrap()),
            setups: OpaqueSetups::from_file_text(setup).unwrap(),
            certificate: shown(certificate, key),
            certificate_source: None,
            acme: None,
            backups: None,
            hub_key: HubKey::from_seed(&[4; 32]),
            reset_key: ResetKey::new([5; 32].into()),
            federation: None,
            admin_socket: None,
            clock: Arc::new(SimulatedClock),
            rng: Arc::new(SeededRng),
        };
        let socket = self.network.plug(ADDRESS);
        self.running = Some(server::start_on(socket, &config, parts).await.unwrap());
    }

    /// As a loss of power: nothing that was not stored ever is, and nobody is told.
    pub(crate) fn crash(&mut self) {
        let Some(running) = self.running.take() else { return };
        self.network.unplug(ADDRESS);
        self.store = Arc::new(self.store.after_crash());
        self.blobs = Arc::new(self.blobs.after_crash());
        // What still runs of it has neither a network nor a store, and ends by itself.
        tokio::spawn(async move { drop(running.drain().await) });
    }
}
