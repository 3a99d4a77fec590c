//! The driver's end of the local socket: takes commands of other programs, tells them events.

use std::{fs, future::Future, io, path::Path, sync::Arc};

use futures_util::{SinkExt, StreamExt, stream::FuturesUnordered};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc},
    task::JoinSet,
};
use tokio_util::{
    codec::{FramedRead, FramedWrite, LinesCodec},
    sync::CancellationToken,
};

use super::{ANSWER_LINE_MAX, Ask, COMMAND_LINE_MAX, JOINED_MAX, PENDING_MAX, SocketPath, Tell};
use crate::{
    EventStream, Notice,
    api::{Command, CommandError, Outcome},
};

/// Whoever can do what programs ask.
pub(crate) trait Host: Clone + Send + Sync + 'static {
    /// Does it.
    fn execute(&self, command: Command) -> impl Future<Output = Result<Outcome, CommandError>> + Send;

    /// What happens from now on.
    fn events(&self) -> EventStream;
}

/// Binds the home's socket. The caller holds the home's lock, so a socket that lies there is a
/// dead process's.
pub(crate) fn bind(home: &Path) -> io::Result<UnixListener> {
    let socket = SocketPath::of(home)?;
    match fs::remove_file(&socket.path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    UnixListener::bind(&socket.path)
}

/// Serves programs until it is told to stop; returns when all of them are gone.
pub(crate) async fn serve(listener: UnixListener, host: impl Host, stop: CancellationToken) {
    let seats = Arc::new(Semaphore::new(JOINED_MAX));
    let mut programs = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = programs.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // One too many sees its connection end.
                    if let Ok(seat) = Arc::clone(&seats).try_acquire_owned() {
                        let (host, stop) = (host.clone(), stop.clone());
                        programs.spawn(async move {
                            if let Err(error) = one_program(stream, host, stop).await {
                                tracing::debug!(%error, "a joined program is gone");
                            }
                            drop(seat);
                        });
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the local socket accepts nobody any more");
                    break;
                }
            }
        }
    }
    drop(listener);
    while programs.join_next().await.is_some() {}
}

/// One program: its commands run beside each other, their answers and the events share one writer.
async fn one_program(stream: UnixStream, host: impl Host, stop: CancellationToken) -> io::Result<()> {
    let (read, write) = stream.into_split();
    let mut asks = FramedRead::new(read, LinesCodec::new_with_max_length(COMMAND_LINE_MAX));
    let mut lines = FramedWrite::new(write, LinesCodec::new_with_max_length(ANSWER_LINE_MAX));
    let mut events = host.events();
    let (answers, mut answered) = mpsc::channel(PENDING_MAX);
    let mut commands = FuturesUnordered::new();
    loop {
        let tell = tokio::select! {
            () = stop.cancelled() => break,
            Some(()) = commands.next() => continue,
            Some(tell) = answered.recv() => tell,
            notice = events.next() => match notice {
                Some(Notice::Event(event)) => Tell::Event(event),
                Some(Notice::Lagged) => Tell::Lagged,
                None => break,
            },
            line = asks.next(), if commands.len() < PENDING_MAX => {
                let Some(line) = line else { break };
                let line = zeroize::Zeroizing::new(line.map_err(io::Error::other)?);
                let ask: Ask = serde_json::from_str(&line)?;
                let (host, answers) = (host.clone(), answers.clone());
                // In this task, so that they begin in the order in which they were asked.
                commands.push(async move {
                    let outcome = host.execute(ask.command).await;
                    // A program that is gone does not need its answer.
                    drop(answers.send(Tell::Answer { number: ask.number, outcome }).await);
                });
                continue;
            }
        };
        lines.send(serde_json::to_string(&tell)?).await.map_err(io::Error::other)?;
    }
    Ok(())
}
