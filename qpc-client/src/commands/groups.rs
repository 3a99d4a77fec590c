//! Groups: made, joined by others, left.

use std::{collections::BTreeMap, sync::Arc};

use qpc_proto::{
    address::Address,
    continuation::Continued,
    error::Code,
    id::ConversationName,
    limits::{GROUP_NAME_MAX, GROUP_PICTURE_MAX, GROUP_TOPIC_MAX, MEMBERS_PER_COMMIT_MAX},
    role::{Role, RoleTable},
    suite::Suite,
    v1,
};
use rusqlite::Transaction;

use super::{
    claim::{self, Gathered},
    done, noted,
    target::{self, Target},
    usage,
};
use crate::{
    api::{self, CommandError, GroupPicture, GroupSuite, Member, Outcome, Picture, PictureFormat},
    apply::{self, Applied},
    core::{Core, internal},
    driver::{
        change::{ChangeError, change},
        pending::{Founding, Submitted, create_request, found, invitees, not_created, submit},
        roster,
    },
    fresh,
    mls::{self, CommitError, GroupError},
    store::{
        Local, StoreError,
        continuation::{self, Fit},
        conversation::{self, Conversation, Kind, New, State},
        outbox,
        pending::{self, Pending},
        picture,
    },
    transport::{CallError, Link, Refused},
    trust::{self, Me},
};

/// Makes a group.
pub(super) async fn create(
    core: &Arc<Core>,
    name: String,
    members: Vec<String>,
    suite: GroupSuite,
) -> Result<Outcome, CommandError> {
    let people = people(core, &members)?;
    let title = name.clone();
    core.store.run(move |tx| is_free(tx, &title, None)).await?;
    let link = core.link().await?;
    let Gathered { suite, people: claimed, own, note } = claim::for_new_group(core, &link, people, suite).await?;
    let gathered = Gathered { suite, people: claimed, own, note: None };
    match make(core, &link, gathered, Like::Named(name)).await? {
        Made::Is(_) => Ok(Outcome::Done { note }),
        Made::Refused(refused) if refused.code == Some(Code::NotContact) => Err(not_contact(&members)),
        Made::Refused(refused) => Err(usage(refused.to_string())),
    }
}

/// As what a group is made.
pub(super) enum Like {
    Named(String),
    /// As one that it continues.
    Continuing(Box<Conversation>, Continued),
}

/// What became of a group that was to be made.
pub(super) enum Made {
    Is(Local),
    Refused(Box<Refused>),
}

/// Makes a group of people whose key packages were taken, and waits until it is there.
pub(super) async fn make(
    core: &Arc<Core>,
    link: &Link,
    Gathered { suite, people: claimed, own, .. }: Gathered,
    like: Like,
) -> Result<Made, CommandError> {
    let hub = link.hub.clone();
    let (me, teller) = (core.me.clone(), Arc::clone(core));
    let (request, _) = core
        .store
        .run_and(
            move |tx| {
                let mut out = Applied::default();
                let id = fresh::conversation_id().map_err(StoreError::from)?;
                let conversation = ConversationName { domain: me.address().domain.clone(), id };
                let invited: Vec<_> = claimed.iter().flat_map(|(who, claimed)| invitees(who, claimed)).collect();
                let (title, continued) = match &like {
                    Like::Named(name) => (name.clone(), None),
                    Like::Continuing(before, continued) => (before.title.clone(), Some(continued)),
                };
                let (hub, continues) = (hub.as_ref(), continued);
                let founding = Founding { name: &conversation, suite, hub, me: me.address(), continues };
                let made = me.with_mls(tx, |mls| found(mls, &founding, &invited, &own));
                let new = match made {
                    Ok(new) => new,
                    Err(error) => return Ok((Err(usage(not_created(tx, &me, error, &mut out)?)), out)),
                };
                if let Some(staged) = &new.staged {
                    me.pin_all(tx, &staged.change.added)?;
                }
                let request = create_request(&conversation, Kind::Group, None, new)?;
                let row =
                    New { name: Some(conversation), kind: Kind::Group, peer: None, title, state: State::Creating };
                let request = Pending { conversation: conversation::insert(tx, &row)?, ..request };
                if let Like::Continuing(before, continued) = &like {
                    // In this transaction: what is told again after it was cut off makes no second group.
                    continuation::put(tx, request.conversation, continued, (Fit::Same, true))?;
                    let picture = picture::get(tx, before.local)?.unwrap_or_default().into();
                    let state = v1::GroupState { name: before.title.clone(), topic: before.topic.clone(), picture };
                    conversation::describe(tx, request.conversation, None, &state)?;
                }
                pending::put(tx, &request)?;
                Ok::<_, CommandError>((Ok(request), out))
            },
            move |(_, applied): &(_, Applied)| teller.tell(applied),
        )
        .await?;
    let request = request?;
    let local = request.conversation;
    let _hold = core.hold(local);
    match submit(core, link, request).await.map_err(ChangeError::from)? {
        Submitted::Accepted(_) => {
            until_settled(core, local).await?;
            Ok(Made::Is(local))
        }
        Submitted::Refused(refused) => Ok(Made::Refused(refused)),
        Submitted::Raced(_) | Submitted::Reserved(..) | Submitted::Theirs => {
            Err(usage("the server has another group of this name"))
        }
    }
}

fn not_contact(members: &[String]) -> CommandError {
    usage(format!(
        "only people who have accepted you can be added ({}): write to them first, and wait until they accept",
        members.join(", ")
    ))
}

/// Waits until the group's first commit is applied.
pub(super) async fn until_settled(core: &Arc<Core>, local: Local) -> Result<(), CommandError> {
    let settled = core
        .wait_for(core.transport.timeout, move |tx| {
            Ok::<_, StoreError>(pending::id_of(tx, local)?.is_none().then_some(()))
        })
        .await?;
    settled.ok_or_else(|| CommandError::from(CallError::Timeout))
}

/// Adds members.
pub(super) async fn add(core: &Arc<Core>, group: String, members: Vec<String>) -> Result<Outcome, CommandError> {
    let people = people(core, &members)?;
    let local = find(core, group).await?;
    let link = core.link().await?;
    let suite = suite_of(core, local).await?;
    let claimed = claim::to_add(&link, &people, suite).await?;
    let changed = change(
        core,
        &link,
        local,
        Arc::new(move |_, group| {
            let invited: Vec<_> = claimed.iter().flat_map(|(who, claimed)| invitees(who, claimed)).collect();
            group.add(&invited)
        }),
    );
    match changed.await {
        Err(ChangeError::Refused(refused)) if refused.code == Some(Code::NotContact) => Err(not_contact(&members)),
        changed => Ok(changed.map(|()| done())?),
    }
}

/// Removes members.
pub(super) async fn remove(core: &Arc<Core>, group: String, members: Vec<String>) -> Result<Outcome, CommandError> {
    let people = people(core, &members)?;
    let local = find(core, group).await?;
    let link = core.link().await?;
    change(core, &link, local, Arc::new(move |_, group| group.remove(&people))).await?;
    Ok(done())
}

/// May a group be called this, besides the one that is renamed?
fn is_free(tx: &Transaction<'_>, name: &str, renamed: Option<Local>) -> Result<(), CommandError> {
    if name.trim().is_empty() || name.len() > GROUP_NAME_MAX {
        return Err(usage(format!("a group's name has 1 to {GROUP_NAME_MAX} bytes")));
    }
    let same = conversation::by_title(tx, name)?;
    for one in same.iter().filter(|one| one.kind == Kind::Group && one.state != State::Ended) {
        // One that goes on elsewhere has given its name away.
        if Some(one.local) != renamed && continuation::instead_of(tx, one)?.is_none() {
            return Err(usage(format!("you are in a group called {name:?} already")));
        }
    }
    Ok(())
}

/// Says what a group is called or about, or gives it a picture: sent as a message is.
pub(super) async fn describe(
    core: &Arc<Core>,
    group: String,
    (name, topic, picture): (Option<String>, Option<String>, Option<Picture>),
) -> Result<Outcome, CommandError> {
    if picture.as_ref().is_some_and(|Picture(bytes)| !bytes.is_empty() && PictureFormat::of(bytes).is_none()) {
        return Err(usage(format!("a group's picture is a PNG, JPEG or WebP of at most {GROUP_PICTURE_MAX} bytes")));
    }
    if topic.as_ref().is_some_and(|topic| topic.len() > GROUP_TOPIC_MAX) {
        return Err(usage(format!("what a group is about has at most {GROUP_TOPIC_MAX} bytes")));
    }
    let local = find(core, group).await?;
    let me = core.me.clone();
    core.store
        .run(move |tx| {
            let mut conversation = conversation::get(tx, local)?;
            let known = conversation.named()?;
            if !me.with_mls(tx, |mls| apply::may_describe(&mut mls.group(known), me.address()))? {
                return Err(usage(
                    "only owners and admins say what a group is called and about, and give it a picture",
                ));
            }
            if let Some(name) = name {
                is_free(tx, &name, Some(local))?;
                conversation.title = name;
            }
            if let Some(topic) = topic {
                conversation.topic = topic;
            }
            let picture = match picture {
                Some(Picture(bytes)) => bytes,
                None => picture::get(tx, local)?.unwrap_or_default(),
            };
            let (name, topic) = (conversation.title.clone(), conversation.topic.clone());
            conversation::describe(tx, local, None, &v1::GroupState { name, topic, picture: picture.into() })?;
            Ok(apply::describe_group(tx, &conversation)?)
        })
        .await?;
    core.outbox.notify_one();
    Ok(done())
}

/// A group's picture.
pub(super) async fn picture(core: &Arc<Core>, group: String) -> Result<Outcome, CommandError> {
    let me = core.me.clone();
    core.store
        .run(move |tx| {
            // Of one that is over, too: what this device has, it has.
            let found = match target::read(tx, &me, &group)? {
                Target::Conversation(found) if found.kind == Kind::Group => found,
                _ => return Err(usage(format!("there is no group {group:?}"))),
            };
            let bytes = picture::get(tx, found.local)?.unwrap_or_default();
            let format = PictureFormat::of(&bytes)
                .ok_or_else(|| usage(format!("the group {:?} has no picture", found.title)))?;
            Ok(Outcome::Picture(GroupPicture { group: found.title, format, picture: Picture(bytes) }))
        })
        .await
}

/// Gives a member another role.
pub(super) async fn set_role(
    core: &Arc<Core>,
    group: String,
    member: String,
    role: api::Role,
) -> Result<Outcome, CommandError> {
    let person = target::person(&core.me, &member)?;
    let local = find(core, group).await?;
    let link = core.link().await?;
    let changed = change(core, &link, local, Arc::new(move |_, group| group.set_role(&person, role.into())));
    match changed.await {
        Err(ChangeError::Mls(CommitError::Nothing)) => Ok(noted(format!("{member} has that role already."))),
        changed => Ok(changed.map(|()| done())?),
    }
}

/// Leaves a group: sent as a message is, and carried out by those who stay.
pub(super) async fn leave(core: &Arc<Core>, group: String) -> Result<Outcome, CommandError> {
    let local = find(core, group).await?;
    core.link().await?;
    let id = fresh::message_id().map_err(|error| internal(&error))?;
    let me = core.me.clone();
    core.store
        .run(move |tx| {
            let name = conversation::get(tx, local)?.named()?.clone();
            match me.with_mls(tx, |mls| mls.group(&name).may_leave()) {
                Ok(()) => Ok(outbox::put_leave(tx, local, id)?),
                Err(CommitError::Group(GroupError::Fault(fault))) => Err(fault.into()),
                Err(error @ CommitError::LastOwner) => Err(usage(format!("{error} (`group role GROUP MEMBER owner`)"))),
                Err(error) => Err(usage(error.to_string())),
            }
        })
        .await?;
    core.outbox.notify_one();
    let left = core
        .wait_for(core.transport.timeout, move |tx| {
            let ended = conversation::get(tx, local)?.state == State::Ended;
            let queued = outbox::by_id(tx, id)?.is_some();
            Ok::<_, StoreError>((ended || !queued).then_some(ended))
        })
        .await?;
    match left {
        Some(true) => Ok(done()),
        Some(false) => Err(usage("the server does not let you leave this group")),
        None => Ok(noted("You leave as soon as the server has been told.")),
    }
}

/// Who is in a group, by its MLS state and by the server's list.
pub(super) async fn members(core: &Arc<Core>, group: String) -> Result<Outcome, CommandError> {
    let local = find(core, group).await?;
    let me = core.me.clone();
    let (name, mut members, leaving, picture) = core
        .store
        .run(move |tx| {
            let conversation = conversation::get(tx, local)?;
            let name = conversation.named()?.clone();
            me.with_mls(tx, |mls| {
                let mut group = mls.group(&name);
                let read = group.members().and_then(|members| Ok((members, group.roles()?, group.has_proposals()?)));
                let (devices, roles, leaving) = read.map_err(|error| internal(&error))?;
                let picture = picture::exists(tx, local)?;
                Ok::<_, CommandError>((name.clone(), accounts(tx, &me, &devices, &roles)?, leaving, picture))
            })
        })
        .await?;
    // Without a connection there is nothing to compare with.
    if let Ok(link) = core.link().await {
        let listed = roster::find(&link, &name).await?.map(|listed| listed.members).unwrap_or_default();
        for member in members.values_mut() {
            // Who has said to leave is off the server's list at once, and out of the group with the next commit.
            member.disputed = !leaving && !listed.iter().any(|listed| listed.address == member.address);
        }
        for listed in listed {
            members.entry(listed.address.clone()).or_insert_with(|| Member {
                role: Role::from_wire(listed.role).name().to_owned(),
                address: listed.address,
                devices: 0,
                disputed: true,
                standing: None,
            });
        }
    }
    Ok(Outcome::Members { members: members.into_values().collect(), picture })
}

/// The accounts that devices of a group belong to.
fn accounts(
    tx: &Transaction<'_>,
    me: &Me,
    devices: &[mls::Member],
    roles: &RoleTable,
) -> Result<BTreeMap<String, Member>, StoreError> {
    let mut accounts: BTreeMap<&Address, Vec<&[u8; 32]>> = BTreeMap::new();
    for member in devices {
        accounts.entry(member.device.address()).or_default().push(member.device.account_key());
    }
    let account = |(address, keys): (&Address, Vec<&[u8; 32]>)| {
        let others = address != me.address();
        let member = Member {
            address: address.to_string(),
            role: roles.of(address).name().to_owned(),
            devices: u32::try_from(keys.len()).unwrap_or(u32::MAX),
            disputed: false,
            standing: others.then(|| trust::standing_in(tx, address, keys)).transpose()?,
        };
        Ok((address.to_string(), member))
    };
    accounts.into_iter().map(account).collect()
}

/// The suite that a group has.
pub(super) async fn suite_of(core: &Arc<Core>, local: Local) -> Result<Suite, CommandError> {
    let me = core.me.clone();
    core.store
        .run(move |tx| {
            let name = conversation::get(tx, local)?.named()?.clone();
            me.with_mls(tx, |mls| mls.group(&name).suite()).map_err(|error| match error {
                GroupError::Fault(fault) => fault.into(),
                error => usage(error.to_string()),
            })
        })
        .await
}

async fn find(core: &Arc<Core>, group: String) -> Result<Local, CommandError> {
    let me = core.me.clone();
    core.store.run(move |tx| Ok(target::group(tx, &me, &group)?.local)).await
}

fn people(core: &Arc<Core>, names: &[String]) -> Result<Vec<Address>, CommandError> {
    if names.len() > MEMBERS_PER_COMMIT_MAX {
        return Err(usage(format!("at most {MEMBERS_PER_COMMIT_MAX} people at a time")));
    }
    let mut people = names.iter().map(|name| target::person(&core.me, name)).collect::<Result<Vec<_>, _>>()?;
    people.sort();
    people.dedup();
    Ok(people)
}
