//! Saying things, and reading what was said.

use std::{cmp::Reverse, collections::BTreeSet, sync::Arc};

use qpc_proto::{
    content::{Content, Kind as Said},
    id::{MessageId, Seq},
    limits::TEXT_MAX,
    suite::Suite,
};
use rusqlite::Transaction;

use super::{
    done, mention, refer,
    target::{self, Target},
    usage, verify,
};
use crate::{
    api::{self, CommandError, Event, OutboxState, Outcome},
    apply,
    core::{Core, internal},
    fresh,
    mls::{Group, GroupError, Mls},
    store::{
        contact, continuation,
        conversation::{self, Conversation, Kind, State, Trusted},
        lifetime, message, muted, outbox, picture, receipt,
    },
    trust::{self, Me},
    words::describe,
};

/// Messages in one answer, at most.
pub(super) const PAGE_MAX: u32 = 1_000;

/// Puts a message into the outbox.
pub(super) async fn send(core: &Arc<Core>, to: String, text: String) -> Result<Outcome, CommandError> {
    say(core, to, text, None).await
}

/// The same, as an answer.
pub(super) async fn reply(
    core: &Arc<Core>,
    to: String,
    message: String,
    text: String,
) -> Result<Outcome, CommandError> {
    let (me, of) = (core.me.clone(), to.clone());
    let target = core
        .store
        .run(move |tx| {
            let of = target::existing(tx, &me, &of)?;
            refer::find(tx, &of, &message)
        })
        .await?;
    let id = refer::id(&target)?;
    say(core, to, text, Some(id)).await
}

async fn say(core: &Arc<Core>, to: String, text: String, reply_to: Option<MessageId>) -> Result<Outcome, CommandError> {
    if text.len() > TEXT_MAX {
        return Err(usage(format!("a message has at most {TEXT_MAX} bytes")));
    }
    let id = fresh::message_id().map_err(|error| internal(&error))?;
    let content = Content { reply_to, ..Content::new(fresh::now_ms(), Said::Text(text.into())) };
    queue(core, to, id, content, |_, _| Ok(())).await
}

/// Puts a message of ours into the outbox, and in the same transaction what belongs to it.
pub(super) async fn queue(
    core: &Arc<Core>,
    to: String,
    id: MessageId,
    content: Content,
    beside: impl FnOnce(&Transaction<'_>, &Conversation) -> Result<(), CommandError> + Send + 'static,
) -> Result<Outcome, CommandError> {
    let (me, teller, most) = (core.me.clone(), Arc::clone(core), core.outbox_max);
    core.store
        .run_and(
            move |tx| {
                let conversation = writable(tx, &me, &to, most)?;
                let mut content = naming(tx, &me, &conversation, content)?;
                if !matches!(content.kind, Said::Lifetime(_)) {
                    content.lifetime_s = lifetime::of(tx, conversation.local)?;
                }
                let encoded = content.encode().map_err(|error| usage(error.to_string()))?;
                let inserted = message::insert(
                    tx,
                    &message::New {
                        conversation: conversation.local,
                        seq: Seq(0),
                        id,
                        sender: &me.address().to_string(),
                        own: true,
                        time_ms: content.sent_ms,
                        kind: content.kind.name(),
                        body: &describe(&content.kind),
                        shown: true,
                    },
                )?;
                if let Some(local) = inserted {
                    message::refer(tx, local, &content, &me.address().to_string())?;
                    lifetime::put(tx, local, content.lifetime_s)?;
                }
                outbox::put(tx, conversation.local, id, &encoded)?;
                beside(tx, &conversation)?;
                Ok::<_, CommandError>(conversation)
            },
            move |conversation| {
                if conversation.state == State::Wanted {
                    teller.errands.notify_one();
                }
                if let Some(reason) = conversation.waiting.clone() {
                    let (id, state) = (id.to_string(), OutboxState::Waiting);
                    teller.events.tell(Event::Outbox { id, state, reason: Some(reason) });
                }
                conversation.name.iter().for_each(|name| teller.ephemerals.said(name));
                teller.outbox.notify_one();
                teller.uploads.notify_one();
            },
        )
        .await?;
    Ok(Outcome::Queued { id: id.to_string() })
}

/// A text with the members that it names. Who was named before it was forwarded is not called again.
fn naming(tx: &Transaction<'_>, me: &Me, of: &Conversation, content: Content) -> Result<Content, CommandError> {
    let kind = match content.kind {
        Said::Text(words) if !content.forwarded && words.text.contains('@') => {
            Said::Text(mention::find(words.text, &mention::members(tx, me, of)?, &me.address().domain))
        }
        kind => kind,
    };
    Ok(Content { kind, ..content })
}

/// Something more may be put into the outbox for a conversation.
pub(super) fn takes_more(tx: &Transaction<'_>, of: &Conversation, most: u64) -> Result<(), CommandError> {
    if outbox::is_full(tx, most)? {
        return Err(full(most));
    }
    may_write(tx, of)
}

/// The conversation that a person means, if something may be put into the outbox for it.
pub(super) fn writable(tx: &Transaction<'_>, me: &Me, to: &str, most: u64) -> Result<Conversation, CommandError> {
    if outbox::is_full(tx, most)? {
        return Err(full(most));
    }
    let conversation = match target::read(tx, me, to)? {
        Target::Person(person) if person == *me.address() => conversation::want_personal(tx, me.address())?,
        Target::Person(person) => conversation::want_direct(tx, &person)?,
        Target::Conversation(conversation) => *conversation,
    };
    may_write(tx, &conversation)?;
    Ok(conversation)
}

fn full(most: u64) -> CommandError {
    CommandError::TryLater {
        message: format!("the outbox is full: {most} messages wait to be sent. They are kept; this one was not taken"),
    }
}

/// May this account write into it?
pub(super) fn may_write(tx: &Transaction<'_>, conversation: &Conversation) -> Result<(), CommandError> {
    if let Some(peer) = conversation.peer.as_ref().filter(|_| !conversation.is_over())
        && let Some(contact) = contact::get(tx, peer)?.filter(|contact| contact.offered_key.is_some())
        // A conversation that goes on is with the key that was known, one that is to begin would be with the other. But
        // whoever had compared the first is to look before they go on at all.
        && (contact.verified_ms().is_some() || conversation.state != State::Active)
    {
        return Err(verify::changed_error(&contact));
    }
    if let Some(name) = &conversation.name
        && let Some(next) = continuation::successor(tx, name)?
    {
        return Err(usage(format!("{} was continued in {}: write there", conversation.title, apply::called(&next))));
    }
    match (conversation.state, conversation.trusted) {
        (State::Ended | State::Ending, _) => Err(usage(format!("you are no longer in {}", conversation.title))),
        (_, Trusted::Yes) => Ok(()),
        (_, Trusted::OnceKeyAccepted) => Err(match contact::changed(tx)?.first() {
            Some(contact) => verify::changed_error(contact),
            None => CommandError::Denied {
                message: "somebody in this conversation has another key, which you have not accepted: see `contacts`"
                    .into(),
            },
        }),
        (_, Trusted::Never) => Err(CommandError::Denied {
            message: "this conversation is not followed any more, because its history is not what it was: see `status`"
                .into(),
        }),
    }
}

/// Messages nobody has been shown.
pub(super) async fn unshown(core: &Arc<Core>, limit: u32, to: Option<String>) -> Result<Outcome, CommandError> {
    let me = core.me.clone();
    let messages = core.store.run(move |tx| {
        let of = to.map(|to| target::existing(tx, &me, &to)).transpose()?;
        Ok::<_, CommandError>(message::unshown(tx, of.map(|of| of.local), limit.min(PAGE_MAX))?)
    });
    Ok(Outcome::Messages { messages: messages.await? })
}

/// Marks messages as shown.
pub(super) async fn mark_shown(core: &Arc<Core>, to: Option<String>, local: i64) -> Result<Outcome, CommandError> {
    let me = core.me.clone();
    let read = core.store.run(move |tx| {
        let of = to.map(|to| target::existing(tx, &me, &to)).transpose()?.map(|of| of.local);
        let read = receipt::to_be_shown(tx, of, local)?;
        message::mark_shown(tx, of, local)?;
        Ok::<_, CommandError>(read)
    });
    core.ephemerals.read(read.await?);
    core.own.notify_one();
    Ok(done())
}

/// Has a conversation ring no bell, or ring again.
pub(super) async fn mute(core: &Arc<Core>, to: String, muted: bool) -> Result<Outcome, CommandError> {
    let me = core.me.clone();
    core.store
        .run(move |tx| {
            let of = target::existing(tx, &me, &to)?;
            Ok::<_, CommandError>(muted::set(tx, of.local, muted)?)
        })
        .await?;
    Ok(done())
}

/// The last messages of a conversation, or the last of those before one.
pub(super) async fn history(
    core: &Arc<Core>,
    to: String,
    limit: u32,
    before: Option<i64>,
) -> Result<Outcome, CommandError> {
    let me = core.me.clone();
    let messages = core.store.run(move |tx| {
        let of = target::existing(tx, &me, &to)?;
        Ok::<_, CommandError>(message::last(tx, of.local, limit.min(PAGE_MAX), before)?)
    });
    Ok(Outcome::Messages { messages: messages.await? })
}

/// The first messages of a conversation after one.
pub(super) async fn history_after(
    core: &Arc<Core>,
    to: String,
    after: i64,
    limit: u32,
) -> Result<Outcome, CommandError> {
    let me = core.me.clone();
    let messages = core.store.run(move |tx| {
        let of = target::existing(tx, &me, &to)?;
        Ok::<_, CommandError>(message::after(tx, of.local, after, limit.min(PAGE_MAX))?)
    });
    Ok(Outcome::Messages { messages: messages.await? })
}

/// All conversations, or the groups alone, newest activity first.
pub(super) async fn conversations(core: &Arc<Core>, groups: bool) -> Result<Outcome, CommandError> {
    let me = core.me.clone();
    let mut listed = core
        .store
        .run(move |tx| {
            me.with_mls(tx, |mls| {
                let all = conversation::all(tx)?.into_iter().filter(|one| !groups || one.kind == Kind::Group);
                let all = all.map(|one| shown(tx, mls, me.address().to_string(), one));
                // In the account's own, devices talk to each other: it is shown once a person has noted something there.
                let silent =
                    |one: &api::Conversation| one.kind == api::ConversationKind::Personal && one.last.is_none();
                all.filter(|one| !one.as_ref().is_ok_and(silent)).collect::<Result<Vec<_>, CommandError>>()
            })
        })
        .await?;
    listed.sort_by_key(|one| Reverse(one.last.as_ref().map(|last| last.local)));
    Ok(Outcome::Conversations { conversations: listed })
}

pub(super) const fn kind(kind: Kind) -> api::ConversationKind {
    match kind {
        Kind::Direct => api::ConversationKind::Direct,
        Kind::Personal => api::ConversationKind::Personal,
        Kind::Group | Kind::Inbox => api::ConversationKind::Group,
    }
}

/// Addresses of those in a group, in order; none where this device is not in it.
pub(super) fn members(group: &mut Group<'_>) -> Result<Vec<String>, CommandError> {
    match group.members() {
        Ok(members) => {
            let all: BTreeSet<_> = members.iter().map(|member| member.device.address().to_string()).collect();
            Ok(all.into_iter().collect())
        }
        Err(GroupError::NoGroup | GroupError::Removed) => Ok(Vec::new()),
        Err(GroupError::Fault(fault)) => Err(fault.into()),
    }
}

fn shown(
    tx: &Transaction<'_>,
    mls: &Mls<'_>,
    me: String,
    conversation: Conversation,
) -> Result<api::Conversation, CommandError> {
    let mut members: BTreeSet<String> = conversation.peer.iter().map(ToString::to_string).chain([me]).collect();
    let (mut keys, mut post_quantum) = (Vec::new(), false);
    if let (Some(name), State::Active) = (&conversation.name, conversation.state) {
        let mut group = mls.group(name);
        match group.members().and_then(|devices| Ok((devices, group.suite()?))) {
            Ok((devices, suite)) => {
                post_quantum = suite == Suite::PostQuantum;
                members.extend(devices.iter().map(|member| member.device.address().to_string()));
                let peers = devices.iter().filter(|member| Some(member.device.address()) == conversation.peer.as_ref());
                keys.extend(peers.map(|member| *member.device.account_key()));
            }
            Err(GroupError::NoGroup | GroupError::Removed) => {}
            Err(GroupError::Fault(fault)) => return Err(fault.into()),
        }
    }
    let name = |group: &Conversation| group.name.as_ref().map(ToString::to_string);
    let continued_in = continuation::instead_of(tx, &conversation)?.as_ref().and_then(name);
    let continues = continuation::of(tx, conversation.local)?.filter(|own| own.fit.counts());
    let active = !conversation.is_over() && conversation.trusted == Trusted::Yes;
    let standing = conversation.peer.as_ref().map(|peer| trust::standing_in(tx, peer, &keys)).transpose()?;
    Ok(api::Conversation {
        standing,
        post_quantum,
        picture: picture::exists(tx, conversation.local)?,
        lifetime_s: lifetime::of(tx, conversation.local)?,
        conversation: conversation.name.as_ref().map(ToString::to_string).unwrap_or_default(),
        title: conversation.title,
        topic: conversation.topic,
        kind: kind(conversation.kind),
        members: members.into_iter().collect(),
        unread: message::unread(tx, conversation.local)?,
        last: message::last(tx, conversation.local, 1, None)?.pop(),
        request: conversation.request,
        muted: conversation.muted,
        continues: continues.map(|own| own.continued.conversation.to_string()),
        continued_in,
        active,
    })
}
