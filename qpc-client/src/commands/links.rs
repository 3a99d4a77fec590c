//! Links into groups: made, listed, ended; and asked by.

use std::{sync::Arc, time::Duration};

use qpc_proto::{
    error::Code,
    limits::{LINK_DAYS_MAX, LINK_USES_MAX},
    link::{Asker, InviteLink, LinkKey},
    v1,
};
use rusqlite::Transaction;
use zeroize::Zeroizing;

use super::{done, target, usage};
use crate::{
    api::{self, CommandError, LinkText, NewLink, Outcome},
    apply,
    core::{Core, internal},
    driver::links::ask_once,
    fresh,
    store::{
        StoreError, asked,
        conversation::{self, Conversation, State},
        group_link::{self, GroupLink},
    },
    transport::CallError,
    trust::Me,
};

/// So long somebody who may be there is waited for: they take up to 1.5 s, and a commit.
const LET_IN: Duration = Duration::from_secs(4);
/// How long the group's name may come after that.
const NAMED: Duration = Duration::from_secs(2);
/// A day less than the server takes, whose clock may be another.
const LIFETIME_MAX_S: u64 = LINK_DAYS_MAX.saturating_sub(1).saturating_mul(24 * 60 * 60);

/// A group to which this account may add people.
fn group(tx: &Transaction<'_>, me: &Me, text: &str) -> Result<Conversation, CommandError> {
    let found = target::group(tx, me, text)?;
    let name = found.named()?;
    if me.with_mls(tx, |mls| apply::may_add(&mut mls.group(name), me.address()))? {
        Ok(found)
    } else {
        Err(usage("only owners and admins make links into a group, and end them"))
    }
}

/// Makes a link.
pub(super) async fn invite(
    core: &Arc<Core>,
    text: String,
    (lifetime_s, uses): (u64, u32),
) -> Result<Outcome, CommandError> {
    if !(1..=LIFETIME_MAX_S).contains(&lifetime_s) {
        return Err(usage("a link counts for up to 365 days"));
    }
    if !(1..=LINK_USES_MAX).contains(&uses) {
        return Err(usage(format!("by one link 1 to {LINK_USES_MAX} people come in")));
    }
    let me = core.me.clone();
    let found = core.store.run(move |tx| group(tx, &me, &text)).await?;
    let seed = Zeroizing::new(fresh::random().map_err(|error| internal(&error))?);
    let invite = InviteLink::new(found.named()?.clone(), &seed);
    let key = invite.key();
    let expires_ms = fresh::now_ms().saturating_add(lifetime_s.saturating_mul(1000));
    set(core, &found, key, Some((expires_ms, uses))).await.map_err(|error| match error.code() {
        Some(Code::TooLarge) => usage("the group has as many links as it may: end one first (`group uninvite`)"),
        Some(Code::Forbidden) => usage("the server does not let you make links into this group"),
        _ => error.into(),
    })?;
    let maker = core.me.address().clone();
    let made = core
        .store
        .run(move |tx| {
            let new = GroupLink { key, number: 0, maker, expires_ms, uses, used: 0, withdrawn: false };
            group_link::merge(tx, found.local, &new.to_wire(), fresh::now_ms())?;
            apply::tell_links(tx, &found)?;
            group_link::get(tx, found.local, key)?
                .ok_or_else(|| usage("this home knows as many links of the group as it may"))
        })
        .await?;
    core.outbox.notify_one();
    Ok(Outcome::Link(NewLink { link: LinkText(invite.text().to_string()), about: shown(&made) }))
}

/// Tells the server of a link, or that it ends.
async fn set(core: &Arc<Core>, group: &Conversation, key: LinkKey, open: Option<(u64, u32)>) -> Result<(), SetError> {
    let link = core.link().await?;
    let (expires_ms, uses) = open.unwrap_or_default();
    let conversation = Some(group.named()?.to_wire());
    let withdrawn = open.is_none();
    link.call(v1::SetLink { conversation, link_key: key.to_bytes(), expires_ms, uses, withdrawn }).await?;
    Ok(())
}

/// Why the server was not told.
#[derive(Debug, thiserror::Error)]
enum SetError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl SetError {
    fn code(&self) -> Option<Code> {
        match self {
            Self::Call(error) => error.code(),
            Self::Command(_) => None,
        }
    }
}

impl From<StoreError> for SetError {
    fn from(error: StoreError) -> Self {
        Self::Command(error.into())
    }
}

impl From<SetError> for CommandError {
    fn from(error: SetError) -> Self {
        match error {
            SetError::Call(error) => error.into(),
            SetError::Command(error) => error,
        }
    }
}

fn shown(link: &GroupLink) -> api::GroupLink {
    api::GroupLink {
        number: link.number,
        maker: link.maker.to_string(),
        expires: fresh::rfc3339(link.expires_ms),
        uses: link.uses,
        uses_left: link.uses.saturating_sub(link.used),
    }
}

/// The links that count, by what the group's members say; whoever is in it may know.
pub(super) async fn list(core: &Arc<Core>, text: String) -> Result<Outcome, CommandError> {
    let me = core.me.clone();
    core.store
        .run(move |tx| {
            let (found, now_ms) = (target::group(tx, &me, &text)?, fresh::now_ms());
            let all = group_link::all(tx, found.local, now_ms)?;
            Ok(Outcome::Links { links: all.iter().filter(|link| link.counts(now_ms)).map(shown).collect() })
        })
        .await
}

/// Ends a link.
pub(super) async fn uninvite(core: &Arc<Core>, text: String, number: u32) -> Result<Outcome, CommandError> {
    let me = core.me.clone();
    let (found, ended) = core
        .store
        .run(move |tx| {
            let found = group(tx, &me, &text)?;
            let all = group_link::all(tx, found.local, fresh::now_ms())?;
            let link = all.into_iter().find(|link| link.number == number && !link.withdrawn);
            let link = link.ok_or_else(|| usage(format!("the group has no link {number} (`group invites`)")))?;
            Ok::<_, CommandError>((found, link))
        })
        .await?;
    match set(core, &found, ended.key, None).await {
        // The server has forgotten it, or never knew it.
        Err(error) if error.code() == Some(Code::NotFound) => {}
        told => told?,
    }
    core.store
        .run(move |tx| {
            let ended = GroupLink { withdrawn: true, ..ended };
            group_link::merge(tx, found.local, &ended.to_wire(), fresh::now_ms())?;
            apply::tell_links(tx, &found)
        })
        .await?;
    core.outbox.notify_one();
    Ok(done())
}

/// Asks to be let in, and waits a while for that. The request waits on the server for longer.
pub(super) async fn join(core: &Arc<Core>, text: LinkText) -> Result<Outcome, CommandError> {
    let invite = InviteLink::parse(&text.0).map_err(|error| usage(error.to_string()))?;
    let name = invite.conversation().clone();
    if name.domain != core.me.address().domain {
        return Err(usage(format!("the link leads into a group of another server, {}", name.domain)));
    }
    let link = core.link().await?;
    let identity = &core.me.identity;
    let asker = Asker { address: core.me.address(), account_key: &identity.account_key, device: identity.device };
    let request: bytes::Bytes = prost::Message::encode_to_vec(&invite.ask(&asker, fresh::now_ms())).into();
    let (asking, kept) = (name.clone(), request.clone());
    core.store
        .run(move |tx| match conversation::by_name(tx, &asking)? {
            Some(known) if known.state == State::Active => {
                Err(usage(format!("you are in the group {:?} already", known.title)))
            }
            _ => Ok(asked::put(tx, &asking, &kept)?),
        })
        .await?;
    let sent = ask_once(&link, &request).await;
    let asking = name.clone();
    match sent {
        Ok(expires_ms) => core.store.run(move |tx| asked::waits(tx, &asking, expires_ms)).await?,
        Err(CallError::Refused(refused)) => {
            core.store.run(move |tx| asked::remove(tx, &asking)).await?;
            return Err(refusal(CallError::Refused(refused)));
        }
        // It is not known whether the server has it: the next connection sends it again.
        Err(error) => {
            tracing::debug!(%error, "a request to be let in was not answered");
            core.store.run(asked::ground_all).await?;
        }
    }
    core.links.notify_one();
    let looked = name.clone();
    let joined = core
        .wait_for(LET_IN, move |tx| {
            let known = conversation::by_name(tx, &looked)?;
            let over = !asked::all(tx)?.iter().any(|asked| asked.name == looked);
            let inside = known.is_some_and(|known| known.state == State::Active);
            Ok::<_, StoreError>((inside || over).then_some(inside))
        })
        .await?;
    let conversation = name.to_string();
    match joined {
        Some(true) => {
            let title = core.wait_for(NAMED, move |tx| {
                let known = conversation::by_name(tx, &name)?;
                let named = known.filter(|known| known.title != apply::untitled(&name));
                Ok::<_, StoreError>(named.map(|known| known.title))
            });
            Ok(Outcome::Joining { conversation, title: title.await?, joined: true })
        }
        // An alarm says why.
        Some(false) => Err(CommandError::Denied { message: "you were not let in: see `alarms list`".into() }),
        None => Ok(Outcome::Joining { conversation, title: None, joined: false }),
    }
}

fn refusal(error: CallError) -> CommandError {
    let message = match error.code() {
        Some(Code::LinkUnknown) => {
            "there is no such link: it was not copied whole, its group is gone, or it ended long ago"
        }
        Some(Code::LinkExpired) => "the link has expired: ask for another one",
        Some(Code::LinkUsedUp) => "the link is used up: as many people have come in by it as may",
        Some(Code::LinkWithdrawn) => "the link was withdrawn: ask for another one",
        Some(Code::AlreadyMember) => "you are in that group already; this device comes into it by itself",
        Some(Code::JoinRequestsFull) => {
            "too many people wait for this group, or you for too many groups: try again later"
        }
        Some(Code::TooLarge) => "the group has as many members as it may",
        _ => return error.into(),
    };
    CommandError::Denied { message: message.into() }
}
