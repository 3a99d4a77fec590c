//! From a request to what is done about it: may the caller, how often, and who does it.
//!
//! One match over all methods, without a default arm. Verbs of the store are called here and now, so
//! that they take effect in the order in which requests were read (invariant 11).

use std::{future::Future, sync::Arc};

use futures_util::future::maybe_done;
use qpc_proto::{
    error::Code,
    v1::{self, answer::Result as Answer, request::Method},
};

use super::{
    calls::{self, Outcome, Work},
    files,
    link::Link,
    proof,
    wire_error::WireError,
};
use crate::{
    blob, delivery, field,
    policy::access::{self, Rule, Standing},
    store::{Actor, KeyPackageCount, Queued},
};

/// What a request has become.
pub(super) enum Started {
    /// An answer is due.
    Call(Work),
    /// The stream is a sync call from here on.
    Sync(v1::Sync),
}

/// Judges whether the connection may call a method now.
pub(super) fn judge(link: &Link, rule: &Rule) -> Result<(), WireError> {
    let (session, greeted) = (link.session().is_some(), link.greeted());
    let refusal = match rule.standing {
        Standing::Greeting if session || greeted => (Code::WrongState, "Hello is the first request of a connection"),
        Standing::Anonymous if session => (Code::WrongState, "the connection is authenticated"),
        Standing::Anonymous | Standing::Anybody if !greeted => {
            (Code::WrongState, "the first request of a connection is Hello")
        }
        Standing::Session | Standing::SyncStream if !session => (Code::Unauthenticated, "the method needs a device"),
        Standing::SyncStream => (Code::WrongState, "the method belongs on a sync call"),
        Standing::Greeting | Standing::Anonymous | Standing::Anybody | Standing::Session => return Ok(()),
    };
    Err(WireError::new(refusal.0, refusal.1))
}

/// Begins a request that [`judge`] has let pass.
pub(super) fn start(link: &Arc<Link>, method: Method) -> Result<Started, WireError> {
    let context = &link.context;
    let policy = &context.policy;
    let shared = || Arc::clone(link);
    let work = match method {
        Method::Hello(hello) => later(proof::greet(shared(), hello)),
        Method::RegisterStart(request) => {
            policy.registration(link.prefix())?;
            later(proof::register_start(shared(), request))
        }
        Method::RegisterFinish(request) => later(proof::register_finish(shared(), request)),
        Method::LoginStart(request) => {
            policy.login(&request.name, link.prefix())?;
            later(proof::login_start(shared(), request))
        }
        Method::LoginFinish(request) => later(proof::login_finish(shared(), request)),
        Method::EnrolDevice(request) => later(proof::enrol_device(shared(), request)),
        Method::Authenticate(request) => later(proof::authenticate(shared(), request)),
        Method::ChangePasswordStart(request) => {
            policy.request(actor(link)?.account())?;
            later(proof::change_password_start(shared(), request))
        }
        Method::ChangePasswordFinish(request) => later(proof::change_password_finish(shared(), request)),
        Method::DeleteAccount(v1::DeleteAccount {}) => later(proof::delete_account(shared())),
        Method::ListDevices(v1::ListDevices {}) => {
            policy.lookup(actor(link)?.account())?;
            later(proof::list_devices(shared()))
        }
        Method::RevokeDevice(request) => {
            policy.request(actor(link)?.account())?;
            later(proof::revoke_device(shared(), request))
        }
        Method::PublishKeyPackages(request) => {
            let actor = actor(link)?;
            policy.request(actor.account())?;
            let stored = context.groups.publish_key_packages(actor, request)?;
            later(async {
                let key_packages = stored.await?.one_time;
                Ok(Answer::PublishKeyPackages(v1::PublishKeyPackagesAnswer { key_packages }))
            })
        }
        Method::ClaimKeyPackages(request) => {
            let (actor, target) = (actor(link)?, field::address(&request.address)?);
            let suite = field::suite(request.suite)?;
            policy.claim(actor.account(), &target)?;
            let claimed = context.groups.claim_key_packages(actor, &target, suite);
            later(async { Ok(Answer::ClaimKeyPackages(claimed.await?)) })
        }
        Method::CountKeyPackages(v1::CountKeyPackages { suite }) => {
            let (actor, suite) = (actor(link)?, field::suite(suite)?);
            policy.request(actor.account())?;
            let count = context.groups.count_key_packages(actor, suite);
            later(async {
                let KeyPackageCount { one_time: key_packages, last_resort } = count.await?;
                Ok(Answer::CountKeyPackages(v1::CountKeyPackagesAnswer { key_packages, last_resort }))
            })
        }
        Method::CreateConversation(request) => {
            let actor = actor(link)?;
            policy.contact(actor.account())?;
            let created = context.groups.create(actor, request)?;
            later(async {
                let stored = created.await?;
                let answer = v1::CreateConversationAnswer { seq: stored.seq.0, chain: stored.chain.to_bytes() };
                Ok(Answer::CreateConversation(answer))
            })
        }
        Method::SubmitCommit(request) => {
            let committed = context.groups.commit(actor(link)?, request)?;
            later(async {
                let stored = committed.await?;
                let answer = v1::SubmitCommitAnswer { seq: stored.seq.0, chain: stored.chain.to_bytes() };
                Ok(Answer::SubmitCommit(answer))
            })
        }
        Method::Send(request) if context.groups.orders_elsewhere(request.conversation.as_ref()) => {
            let append = context.delivery.parse(request.clone())?;
            let queued = context.groups.queue(actor(link)?, &append, &request);
            beside(async {
                Ok(match queued.await? {
                    Queued::Stored(stored) => calls::send_answer(stored),
                    Queued::Waits => Answer::Send(v1::SendAnswer { queued: true, ..Default::default() }),
                })
            })
        }
        Method::Send(request) if access::is_proposal(&request) => {
            let proposal = context.delivery.parse(request)?;
            let stored = context.groups.propose(actor(link)?, proposal);
            later(async { Ok(calls::send_answer(stored.await?)) })
        }
        Method::Send(request) => Work::Send(context.delivery.send(actor(link)?, request)?),
        Method::ReadLog(request) => {
            let actor = actor(link)?;
            policy.lookup(actor.account())?;
            let page = context.delivery.read(actor, &request)?;
            later(async { Ok(Answer::ReadLog(delivery::page_to_wire(&page.await?))) })
        }
        Method::ListConversations(request) => {
            let actor = actor(link)?;
            policy.lookup(actor.account())?;
            let page = context.groups.list_conversations(actor, &request)?;
            later(async { Ok(Answer::ListConversations(page.await?)) })
        }
        Method::ReadGroup(request) => {
            let actor = actor(link)?;
            policy.lookup(actor.account())?;
            let page = context.groups.read_group(actor, &request)?;
            later(async { Ok(Answer::ReadGroup(page.await?)) })
        }
        Method::Offer(request) => {
            let actor = actor(link)?;
            policy.lookup(actor.account())?;
            let (groups, actor) = (Arc::clone(&context.groups), actor.clone());
            later(async move { Ok(Answer::Offer(groups.offer(&actor, request).await?)) })
        }
        Method::SetLink(request) => {
            let actor = actor(link)?;
            policy.contact(actor.account())?;
            let set = context.groups.set_link(actor, &request)?;
            later(async {
                set.await?;
                Ok(Answer::SetLink(v1::SetLinkAnswer {}))
            })
        }
        Method::AskToJoin(request) => {
            let actor = actor(link)?;
            policy.contact(actor.account())?;
            let asked = context.groups.ask_to_join(actor, request)?;
            later(async { Ok(Answer::AskToJoin(v1::AskToJoinAnswer { expires_ms: asked.await? })) })
        }
        Method::ListJoinRequests(request) => {
            let actor = actor(link)?;
            policy.lookup(actor.account())?;
            let listed = context.groups.list_join_requests(actor, &request)?;
            later(async { Ok(Answer::ListJoinRequests(listed.await?)) })
        }
        Method::AnswerContact(request) => {
            let actor = actor(link)?;
            policy.contact(actor.account())?;
            let answered = context.groups.answer_contact(actor, &request)?;
            later(async {
                answered.await?;
                Ok(Answer::AnswerContact(v1::AnswerContactAnswer {}))
            })
        }
        Method::ListContacts(request) => {
            let actor = actor(link)?;
            policy.lookup(actor.account())?;
            let page = context.groups.list_contacts(actor, &request)?;
            later(async { Ok(Answer::ListContacts(page.await?)) })
        }
        Method::Sync(sync) => {
            policy.request(actor(link)?.account())?;
            return Ok(Started::Sync(sync));
        }
        file @ (Method::BeginUpload(_)
        | Method::UploadPart(_)
        | Method::FinishUpload(_)
        | Method::ReadBlob(_)
        | Method::ReleaseBlob(_)) => files::start(context, actor(link)?, file)?,
        Method::Follow(_) | Method::Acknowledge(_) | Method::Ephemeral(_) => {
            return Err(WireError::new(Code::WrongState, "the method belongs on a sync call"));
        }
    };
    Ok(Started::Call(work))
}

/// Bytes that the answer to a method will take, where they are many and known before.
pub(super) fn answer_size(method: &Method) -> usize {
    match method {
        Method::ReadBlob(request) => blob::answer_size(request),
        _ => 0,
    }
}

/// The device that acts; [`judge`] has seen that there is one where the rule asks for it.
fn actor(link: &Link) -> Result<&Actor, WireError> {
    Ok(link.proved()?.actor())
}

/// As [`later`], for what should make headway while those before it on the stream are not answered yet.
pub(super) fn beside(outcome: impl Future<Output = Outcome> + Send + 'static) -> Work {
    Work::Beside(Box::new(maybe_done(Box::pin(outcome))))
}

pub(super) fn later(outcome: impl Future<Output = Outcome> + Send + 'static) -> Work {
    Work::Later(Box::pin(outcome))
}
