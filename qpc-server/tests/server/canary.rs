//! The canary scan: unique strings go in as password, text and group title, and must be
//! nowhere in what the server keeps, logs at trace level, shows as metrics, or runs with.

use std::{
    fmt::Write as _,
    fs::{self, File},
    future::Future,
    io::{ErrorKind, Read, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use qpc_client::{
    Client, Home, KeySource, KsfParams, Notice, Options, Registration, Trust,
    api::{Command, Event, OutboxState, Outcome, Password},
};

use crate::{
    net::new_group,
    program::{Program, program},
};

const TEXT: &str = "canary-text-5f1c9a7e30d24b68";
const TITLE: &str = "canary-title-91b7e2c45d0f38a6";
const PASSWORD: &str = "canary-password-c83a60f7125e4d9b";
/// Name, content and caption of a file.
const FILE: [&str; 3] = ["canary-name-7be1f04c92ad", "canary-content-52c9d8a1e4b7", "canary-caption-0f9e63d871c5"];
const PATIENCE: Duration = Duration::from_secs(30);

/// The forms in which a string may lie about: as it is, UTF-16, hexadecimal, base64 at each offset.
fn forms(canary: &str) -> Vec<Vec<u8>> {
    let hex = canary.bytes().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    });
    let mut forms = vec![
        canary.as_bytes().to_vec(),
        canary.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
    ];
    for offset in 0..3 {
        let shifted = [&[b' '; 3][..offset], canary.as_bytes()].concat();
        let encoded = base64(&shifted);
        // The first and last groups depend on what stands around.
        forms.push(encoded[4..encoded.len() - 4].to_vec());
    }
    forms
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::new();
    for group in bytes.chunks(3) {
        let mut padded = [0; 3];
        padded[..group.len()].copy_from_slice(group);
        let number = u32::from_be_bytes([0, padded[0], padded[1], padded[2]]);
        for place in [18, 12, 6, 0] {
            text.push(DIGITS[usize::try_from(number >> place & 63).unwrap()]);
        }
    }
    text
}

fn contains(hay: &[u8], canary: &str) -> bool {
    forms(canary).iter().any(|form| hay.windows(form.len()).any(|window| window == form))
}

/// Every file below a directory, with its content.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    found
}

pub(crate) fn metrics(address: SocketAddr) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: qpc\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = Vec::new();
    stream.read_to_end(&mut page).unwrap();
    assert!(page.windows(17).any(|window| window == b"qpc_enqueue_total"), "this is the metrics page");
    page
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it happens in time")
}

async fn person(server: &Program, homes: &Path, name: &str) -> Client {
    let options = Options {
        server: Some(server.listen.to_string().parse().unwrap()),
        trust: Trust::Pin(server.fingerprint.parse().unwrap()),
        ksf: KsfParams::weak(),
        ..Options::default()
    };
    let registration = Registration {
        name: name.into(),
        password: Password(PASSWORD.into()),
        token: server.invite.clone(),
        device_name: "canary".into(),
    };
    in_time(Client::register(Home::at(homes.join(name), KeySource::File), options, registration)).await.unwrap()
}

async fn run(client: &Client, command: Command) -> Outcome {
    in_time(client.execute(command)).await.unwrap()
}

/// How many canaries somebody has to read.
async fn canaries(client: &Client) -> usize {
    let Outcome::Messages { messages } = run(client, Command::Unshown { limit: 100, to: None }).await else {
        panic!("messages")
    };
    messages.iter().filter(|message| message.body == TEXT).count()
}

/// Two people exchange the canaries, in a direct conversation and in a group.
async fn exchange(server: &Program, homes: &Path) {
    let (alice, bob) = (person(server, homes, "alice").await, person(server, homes, "bob").await);
    run(&alice, Command::Send { to: "bob".into(), text: TEXT.into() }).await;
    run(&alice, Command::Flush).await;
    run(&bob, Command::CatchUp).await;
    run(&bob, Command::Accept { who: "alice".into() }).await;
    run(&bob, Command::Send { to: "alice".into(), text: TEXT.into() }).await;
    run(&bob, Command::Flush).await;
    run(&alice, Command::CatchUp).await;
    run(&alice, new_group(TITLE, ["bob"])).await;
    run(&alice, Command::Send { to: TITLE.into(), text: TEXT.into() }).await;
    let mut events = bob.events();
    run(&alice, Command::Flush).await;
    // Bob is online: the second canary is pushed to him some time after it was acknowledged to alice.
    in_time(async {
        while canaries(&bob).await < 2 {
            events.next().await.expect("a client that runs");
        }
    })
    .await;
    send_file(&alice, homes).await;
    let (old, new) = (Password(PASSWORD.into()), Password(format!("{PASSWORD}2")));
    run(&alice, Command::PasswordChange { old, new }).await;
    alice.close().await;
    bob.close().await;
}

/// A file goes to bob, all of it.
async fn send_file(alice: &Client, homes: &Path) {
    let [name, content, caption] = FILE;
    let path = homes.join(name);
    fs::write(&path, content.repeat(20_000)).unwrap();
    let mut events = alice.events();
    let path = path.to_str().unwrap().to_owned();
    let send = Command::FileSend { to: "bob".into(), path, caption: caption.into() };
    let Outcome::Queued { id: sent, .. } = run(alice, send).await else { panic!("not queued") };
    in_time(async {
        loop {
            match events.next().await.expect("a client that runs") {
                Notice::Event(Event::Outbox { id, state: OutboxState::Sent, .. }) if id == sent => break,
                _ => {}
            }
        }
    })
    .await;
}

/// Invariant 9, seen from outside: bodies, and what they stand for, leave no trace.
#[test]
fn no_canary_is_found_on_the_server() {
    let temp = tempfile::tempdir().unwrap();
    let (data, log) = (temp.path().join("data"), temp.path().join("log"));
    let mut command = program(&data);
    command.args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--json"]).env("RUST_LOG", "trace");
    // Where the bytes of blobs are not encrypted by the server besides.
    command.env("QPC_BLOBS__BACKEND", "directory");
    let server = Program::spawn_logging(&mut command, File::create(&log).unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(exchange(&server, &temp.path().join("homes")));

    let key = fs::read_to_string(data.join("db.key")).unwrap();
    let mut places = files(&data);
    assert!(places.iter().any(|(_, bytes)| bytes.len() == 256 * 1024), "a part of the file is there");
    places.push(("metrics".into(), metrics(server.metrics)));
    let traced = fs::read(&log).unwrap();
    assert!(traced.len() > 10_000, "the log is at trace level: {} bytes", traced.len());
    places.push(("log".into(), traced));
    places.push(("cmdline".into(), fs::read(format!("/proc/{}/cmdline", server.pid())).unwrap()));
    // The server let nobody but root look into it: what is refused to everybody of its own kind needs no scan.
    match fs::read(format!("/proc/{}/environ", server.pid())) {
        Ok(environment) => places.push(("environ".into(), environment)),
        Err(error) => assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}"),
    }
    for (place, bytes) in &places {
        for canary in [TEXT, TITLE, PASSWORD].iter().chain(&FILE) {
            assert!(!contains(bytes, canary), "{canary} lies in {place}");
        }
        assert!(place.ends_with("db.key") || !contains(bytes, key.trim()), "the database key lies in {place}");
    }
}

/// The scan itself can fail.
#[test]
fn the_scan_finds_what_is_there() {
    for form in forms(TEXT) {
        let hay = [b"before ".to_vec(), form, b" after".to_vec()].concat();
        assert!(contains(&hay, TEXT));
    }
    let encoded = base64(format!("xx{TEXT}yyyy").as_bytes());
    assert!(contains(&encoded, TEXT));
    assert!(!contains(b"nothing here", TEXT));
}
