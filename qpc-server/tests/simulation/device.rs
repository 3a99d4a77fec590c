//! Somebody's device: a home that outlives crashes, and a client on it while it is on.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use qpc_client::{
    Client, KsfParams, Login, Options, Place, Registration, Trust,
    api::{Command, CommandError, Conversation, Message, Outcome, Password, Status},
    simulation::{self, Disk},
};
use quinn::{Endpoint, EndpointConfig, TokioRuntime};
use tokio::{task::JoinHandle, time::timeout};

use crate::{
    network::Network,
    server::{self, ADDRESS, TOKEN},
};

pub(crate) const PASSWORD: &str = "correct horse battery staple";
/// Longest simulated wait for one command.
const PATIENCE: Duration = Duration::from_secs(120);

/// See the module's text.
pub(crate) struct Device {
    pub(crate) account: &'static str,
    pub(crate) name: String,
    /// Its id, once it has one.
    pub(crate) id: String,
    pub(crate) revoked: bool,
    network: Network,
    ip: IpAddr,
    port: u16,
    disk: Disk,
    client: Option<Client>,
    /// What was asked of the client that runs.
    asked: Vec<JoinHandle<()>>,
}

impl Device {
    pub(crate) fn new(network: &Network, account: &'static str, number: usize) -> Self {
        Self {
            account,
            name: format!("{account}-{number}"),
            id: String::new(),
            revoked: false,
            network: network.clone(),
            ip: IpAddr::V4(Ipv4Addr::new(10, 0, 1, u8::try_from(number).unwrap())),
            port: 1_000,
            disk: Disk::blank().unwrap(),
            client: None,
            asked: Vec::new(),
        }
    }

    pub(crate) fn ip(&self) -> IpAddr {
        self.ip
    }

    pub(crate) fn is_on(&self) -> bool {
        self.client.is_some()
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }

    fn options(&self) -> Options {
        Options {
            server: Some(ADDRESS.to_string().parse().unwrap()),
            trust: Trust::Pin(server::fingerprint()),
            ksf: KsfParams::weak(),
            ..Options::default()
        }
    }

    /// Its home, and a socket that it has not had before.
    fn place(&mut self) -> Place {
        self.port += 1;
        let socket = self.network.plug(self.address());
        let mut config = EndpointConfig::default();
        config.rng_seed(Some(simulation::random().unwrap()));
        let endpoint = Endpoint::new_with_abstract_socket(config, None, socket, Arc::new(TokioRuntime)).unwrap();
        Place { disk: self.disk.clone(), endpoint }
    }

    pub(crate) async fn register(&mut self) {
        let place = self.place();
        let registration = Registration {
            name: self.account.into(),
            password: Password(PASSWORD.into()),
            token: Some(TOKEN.into()),
            device_name: self.name.clone(),
        };
        self.client = Some(Client::simulate_register(&place, &self.options(), registration).await.unwrap());
        self.learn_id().await;
    }

    /// Makes the home a device of its account; says whether that came about.
    pub(crate) async fn log_in(&mut self) -> bool {
        let place = self.place();
        let login =
            Login { name: self.account.into(), password: Password(PASSWORD.into()), device_name: self.name.clone() };
        let options = self.options();
        match timeout(PATIENCE, Client::simulate_login(&place, &options, login)).await {
            Ok(Ok(client)) => {
                self.client = Some(client);
                self.learn_id().await;
                true
            }
            _ => {
                self.network.unplug(self.address());
                false
            }
        }
    }

    async fn learn_id(&mut self) {
        self.id = self.status().await.whoami.device;
    }

    /// As a loss of power.
    pub(crate) fn crash(&mut self) {
        for asked in self.asked.drain(..) {
            asked.abort();
        }
        if let Some(client) = self.client.take() {
            self.network.unplug(self.address());
            client.crash();
        }
    }

    pub(crate) async fn start(&mut self) {
        if self.client.is_some() || self.revoked {
            return;
        }
        let place = self.place();
        self.client = Some(Client::simulate_open(&place, &self.options()).await.unwrap());
    }

    /// Asks for something, and goes on; what came of it is told later, unless the device crashes before.
    pub(crate) fn ask(&mut self, command: Command, told: impl FnOnce(Result<Outcome, CommandError>) + Send + 'static) {
        let Some(client) = self.client.clone() else { return };
        self.asked.retain(|asked| !asked.is_finished());
        self.asked.push(tokio::spawn(async move { told(client.execute(command).await) }));
    }

    /// Does something, and waits for it.
    pub(crate) async fn attempt(&self, command: Command) -> Result<Outcome, String> {
        let client = self.client.as_ref().ok_or("the device is off")?;
        match timeout(PATIENCE, client.execute(command)).await {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err("no answer in time".into()),
        }
    }

    pub(crate) async fn status(&self) -> Status {
        match self.attempt(Command::Status).await {
            Ok(Outcome::Status(status)) => status,
            other => panic!("{}: {other:?}", self.name),
        }
    }

    pub(crate) async fn conversations(&self) -> Vec<Conversation> {
        match self.attempt(Command::Conversations).await {
            Ok(Outcome::Conversations { conversations }) => conversations,
            other => panic!("{}: {other:?}", self.name),
        }
    }

    /// All messages of a conversation, in their order there.
    pub(crate) async fn history(&self, with: &str) -> Vec<Message> {
        match self.attempt(Command::History { to: with.into(), limit: 1_000, before: None }).await {
            Ok(Outcome::Messages { messages }) => messages,
            other => panic!("{}: {other:?}", self.name),
        }
    }
}
