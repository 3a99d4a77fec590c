//! The local socket of a home: how a second program on it joins the one that drives it (D16).
//!
//! JSON lines over a Unix socket inside the home, whose directory only its owner may enter; there is no
//! other authentication. Commands are answered by number, in any order; events come between.

mod host;
mod joined;

use std::{
    fs::File,
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

pub(crate) use self::{
    host::{Host, bind, serve},
    joined::{JoinError, Joined},
};
use crate::api::{Command, CommandError, Event, Outcome};

/// The socket's name in the home.
const SOCKET: &str = "socket";
/// Longest line from a joining program, in bytes: a text at its limit, however it is escaped.
const COMMAND_LINE_MAX: usize = 512 * 1024;
/// Longest line to a joining program, in bytes: a page of long messages.
const ANSWER_LINE_MAX: usize = 64 * 1024 * 1024;
/// Programs that may join at a time.
const JOINED_MAX: usize = 32;
/// Commands of one program that may wait for their answers.
const PENDING_MAX: usize = 256;
/// Longest path that a Unix socket's address holds, in bytes, with room for its end.
const SOCKET_PATH_MAX: usize = 100;

/// A line from a joining program.
#[derive(Serialize, Deserialize)]
struct Ask {
    number: u64,
    command: Command,
}

/// A line to a joining program.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Tell {
    /// To the command of this number.
    Answer { number: u64, outcome: Result<Outcome, CommandError> },
    /// As the driver's own listeners get it.
    Event(Event),
    /// Events were lost on the way.
    Lagged,
}

/// A path by which the socket can be bound or connected to, however deep the home lies.
struct SocketPath {
    path: PathBuf,
    /// Keeps the short way open while it is used.
    _dir: Option<File>,
}

impl SocketPath {
    fn of(home: &Path) -> io::Result<Self> {
        let path = home.join(SOCKET);
        if path.as_os_str().len() <= SOCKET_PATH_MAX {
            return Ok(Self { path, _dir: None });
        }
        let dir = File::open(home)?;
        let short = format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd());
        Ok(Self { path: short.into(), _dir: Some(dir) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{EventStream, Notice, events::Events};

    /// Answers `Send` with its text as id, never answers `Flush`, refuses the rest.
    #[derive(Clone)]
    struct Echo(Arc<Events>);

    impl Host for Echo {
        async fn execute(&self, command: Command) -> Result<Outcome, CommandError> {
            match command {
                Command::Send { text, .. } => Ok(Outcome::Queued { id: text }),
                Command::Flush => std::future::pending().await,
                _ => Err(CommandError::Usage { message: "no".into() }),
            }
        }

        fn events(&self) -> EventStream {
            self.0.listen()
        }
    }

    struct Home {
        dir: tempfile::TempDir,
        events: Arc<Events>,
        stop: CancellationToken,
        serving: tokio::task::JoinSet<()>,
    }

    impl Home {
        fn deep(below: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(dir.path().join(below)).unwrap();
            let events = Arc::new(Events::new());
            let stop = CancellationToken::new();
            let mut serving = tokio::task::JoinSet::new();
            let listener = bind(&dir.path().join(below)).unwrap();
            serving.spawn(serve(listener, Echo(Arc::clone(&events)), stop.clone()));
            Self { dir, events, stop, serving }
        }
    }

    fn send(text: &str) -> Command {
        Command::Send { to: "bob".into(), text: text.into() }
    }

    #[tokio::test]
    async fn a_second_program_asks_and_is_answered() {
        let home = Home::deep(".");
        let joined = Joined::open(home.dir.path()).await.unwrap();
        let (one, two) = tokio::join!(joined.execute(send("one")), joined.execute(send("two")));
        assert!(matches!(one, Ok(Outcome::Queued { id }) if id == "one"));
        assert!(matches!(two, Ok(Outcome::Queued { id }) if id == "two"));
        let refused = joined.execute(Command::Whoami).await;
        assert!(matches!(refused, Err(CommandError::Usage { message }) if message == "no"));
    }

    #[tokio::test]
    async fn events_reach_the_second_program() {
        let home = Home::deep(".");
        let joined = Joined::open(home.dir.path()).await.unwrap();
        let mut events = joined.events();
        // An answered command proves that the host listens for this program by now.
        joined.execute(send("x")).await.unwrap();
        home.events.tell(Event::Alarm { text: "look".into() });
        assert!(matches!(events.next().await, Some(Notice::Event(Event::Alarm { text })) if text == "look"));
    }

    #[tokio::test]
    async fn the_end_of_the_driver_ends_what_waits() {
        let mut home = Home::deep(".");
        let joined = Joined::open(home.dir.path()).await.unwrap();
        let mut events = joined.events();
        let waiting = joined.execute(Command::Flush);
        let stopping = async {
            joined.execute(send("x")).await.unwrap();
            home.stop.cancel();
            while home.serving.join_next().await.is_some() {}
        };
        let (answer, ()) = tokio::join!(waiting, stopping);
        assert!(matches!(answer, Err(CommandError::Unreachable { .. })));
        assert!(events.next().await.is_none());
        assert!(matches!(Joined::open(home.dir.path()).await, Err(JoinError::Nobody)));
    }

    #[tokio::test]
    async fn a_home_may_lie_deeper_than_a_socket_address_is_long() {
        let below = "a-directory-with-a-long-name/".repeat(6);
        let home = Home::deep(&below);
        let joined = Joined::open(&home.dir.path().join(&below)).await.unwrap();
        assert!(joined.execute(send("x")).await.is_ok());
    }

    #[tokio::test]
    async fn one_program_more_than_may_join_is_turned_away() {
        let home = Home::deep(".");
        let mut seats = Vec::new();
        for _ in 0..JOINED_MAX {
            let joined = Joined::open(home.dir.path()).await.unwrap();
            joined.execute(send("x")).await.unwrap();
            seats.push(joined);
        }
        let late = Joined::open(home.dir.path()).await.unwrap();
        assert!(matches!(late.execute(send("x")).await, Err(CommandError::Unreachable { .. })));
    }
}
