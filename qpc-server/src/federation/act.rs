//! What people do in conversations that another domain orders: said by their own server, done by the hub as it does it for
//! its own people.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use qpc_proto::{
    address::{Address, Domain},
    error::Code,
    id::{ConversationName, DeviceId},
    limits::TREE_PAGE_MAX,
    v1::{self, peer_answer, peer_deed::Deed, peer_done::Result as Done, peer_request},
};

use super::{Hall, House, blob, call::WAIT_MAX, claim::of_domain};
use crate::{
    field::{self, FieldError},
    policy::access::{self, Pace},
    remote::RemoteError,
    session::WireError,
    store::Actor,
};

/// Deeds in one request.
pub(super) const DEEDS_MAX: usize = 64;

impl Hall {
    /// Has a hub do something for people of here; gives what it says to each.
    pub(super) async fn act(&self, domain: &Domain, deeds: Vec<v1::PeerDeed>) -> Result<Vec<Done>, RemoteError> {
        let asked: Vec<Option<Deed>> = deeds.iter().map(|deed| deed.deed.clone()).collect();
        let read = |answer| match answer {
            peer_answer::Result::Act(answer) if answer.done.len() == asked.len() => {
                let fit = |(deed, done): (&Option<Deed>, v1::PeerDone)| heard(domain, deed.as_ref()?, done.result?);
                asked.iter().zip(answer.done).map(fit).collect()
            }
            _ => None,
        };
        self.ask(domain, peer_request::Method::Act(v1::PeerAct { deeds }), read).await
    }

    pub(super) async fn tree(&self, conversation: ConversationName, offset: usize) -> Result<Bytes, RemoteError> {
        let domain = conversation.domain.clone();
        let offset = u64::try_from(offset).unwrap_or(u64::MAX);
        let request = v1::PeerReadTree { conversation: Some(conversation.to_wire()), offset };
        let read = |answer| match answer {
            peer_answer::Result::ReadTree(answer) if answer.tree.len() <= TREE_PAGE_MAX => Some(answer.tree),
            _ => None,
        };
        self.ask(&domain, peer_request::Method::ReadTree(request), read).await
    }
}

/// What a hub says to a deed, where it is an answer to that; of its refusals what concerns a client, and nothing about the
/// client's own standing or its connection, or about files where it is none. Of another code nothing is known but that it is final.
fn heard(hub: &Domain, deed: &Deed, done: Done) -> Option<Done> {
    let error = match (deed, done) {
        (_, Done::Error(error)) => error,
        (Deed::Send(_), Done::Send(answer)) => return Some(Done::Send(answer)),
        (Deed::CreateConversation(_), Done::CreateConversation(answer)) => {
            return Some(Done::CreateConversation(answer));
        }
        (Deed::SubmitCommit(_), Done::SubmitCommit(answer)) => return Some(Done::SubmitCommit(answer)),
        (Deed::AnswerContact(_), Done::AnswerContact(answer)) => return Some(Done::AnswerContact(answer)),
        (Deed::DevicesChanged(_), Done::DevicesChanged(answer)) => return Some(Done::DevicesChanged(answer)),
        (deed, done) if blob::answers(deed, &done) => return Some(done),
        _ => return None,
    };
    let concerns = |code: &Code| {
        code.retryable()
            || matches!(code, Code::Malformed | Code::TooLarge)
            || (Code::NotFound as u32..=Code::JoinRequestsFull as u32).contains(&error.code)
            || (blob::is_of_file(deed) && (Code::BlobTooLarge as u32..=Code::RangeInvalid as u32).contains(&error.code))
    };
    let code = Code::from_wire(error.code).filter(concerns).unwrap_or(Code::NotFound);
    let exists = || ConversationName::parse(error.conversation.as_ref()).ok().filter(|name| name.domain == *hub);
    let conversation = match code {
        Code::ConversationExists => Some(exists()?.to_wire()),
        _ => None,
    };
    let most = u32::try_from(WAIT_MAX.as_millis()).unwrap_or(u32::MAX);
    Some(Done::Error(v1::Error {
        code: code as u32,
        detail: "the conversation's hub refuses it".into(),
        retry_after_ms: error.retry_after_ms.min(most),
        conversation,
        epoch: error.epoch,
        counter: error.counter,
    }))
}

/// Does what a peer's people want done in conversations of here.
pub(super) async fn answer(
    house: &House,
    (own, peer): (&Domain, &Domain),
    act: v1::PeerAct,
) -> Result<peer_answer::Result, WireError> {
    field::at_most(act.deeds.len(), DEEDS_MAX, "deeds")?;
    let mut actors = BTreeMap::new();
    let mut under_way = Vec::with_capacity(act.deeds.len());
    for deed in act.deeds {
        let begun = begin(house, (own, peer), &mut actors, deed).await;
        under_way.push(begun.unwrap_or_else(|refusal| std::future::ready(Err(refusal)).boxed()));
    }
    let mut done = Vec::with_capacity(under_way.len());
    for outcome in under_way {
        let result = outcome.await.unwrap_or_else(|refusal| Done::Error(refusal.into_wire()));
        done.push(v1::PeerDone { result: Some(result) });
    }
    Ok(peer_answer::Result::Act(v1::PeerActAnswer { done }))
}

type Begun = BoxFuture<'static, Result<Done, WireError>>;

/// Begins one deed. What only stores a message is in the store's queue by then, so that messages are stored in their order;
/// all else is done before the next deed begins.
async fn begin(
    house: &House,
    (own, peer): (&Domain, &Domain),
    actors: &mut BTreeMap<DeviceId, Actor>,
    deed: v1::PeerDeed,
) -> Result<Begun, WireError> {
    let sender = of_domain(&deed.sender, peer)?;
    if let Some(Deed::DevicesChanged(v1::PeerDevices { gone })) = deed.deed {
        // Known by their ids: what they may do is asked anew.
        actors.clear();
        house.policy.peer_guest(peer)?;
        house.groups.guest_changed(&sender, &deed.devices, gone).await?;
        return Ok(std::future::ready(Ok(Done::DevicesChanged(v1::PeerDevicesAnswer {}))).boxed());
    }
    let device = field::device_id(&deed.device_id)?;
    let actor = match actors.get(&device).filter(|actor| *actor.address() == sender) {
        Some(actor) => actor.clone(),
        None => match house.groups.known_guest(&sender, device).await? {
            Some(actor) => actor,
            None => {
                house.policy.peer_guest(peer)?;
                house.groups.new_guest(&sender, device, &deed.devices).await?
            }
        },
    };
    actors.insert(device, actor.clone());
    let here = |name: Option<&v1::ConversationName>| match field::conversation(name) {
        Ok(name) if name.domain == *own => Ok(()),
        Ok(_) => Err(WireError::new(Code::Forbidden, "a conversation of another domain")),
        Err(error) => Err(error.into()),
    };
    match deed.deed.ok_or(FieldError::Malformed("deed"))? {
        Deed::Send(send) => {
            here(send.conversation.as_ref())?;
            let proposes = access::is_proposal(&send);
            house.policy.pace(if proposes { Pace::Change } else { Pace::Message }, actor.account())?;
            if proposes {
                let proposal = house.delivery.parse(send)?;
                let stored = house.groups.propose(&actor, proposal).await?;
                Ok(std::future::ready(Ok(Done::Send(sent(&stored)))).boxed())
            } else {
                let stored = house.delivery.send(&actor, send)?;
                Ok(async move { Ok(Done::Send(sent(&stored.await?))) }.boxed())
            }
        }
        Deed::CreateConversation(request) => {
            here(request.conversation.as_ref())?;
            house.policy.contact(actor.account())?;
            let stored = house.groups.create(&actor, request)?.await?;
            let answer = v1::CreateConversationAnswer { seq: stored.seq.0, chain: stored.chain.to_bytes() };
            Ok(std::future::ready(Ok(Done::CreateConversation(answer))).boxed())
        }
        Deed::SubmitCommit(request) => {
            here(request.conversation.as_ref())?;
            house.policy.pace(Pace::Change, actor.account())?;
            let stored = house.groups.commit(&actor, request)?.await?;
            let answer = v1::SubmitCommitAnswer { seq: stored.seq.0, chain: stored.chain.to_bytes() };
            Ok(std::future::ready(Ok(Done::SubmitCommit(answer))).boxed())
        }
        deed @ (Deed::BeginUpload(_) | Deed::UploadPart(_) | Deed::FinishUpload(_) | Deed::ReleaseBlob(_)) => {
            let done = blob::act(house, own, &actor, deed).await?;
            Ok(std::future::ready(Ok(done)).boxed())
        }
        // It was done above.
        Deed::DevicesChanged(_) => Err(FieldError::Malformed("deed").into()),
        Deed::AnswerContact(request) => {
            let of_here = Address::parse(&request.address).is_ok_and(|address| address.domain == *own);
            if !of_here || request.answer() != v1::ContactAnswer::Accept {
                return Err(WireError::new(Code::Forbidden, "nothing that is said to this domain"));
            }
            house.policy.contact(actor.account())?;
            house.groups.answer_contact(&actor, &request)?.await?;
            Ok(std::future::ready(Ok(Done::AnswerContact(v1::AnswerContactAnswer {}))).boxed())
        }
    }
}

fn sent(stored: &crate::store::Appended) -> v1::SendAnswer {
    v1::SendAnswer { seq: stored.seq.0, chain: stored.chain.to_bytes(), stored_ms: stored.stored_ms, queued: false }
}

/// Gives a follower the tree that its copy begins with.
pub(super) async fn tree(
    house: &House,
    (own, peer): (&Domain, &Domain),
    request: v1::PeerReadTree,
) -> Result<peer_answer::Result, WireError> {
    let conversation = field::conversation(request.conversation.as_ref())?;
    if conversation.domain != *own {
        return Err(WireError::new(Code::Forbidden, "a conversation of another domain"));
    }
    let offset = usize::try_from(request.offset).map_err(|_| FieldError::Malformed("offset"))?;
    let page = Arc::clone(&house.store).base_tree(peer, &conversation, (offset, TREE_PAGE_MAX)).await?;
    Ok(peer_answer::Result::ReadTree(v1::PeerReadTreeAnswer { tree: page.bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: u32) -> v1::Error {
        v1::Error { code, detail: "words of the hub".into(), retry_after_ms: u32::MAX, ..v1::Error::default() }
    }

    fn hub() -> Domain {
        Domain::parse("a.example").unwrap()
    }

    /// What comes of a message whose hub says this.
    fn told(error: v1::Error) -> Option<v1::Error> {
        match heard(&hub(), &Deed::Send(v1::Send::default()), Done::Error(error))? {
            Done::Error(error) => Some(error),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn of_a_hubs_refusals_a_client_hears_what_concerns_it() {
        for &code in Code::ALL {
            let passed = code.retryable()
                || matches!(code, Code::Malformed | Code::TooLarge)
                || (30..=69).contains(&(code as u32));
            let expected = if passed { code } else { Code::NotFound };
            let heard = told(error(code as u32));
            if code == Code::ConversationExists {
                assert_eq!(heard, None, "it names none");
                continue;
            }
            let heard = heard.unwrap();
            assert_eq!(heard.code, expected as u32, "{code}");
            assert!(heard.retry_after_ms <= 60_000 && !heard.detail.contains("words"), "{code}");
        }
        // Of files, where it was about one.
        let finish = Deed::FinishUpload(v1::FinishUpload::default());
        for code in [Code::BlobTooLarge, Code::UploadUnknown, Code::DigestDiffers, Code::RangeInvalid] {
            let Some(Done::Error(error)) = heard(&hub(), &finish, Done::Error(error(code as u32))) else { panic!() };
            assert_eq!(error.code, code as u32);
        }
        assert_eq!(told(error(9_999)).unwrap().code, Code::NotFound as u32, "of a later version");
        let named = |domain: &str| {
            let id = qpc_proto::id::ConversationId::new(1, [7; 10]).to_bytes();
            let conversation = Some(v1::ConversationName { domain: domain.into(), id });
            told(v1::Error { conversation, ..error(Code::ConversationExists as u32) })
        };
        assert_eq!(named("c.example"), None);
        assert!(named("a.example").unwrap().conversation.is_some());
    }

    #[test]
    fn a_deed_is_answered_by_an_answer_to_it() {
        let hub = hub();
        let finish = Deed::FinishUpload(v1::FinishUpload::default());
        assert!(heard(&hub, &finish, Done::FinishUpload(v1::FinishUploadAnswer {})).is_some());
        assert!(heard(&hub, &finish, Done::UploadPart(v1::UploadPartAnswer {})).is_none());
        let accept = Deed::AnswerContact(v1::AnswerContact::default());
        let sent = || Done::Send(v1::SendAnswer::default());
        assert!(heard(&hub, &Deed::Send(v1::Send::default()), sent()).is_some());
        assert!(heard(&hub, &accept, sent()).is_none());
        assert!(heard(&hub, &accept, Done::AnswerContact(v1::AnswerContactAnswer {})).is_some());
    }
}
