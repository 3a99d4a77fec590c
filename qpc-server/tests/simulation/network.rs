//! A network without sockets: datagrams that are lost, late and out of order, by the seed.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::Duration,
};

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit},
};

use crate::chance;

/// How the network is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    /// Of a thousand datagrams so many are lost.
    pub(crate) lost: u64,
    /// What every datagram takes.
    pub(crate) least: Duration,
    /// What it may take besides: within this, later ones overtake it.
    pub(crate) spread: Duration,
}

impl Weather {
    pub(crate) const CALM: Self = Self { lost: 0, least: Duration::from_millis(1), spread: Duration::from_millis(1) };

    pub(crate) fn rough() -> Self {
        Self {
            lost: chance::below(60),
            least: Duration::from_millis(1 + chance::below(20)),
            spread: Duration::from_millis(chance::below(40)),
        }
    }
}

/// All hosts that are plugged in.
#[derive(Debug, Clone)]
pub(crate) struct Network(Arc<Mutex<Cable>>);

#[derive(Debug)]
struct Cable {
    weather: Weather,
    hosts: BTreeMap<SocketAddr, Host>,
    /// How many were ever plugged in.
    plugged: u64,
    /// Addresses that nothing goes to or comes from.
    cut: Vec<IpAddr>,
}

#[derive(Debug, Default)]
struct Host {
    /// Which of those: another may have had the address before.
    number: u64,
    arrived: VecDeque<(SocketAddr, Vec<u8>)>,
    reader: Option<Waker>,
}

impl Network {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Cable {
            weather: Weather::CALM,
            hosts: BTreeMap::new(),
            plugged: 0,
            cut: Vec::new(),
        })))
    }

    fn cable(&self) -> MutexGuard<'_, Cable> {
        self.0.lock().unwrap()
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        self.cable().weather = weather;
    }

    /// A socket with this address, which nobody has.
    pub(crate) fn plug(&self, address: SocketAddr) -> Arc<Socket> {
        let mut cable = self.cable();
        cable.plugged += 1;
        let number = cable.plugged;
        let before = cable.hosts.insert(address, Host { number, ..Host::default() });
        assert!(before.is_none(), "{address} is plugged in");
        Arc::new(Socket { network: self.clone(), address, number })
    }

    /// From now on nothing comes from or to it, whatever still runs behind it.
    pub(crate) fn unplug(&self, address: SocketAddr) {
        self.cable().hosts.remove(&address);
    }

    pub(crate) fn cut(&self, address: IpAddr) {
        self.cable().cut.push(address);
    }

    pub(crate) fn mend(&self, address: IpAddr) {
        self.cable().cut.retain(|cut| *cut != address);
    }

    fn send(&self, (from, number): (SocketAddr, u64), to: SocketAddr, datagram: &[u8]) {
        let weather = {
            let cable = self.cable();
            let cut = cable.cut.contains(&from.ip()) || cable.cut.contains(&to.ip());
            if cut || cable.hosts.get(&from).is_none_or(|host| host.number != number) {
                return;
            }
            cable.weather
        };
        if chance::below(1_000) < weather.lost {
            return;
        }
        let late = chance::below(u64::try_from(weather.spread.as_micros()).unwrap().max(1));
        let (network, datagram) = (self.clone(), datagram.to_vec());
        tokio::spawn(async move {
            tokio::time::sleep(weather.least + Duration::from_micros(late)).await;
            network.arrive(from, to, datagram);
        });
    }

    fn arrive(&self, from: SocketAddr, to: SocketAddr, datagram: Vec<u8>) {
        let reader = {
            let mut cable = self.cable();
            if cable.cut.contains(&from.ip()) || cable.cut.contains(&to.ip()) {
                return;
            }
            let Some(host) = cable.hosts.get_mut(&to) else { return };
            host.arrived.push_back((from, datagram));
            host.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// One host's.
#[derive(Debug)]
pub(crate) struct Socket {
    network: Network,
    address: SocketAddr,
    number: u64,
}

#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for datagram in transmit.contents.chunks(segment) {
            self.network.send((self.address, self.number), transmit.destination, datagram);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [io::IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut cable = self.network.cable();
        // One that is unplugged hears nothing any more.
        let host = cable.hosts.get_mut(&self.address).filter(|host| host.number == self.number);
        let Some(host) = host else { return Poll::Pending };
        let mut filled = 0;
        for (buffer, meta) in bufs.iter_mut().zip(meta) {
            let Some((from, datagram)) = host.arrived.pop_front() else { break };
            buffer[..datagram.len()].copy_from_slice(&datagram);
            *meta = RecvMeta { addr: from, len: datagram.len(), stride: datagram.len(), ecn: None, dst_ip: None };
            filled += 1;
        }
        if filled == 0 {
            host.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(filled))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}
