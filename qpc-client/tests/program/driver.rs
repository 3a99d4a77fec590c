//! A driver that a test plays: holds a home's lock, answers what joins it, tells it events.

use std::{
    fs::{File, TryLockError},
    io::{BufRead, BufReader, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Command as Process, Output, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

use qpc_client::api::{
    Command, CommandError, Conversation, ConversationKind, Event, Message, Outcome, Waiting, Whoami,
};

/// Longest wait for anything.
pub(crate) const SOON: Duration = Duration::from_secs(20);
pub(crate) const ALICE: &str = "alice@localhost";
pub(crate) const BOB: &str = "bob@localhost";

/// What the driver knows, and how it answers.
#[derive(Default)]
pub(crate) struct State {
    /// All messages, oldest first; `local` is the place, from 1.
    pub(crate) messages: Vec<Message>,
    /// Messages up to here have been shown.
    pub(crate) shown: i64,
    /// What was sent: to whom, and what.
    pub(crate) sent: Vec<(String, String)>,
    /// What a flush says.
    pub(crate) waiting: Vec<Waiting>,
    /// What becomes of messages that are sent, if not that they are stored.
    pub(crate) refuse: Option<String>,
    /// Is the outbox full?
    pub(crate) full: Option<Full>,
    /// What every send fails with.
    pub(crate) fail: Option<CommandError>,
    /// Commands whose answers are nothing but done.
    pub(crate) done: Vec<Command>,
}

/// A full outbox.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    UntilFlushed,
    ForGood,
}

impl State {
    /// A message from somebody, or of our own.
    pub(crate) fn message(&mut self, title: &str, sender: &str, body: &str) -> Message {
        let local = i64::try_from(self.messages.len()).unwrap() + 1;
        let message = Message {
            details: Default::default(),
            conversation: format!("conversation-{title}"),
            seq: local.unsigned_abs(),
            id: format!("id-{local}"),
            sender: sender.to_owned(),
            time: "2026-01-02T03:04:05.006Z".to_owned(),
            kind: "text".to_owned(),
            body: body.to_owned(),
            title: title.to_owned(),
            own: sender == ALICE,
            local,
            file: None,
        };
        self.messages.push(message.clone());
        message
    }

    fn of(&self, to: &str) -> Vec<Message> {
        let is = |m: &&Message| {
            [&m.title, &m.conversation].contains(&&to.to_owned()) || m.title == format!("{to}@localhost")
        };
        self.messages.iter().filter(is).cloned().collect()
    }

    fn answer(&mut self, command: Command, told: &mut Vec<Event>) -> Result<Outcome, CommandError> {
        Ok(match command {
            Command::Whoami => Outcome::Whoami(Whoami {
                address: ALICE.to_owned(),
                device: "device".to_owned(),
                account_key: "aaaa bbbb".to_owned(),
                server: "localhost:7000".to_owned(),
            }),
            Command::Conversations => {
                let mut titles: Vec<_> = self.messages.iter().map(|m| m.title.clone()).collect();
                titles.dedup();
                titles.sort();
                titles.dedup();
                let conversations = titles.iter().map(|title| self.conversation(title)).collect();
                Outcome::Conversations { conversations }
            }
            // Of a file, the path is what was said.
            Command::Send { to, text } | Command::FileSend { to, path: text, .. } => {
                if let Some(error) = &self.fail {
                    return Err(error.clone());
                }
                if self.full.is_some() {
                    return Err(CommandError::TryLater { message: "the outbox is full".to_owned() });
                }
                self.sent.push((to.clone(), text.clone()));
                let to = to.trim_start_matches("conversation-");
                let title = if to.contains('@') { to.to_owned() } else { format!("{to}@localhost") };
                let message = self.message(&title, ALICE, &text);
                told.push(Event::Message(message.clone()));
                let state = match (&self.refuse, self.waiting.is_empty()) {
                    (Some(_), _) => qpc_client::api::OutboxState::Refused,
                    (None, false) => qpc_client::api::OutboxState::Waiting,
                    (None, true) => qpc_client::api::OutboxState::Sent,
                };
                let reason = self.refuse.clone().or_else(|| self.waiting.first().map(|w| w.reason.clone()));
                told.push(Event::Outbox { id: message.id.clone(), state, reason });
                Outcome::Queued { id: message.id }
            }
            Command::ChangedKeys { .. } => Outcome::Contacts { contacts: Vec::new() },
            Command::Flush => {
                self.full = self.full.filter(|full| *full == Full::ForGood);
                Outcome::Flushed { waiting: self.waiting.clone() }
            }
            Command::Unshown { limit, to } => {
                let of = to.map_or_else(|| self.messages.clone(), |to| self.of(&to));
                let unshown = of.into_iter().filter(|m| m.local > self.shown && !m.own);
                Outcome::Messages { messages: unshown.take(limit as usize).collect() }
            }
            Command::MarkShown { local, .. } => {
                self.shown = self.shown.max(local);
                Outcome::Done { note: None }
            }
            Command::History { to, limit, before } => {
                let mut of = self.of(&to);
                of.retain(|message| before.is_none_or(|before| message.local < before));
                // As the real one, which answers no more at once.
                let skip = of.len().saturating_sub((limit as usize).min(1_000));
                Outcome::Messages { messages: of.into_iter().skip(skip).collect() }
            }
            Command::HistoryAfter { to, after, limit } => {
                let mut of = self.of(&to);
                of.retain(|message| message.local > after);
                of.truncate(limit as usize);
                Outcome::Messages { messages: of }
            }
            other => {
                self.done.push(other);
                Outcome::Done { note: None }
            }
        })
    }

    fn conversation(&self, title: &str) -> Conversation {
        Conversation {
            topic: String::new(),
            conversation: format!("conversation-{title}"),
            title: title.to_owned(),
            kind: if title.contains('@') { ConversationKind::Direct } else { ConversationKind::Group },
            members: vec![ALICE.to_owned(), BOB.to_owned()],
            unread: self.of(title).iter().filter(|m| m.local > self.shown && !m.own).count() as u64,
            last: self.of(title).pop(),
            standing: None,
            request: false,
            active: true,
            post_quantum: false,
            picture: false,
            lifetime_s: 0,
            muted: false,
            continues: None,
            continued_in: None,
        }
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    writers: Mutex<Vec<UnixStream>>,
}

/// A home whose lock is taken, as by another process.
pub(crate) struct Home {
    dir: tempfile::TempDir,
    _lock: File,
}

impl Home {
    pub(crate) fn taken() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lock = File::create(dir.path().join("lock")).unwrap();
        lock.try_lock().map_err(|error: TryLockError| error.to_string()).unwrap();
        File::create(dir.path().join("client.db")).unwrap();
        Self { dir, _lock: lock }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// The program on this home.
    pub(crate) fn program(&self, arguments: &[&str]) -> Process {
        program(self.dir.path(), arguments)
    }

    /// Runs the program on this home with this input.
    pub(crate) fn run(&self, arguments: &[&str], input: &str) -> Output {
        run(self.program(arguments), input)
    }
}

/// The program on a home, in an environment that decides nothing.
pub(crate) fn program(home: &Path, arguments: &[&str]) -> Process {
    let mut program = Process::new(env!("CARGO_BIN_EXE_qpc-client"));
    for name in [
        "QPC_SERVER",
        "QPC_AUTH_TOKEN",
        "QPC_AUTH_TOKEN_FILE",
        "QPC_PASSWORD_FILE",
        "QPC_PASSPHRASE_FILE",
        "QPC_GROUP_SUITE",
    ] {
        program.env_remove(name);
    }
    program.env("QPC_HOME", home).env("TZ", "UTC").env("NO_COLOR", "1").env("TERM", "xterm").args(arguments);
    // What a full screen shows is looked at by tests of its own.
    program.env("QPC_CHAT_LINES", "1");
    program
}

/// Runs a program with this input to its end.
pub(crate) fn run(mut program: Process, input: &str) -> Output {
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A program that does not read its input closes it.
    let writing = thread::spawn(move || stdin.write_all(input.as_bytes()).ok());
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    output
}

/// Whoever drives a home.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    socket: PathBuf,
}

impl Driver {
    pub(crate) fn start(home: &Home, state: State) -> Self {
        let shared = Arc::new(Shared { state: Mutex::new(state), ..Shared::default() });
        let socket = home.socket();
        let listener = UnixListener::bind(&socket).unwrap();
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                serving.writers.lock().unwrap().push(stream.try_clone().unwrap());
                let shared = Arc::clone(&serving);
                thread::spawn(move || serve(&shared, stream));
            }
        });
        Self { shared, socket }
    }

    /// Changes what the driver knows, and tells events.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.shared.state.lock().unwrap());
        self.shared.changed.notify_all();
        changed
    }

    /// Waits until something is the case.
    pub(crate) fn until<T>(&self, what: &str, mut is: impl FnMut(&State) -> Option<T>) -> T {
        let mut state = self.shared.state.lock().unwrap();
        loop {
            if let Some(found) = is(&state) {
                return found;
            }
            let (next, waited) = self.shared.changed.wait_timeout(state, SOON).unwrap();
            assert!(!waited.timed_out(), "{what} did not happen");
            state = next;
        }
    }

    /// A message arrives.
    pub(crate) fn receive(&self, title: &str, sender: &str, body: &str) {
        let message = self.change(|state| state.message(title, sender, body));
        self.tell(Event::Message(message));
    }

    pub(crate) fn tell(&self, event: Event) {
        tell(&mut self.shared.writers.lock().unwrap(), &serde_json::json!({ "event": event }));
    }

    /// Ends, as the process it stands for would.
    pub(crate) fn end(self) {
        std::fs::remove_file(&self.socket).unwrap();
        for stream in self.shared.writers.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).unwrap();
        }
    }
}

fn tell(writers: &mut Vec<UnixStream>, line: &serde_json::Value) {
    writers.retain_mut(|stream| stream.write_all(format!("{line}\n").as_bytes()).is_ok());
}

fn serve(shared: &Shared, stream: UnixStream) {
    let mut out = stream.try_clone().unwrap();
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        let ask: serde_json::Value = serde_json::from_str(&line).unwrap();
        let command: Command = serde_json::from_value(ask["command"].clone()).unwrap();
        let mut told = Vec::new();
        let outcome = shared.state.lock().unwrap().answer(command, &mut told);
        // One lock for all lines, so that they stay whole.
        let mut writers = shared.writers.lock().unwrap();
        let answer = serde_json::json!({ "answer": { "number": ask["number"], "outcome": outcome } });
        if out.write_all(format!("{answer}\n").as_bytes()).is_err() {
            return;
        }
        for event in told {
            tell(&mut writers, &serde_json::json!({ "event": event }));
        }
        drop(writers);
        shared.changed.notify_all();
    }
}
