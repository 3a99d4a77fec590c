//! Who is connected, as the operator is shown it: a moment's picture, taken session by session.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use qpc_proto::{
    address::Address,
    error::CloseCode,
    id::{AccountId, DeviceId},
};

use super::{Registry, Session};

/// What a session's connection knows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Where it comes from now.
    pub from: SocketAddr,
    /// How long it has been there.
    pub lasted: Duration,
    /// What people call the account, from the end of its login on.
    pub account: Option<Address>,
}

/// How far a sync call is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Entries that wait in its queue.
    pub offers: usize,
    /// Logs of which something did not fit; `None` where they are too many to be remembered.
    pub behind: Option<usize>,
}

/// A live session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Whose.
    pub account: AccountId,
    /// Which of the account's devices.
    pub device: DeviceId,
    /// Its connection; `None` where it is just going.
    pub peer: Option<Peer>,
    /// Its sync call, where one is open.
    pub sync: Option<Lag>,
}

impl Registry {
    /// All live sessions, in no order.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        let mut seen = Vec::with_capacity(self.sessions());
        for sessions in &self.accounts {
            seen.extend(sessions.as_slice().iter().map(|session| Seen {
                account: *sessions.key(),
                device: session.device,
                peer: session.line.peer(),
                sync: session.mailbox.lag(),
            }));
        }
        seen
    }

    /// Live sessions of an account, or of one of its devices.
    #[must_use]
    pub fn sessions_of_account(&self, account: AccountId, device: Option<DeviceId>) -> usize {
        self.of_account(account, device).len()
    }

    /// Ends the sessions of an account, or of one of its devices, which may come back. Says how many there were.
    pub fn kick(&self, account: AccountId, device: Option<DeviceId>) -> usize {
        let doomed = self.of_account(account, device);
        doomed.iter().for_each(|session| session.line.cut(CloseCode::Done));
        doomed.len()
    }

    fn of_account(&self, account: AccountId, device: Option<DeviceId>) -> Vec<Arc<Session>> {
        let meant = |session: &&Arc<Session>| device.is_none_or(|device| session.device == device);
        self.accounts
            .get(&account)
            .map_or_else(Vec::new, |sessions| sessions.as_slice().iter().filter(meant).cloned().collect())
    }
}
