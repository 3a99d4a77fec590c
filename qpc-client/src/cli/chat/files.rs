//! Files in a chat: sent into the conversation that is open, and fetched while people go on talking.

use std::path::PathBuf;

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use qpc_client::api::{Command, CommandError, Outcome};

use super::{
    console::Console,
    room::{Room, Said},
};
use crate::cli::{failure::Failure, file, terminal};

/// Files that are fetched for a chat at once; the client fetches no more either.
const FETCHES_MAX: usize = 4;

/// Files that are being fetched.
#[derive(Default)]
pub(super) struct Fetching(FuturesUnordered<BoxFuture<'static, Fetched>>);

/// What became of one.
pub(super) struct Fetched {
    id: String,
    outcome: Result<Outcome, CommandError>,
}

impl Fetching {
    /// The next one that has ended; waits for ever where there is none.
    pub(super) async fn next(&mut self) -> Fetched {
        match self.0.next().await {
            Some(fetched) => fetched,
            None => std::future::pending().await,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

/// What a shell would have made of a path.
fn expanded(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(path),
    }
}

impl Room<'_> {
    /// Queues a file for the open conversation.
    pub(super) async fn send_file(&mut self, console: &Console, path: &str, caption: String) -> Result<(), Failure> {
        let Some(place) = &self.place else {
            return self.say(console, "to whom? /open NAME, or a number of /list");
        };
        let path = expanded(path);
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let command = Command::FileSend { to: place.to.clone(), path: file::absolute(&path)?, caption };
        if let Outcome::Queued { id } = self.seat.execute(command).await? {
            self.say(console, &format!("{} is encrypted here, and on its way", terminal::line(&name)))?;
            self.typed.insert(id, Said::file(name));
        }
        Ok(())
    }

    /// Begins to fetch a file.
    pub(super) fn fetch(&mut self, console: &Console, id: String, path: Option<String>) -> Result<(), Failure> {
        if self.fetching.count() >= FETCHES_MAX {
            return self.say(console, "enough files are being fetched; wait until one of them is here");
        }
        let place = file::place(path.as_deref().map(expanded).as_deref())?;
        let getting = self.seat.execute(Command::FileGet { id: id.clone(), place });
        self.fetching.0.push(async move { Fetched { id, outcome: getting.await } }.boxed());
        Ok(())
    }

    /// Tells what became of a file that was fetched.
    pub(super) fn tell_fetched(&self, console: &Console, Fetched { id, outcome }: Fetched) -> Result<(), Failure> {
        match outcome {
            Ok(Outcome::Saved(saved)) if self.screen.json => Ok(self.screen.object(&saved)?),
            Ok(Outcome::Saved(saved)) => self.say(console, &format!("saved: {}", terminal::line(&saved.path))),
            Ok(_) => Ok(()),
            // Another program drove the home, and has ended: this one does from now on.
            Err(CommandError::Unreachable { .. }) => {
                let id = terminal::line(&id);
                self.say(console, &format!("{id} was cut off; what has come is kept: /get {id} goes on with it"))
            }
            Err(error) => self.tell(console, error.into()),
        }
    }
}
