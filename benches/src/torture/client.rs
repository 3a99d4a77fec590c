//! One client: a device with several conversations, which connects again whenever its server is gone.

use std::{sync::Arc, time::Duration};

use anyhow::bail;
use futures_util::future::{join_all, try_join_all};
use qpc_client::wire::{Device, Dialer, Wire};
use tokio::{sync::watch, time::sleep};

use super::{lane::Lane, reader::Reader, recorder::Recorder};

/// From a failure to the next attempt.
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// Servers that there may be.
pub(super) const SERVERS_MAX: usize = 3;

/// What the one who kills lets clients know.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Word {
    /// How often each server was started.
    pub(super) started: [u32; SERVERS_MAX],
    /// No more messages: get answers to those on their way, and end.
    pub(super) ending: bool,
}

/// See the module's text.
pub(super) struct Client {
    pub(super) device: Device,
    /// The number of its server, and the way there.
    pub(super) server: usize,
    pub(super) dialer: Arc<Dialer>,
    pub(super) lanes: Vec<Lane>,
    pub(super) reader: Reader,
}

impl Client {
    /// Sends and reads until it is told to end and has all its answers.
    pub(super) async fn run(mut self, recorder: Arc<Recorder>, word: watch::Receiver<Word>) {
        let dialer = Arc::clone(&self.dialer);
        let server = self.server;
        let starts = |word: &Word| word.started.get(server).copied().unwrap_or_default();
        loop {
            let now = *word.borrow();
            if now.ending && self.lanes.iter().all(Lane::is_empty) {
                return;
            }
            let mut restarted = word.clone();
            tokio::select! {
                // Whatever the outcome: what is not answered is sent again.
                outcome = self.session(&dialer, &recorder, &word) => drop(outcome),
                // Nothing comes from a server that was killed, not even that it is gone.
                _ = restarted.wait_for(|word| starts(word) != starts(&now)) => {}
            }
            sleep(RETRY_AFTER).await;
        }
    }

    async fn session(
        &mut self,
        dialer: &Dialer,
        recorder: &Recorder,
        word: &watch::Receiver<Word>,
    ) -> anyhow::Result<()> {
        let wire: Wire = dialer.connect().await?;
        wire.authenticate(&self.device).await?;
        let ending = || word.borrow().ending;
        let lanes = try_join_all(self.lanes.iter_mut().map(|lane| lane.run(&wire, recorder, &ending)));
        tokio::select! {
            sent = lanes => sent.map(drop),
            read = self.reader.run(&wire, recorder) => read,
        }
    }
}

/// Runs all until each has ended.
pub(super) async fn run_all(
    clients: Vec<Client>,
    recorder: &Arc<Recorder>,
    word: &watch::Receiver<Word>,
) -> anyhow::Result<()> {
    if clients.is_empty() {
        bail!("no clients");
    }
    join_all(clients.into_iter().map(|client| client.run(Arc::clone(recorder), word.clone()))).await;
    Ok(())
}
