//! Changes of what was said: other words, none at all, reactions, pins, votes. Each is shown at once, and is what the log
//! makes of it in the end.

use std::sync::Arc;

use qpc_proto::{
    content::{Content, Kind as Said},
    id::MessageId,
    limits::{EMOJI_MAX, TEXT_MAX},
};
use rusqlite::Transaction;

use super::{emoji::is_emoji, files::CAPTION_MAX, mention, noted, refer, talk, target, usage};
use crate::{
    api::{self, CommandError, Event, Message, Outcome},
    apply::{self, Applied, ApplyError},
    core::{Core, internal},
    fresh,
    store::{
        StoreError, attachment,
        change::{self, By, Change},
        conversation::{Conversation, Kind},
        lifetime, message, outbox,
        own_change::{self, May},
        upload,
    },
    trust::Me,
};

/// A change that is about to be made.
struct Changing<'t> {
    tx: &'t Transaction<'t>,
    me: &'t Me,
    of: &'t Conversation,
    target: &'t Message,
    id: MessageId,
    may: May,
}

impl Changing<'_> {
    fn denied(&self, message: &str) -> CommandError {
        CommandError::Denied { message: format!("{message} in {}", self.of.title) }
    }
}

/// Replaces the words of a message of ours.
pub(super) async fn edit(core: &Arc<Core>, to: String, message: String, text: String) -> Result<Outcome, CommandError> {
    if text.len() > TEXT_MAX {
        return Err(usage(format!("a message has at most {TEXT_MAX} bytes")));
    }
    change(core, to, message, move |changing| {
        if !changing.target.own {
            return Err(changing.denied("only who sent a message can edit it"));
        }
        match changing.target.kind.as_str() {
            "text" if text.trim().is_empty() => Err(usage("without words it would be empty: `delete` deletes it")),
            "attachment" if text.len() > CAPTION_MAX => {
                Err(usage(format!("a caption has at most {CAPTION_MAX} bytes")))
            }
            "text" | "attachment" => {
                let members = mention::members(changing.tx, changing.me, changing.of)?;
                let words = mention::find(text, &members, &changing.me.address().domain);
                Ok(Said::Edit(changing.id, words))
            }
            _ => Err(usage("a poll can't be edited, because people may have voted: delete it, and ask anew")),
        }
    })
    .await
}

/// Deletes a message for everybody.
pub(super) async fn delete(core: &Arc<Core>, to: String, message: String) -> Result<Outcome, CommandError> {
    if let Some(outcome) = take_out(core, to.clone(), message.clone()).await? {
        return Ok(outcome);
    }
    change(core, to, message, |changing| {
        if changing.target.own || changing.may.moderates {
            return Ok(Said::Delete(changing.id));
        }
        Err(changing.denied(match changing.of.kind {
            Kind::Group => "only who sent a message, owners and admins can delete it",
            _ => "only who sent a message can delete it",
        }))
    })
    .await
}

/// Puts an emoji on a message, or takes it away.
pub(super) async fn react(
    core: &Arc<Core>,
    to: String,
    message: String,
    (emoji, removed): (String, bool),
) -> Result<Outcome, CommandError> {
    change(core, to, message, move |changing| {
        // What is there already can be joined and taken away, whatever it is.
        let there = changing.target.details.reactions.iter().any(|one| one.emoji == emoji);
        if !there && !is_emoji(&emoji) {
            return Err(usage(format!("{emoji:?} is no emoji: write one, of at most {EMOJI_MAX} bytes")));
        }
        Ok(Said::Reaction { to: changing.id, emoji, removed })
    })
    .await
}

/// Keeps a message in view of everybody, or no longer.
pub(super) async fn pin(core: &Arc<Core>, to: String, message: String, removed: bool) -> Result<Outcome, CommandError> {
    change(core, to, message, move |changing| {
        if !changing.may.pins {
            return Err(changing.denied("only owners and admins can pin a message"));
        }
        if changing.target.details.pinned != removed {
            return Err(usage(if removed { "it is not pinned" } else { "it is pinned already" }));
        }
        Ok(Said::Pin { id: changing.id, removed })
    })
    .await
}

/// What is pinned in a conversation.
pub(super) async fn pins(core: &Arc<Core>, to: String) -> Result<Outcome, CommandError> {
    let me = core.me.clone();
    let messages = core.store.run(move |tx| {
        let of = target::existing(tx, &me, &to)?;
        Ok::<_, CommandError>(message::pinned(tx, of.local)?)
    });
    Ok(Outcome::Messages { messages: messages.await? })
}

/// Chooses in a poll, by numbers from 1.
pub(super) async fn vote(
    core: &Arc<Core>,
    to: String,
    message: String,
    choices: Vec<u32>,
) -> Result<Outcome, CommandError> {
    change(core, to, message, move |changing| {
        let poll = open_poll(changing)?;
        let most = u32::try_from(poll.options.len()).unwrap_or(u32::MAX);
        if choices.len() > 1 && !poll.several {
            return Err(usage("one answer can be chosen in this poll"));
        }
        let mut places: Vec<u32> = Vec::new();
        for choice in choices {
            match choice.checked_sub(1).filter(|place| *place < most) {
                Some(place) if !places.contains(&place) => places.push(place),
                Some(_) => {}
                None => return Err(usage(format!("there is no answer {choice}: they are numbered from 1 to {most}"))),
            }
        }
        Ok(Said::Vote(changing.id, places))
    })
    .await
}

/// Ends a poll of ours.
pub(super) async fn close_poll(core: &Arc<Core>, to: String, message: String) -> Result<Outcome, CommandError> {
    change(core, to, message, |changing| {
        open_poll(changing)?;
        if !changing.target.own {
            return Err(changing.denied("only who asked can close a poll"));
        }
        Ok(Said::PollClose(changing.id))
    })
    .await
}

fn open_poll<'c>(changing: &'c Changing<'_>) -> Result<&'c api::Poll, CommandError> {
    match &changing.target.details.poll {
        Some(poll) if poll.closed => Err(usage("this poll is closed")),
        Some(poll) => Ok(poll),
        None => Err(usage("that message is no poll")),
    }
}

/// Queues a change of a message, and shows it.
async fn change(
    core: &Arc<Core>,
    to: String,
    message: String,
    make: impl FnOnce(&Changing<'_>) -> Result<Said, CommandError> + Send + 'static,
) -> Result<Outcome, CommandError> {
    let id = fresh::message_id().map_err(|error| internal(&error))?;
    let (me, teller, most) = (core.me.clone(), Arc::clone(core), core.outbox_max);
    core.store
        .run_and(
            move |tx| {
                let of = target::existing(tx, &me, &to)?;
                talk::takes_more(tx, &of, most)?;
                let target = refer::find(tx, &of, &message)?;
                can_be_changed(tx, &of, &target)?;
                let may = may(tx, &me, &of)?;
                let changing = Changing { tx, me: &me, of: &of, target: &target, id: refer::id(&target)?, may };
                let mut content = Content::new(fresh::now_ms(), make(&changing)?);
                if matches!(content.kind, Said::Edit(..)) {
                    content.lifetime_s = lifetime::of_message(tx, target.local)?;
                }
                let encoded = content.encode().map_err(|error| usage(error.to_string()))?;
                outbox::put(tx, of.local, id, &encoded)?;
                let account = me.address().to_string();
                own_change::put(tx, of.local, id, (changing.id, &encoded), (&account, may))?;
                Ok::<_, CommandError>(message::get(tx, target.local)?)
            },
            move |now| {
                teller.events.tell(Event::Changed(now.clone()));
                teller.outbox.notify_one();
            },
        )
        .await?;
    Ok(Outcome::Queued { id: id.to_string() })
}

/// Takes a message of ours out of the outbox, if it has not left.
async fn take_out(core: &Arc<Core>, to: String, message: String) -> Result<Option<Outcome>, CommandError> {
    let (me, teller) = (core.me.clone(), Arc::clone(core));
    let taken = core
        .store
        .run_and(
            move |tx| {
                let of = target::existing(tx, &me, &to)?;
                let target = refer::find(tx, &of, &message)?;
                let id = refer::id(&target)?;
                if !target.own || target.seq > 0 || !change::is_changeable(&target.kind) {
                    return Ok(None);
                }
                if outbox::may_have_left(tx, id)? {
                    return Ok(None);
                }
                let mut out = Applied::default();
                apply::refuse(tx, id, "you deleted it before it left", &mut out)?;
                let who = me.address().to_string();
                let by = By { account: &who, moderates: false, pins: false, time_ms: fresh::now_ms(), me: &who };
                change::apply(tx, of.local, id, &Change::Delete, by)?;
                out.events.push(Event::Changed(message::get(tx, target.local)?));
                Ok::<_, CommandError>(Some(out))
            },
            move |out| out.iter().for_each(|out| teller.tell(out)),
        )
        .await?;
    Ok(taken.map(|_| noted("it had not left: nobody has seen it")))
}

/// Others see the same message, or will.
fn can_be_changed(tx: &Transaction<'_>, of: &Conversation, target: &Message) -> Result<(), CommandError> {
    if target.kind == crate::store::DELETED_KIND {
        return Err(usage(format!("that message in {} is deleted", of.title)));
    }
    if !change::is_changeable(&target.kind) {
        return Err(usage(format!("that is no message that can be changed or answered so in {}", of.title)));
    }
    let id = refer::id(target)?;
    if target.own && target.seq == 0 {
        if outbox::by_id(tx, id)?.is_none() {
            return Err(usage("that message was never sent: only you see it, and `delete` deletes it"));
        }
        // A file's message gets its place when the server has the file, behind what is said meanwhile.
        if attachment::told(tx, of.local, id.as_bytes())?.is_some() && upload::is_wanted(tx, id)? {
            return Err(CommandError::TryLater {
                message: "the file is still on its way: try again when it is there".into(),
            });
        }
    }
    Ok(())
}

/// What this account may do there to what others have said.
fn may(tx: &Transaction<'_>, me: &Me, of: &Conversation) -> Result<May, CommandError> {
    let who = me.address().to_string();
    let Some(name) = &of.name else { return Ok(May { moderates: false, pins: of.kind != Kind::Group }) };
    me.with_mls(tx, |mls| apply::what_may(&mut mls.group(name), of.kind, &who)).map_err(|error| match error {
        ApplyError::Store(error) => StoreError::into(error),
        error => internal(&error),
    })
}
