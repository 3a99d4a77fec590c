//! What people of here do in conversations of other domains: said to the hub, which decides; noted here first, so that
//! nobody's name can be put under what they have not sent (D11).

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use qpc_proto::{
    address::{Address, Domain},
    chain::{ChainValue, Digest, EntryKind},
    error::Code,
    id::{ConversationName, Counter, Epoch, Seq},
    v1::{self, peer_deed::Deed, peer_done::Result as Done},
};

use super::{Abroad, Groups, certificates_to_wire};
use crate::{
    remote::RemoteError,
    store::{Actor, Append, Appended, CommitAppend, NewConversation, Outgoing, QueueError, Queued, ReadError, Refusal},
};

/// Why something was not done elsewhere.
#[derive(Debug, thiserror::Error)]
pub enum Elsewhere {
    /// The hub has refused it.
    #[error("the hub refuses it with code {}", .0.code)]
    Hub(Box<v1::Error>),
    /// It could not be asked.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// This server has refused it.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The actor is not in the conversation, as far as is known here.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<Refusal> for Elsewhere {
    fn from(refusal: Refusal) -> Self {
        Self::Queue(QueueError::Append(refusal.into()))
    }
}

impl Groups {
    /// Whether another domain orders a conversation.
    #[must_use]
    pub fn is_elsewhere(&self, name: &ConversationName) -> bool {
        name.domain != self.domain
    }

    /// The same of a name as it comes; one that is malformed is refused as everything here is.
    #[must_use]
    pub fn orders_elsewhere(&self, name: Option<&v1::ConversationName>) -> bool {
        ConversationName::parse(name).is_ok_and(|name| self.is_elsewhere(&name))
    }

    fn abroad(&self, domain: &Domain) -> Result<Arc<Abroad>, RemoteError> {
        let abroad = self.abroad.as_ref().filter(|abroad| abroad.remote.knows(domain));
        abroad.cloned().ok_or(RemoteError::Unknown)
    }

    /// Keeps a message for its hub, and says so; it is sent as soon as that can be reached.
    pub fn queue(
        &self,
        actor: &Actor,
        append: &Append,
        send: &v1::Send,
    ) -> impl Future<Output = Result<Queued, Elsewhere>> + Send + use<> {
        let outgoing = Outgoing {
            conversation: append.conversation.clone(),
            id: append.id,
            counter: append.counter,
            kind: append.kind,
            epoch: append.epoch,
            digest: Digest::of(&append.body),
            request: send.encode_to_vec().into(),
            founds: false,
            most: self.abroad.as_ref().map_or((0, 0), |abroad| abroad.waiting),
            now_ms: append.now_ms,
        };
        let domain = append.conversation.domain.clone();
        // The verb is queued here and now, in the order of requests.
        let queued = self.abroad(&domain).map(|_| self.store.queue(actor, outgoing));
        async move { Ok(queued?.await?) }
    }

    /// Has a hub make a conversation between somebody of its own and the actor.
    pub(super) async fn create_elsewhere(
        &self,
        actor: &Actor,
        new: &NewConversation,
        request: v1::CreateConversation,
    ) -> Result<Appended, Elsewhere> {
        let body = new.commit.as_ref().map(|bundle| bundle.commit.clone()).unwrap_or_default();
        let outgoing = at_once(&new.conversation, new.id, (Counter(1), Epoch(0)), &body, new.now_ms);
        let outgoing = Outgoing { founds: true, ..outgoing };
        match self.act(actor, outgoing, Deed::CreateConversation(request)).await {
            Ok(Done::CreateConversation(answer)) => self.done(&new.conversation, answer.seq, &answer.chain).await,
            Err(Elsewhere::Hub(error)) if error.code == Code::ConversationExists as u32 => {
                // Somebody who writes to another has accepted them, as the hub has noted.
                if let Some(peer) = &new.peer {
                    self.accept_here(actor, peer).await.map_err(QueueError::from)?;
                }
                Err(Elsewhere::Hub(error))
            }
            Ok(_) => Err(RemoteError::Unfit.into()),
            Err(error) => Err(error),
        }
    }

    /// Has a hub commit.
    pub(super) async fn commit_elsewhere(
        &self,
        actor: &Actor,
        commit: &CommitAppend,
        request: v1::SubmitCommit,
    ) -> Result<Appended, Elsewhere> {
        let at = (commit.counter, commit.bundle.epoch);
        let outgoing = at_once(&commit.conversation, commit.id, at, &commit.bundle.commit, commit.now_ms);
        match self.act(actor, outgoing, Deed::SubmitCommit(request)).await? {
            Done::SubmitCommit(answer) => self.done(&commit.conversation, answer.seq, &answer.chain).await,
            _ => Err(RemoteError::Unfit.into()),
        }
    }

    /// Tells another domain that somebody of its own may write to the actor.
    pub(super) async fn accept_elsewhere(&self, actor: &Actor, peer: &Address) -> Result<(), Elsewhere> {
        let abroad = self.abroad(&peer.domain)?;
        let accept = v1::AnswerContact { address: peer.to_string(), answer: v1::ContactAnswer::Accept.into() };
        let deed = self.deed(actor, Deed::AnswerContact(accept)).await?;
        match abroad.remote.act(&peer.domain, deed).await? {
            Done::AnswerContact(_) => Ok(()),
            // The hub does not know of a request that this server does: nothing of theirs waits there.
            Done::Error(error) if error.code == Code::NotFound as u32 => Ok(()),
            Done::Error(error) => Err(Elsewhere::Hub(Box::new(error))),
            _ => Err(RemoteError::Unfit.into()),
        }
    }

    /// Does something about a file in a conversation that another domain orders, whose server keeps it. Only one's own files
    /// are taken out again by who is not in the conversation any more.
    ///
    /// # Errors
    /// [`Elsewhere`].
    pub async fn transfer(&self, actor: &Actor, name: &ConversationName, deed: Deed) -> Result<Done, Elsewhere> {
        let abroad = self.abroad(&name.domain)?;
        match (self.store.presence(actor, name).await, &deed) {
            (Ok(_), _) | (Err(ReadError::NotFound), Deed::ReleaseBlob(_)) => {}
            (Err(error), _) => return Err(error.into()),
        }
        let deed = self.deed(actor, deed).await?;
        match abroad.remote.act(&name.domain, deed).await? {
            Done::Error(error) => Err(Elsewhere::Hub(Box::new(error))),
            done => Ok(done),
        }
    }

    /// Says something to a hub and waits for what it says.
    async fn act(&self, actor: &Actor, outgoing: Outgoing, deed: Deed) -> Result<Done, Elsewhere> {
        let (name, id) = (outgoing.conversation.clone(), outgoing.id);
        let abroad = self.abroad(&name.domain)?;
        let founds = outgoing.founds;
        if let Queued::Stored(stored) = self.store.queue(actor, outgoing).await? {
            let (seq, chain) = (stored.seq.0, stored.chain.to_bytes());
            return Ok(match founds {
                true => Done::CreateConversation(v1::CreateConversationAnswer { seq, chain }),
                false => Done::SubmitCommit(v1::SubmitCommitAnswer { seq, chain }),
            });
        }
        let deed = self.deed(actor, deed).await?;
        match abroad.remote.act(&name.domain, deed).await? {
            Done::Error(error) => {
                if !Code::from_wire(error.code).is_some_and(Code::retryable) {
                    self.store.unqueue(actor, &name, id).await?;
                }
                Err(Elsewhere::Hub(Box::new(error)))
            }
            done => Ok(done),
        }
    }

    /// What somebody does, with all that the hub has to know of them.
    async fn deed(&self, actor: &Actor, deed: Deed) -> Result<v1::PeerDeed, Elsewhere> {
        let devices = certificates_to_wire(self.store.certificates(actor).await?).map_err(QueueError::from)?;
        Ok(v1::PeerDeed {
            sender: actor.address().to_string(),
            device_id: actor.device().to_bytes(),
            devices,
            deed: Some(deed),
        })
    }

    /// Where the hub has stored something, once the copy shows it.
    async fn done(&self, name: &ConversationName, seq: u64, chain: &Bytes) -> Result<Appended, Elsewhere> {
        let chain = ChainValue::parse(chain).ok_or(RemoteError::Unfit)?;
        // Who is told of it looks for it here: until it can be found, they ask again.
        match self.shown(name, Seq(seq)).await {
            true => Ok(Appended { seq: Seq(seq), chain, stored_ms: 0 }),
            false => Err(RemoteError::Unreachable.into()),
        }
    }
}

/// What is sent at once, and not when its turn comes: a commit.
fn at_once(
    conversation: &ConversationName,
    id: qpc_proto::id::MessageId,
    (counter, epoch): (Counter, Epoch),
    body: &Bytes,
    now_ms: u64,
) -> Outgoing {
    Outgoing {
        conversation: conversation.clone(),
        id,
        counter,
        kind: EntryKind::Commit,
        epoch,
        digest: Digest::of(body),
        request: Bytes::new(),
        founds: false,
        most: (0, 0),
        now_ms,
    }
}
