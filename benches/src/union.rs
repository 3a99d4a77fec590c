//! Servers of several domains that federate, each in a process of its own, over cables that can be cut.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use tempfile::TempDir;
use tokio::{
    net::UdpSocket,
    process::Command,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{bed::Bed, metrics::Metrics};

/// Whose they are: in the order of their addresses.
pub const DOMAINS: [&str; 3] = ["a.example", "b.example", "c.example"];
/// Longest wait until each has a connection to each.
const CONNECTED_WITHIN: Duration = Duration::from_secs(30);
/// Pause after a socket's error: where it goes nobody listens at the moment.
const PAUSE: Duration = Duration::from_millis(5);
const DATAGRAM_MAX: usize = 65_536;

/// What one server says to another on the connection that it has opened, and what comes back: packets that may be dropped
/// either way.
#[derive(Debug)]
pub struct Cable {
    at: SocketAddr,
    ways: Arc<[AtomicBool; 2]>,
    // It ends with the cable.
    _carrying: JoinSet<()>,
}

impl Cable {
    async fn lay(to: SocketAddr) -> io::Result<Self> {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let behind = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let at = front.local_addr()?;
        let ways = Arc::new([AtomicBool::new(true), AtomicBool::new(true)]);
        let mut carrying = JoinSet::new();
        carrying.spawn(carry(front, behind, to, Arc::clone(&ways)));
        Ok(Self { at, ways, _carrying: carrying })
    }

    /// Whether packets get there, and back.
    pub fn set(&self, there: bool, back: bool) {
        let [to, from] = &*self.ways;
        to.store(there, Ordering::Relaxed);
        from.store(back, Ordering::Relaxed);
    }
}

async fn carry(front: UdpSocket, behind: UdpSocket, to: SocketAddr, ways: Arc<[AtomicBool; 2]>) {
    let [there, back] = &*ways;
    let (mut one, mut other) = (vec![0; DATAGRAM_MAX], vec![0; DATAGRAM_MAX]);
    // The one server that sends here.
    let mut from = None;
    loop {
        let sent = tokio::select! {
            came = front.recv_from(&mut one) => match came {
                Ok((length, sender)) => {
                    from = Some(sender);
                    pass(&behind, one.get(..length), to, there).await
                }
                Err(error) => Err(error),
            },
            came = behind.recv_from(&mut other) => match (came, from) {
                (Ok((length, _)), Some(from)) => pass(&front, other.get(..length), from, back).await,
                (Ok(_), None) => Ok(()),
                (Err(error), _) => Err(error),
            },
        };
        if sent.is_err() {
            sleep(PAUSE).await;
        }
    }
}

async fn pass(socket: &UdpSocket, packet: Option<&[u8]>, to: SocketAddr, open: &AtomicBool) -> io::Result<()> {
    match packet {
        Some(packet) if open.load(Ordering::Relaxed) => socket.send_to(packet, to).await.map(drop),
        _ => Ok(()),
    }
}

/// Which packets between two servers are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// All.
    Both,
    /// Those of the first.
    There,
    /// Those to it.
    Back,
}

/// See the module's text.
#[derive(Debug)]
pub struct Union {
    /// The servers, in the order of [`DOMAINS`].
    pub beds: Vec<Bed>,
    /// From each to each, row by row; none to itself.
    cables: Vec<Option<Cable>>,
    _directory: TempDir,
}

impl Union {
    /// Starts them, and waits until each has a connection to each.
    ///
    /// # Errors
    /// When they do not start, or not connect.
    pub async fn start(program: &Path) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("qpc-bench-union-").tempdir()?;
        let data = |domain: &str| directory.path().join(domain);
        let authority = data(DOMAINS.first().context("a domain")?);
        ask(program, &authority, &["init-ca"]).await?;
        let mut ports = Vec::new();
        for domain in DOMAINS {
            let out = data(domain);
            let out = out.to_str().context("a path")?;
            ask(program, &authority, &["issue", domain, "--out", out]).await?;
            ports.push(free().await?);
        }
        let mut cables = Vec::new();
        for from in 0..ports.len() {
            for (to, address) in ports.iter().enumerate() {
                cables.push(if from == to { None } else { Some(Cable::lay(*address).await?) });
            }
        }
        let mut beds = Vec::new();
        for ((domain, listen), row) in DOMAINS.iter().zip(&ports).zip(cables.chunks(ports.len())) {
            let peers = DOMAINS.iter().zip(row).filter_map(|(domain, cable)| {
                let at = cable.as_ref()?.at;
                Some(format!("{{ domain = \"{domain}\", address = \"{at}\" }}"))
            });
            let peers: Vec<_> = peers.collect();
            let lines = [
                format!("server.domain = \"{domain}\""),
                "federation.enabled = true".to_owned(),
                format!("federation.listen = \"{listen}\""),
                format!("federation.peers = [{}]", peers.join(", ")),
            ];
            beds.push(Bed::start_in(program, &data(domain), &lines).await?);
        }
        let union = Self { beds, cables, _directory: directory };
        timeout(CONNECTED_WITHIN, union.connected()).await.context("the servers do not connect")??;
        Ok(union)
    }

    async fn connected(&self) -> anyhow::Result<()> {
        for (bed, own) in self.beds.iter().zip(DOMAINS) {
            for peer in DOMAINS.iter().filter(|peer| **peer != own) {
                let name = format!("qpc_federation_link_up{{direction=\"out\",peer=\"{peer}\"}}");
                while Metrics::read(&bed.ready().metrics).await?.value(&name).is_ok_and(|up| up < 1.0) {
                    sleep(PAUSE).await;
                }
            }
        }
        Ok(())
    }

    /// Cuts what is between two servers, or mends it.
    pub fn cut(&self, one: usize, other: usize, cut: Option<Cut>) {
        let (there, back) = match cut {
            None => (true, true),
            Some(Cut::Both) => (false, false),
            Some(Cut::There) => (false, true),
            Some(Cut::Back) => (true, false),
        };
        let cable = |from: usize, to: usize| {
            let at = from.saturating_mul(self.beds.len()).saturating_add(to);
            self.cables.get(at).and_then(Option::as_ref)
        };
        if let Some(cable) = cable(one, other) {
            cable.set(there, back);
        }
        if let Some(cable) = cable(other, one) {
            cable.set(back, there);
        }
    }
}

/// A UDP address of loopback that nobody has now.
async fn free() -> io::Result<SocketAddr> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()
}

/// Has the program do something about certificates.
async fn ask(program: &Path, data: &Path, words: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    let output = command.arg("--data-dir").arg(data).arg("federation").args(words).output().await?;
    ensure!(output.status.success(), "federation {words:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cable_carries_each_way_as_it_is_told() {
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let cable = Cable::lay(server.local_addr().unwrap()).await.unwrap();
        let mut buffer = [0; 16];
        client.send_to(b"one", cable.at).await.unwrap();
        let (length, back) = server.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"one");
        cable.set(true, false);
        server.send_to(b"lost", back).await.unwrap();
        client.send_to(b"two", cable.at).await.unwrap();
        let (length, _) = server.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"two");
        cable.set(false, true);
        client.send_to(b"lost", cable.at).await.unwrap();
        server.send_to(b"three", back).await.unwrap();
        let (length, _) = client.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"three");
        cable.set(true, true);
        client.send_to(b"four", cable.at).await.unwrap();
        let (length, _) = server.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"four");
    }
}
