//! Conversations: made, changed by commits, listed.

use std::sync::Arc;

use prost::Message;
use qpc_proto::{
    address::Address,
    id::{ConversationId, Epoch, Seq},
    limits::{DEVICES_PER_ACCOUNT_MAX, HANDSHAKE_BODY_MAX, LIST_PAGE_MAX, MEMBERS_PER_COMMIT_MAX},
    role::Role,
    v1,
};

use super::{ChangeError, CreateError, Groups};
use crate::{
    field::{self, FieldError},
    store::{Actor, Append, Appended, CommitAppend, CommitBundle, ConversationInfo, NewConversation, Refusal},
};

/// Bytes of a page of conversations after which it ends: members make one conversation large.
const LIST_BYTES: usize = 512 * 1024;

impl Groups {
    /// Creates a conversation with its group and first members.
    ///
    /// # Errors
    /// [`FieldError`] at once; the future carries the judgement of the group and of the store.
    pub fn create(
        self: &Arc<Self>,
        actor: &Actor,
        request: v1::CreateConversation,
    ) -> Result<impl Future<Output = Result<Appended, CreateError>> + Send + use<>, FieldError> {
        let conversation = field::conversation(request.conversation.as_ref())?;
        let as_it_is = self.is_elsewhere(&conversation).then(|| request.clone());
        let peer = match v1::ConversationKind::try_from(request.kind) {
            Ok(v1::ConversationKind::Direct) => match field::address(&request.peer)? {
                own if own == *actor.address() => return Err(FieldError::Malformed("peer")),
                // Of two domains one is the hub, so that two people have one conversation.
                peer if *Address::hub_of(actor.address(), &peer) != conversation.domain => {
                    return Err(FieldError::Malformed("conversation"));
                }
                peer => Some(peer),
            },
            // Any other is made where its maker is.
            _ if conversation.domain != self.domain => return Err(FieldError::Malformed("conversation")),
            Ok(v1::ConversationKind::Group) if request.peer.is_empty() => None,
            Ok(v1::ConversationKind::Personal) if request.peer.is_empty() => Some(actor.address().clone()),
            Ok(v1::ConversationKind::Group | v1::ConversationKind::Personal) => {
                return Err(FieldError::Malformed("peer"));
            }
            _ => return Err(FieldError::Malformed("kind")),
        };
        let commit = request.commit.map(bundle).transpose()?;
        field::at_most(request.group_info.len(), HANDSHAKE_BODY_MAX, "group_info")?;
        let new = NewConversation {
            conversation,
            peer,
            id: field::message_id(&request.message_id)?,
            commit,
            group_info: request.group_info,
            group: None,
            continues: None,
            again: request.again,
            now_ms: self.clock.unix_ms(),
        };
        let (this, actor) = (Arc::clone(self), actor.clone());
        Ok(async move {
            match as_it_is {
                Some(request) => {
                    let made = this.create_elsewhere(&actor, &new, request).await;
                    Ok(made.map_err(ChangeError::from)?)
                }
                None => this.follower.create(&actor, new).await,
            }
        })
    }

    /// Advances a group by one epoch.
    ///
    /// # Errors
    /// [`FieldError`] at once; the future carries the judgement of the group and of the store.
    pub fn commit(
        self: &Arc<Self>,
        actor: &Actor,
        request: v1::SubmitCommit,
    ) -> Result<impl Future<Output = Result<Appended, ChangeError>> + Send + use<>, FieldError> {
        let conversation = field::conversation(request.conversation.as_ref())?;
        let as_it_is = self.is_elsewhere(&conversation).then(|| request.clone());
        let commit = CommitAppend {
            conversation,
            id: field::message_id(&request.message_id)?,
            counter: field::counter(request.counter)?,
            bundle: bundle(request.commit.ok_or(FieldError::Malformed("commit"))?)?,
            now_ms: self.clock.unix_ms(),
        };
        let (this, actor) = (Arc::clone(self), actor.clone());
        Ok(async move {
            match as_it_is {
                Some(request) => Ok(this.commit_elsewhere(&actor, &commit, request).await?),
                None => this.follower.commit(&actor, commit).await,
            }
        })
    }

    /// Stores a proposal, which waits for the next commit.
    pub fn propose(
        self: &Arc<Self>,
        actor: &Actor,
        proposal: Append,
    ) -> impl Future<Output = Result<Appended, ChangeError>> + Send + use<> {
        let (this, actor) = (Arc::clone(self), actor.clone());
        async move { this.follower.propose(&actor, proposal).await }
    }

    /// One page of the tree of a group that the actor's account is in, and with the first the group info; or of the one that
    /// a welcome needs.
    ///
    /// # Errors
    /// [`FieldError`] at once; the future carries the store's judgement.
    pub fn read_group(
        self: &Arc<Self>,
        actor: &Actor,
        request: &v1::ReadGroup,
    ) -> Result<impl Future<Output = Result<v1::ReadGroupAnswer, ChangeError>> + Send + use<>, FieldError> {
        let name = field::conversation(request.conversation.as_ref())?;
        let offset = usize::try_from(request.offset).map_err(|_| FieldError::Malformed("offset"))?;
        let of = (offset > 0).then_some(Epoch(request.epoch));
        let welcome = (request.welcome_seq > 0).then_some(Seq(request.welcome_seq));
        let (this, actor) = (Arc::clone(self), actor.clone());
        Ok(async move {
            match welcome {
                Some(seq) => this.follower.read_welcome_tree(&actor, &name, seq, offset).await,
                None => this.follower.read(&actor, &name, of, offset).await,
            }
        })
    }

    /// One page of the actor's conversations.
    ///
    /// # Errors
    /// [`FieldError`] at once; the reply carries the store's judgement.
    pub fn list_conversations(
        &self,
        actor: &Actor,
        request: &v1::ListConversations,
    ) -> Result<impl Future<Output = Result<v1::ListConversationsAnswer, Refusal>> + Send + use<>, FieldError> {
        let after = match request.after_id.as_ref() {
            [] => None,
            id => Some(ConversationId::parse(id).map_err(|_| FieldError::Malformed("after_id"))?),
        };
        let reply = self.store.list_conversations(actor, after, LIST_PAGE_MAX.saturating_add(1));
        Ok(async move { Ok(page(reply.await?)) })
    }
}

/// As many as fit; the first always does.
fn page(found: Vec<ConversationInfo>) -> v1::ListConversationsAnswer {
    let all = found.len();
    let mut bytes = 0usize;
    let conversations: Vec<_> = found
        .into_iter()
        .take(LIST_PAGE_MAX)
        .map(to_wire)
        .take_while(|conversation| {
            let first = bytes == 0;
            bytes = bytes.saturating_add(conversation.encoded_len()).saturating_add(8);
            first || bytes <= LIST_BYTES
        })
        .collect();
    v1::ListConversationsAnswer { more: conversations.len() < all, conversations }
}

fn to_wire(info: ConversationInfo) -> v1::Conversation {
    let member =
        |(address, role): (Address, Role)| v1::Member { address: address.to_string(), role: role.to_wire().into() };
    v1::Conversation {
        conversation: Some(info.conversation.to_wire()),
        kind: info.kind.to_wire().into(),
        members: info.members.into_iter().map(member).collect(),
        epoch: info.epoch.0,
        head_seq: info.head.0,
        counter: info.counter.0,
    }
}

fn bundle(wire: v1::CommitBundle) -> Result<CommitBundle, FieldError> {
    let welcome_devices_max = MEMBERS_PER_COMMIT_MAX.saturating_mul(DEVICES_PER_ACCOUNT_MAX);
    if wire.commit.is_empty() {
        return Err(FieldError::Malformed("commit"));
    }
    field::at_most(wire.commit.len(), HANDSHAKE_BODY_MAX, "commit")?;
    field::at_most(wire.welcome.len(), HANDSHAKE_BODY_MAX, "welcome")?;
    field::at_most(wire.group_info.len(), HANDSHAKE_BODY_MAX, "group_info")?;
    field::at_most(wire.added.len(), MEMBERS_PER_COMMIT_MAX, "added")?;
    field::at_most(wire.removed.len(), MEMBERS_PER_COMMIT_MAX, "removed")?;
    field::at_most(wire.asked.len(), wire.added.len(), "asked")?;
    field::at_most(wire.welcome_devices.len(), welcome_devices_max, "welcome_devices")?;
    if wire.welcome.is_empty() != wire.welcome_devices.is_empty() {
        return Err(FieldError::Malformed("welcome"));
    }
    let added = |member: &v1::Member| Ok((field::address(&member.address)?, Role::from_wire(member.role)));
    Ok(CommitBundle {
        epoch: Epoch(wire.epoch),
        commit: wire.commit,
        welcome: wire.welcome,
        welcome_devices: wire.welcome_devices.iter().map(|id| field::device_id(id)).collect::<Result<_, _>>()?,
        group_info: wire.group_info,
        added: wire.added.iter().map(added).collect::<Result<_, FieldError>>()?,
        removed: wire.removed.iter().map(|address| field::address(address)).collect::<Result<_, _>>()?,
        asked: wire.asked.iter().map(|address| field::address(address)).collect::<Result<_, _>>()?,
        judged: None,
    })
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use bytes::Bytes;
    use qpc_proto::{
        address::Domain,
        id::{ConversationName, Counter},
        limits::FRAME_MAX,
    };

    use super::*;
    use crate::store::ConversationKind;

    fn commit() -> v1::CommitBundle {
        v1::CommitBundle { commit: Bytes::from_static(b"commit"), ..Default::default() }
    }

    #[test]
    fn a_commit_is_judged_by_its_form() {
        assert!(bundle(commit()).is_ok());
        let bad = [
            v1::CommitBundle { commit: Bytes::new(), ..commit() },
            v1::CommitBundle { welcome: Bytes::from_static(b"for nobody"), ..commit() },
            v1::CommitBundle { welcome_devices: vec![Bytes::from_static(&[7; 16])], ..commit() },
            v1::CommitBundle { removed: vec!["not an address".into()], ..commit() },
            v1::CommitBundle { commit: vec![0; HANDSHAKE_BODY_MAX + 1].into(), ..commit() },
            v1::CommitBundle { added: vec![v1::Member::default(); MEMBERS_PER_COMMIT_MAX + 1], ..commit() },
        ];
        for (index, wire) in bad.into_iter().enumerate() {
            assert!(bundle(wire).is_err(), "{index}");
        }
    }

    #[test]
    fn a_page_of_large_groups_fits_into_a_frame() {
        let domain = Domain::parse(&format!("{}.example", "a".repeat(63))).unwrap();
        let member = (Address::parse(&format!("{}@{domain}", "m".repeat(64))).unwrap(), Role::Member);
        let large = |n: u8| ConversationInfo {
            conversation: ConversationName { domain: domain.clone(), id: ConversationId::new(1, [n; 10]) },
            kind: ConversationKind::Group,
            members: vec![member.clone(); 1000],
            epoch: Epoch(1),
            head: Seq(1),
            counter: Counter(1),
        };
        let answer = page((0..100).map(large).collect());
        assert!(answer.more && answer.conversations.len() > 1);
        assert!(answer.encoded_len() < FRAME_MAX);
    }
}
