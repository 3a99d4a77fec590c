//! Going on with a group whose server is gone: a group like it on this account's own server, which cites it and has its
//! members.
//!
//! What was begun is noted in the transaction that makes the group. So the same command goes on where it was cut off: with
//! those members of the other group who are not in this one yet.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use qpc_proto::{
    address::{Address, Domain},
    chain::ChainValue,
    continuation::{Continued, may_continue},
    error::Code,
    role::Role,
    suite::Suite,
    v1,
};
use rusqlite::Transaction;

use super::{
    claim::{self, Claimed},
    groups::{Like, Made, make, suite_of, until_settled},
    target::{self, Target},
    usage,
};
use crate::{
    api::{CommandError, GroupSuite, LeftOut, Moved, Outcome},
    apply::{self, Applied, ApplyError},
    core::{Core, internal},
    driver::{
        change::{ChangeError, change},
        pending::invitees,
    },
    fresh,
    mls::CommitError,
    store::{
        Local, continuation,
        conversation::{self, Conversation, Kind, State},
        outbox,
    },
    transport::{CallError, Link},
    trust::Me,
};

/// Accounts whose key packages are taken and who are added together. With all devices that so many may have, a commit of
/// either suite fits into a frame.
const AT_ONCE: usize = 20;

/// A group that is to go on, and the one in which this device has begun that.
struct Plan {
    before: Conversation,
    begun: Option<Local>,
}

/// Continues a group on this account's own server.
pub(super) async fn go_on_here(core: &Arc<Core>, group: String, force: bool) -> Result<Outcome, CommandError> {
    let plan = planned(core, &group).await?;
    let link = core.link().await?;
    let plan = match plan.begun {
        // The server may have refused it meanwhile.
        Some(local) => {
            until_settled(core, local).await?;
            planned(core, &group).await?
        }
        None => plan,
    };
    let before = plan.before;
    let gone = before.named().map_err(|error| internal(&error))?.domain.clone();
    let (local, note) = match plan.begun {
        Some(local) => (local, None),
        None => {
            if !force && is_reachable(&link, &gone).await? {
                return Err(usage(format!(
                    "the server of {gone}, which orders {}, can be reached: there is no need to move the group (--force \
                     does so all the same)",
                    before.title
                )));
            }
            begin(core, &link, &before).await?
        }
    };
    let left_out = take_along(core, &link, (&before, &gone), local).await?;
    finish(core, before, local, (left_out, note)).await
}

async fn planned(core: &Arc<Core>, group: &str) -> Result<Plan, CommandError> {
    let (me, group) = (core.me.clone(), group.to_owned());
    core.store.run(move |tx| plan(tx, &me, &group)).await
}

/// What is to be done about a group, if this account may.
fn plan(tx: &Transaction<'_>, me: &Me, text: &str) -> Result<Plan, CommandError> {
    let two = || {
        usage(
            "a conversation of two is ordered by the server of one of the two, and can't be moved: where that is gone, so \
             is their account",
        )
    };
    let group = match target::read(tx, me, text)? {
        Target::Conversation(found) if found.kind == Kind::Group => *found,
        Target::Conversation(_) => return Err(two()),
        Target::Person(person) if conversation::direct_with(tx, &person)?.is_some() => return Err(two()),
        Target::Person(_) => return Err(usage(format!("there is no group {text:?}"))),
    };
    let name = group.named()?.clone();
    let own = continuation::of(tx, group.local)?;
    if let Some(own) = own.as_ref().filter(|own| own.moving)
        && let Some(before) = conversation::by_name(tx, &own.continued.conversation)?
    {
        return Ok(Plan { before, begun: Some(group.local) });
    }
    if let Some(begun) = continuation::all_of(tx, &name)?.iter().find(|later| later.moving) {
        return Ok(Plan { before: group, begun: Some(begun.conversation) });
    }
    let already = |now: &Conversation| usage(format!("the group was continued already, in {}", apply::called(now)));
    if let Some(next) = continuation::instead_of(tx, &group)? {
        return Err(already(&next));
    }
    if name.domain == me.address().domain {
        return Err(match own.filter(|own| own.fit.counts()) {
            Some(_) => already(&group),
            None => usage(format!("your own server orders {}: there is nothing to move", group.title)),
        });
    }
    if group.is_joining() {
        return Err(usage(format!("this device is about to come into the group {text:?}: try again in a moment")));
    }
    let members = me.with_mls(tx, |mls| apply::accounts(mls, &group)).map_err(|error| internal(&error))?;
    if group.state != State::Active || !members.contains_key(me.address()) {
        return Err(usage(format!("you are not in the group {text:?}")));
    }
    if !may_continue(me.address(), &members, &name.domain) {
        let leads = members.iter().filter(|(who, role)| **role >= Role::Admin && who.domain != name.domain);
        let leads: Vec<_> = leads.map(|(who, _)| who.to_string()).collect();
        return Err(CommandError::Denied {
            message: format!("an owner or admin of the group has to move it: ask {}", leads.join(" or ")),
        });
    }
    Ok(Plan { before: group, begun: None })
}

/// Can a domain's server be reached now? It is asked for somebody whom nobody is, so that nothing is used up.
async fn is_reachable(link: &Link, domain: &Domain) -> Result<bool, CommandError> {
    let nobody = fresh::conversation_id().map_err(|error| internal(&error))?;
    let address = format!("{nobody}@{domain}");
    match link.call(v1::ClaimKeyPackages { address, ..Default::default() }).await {
        Ok(_) => Ok(true),
        Err(CallError::Refused(refused)) => match refused.code {
            Some(Code::DomainUnreachable | Code::DomainUnknown) => Ok(false),
            Some(code) if code.retryable() => Err(CallError::Refused(refused).into()),
            _ => Ok(true),
        },
        Err(error) => Err(error.into()),
    }
}

/// Makes the group in which it goes on, with this account's devices in it; gives what a person should know.
async fn begin(core: &Arc<Core>, link: &Link, before: &Conversation) -> Result<(Local, Option<String>), CommandError> {
    let wanted = match suite_of(core, before.local).await? {
        Suite::Classical => GroupSuite::Classical,
        Suite::PostQuantum => GroupSuite::Auto,
    };
    let gathered = claim::for_new_group(core, link, Vec::new(), wanted).await?;
    let note = gathered.note.clone();
    let conversation = before.named().map_err(|error| internal(&error))?.clone();
    let chain = before.chain.unwrap_or_else(|| ChainValue::genesis(&conversation));
    let continued = Continued { conversation, seq: before.seq, chain };
    match make(core, link, gathered, Like::Continuing(Box::new(before.clone()), continued)).await? {
        Made::Is(local) => Ok((local, note)),
        Made::Refused(refused) => Err(usage(refused.to_string())),
    }
}

/// Adds the other group's members who are not in this one, with their roles; gives those who can't be added.
async fn take_along(
    core: &Arc<Core>,
    link: &Link,
    (before, gone): (&Conversation, &Domain),
    local: Local,
) -> Result<Vec<LeftOut>, CommandError> {
    let (me, before) = (core.me.clone(), before.clone());
    let mut wanted = core
        .store
        .run(move |tx| {
            let group = conversation::get(tx, local)?;
            me.with_mls(tx, |mls| {
                let (mut before, now) = (apply::accounts(mls, &before)?, apply::accounts(mls, &group)?);
                before.retain(|who, _| !now.contains_key(who));
                Ok::<_, ApplyError>(before)
            })
        })
        .await
        .map_err(|error| internal(&error))?;
    let mut left_out = Vec::new();
    wanted.retain(|who, _| {
        if who.domain == *gone {
            left_out.push(LeftOut { address: who.to_string(), reason: format!("of {gone}, whose server is given up") });
        }
        who.domain != *gone
    });
    let suite = suite_of(core, local).await?;
    let roles = Arc::new(wanted);
    let everybody: Vec<Address> = roles.keys().cloned().collect();
    let mut unreachable = BTreeSet::new();
    for people in everybody.chunks(AT_ONCE) {
        let (claimed, not_claimed) = claim::of_each(link, people, suite, &mut unreachable).await?;
        left_out.extend(not_claimed);
        add(core, link, local, (claimed, &roles), &mut left_out).await?;
    }
    left_out.sort_by(|one, other| one.address.cmp(&other.address));
    Ok(left_out)
}

/// Adds people, each by themselves where not all of them can be added together.
async fn add(
    core: &Arc<Core>,
    link: &Link,
    local: Local,
    (claimed, roles): (Claimed, &Arc<BTreeMap<Address, Role>>),
    left_out: &mut Vec<LeftOut>,
) -> Result<(), CommandError> {
    if claimed.is_empty() {
        return Ok(());
    }
    match add_all(core, link, local, (claimed.clone(), roles)).await {
        Err(error) if is_about_people(&error) => {}
        added => return Ok(added?),
    }
    for one in claimed {
        let address = one.0.to_string();
        match add_all(core, link, local, (vec![one], roles)).await {
            Err(ChangeError::Mls(CommitError::AlreadyMember(_))) => {}
            Err(ChangeError::Refused(refused)) if refused.code == Some(Code::NotContact) => {
                let reason = "your server does not know them as a member, and they have not accepted you".to_owned();
                left_out.push(LeftOut { address, reason });
            }
            Err(error) if is_about_people(&error) => left_out.push(LeftOut { address, reason: error.to_string() }),
            added => added?,
        }
    }
    Ok(())
}

async fn add_all(
    core: &Arc<Core>,
    link: &Link,
    local: Local,
    (claimed, roles): (Claimed, &Arc<BTreeMap<Address, Role>>),
) -> Result<(), ChangeError> {
    let roles = Arc::clone(roles);
    let operation = move |_: &Transaction<'_>, group: &mut crate::mls::Group<'_>| {
        let invited: Vec<_> = claimed.iter().flat_map(|(who, claimed)| invitees(who, claimed)).collect();
        let given = claimed.iter().filter(|(_, claimed)| !claimed.is_empty());
        let given = given.filter_map(|(who, _)| Some((who.clone(), *roles.get(who)?))).collect();
        group.add_as(&invited, given)
    };
    change(core, link, local, Arc::new(operation)).await
}

/// Would it have gone well with others, or fewer of them?
fn is_about_people(error: &ChangeError) -> bool {
    match error {
        ChangeError::Refused(_) => true,
        ChangeError::Mls(error) => {
            !matches!(error, CommitError::Group(_) | CommitError::Pending | CommitError::Leaving)
        }
        ChangeError::Call(_) | ChangeError::Busy | ChangeError::Hub(_) | ChangeError::Apply(_) => false,
    }
}

/// Notes that everybody has come who can, and says so in both groups.
async fn finish(
    core: &Arc<Core>,
    before: Conversation,
    local: Local,
    (left_out, note): (Vec<LeftOut>, Option<String>),
) -> Result<Outcome, CommandError> {
    let (me, teller) = (core.me.clone(), Arc::clone(core));
    let done = core.store.run_and(
        move |tx| {
            let mut out = Applied::default();
            let group = conversation::get(tx, local)?;
            if let Some(own) = continuation::of(tx, local)?.filter(|own| own.moving) {
                continuation::has_moved(tx, local)?;
                apply::tell_continued(tx, (&before, &group), (&own.continued, own.fit), &mut out)?;
            }
            let members = me.with_mls(tx, |mls| apply::accounts(mls, &group))?;
            let waiting = outbox::of_conversation(tx, before.local)?.len();
            let stays = format!(
                "{waiting} of your messages wait for the server of {}, and stay in the other group",
                before.named()?.domain
            );
            let note =
                note.into_iter().chain((waiting > 0).then_some(stays)).reduce(|one, other| format!("{one}; {other}"));
            let moved = Moved {
                conversation: before.named()?.to_string(),
                continued_in: group.named()?.to_string(),
                title: group.title,
                members: members.keys().map(ToString::to_string).collect(),
                left_out,
                note,
            };
            Ok::<_, ApplyError>((moved, out))
        },
        move |(_, applied): &(_, Applied)| teller.tell(applied),
    );
    let (moved, _) = done.await.map_err(|error| internal(&error))?;
    Ok(Outcome::Moved(moved))
}
