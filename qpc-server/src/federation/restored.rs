//! After a restore, this server's or a peer's: a hub asks those who have copies for what it lacks, and hands over again what a
//! peer has lost.

use std::sync::atomic::Ordering;

use qpc_proto::{
    address::Domain,
    error::Code,
    id::{ConversationName, Seq},
    limits::{LOG_PAGE_BYTES_MAX, LOG_PAGE_MAX},
    v1::{self, peer_answer, peer_request},
};

use super::{
    Hall, House,
    circle::Reach,
    push::{Pusher, Stopped},
};
use crate::{
    field,
    remote::RemoteError,
    session::WireError,
    store::{LogPlace, Store, StoreFault},
};

/// Conversations that are looked at in one go.
const LOOK: usize = 256;

/// The last restore of a peer that one of its tasks has heard of.
#[derive(Debug, Default)]
pub(super) struct Heard {
    at_ms: u64,
}

impl Heard {
    /// Notes what the peer said when it was connected to last; says whether that is news to this task.
    pub(super) async fn hear(&mut self, store: &dyn Store, reach: &Reach) -> Result<bool, StoreFault> {
        let at_ms = reach.restored_ms.load(Ordering::Relaxed);
        if at_ms == self.at_ms {
            return Ok(false);
        }
        if store.peer_restored(&reach.peer.domain, at_ms).await? {
            tracing::info!(peer = %reach.peer.domain, "a peer was restored from a backup: it is handed what it lacks since");
        }
        self.at_ms = at_ms;
        Ok(true)
    }
}

impl Pusher<'_> {
    /// What the peer was known to have is in doubt, if it was restored since.
    pub(super) async fn hear_restore(&mut self) -> Result<(), Stopped> {
        if self.heard.hear(self.store, self.reach).await? {
            self.forget_places();
        }
        Ok(())
    }

    /// Takes what the peer has of conversations of here that wait for it, because this server was restored.
    pub(super) async fn take_back(&mut self) -> Result<(), Stopped> {
        let restored = self.store.restored().await?;
        self.restoring = restored.is_some_and(|restored| self.hall.clock.unix_ms() < restored.until_ms);
        let mut after = Some(LogPlace::default());
        while let Some(place) = after {
            let (awaited, next) = self.store.awaited_of(self.peer, place, LOOK).await?;
            for conversation in awaited {
                self.take_back_of(&conversation.log).await?;
            }
            after = next;
        }
        Ok(())
    }

    async fn take_back_of(&self, log: &ConversationName) -> Result<(), Stopped> {
        let mut before = None;
        loop {
            let Some(end) = self.store.copy_place(log).await? else { return Ok(()) };
            // A peer that gives again what is there has nothing else to give.
            let nothing_new = before.replace(end.head) == Some(end.head);
            let entries = match self.hall.read_copy(self.peer, log, end.head).await {
                Ok(_) if nothing_new => Vec::new(),
                Ok(entries) => entries,
                // It has no copy, so nothing of it either; or is of a release that can't be asked, and is not to wait for that.
                Err(RemoteError::NotFound | RemoteError::Unfit) => Vec::new(),
                Err(error) => return Err(error.into()),
            };
            let complete = entries.is_empty();
            let refused = match self.groups.take_back(self.peer, log, entries).await {
                Ok(()) if complete => return Ok(()),
                Ok(()) => continue,
                Err(refused) => refused,
            };
            tracing::debug!(peer = %self.peer, %log, %refused, "what a peer has of a conversation is not taken back");
            let code = WireError::from(refused).code();
            tracing::warn!(peer = %self.peer, %code, "what a peer has of a conversation is not taken back");
            if complete || code.retryable() {
                // The next search asks again.
                return Ok(());
            }
            // What can't be taken is nothing to wait for.
            if let Err(refused) = self.groups.take_back(self.peer, log, Vec::new()).await {
                tracing::debug!(peer = %self.peer, %log, %refused, "a conversation waits for a peer on");
            }
            return Ok(());
        }
    }
}

impl Hall {
    async fn read_copy(
        &self,
        domain: &Domain,
        conversation: &ConversationName,
        after: Seq,
    ) -> Result<Vec<v1::Entry>, RemoteError> {
        let request = v1::PeerReadCopy { conversation: Some(conversation.to_wire()), after: after.0 };
        let read = |answer| match answer {
            peer_answer::Result::ReadCopy(answer) if answer.entries.len() <= LOG_PAGE_MAX => Some(answer.entries),
            _ => None,
        };
        self.ask(domain, peer_request::Method::ReadCopy(request), read).await
    }
}

/// Gives a hub what the copy here has of a conversation of its own.
pub(super) async fn answer(
    house: &House,
    peer: &Domain,
    request: v1::PeerReadCopy,
) -> Result<peer_answer::Result, WireError> {
    let name = field::conversation(request.conversation.as_ref())?;
    // Byte by byte, as with what it pushes.
    if request.conversation.as_ref().is_none_or(|name| name.domain != peer.as_str()) {
        return Err(WireError::new(Code::Forbidden, "a conversation of another domain"));
    }
    let most = (LOG_PAGE_MAX, LOG_PAGE_BYTES_MAX);
    let entries = house.store.read_copy(&name, Seq(request.after), most).await?;
    let entries = entries.iter().map(qpc_proto::chain::LogEntry::to_wire).collect();
    Ok(peer_answer::Result::ReadCopy(v1::PeerReadCopyAnswer { entries }))
}
