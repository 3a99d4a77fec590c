//! `federation init-ca`, `federation issue` and `federation status`.

use std::{
    fmt::Write as _,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

use qpc_proto::address::Domain;
use zeroize::Zeroizing;

use super::{
    args::{IssueArgs, Place, StatusArgs},
    exit::{Exit, Fault},
    print,
    serve::load,
};
use crate::{
    admin::{self, AdminAnswer, AdminRequest, AskError},
    clock::{Clock, SystemClock},
    data_dir::{DataDir, DataDirError, FederationFiles},
    federation::authority::{self, AuthorityError, Made},
    peers::{LinkState, PeerReport},
};

/// `federation init-ca`.
pub(super) fn init_ca(place: &Place) -> Result<(), Fault> {
    let loaded = load(place, None, None)?;
    let directory = &loaded.config.server.data_dir;
    make_directory(directory)?;
    let files = FederationFiles::of(directory);
    let (authority, key) = (files.authority.display(), files.authority_key.display());
    if files.authority.exists() {
        let made = format!("{authority} is there already: an authority is made once; `federation issue` uses it");
        return Err(Fault::new(Exit::Config, made));
    }
    if files.authority_key.exists() {
        let alone = format!(
            "{key} is there without {authority}: put that file back, every server of the federation has it. If there never \
             was one, because this command was cut off, remove the key and try again"
        );
        return Err(Fault::new(Exit::Config, alone));
    }
    let Made { certificate, key } = authority::found(now())?;
    DataDir::put(&files.authority_key, &key)?;
    DataDir::put(&files.authority, &certificate)?;
    print(&format!(
        "{}\n{}\n\n\
         The first file goes to every server of the federation. The second stays here: whoever has it can make\n\
         certificates for every domain. Next, for each server: qpc-server federation issue DOMAIN\n",
        files.authority.display(),
        files.authority_key.display(),
    ))
}

/// `federation issue DOMAIN`.
pub(super) fn issue(place: &Place, args: &IssueArgs) -> Result<(), Fault> {
    let domain = Domain::parse(&args.domain).map_err(|error| Fault::new(Exit::Usage, error))?;
    let loaded = load(place, None, None)?;
    let home = &loaded.config.server.data_dir;
    let from = FederationFiles::of(home);
    let authority_key = read(&from.authority_key)?;
    let authority = read(&from.authority)?;
    let own = loaded.config.server.domain.eq_ignore_ascii_case(domain.as_str());
    let directory = match &args.out {
        Some(out) => out.clone(),
        None if own => home.clone(),
        None => PathBuf::from(domain.as_str()),
    };
    let Made { certificate, key } = authority::issue(&authority_key, &domain, args.days, now())?;
    make_directory(&directory)?;
    let to = FederationFiles::of(&directory);
    if to.authority != from.authority {
        DataDir::put(&to.authority, &authority)?;
    }
    DataDir::put(&to.key, &key)?;
    DataDir::put(&to.certificate, &certificate)?;
    let mut text = format!("{}\n{}\n{}\n\n", to.certificate.display(), to.key.display(), to.authority.display());
    let days = args.days;
    let next = if directory == *home {
        format!("They are where this server looks for them, and last {days} days.\n")
    } else {
        format!("Copy these three files into the data directory of {domain}'s server. They last {days} days.\n")
    };
    text.push_str(&next);
    print(&text)
}

/// `federation status`.
pub(super) fn status(place: &Place, args: &StatusArgs) -> Result<(), Fault> {
    let loaded = load(place, None, None)?;
    let socket = DataDir::admin_socket(&loaded.config.server.data_dir);
    let answer = admin::ask(&socket, &AdminRequest::FederationStatus).map_err(|error| {
        let exit = if matches!(error, AskError::NoServer) { Exit::NotReady } else { Exit::Io };
        Fault::new(exit, error)
    })?;
    let peers = match answer {
        AdminAnswer::Federation { peers: Some(peers) } => peers,
        AdminAnswer::Federation { peers: None } => {
            return Err(Fault::new(Exit::NotReady, "federation is off: set federation.enabled = true"));
        }
        _ => return Err(Fault::new(Exit::Internal, "the server answered something else")),
    };
    if args.json {
        return print(&format!("{}\n", serde_json::json!({ "peers": peers })));
    }
    print(&table(&peers, SystemClock.unix_ms()))
}

/// Peers in columns, each problem below its peer.
fn table(peers: &[PeerReport], now_ms: u64) -> String {
    if peers.is_empty() {
        return "no peers: add [[federation.peers]] to the configuration\n".into();
    }
    let address = |peer: &PeerReport| peer.address.clone().unwrap_or_else(|| "-".into());
    let width = |of: &dyn Fn(&PeerReport) -> usize, title: usize| peers.iter().map(of).max().unwrap_or(0).max(title);
    let (names, addresses) = (width(&|peer| peer.domain.len(), 4), width(&|peer| address(peer).len(), 7));
    let mut text = format!(
        "{:names$}  {:addresses$}  to peer     since   from peer  round trip  {:14}  {:9}  requests\n",
        "peer", "address", "waiting", "logs late"
    );
    for peer in peers {
        let outgoing = match peer.outgoing {
            LinkState::None => "-",
            LinkState::Connecting => "connecting",
            LinkState::Connected => "connected",
            LinkState::Waiting => "waiting",
        };
        let incoming = if peer.incoming { "connected" } else { "-" };
        let since = if peer.since_ms == 0 { "-".into() } else { ago(now_ms.saturating_sub(peer.since_ms)) };
        let trip = peer.round_trip_us.map_or_else(|| "-".into(), milliseconds);
        let requests = match peer.requests() {
            _ if peer.address.is_none() => "-".into(),
            (all, 0) => all.to_string(),
            (all, failed) => format!("{all}, {failed} failed"),
        };
        let waiting = match peer.waiting_since_ms {
            Some(since_ms) if peer.waiting > 0 => format!("{}, {}", peer.waiting, ago(now_ms.saturating_sub(since_ms))),
            _ => "-".into(),
        };
        let behind = if peer.behind > 0 { peer.behind.to_string() } else { "-".into() };
        // Writing into a string does not fail.
        _ = writeln!(
            text,
            "{:names$}  {:addresses$}  {outgoing:10}  {since:6}  {incoming:9}  {trip:10}  {waiting:14}  {behind:9}  {requests}",
            peer.domain,
            address(peer),
        );
        if let Some(problem) = &peer.problem {
            let times = peer.failures;
            _ = writeln!(text, "    {problem} ({times} in a row)");
        }
    }
    text
}

fn milliseconds(us: u64) -> String {
    format!("{}.{} ms", us / 1_000, us % 1_000 / 100)
}

/// A span of time in its largest unit.
fn ago(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn now() -> Duration {
    Duration::from_millis(SystemClock.unix_ms())
}

/// Reads one of the authority's files.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Fault> {
    fs::read(path).map(Zeroizing::new).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Fault::new(
            Exit::Config,
            format!("{} is not there: `qpc-server federation init-ca` makes an authority, once", path.display()),
        ),
        _ => Fault::new(Exit::Io, format!("{}: {error}", path.display())),
    })
}

/// Makes a directory for its owner alone, and what it lies in.
pub(super) fn make_directory(path: &Path) -> Result<(), Fault> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| DataDirError::Io { path: path.to_owned(), error }.into())
}

impl From<AuthorityError> for Fault {
    fn from(error: AuthorityError) -> Self {
        let exit = if matches!(error, AuthorityError::Key(_)) { Exit::Config } else { Exit::Internal };
        Self::new(exit, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_stand_in_columns_with_their_problems() {
        let times = |problem: Option<&str>| problem.map_or(0, |_| 3);
        let peer = |domain: &str, outgoing, problem: Option<&str>| PeerReport {
            domain: domain.into(),
            address: (outgoing != LinkState::None).then(|| "10.0.1.2:7001".into()),
            outgoing,
            incoming: outgoing != LinkState::Waiting,
            since_ms: 60_000,
            round_trip_us: (outgoing == LinkState::Connected).then_some(1_234),
            failures: times(problem),
            problem: problem.map(Into::into),
            in_flight: 0,
            asked: [("answered", 9), ("refused", 1), ("slow", times(problem).into())]
                .map(|(outcome, count)| (outcome.to_owned(), count))
                .into(),
            waiting: times(problem).into(),
            waiting_since_ms: problem.map(|_| 5_000),
            behind: times(problem).into(),
        };
        let peers = [
            peer("b.example", LinkState::Connected, None),
            peer("node3.example", LinkState::Waiting, Some("no answer within 10s")),
            peer("c.example", LinkState::None, None),
        ];
        assert_eq!(
            table(&peers, 185_000),
            "peer           address        to peer     since   from peer  round trip  waiting         logs late  requests\n\
             b.example      10.0.1.2:7001  connected   2m      connected  1.2 ms      -               -          10\n\
             node3.example  10.0.1.2:7001  waiting     2m      -          -           3, 3m           3          13, 3 failed\n\
             \u{20}   no answer within 10s (3 in a row)\n\
             c.example      -              -           2m      connected  -           -               -          -\n"
        );
        assert!(table(&[], 0).contains("[[federation.peers]]"));
        assert_eq!([59_999, 60_000, 7_200_000, 172_800_000].map(ago), ["59s", "1m", "2h", "2d"]);
    }
}
