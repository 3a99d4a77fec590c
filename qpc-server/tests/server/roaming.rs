//! A client whose address changes while a file is on its way, as when a router forgets it or a phone changes networks: the
//! connection goes on from the new one, and so does the file.

use std::{
    fs, io,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use qpc_client::api::{Command, FileState, Outcome, Place};
use qpc_proto::limits::BLOB_PART;

use crate::{
    blobs::bytes,
    net::{Net, Person},
};

const SIZE: u64 = 8_000_000;

fn film() -> bytes::Bytes {
    bytes(7, usize::try_from(SIZE).unwrap())
}

/// Stands between one client and the server, as a router does that gives the client another port at some time.
struct Router {
    /// Where the client sends to.
    front: UdpSocket,
    server: SocketAddr,
    client: Mutex<Option<SocketAddr>>,
    /// From where it comes to the server.
    back: Mutex<Arc<UdpSocket>>,
    up: AtomicU64,
    down: AtomicU64,
    /// When so many bytes have gone up or down, the port changes.
    up_max: AtomicU64,
    down_max: AtomicU64,
    moves: AtomicUsize,
    over: AtomicBool,
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // So that a thread that reads from it finds out that the router is gone.
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    socket
}

impl Router {
    fn before(server: SocketAddr) -> Arc<Self> {
        let router = Arc::new(Self {
            front: socket(),
            server,
            client: Mutex::new(None),
            back: Mutex::new(Arc::new(socket())),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            up_max: AtomicU64::new(u64::MAX),
            down_max: AtomicU64::new(u64::MAX),
            moves: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        });
        let upwards = Arc::clone(&router);
        thread::spawn(move || upwards.carry_up());
        router.listen_behind();
        router
    }

    fn read(&self, socket: &UdpSocket, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        match socket.recv_from(buffer) {
            Ok(read) => Some(read),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn carry_up(self: Arc<Self>) {
        let mut buffer = [0; 65_536];
        while !self.over.load(SeqCst) {
            let Some((length, from)) = self.read(&self.front, &mut buffer) else { continue };
            *self.client.lock().unwrap() = Some(from);
            let up = self.up.fetch_add(length as u64, SeqCst) + length as u64;
            if up >= self.up_max.load(SeqCst) || self.down.load(SeqCst) >= self.down_max.load(SeqCst) {
                self.up_max.store(u64::MAX, SeqCst);
                self.down_max.store(u64::MAX, SeqCst);
                *self.back.lock().unwrap() = Arc::new(socket());
                self.listen_behind();
                self.moves.fetch_add(1, SeqCst);
            }
            self.back.lock().unwrap().send_to(&buffer[..length], self.server).unwrap();
        }
    }

    /// Carries down what comes to the port of now, until it has another.
    fn listen_behind(self: &Arc<Self>) {
        let (router, back) = (Arc::clone(self), Arc::clone(&self.back.lock().unwrap()));
        thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while !router.over.load(SeqCst) && Arc::ptr_eq(&router.back.lock().unwrap(), &back) {
                let Some((length, _)) = router.read(&back, &mut buffer) else { continue };
                router.down.fetch_add(length as u64, SeqCst);
                let client = router.client.lock().unwrap().expect("who was answered has asked");
                router.front.send_to(&buffer[..length], client).unwrap();
            }
        });
    }
}

/// A net in which alice is behind a router, and bob is not.
struct World {
    router: Arc<Router>,
    net: Net,
    alice: Person,
    bob: Person,
}

impl World {
    fn new() -> Self {
        let net = Net::start();
        let router = Router::before(net.address());
        net.reached_at(Some(router.front.local_addr().unwrap()));
        let alice = net.person("alice");
        net.reached_at(None);
        let bob = net.person("bob");
        net.acquaint(&alice, &bob);
        Self { router, net, alice, bob }
    }

    /// A number of the page of metrics.
    fn counted(&self, name: &str) -> u64 {
        let page = self.net.metrics().text().unwrap();
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{name} in {page}")).parse().unwrap()
    }

    /// The file went once, whole, over one connection that changed its address in the middle.
    fn went_once(&self, direction: &str, handshakes: u64) {
        assert_eq!(self.router.moves.load(SeqCst), 1);
        let bytes = self.counted(&format!("qpc_blob_bytes_total{{direction=\"{direction}\"}}"));
        assert!(bytes >= SIZE && bytes <= SIZE + SIZE / 10 + BLOB_PART as u64, "{bytes} bytes went {direction}");
        assert_eq!(self.counted("qpc_tls_handshake_seconds_count"), handshakes, "it connected anew");
    }

    fn send(&self, from: &Person, to: &Person) {
        let path = self.net.home_dir("a film.bin");
        fs::write(&path, film()).unwrap();
        let path = path.to_str().unwrap().to_owned();
        from.do_it(Command::FileSend { to: to.name.clone(), path, caption: String::new() });
        from.until("the server has it", |from| file(from, to).is_some_and(|(_, state)| state == FileState::There));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.router.over.store(true, SeqCst);
    }
}

/// The last file that one has with another: its id and state.
fn file(of: &Person, with: &Person) -> Option<(String, FileState)> {
    match of.do_it(Command::Files { to: with.name.clone() }) {
        Outcome::Files { files } => files.last().map(|file| (file.id.clone(), file.state)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_upload_goes_on_from_another_address() {
    let world = World::new();
    let handshakes = world.counted("qpc_tls_handshake_seconds_count");
    world.router.up_max.store(SIZE / 3, SeqCst);
    world.send(&world.alice, &world.bob);
    world.went_once("in", handshakes);
}

#[test]
fn a_download_goes_on_from_another_address() {
    let world = World::new();
    world.send(&world.bob, &world.alice);
    world.alice.until("a file", |alice| file(alice, &world.bob).is_some());
    let id = file(&world.alice, &world.bob).unwrap().0;
    let handshakes = world.counted("qpc_tls_handshake_seconds_count");
    world.router.down_max.store(world.router.down.load(SeqCst) + SIZE / 3, SeqCst);
    let target = world.net.home_dir("got.bin");
    let place = Place::File(target.to_str().unwrap().to_owned());
    world.alice.do_it(Command::FileGet { id, place });
    assert!(fs::read(&target).unwrap() == film(), "other bytes came than were sent");
    world.went_once("out", handshakes);
}
