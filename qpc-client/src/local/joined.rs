//! A second program's end of the local socket: a client without a driver of its own.

use std::{
    collections::HashMap,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::{
    codec::{FramedRead, FramedWrite, LinesCodec},
    sync::CancellationToken,
};

use super::{ANSWER_LINE_MAX, Ask, COMMAND_LINE_MAX, PENDING_MAX, SocketPath, Tell};
use crate::{
    EventStream,
    api::{Command, CommandError, Outcome},
    events::Events,
};

type Answer = Result<Outcome, CommandError>;

/// Why a home could not be joined.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    /// No process listens there.
    #[error("no program drives this home")]
    Nobody,
    /// The socket.
    #[error("the home's socket can't be used: {0}")]
    Socket(#[from] io::Error),
}

/// A seat beside the process that drives the home.
#[derive(Debug)]
pub(crate) struct Joined {
    asks: mpsc::Sender<(Ask, oneshot::Sender<Answer>)>,
    next: AtomicU64,
    events: Arc<Events>,
    /// Nobody will answer any more.
    ended: CancellationToken,
    /// Ends with this.
    _exchange: JoinSet<()>,
}

impl Joined {
    /// Joins the process that drives the home.
    pub(crate) async fn open(home: &Path) -> Result<Self, JoinError> {
        let socket = SocketPath::of(home)?;
        let stream = UnixStream::connect(&socket.path).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => JoinError::Nobody,
            _ => JoinError::Socket(error),
        })?;
        let events = Arc::new(Events::new());
        let (asks, asked) = mpsc::channel(PENDING_MAX);
        let mut running = JoinSet::new();
        let weak = Arc::downgrade(&events);
        let ended = CancellationToken::new();
        let ending = ended.clone();
        running.spawn(async move {
            let (read, write) = stream.into_split();
            let lines = FramedRead::new(read, LinesCodec::new_with_max_length(ANSWER_LINE_MAX));
            let out = FramedWrite::new(write, LinesCodec::new_with_max_length(COMMAND_LINE_MAX));
            exchange(lines, out, asked, |tell| {
                let Some(events) = weak.upgrade() else { return };
                match tell {
                    Tell::Event(event) => events.tell(event),
                    Tell::Lagged => events.tell_lagged(),
                    Tell::Answer { .. } => {}
                }
            })
            .await;
            ending.cancel();
            if let Some(events) = weak.upgrade() {
                events.end();
            }
        });
        Ok(Self { asks, next: AtomicU64::new(0), events, ended, _exchange: running })
    }

    /// Has the driver do something.
    pub(crate) async fn execute(&self, command: Command) -> Answer {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        if self.asks.send((Ask { number, command }, answer)).await.is_err() {
            return Err(gone());
        }
        // A question that slips into the queue while that is being closed is never dropped from it.
        tokio::select! {
            biased;
            answer = answered => answer.unwrap_or_else(|_| Err(gone())),
            () = self.ended.cancelled() => Err(gone()),
        }
    }

    /// What happens from now on.
    pub(crate) fn events(&self) -> EventStream {
        self.events.listen()
    }
}

fn gone() -> CommandError {
    CommandError::Unreachable {
        message: "the program that drives this home has ended; run the command again".to_owned(),
    }
}

/// Sends commands and sorts what comes back, until either side ends. Dropping the senders of what
/// still waits is the answer that nobody is there.
async fn exchange(
    mut lines: FramedRead<OwnedReadHalf, LinesCodec>,
    mut out: FramedWrite<OwnedWriteHalf, LinesCodec>,
    mut asked: mpsc::Receiver<(Ask, oneshot::Sender<Answer>)>,
    mut tell: impl FnMut(Tell),
) {
    let mut waiting: HashMap<u64, oneshot::Sender<Answer>> = HashMap::new();
    loop {
        tokio::select! {
            ask = asked.recv(), if waiting.len() < PENDING_MAX => {
                let Some((ask, answer)) = ask else { return };
                let line = match serde_json::to_string(&ask) {
                    Ok(line) if line.len() <= COMMAND_LINE_MAX => line,
                    _ => {
                        let message = "the command is too long".to_owned();
                        drop(answer.send(Err(CommandError::Usage { message })));
                        continue;
                    }
                };
                waiting.insert(ask.number, answer);
                if out.send(line).await.is_err() {
                    return;
                }
            }
            line = lines.next() => {
                let Some(Ok(line)) = line else { return };
                match serde_json::from_str(&line) {
                    Ok(Tell::Answer { number, outcome }) => {
                        if let Some(answer) = waiting.remove(&number) {
                            // Whoever asked may have stopped waiting.
                            drop(answer.send(outcome));
                        }
                    }
                    Ok(other) => tell(other),
                    Err(_) => return,
                }
            }
        }
    }
}
