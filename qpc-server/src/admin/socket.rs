//! The admin socket: a line of JSON in, a line of JSON out.
//!
//! Who may open the socket is the file system's judgement: it is its owner's alone (0600), in a
//! directory that is (0700).

use std::{
    fs,
    io::{self, BufRead, Read, Write},
    os::{
        fd::AsRawFd,
        unix::{fs::PermissionsExt, net::UnixStream as Caller},
    },
    path::Path,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::timeout,
};
use tracing::debug_span;

use super::{AdminAnswer, AdminRequest, Operated, perform};
use crate::tasks::Tasks;

/// Longest request, in bytes.
const LINE_MAX: u64 = 4096;
/// Longest answer, in bytes: about as many peers or rows as may be.
const ANSWER_MAX: u64 = 1024 * 1024;
/// Callers served at once.
const CALLERS_MAX: usize = 8;
/// How long a caller may take for a line.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest path that every system takes for a socket, in bytes.
const PATH_MAX: usize = 100;

/// Opens the socket, in place of one that an earlier process left behind. The caller holds the data
/// directory, so nobody else is listening there.
///
/// # Errors
/// The system refuses.
pub fn bind_socket(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = with_short_path(path, |path| UnixListener::bind(path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Calls with a path that is short enough for a socket: one through the open directory where the real one
/// is not.
fn with_short_path<T>(path: &Path, call: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    match (path.parent(), path.file_name()) {
        (Some(directory), Some(name)) if path.as_os_str().len() > PATH_MAX => {
            let directory = fs::File::open(directory)?;
            call(&Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name))
        }
        _ => call(path),
    }
}

/// Serves callers until the tasks' owner begins to stop.
pub async fn serve_socket(listener: UnixListener, operated: Arc<Operated>, tasks: Tasks) {
    let places = Arc::new(Semaphore::new(CALLERS_MAX));
    let stopping = tasks.stopping().clone();
    loop {
        // Every branch only waits.
        let place = tokio::select! {
            () = stopping.cancelled() => return,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let caller = tokio::select! {
            () = stopping.cancelled() => return,
            caller = listener.accept() => caller,
        };
        let Ok((caller, _)) = caller else { continue };
        let operated = Arc::clone(&operated);
        let stopping = stopping.clone();
        let serve = async move {
            let _place = place;
            // A caller that says nothing holds nobody up; a verb that was called is done either way.
            let answered = tokio::select! {
                () = stopping.cancelled() => return,
                answered = answer(caller, &operated) => answered,
            };
            if let Err(error) = answered {
                tracing::debug!(%error, "a caller of the admin socket went away");
            }
        };
        tasks.serve("admin", debug_span!("admin"), serve, || ());
    }
}

async fn answer(caller: UnixStream, operated: &Operated) -> io::Result<()> {
    // Who calls, as the kernel says: of a caller that is gone already nothing is asked.
    let uid = caller.peer_cred()?.uid();
    let (from, mut to) = caller.into_split();
    let mut line = String::new();
    timeout(PATIENCE, BufReader::new(from.take(LINE_MAX)).read_line(&mut line)).await??;
    let (answer, drains) = match serde_json::from_str::<AdminRequest>(&line) {
        Ok(request) => {
            let drains = matches!(request, AdminRequest::Drain { dry_run: false });
            let answer = perform(operated, uid, request).await;
            let drains = drains && matches!(answer, AdminAnswer::Done { .. });
            (answer, drains)
        }
        Err(error) => (AdminAnswer::Malformed { reason: error.to_string() }, false),
    };
    let mut line = serde_json::to_string(&answer)?;
    line.push('\n');
    let written = timeout(PATIENCE, to.write_all(line.as_bytes())).await;
    // Not before the caller has its answer, which a server that stops would not wait for.
    if let Some(live) = operated.live.as_ref().filter(|_| drains) {
        live.controls.drain.cancel();
    }
    written?
}

/// Why a running server gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No server runs on this data directory.
    #[error("no server runs on this data directory")]
    NoServer,
    /// The socket failed.
    #[error("the server's admin socket failed: {0}")]
    Socket(#[from] io::Error),
    /// The answer is not understood: another version of the program.
    #[error("the server's answer is not understood: {0}")]
    Answer(#[from] serde_json::Error),
}

/// Asks the server that runs on a data directory.
///
/// # Errors
/// [`AskError`].
pub fn ask(socket: &Path, request: &AdminRequest) -> Result<AdminAnswer, AskError> {
    let mut caller = with_short_path(socket, |path| Caller::connect(path)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::NoServer,
        _ => AskError::Socket(error),
    })?;
    caller.set_read_timeout(Some(PATIENCE))?;
    caller.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    caller.write_all(line.as_bytes())?;
    let mut line = String::new();
    io::BufReader::new(caller.take(ANSWER_MAX)).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::DirBuilderExt;

    use qpc_proto::address::Domain;

    use super::*;
    use crate::{
        account::{Accounts, OpaqueSetups, RegistrationPolicy},
        admin::AuditLog,
        blob_store::{Budget, memory::MemoryBlobs},
        clock::SystemClock,
        metrics::Metrics,
        rng::SystemRng,
        store::memory::MemoryStore,
    };

    /// What the socket answers to bytes.
    fn raw(socket: &Path, bytes: &[u8]) -> String {
        let mut caller = with_short_path(socket, |path| Caller::connect(path)).unwrap();
        // The other end may hang up before it has read everything.
        caller.write_all(bytes).ok();
        caller.shutdown(std::net::Shutdown::Write).ok();
        let mut answer = String::new();
        caller.read_to_string(&mut answer).ok();
        answer
    }

    fn operated(directory: &Path) -> Operated {
        let store = Arc::new(MemoryStore::new());
        let accounts = Arc::new(Accounts::new(
            store.clone(),
            OpaqueSetups::generate(&SystemRng, 0),
            Domain::parse("localhost").unwrap(),
            RegistrationPolicy::default(),
            Arc::new(SystemClock),
            Arc::new(SystemRng),
        ));
        Operated {
            accounts,
            store,
            blobs: Arc::new(MemoryBlobs::new()),
            quota: Budget::default(),
            clock: Arc::new(SystemClock),
            audit: Arc::new(AuditLog::new(directory, Arc::new(SystemClock))),
            live: None,
        }
    }

    #[tokio::test]
    async fn what_can_not_be_noted_is_not_done() {
        let temp = tempfile::tempdir().unwrap();
        let operated = operated(temp.path());
        // Nobody writes into a directory, not even root.
        fs::create_dir(temp.path().join("audit.log")).unwrap();
        let refused = |answer: AdminAnswer| match answer {
            AdminAnswer::Failed { reason } => assert!(reason.contains("without a trace"), "{reason}"),
            answer => panic!("{answer:?}"),
        };
        let invites = || AdminRequest::ListInvites { after: None, limit: 9 };
        refused(perform(&operated, 0, AdminRequest::CreateInvite { uses: 1, life_ms: None }).await);
        refused(perform(&operated, 0, invites()).await);
        fs::remove_dir(temp.path().join("audit.log")).unwrap();
        let AdminAnswer::Invites { invites, .. } = perform(&operated, 0, invites()).await else { panic!() };
        assert_eq!(invites, []);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn callers_are_answered_and_garbage_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let deep = temp.path().join("d".repeat(120));
        fs::DirBuilder::new().mode(0o700).create(&deep).unwrap();
        let socket = deep.join("admin.sock");
        assert!(matches!(
            ask(&socket, &AdminRequest::ResetAccount { name: "a".into(), dry_run: false }),
            Err(AskError::NoServer)
        ));
        let listener = bind_socket(&socket).unwrap();
        let tasks = Tasks::new(Arc::new(Metrics::new().unwrap()));
        let operated = Arc::new(operated(temp.path()));
        tasks.share("admin", debug_span!("admin"), serve_socket(listener, operated, tasks.clone()));
        let status = ask(&socket, &AdminRequest::FederationStatus).unwrap();
        assert_eq!(status, AdminAnswer::Federation { peers: None });

        let invite = |uses| ask(&socket, &AdminRequest::CreateInvite { uses, life_ms: None }).unwrap();
        assert!(matches!(invite(1), AdminAnswer::Token { .. }));
        assert!(matches!(invite(0), AdminAnswer::Malformed { .. }));
        let reset =
            |name: &str| ask(&socket, &AdminRequest::ResetAccount { name: name.into(), dry_run: false }).unwrap();
        assert_eq!(reset("nobody"), AdminAnswer::NotFound);
        assert!(matches!(reset("no body"), AdminAnswer::Malformed { .. }));
        for garbage in ["", "\n", "{}", "\u{0}\n", "{\"request\":\"shutdown\"}\n"] {
            assert!(raw(&socket, garbage.as_bytes()).contains("malformed"), "{garbage:?}");
        }
        raw(&socket, &vec![b'x'; 1 << 20]);
        assert!(matches!(invite(1), AdminAnswer::Token { .. }));
        // What the caller was told stands in the log, and nothing that is a secret.
        let mut actions = Vec::new();
        let found = crate::admin::read_audit(temp.path(), &mut |entry| actions.push((entry.action, entry.outcome)));
        assert_eq!(found.unwrap().troubles, []);
        let reset = serde_json::json!({ "request": "reset_account", "name": "nobody", "dry_run": false });
        assert!(actions.contains(&(reset.clone(), "begun".into())) && actions.contains(&(reset, "not_found".into())));
        assert!(tasks.finish(PATIENCE).await);
    }
}
