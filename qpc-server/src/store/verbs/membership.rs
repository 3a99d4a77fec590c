//! What a commit changes besides the epoch: who is a member, and who is welcomed.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message;
use qpc_proto::{
    address::Address,
    chain::EntryKind,
    id::{AccountId, ConversationName, DeviceId, MessageId, Seq},
    limits::{MEMBERS_MAX, MEMBERS_PER_COMMIT_MAX},
    role::Role,
    v1::{self, WelcomeNotice},
};

use super::{
    continuation::Before,
    follower, group,
    inbox::{self, Notice},
    link, participant,
};
use crate::store::{
    Actor, AppendError, Appended, CommitBundle, GroupChange, GroupState, StoreFault,
    tables::{AccountRow, AccountState, DeviceRow, HeldWelcome, LogId, LogKind, LogRow, MemberRow, Say, Tables},
};

/// Welcomes from one account that the block of another holds.
const HELD_WELCOMES_MAX: usize = 64;

/// A membership change that may be stored.
pub(super) struct Change {
    state: GroupState,
    joined: bool,
    roles: Vec<(Address, Role)>,
    added: Vec<(AccountRow, Role)>,
    removed: Vec<MemberRow>,
    removed_devices: Vec<DeviceId>,
    welcomed: Vec<(DeviceRow, Bytes)>,
    welcome_tree: Option<Bytes>,
    base_tree: Option<Bytes>,
    /// Who has asked to be let in: their block of whoever lets them in holds nothing back.
    asked: BTreeSet<AccountId>,
    link_uses: link::Uses,
}

impl Change {
    /// The tree that it makes, where somebody of another domain may be the first of it.
    pub(super) fn base_tree(&self) -> Option<&Bytes> {
        self.base_tree.as_ref()
    }
}

/// Where a membership changes.
pub(super) struct Place<'p> {
    /// `None` where the conversation is only about to be made: nobody can have asked to come in.
    pub(super) log: Option<LogId>,
    pub(super) name: &'p ConversationName,
    pub(super) kind: LogKind,
    /// As in [`LogRow::continues`].
    pub(super) continues: Option<&'p ConversationName>,
    pub(super) members: &'p [MemberRow],
    pub(super) now_ms: u64,
}

/// May the membership change in this way? Who may do it by their role was judged with the group itself. Consent of
/// those added is asked for in groups, where they have not asked themselves and are not in the conversation that the group
/// continues; in a direct conversation, which adds its one peer when it is made, the request stands for it.
pub(super) fn judge(
    tables: &mut dyn Tables,
    actor: &Actor,
    place: &Place<'_>,
    (bundle, made): (&CommitBundle, &GroupChange),
) -> Result<Change, AppendError> {
    let (kind, members) = (place.kind, place.members);
    let changes = bundle.added.len().saturating_add(bundle.removed.len());
    if changes > MEMBERS_PER_COMMIT_MAX || bundle.welcome.is_empty() != bundle.welcome_devices.is_empty() {
        return Err(AppendError::Membership);
    }
    group::enrolled(tables, &made.added)?;
    let removed = judge_removed(tables, members, made)?;
    let (mut asked, mut link_uses) = (BTreeSet::new(), link::Uses::new());
    let added = judge_added(tables, actor, place, bundle, (&mut asked, &mut link_uses))?;
    let after = members.len().saturating_sub(removed.len()).saturating_add(added.len());
    if after > MEMBERS_MAX {
        return Err(AppendError::Membership);
    }
    let welcomed = judge_welcomed(tables, made, bundle)?;
    // In a direct conversation everybody is a plain member to the server.
    let roles = if kind == LogKind::Group { made.roles.clone() } else { Vec::new() };
    let removed_devices = made.removed_devices.clone();
    let (state, welcome_tree, base_tree) = (made.state.clone(), made.welcome_tree.clone(), made.base_tree.clone());
    Ok(Change {
        state,
        joined: made.joined,
        roles,
        added,
        removed,
        removed_devices,
        welcomed,
        welcome_tree,
        base_tree,
        asked,
        link_uses,
    })
}

fn judge_removed(
    tables: &mut dyn Tables,
    members: &[MemberRow],
    made: &GroupChange,
) -> Result<Vec<MemberRow>, AppendError> {
    let mut removed: Vec<MemberRow> = Vec::with_capacity(made.removed.len());
    for address in &made.removed {
        // Those who have left or are deleted have no access any more.
        if let Some(member) = member(tables, members, address)?
            && !removed.contains(&member)
        {
            removed.push(member);
        }
    }
    Ok(removed)
}

/// The row of a member by address.
fn member(tables: &mut dyn Tables, members: &[MemberRow], address: &Address) -> Result<Option<MemberRow>, StoreFault> {
    let account = tables.account_at(address)?;
    Ok(account.and_then(|row| members.iter().find(|member| member.account == row.id)).copied())
}

fn judge_added(
    tables: &mut dyn Tables,
    actor: &Actor,
    place: &Place<'_>,
    bundle: &CommitBundle,
    (asked, uses): (&mut BTreeSet<AccountId>, &mut link::Uses),
) -> Result<Vec<(AccountRow, Role)>, AppendError> {
    let Place { log, name, kind, continues, members, now_ms } = *place;
    let before = if bundle.added.is_empty() { None } else { Before::of(tables, name, continues)? };
    if bundle.asked.iter().any(|address| bundle.added.iter().all(|(added, _)| added != address)) {
        return Err(AppendError::Membership);
    }
    let mut added: Vec<(AccountRow, Role)> = Vec::with_capacity(bundle.added.len());
    let mut seen: BTreeSet<AccountId> = members.iter().map(|member| member.account).collect();
    for (address, as_role) in &bundle.added {
        let direct = kind == LogKind::Direct;
        let account = participant(tables, address)?.ok_or(AppendError::NotContact)?;
        if !seen.insert(account.id) {
            return Err(AppendError::Membership);
        }
        match log.filter(|_| bundle.asked.contains(address)) {
            Some(log) => {
                link::admits(tables, log, account.id, now_ms, uses)??;
                asked.insert(account.id);
            }
            // A block does not show: the commit is taken, and the welcome held.
            None if !direct && tables.stance(account.id, actor.account())?.say != Say::Accepted => {
                // Who was in this one and is out of it comes back as a contact alone.
                let was_in = log.map(|log| tables.member(log, account.id)).transpose()?.flatten().is_some();
                let consents = |before: &Before| before.consents(actor.address(), address);
                if was_in || !before.as_ref().is_some_and(consents) {
                    return Err(AppendError::NotContact);
                }
            }
            None => {}
        }
        added.push((account, if direct { Role::Member } else { *as_role }));
    }
    Ok(added)
}

fn judge_welcomed(
    tables: &mut dyn Tables,
    made: &GroupChange,
    bundle: &CommitBundle,
) -> Result<Vec<(DeviceRow, Bytes)>, AppendError> {
    let own: BTreeMap<DeviceId, &Bytes> = made.welcomes.iter().map(|(device, welcome)| (*device, welcome)).collect();
    let mut seen: BTreeSet<DeviceId> = BTreeSet::new();
    let mut welcomed = Vec::with_capacity(bundle.welcome_devices.len());
    for id in &bundle.welcome_devices {
        let device = tables.device(*id)?.filter(|device| made.added.iter().any(|added| added.device == device.id));
        let device = device.ok_or(AppendError::Membership)?;
        if !seen.insert(device.id) {
            return Err(AppendError::Membership);
        }
        let welcome = own.get(&device.id).copied().unwrap_or(&bundle.welcome).clone();
        welcomed.push((device, welcome));
    }
    Ok(welcomed)
}

/// Ends an account's access with the entry at `until`, which it may still read.
pub(super) fn end_access(tables: &mut dyn Tables, log: LogId, member: MemberRow, until: Seq) -> Result<(), StoreFault> {
    tables.put_member(log, MemberRow { until: Some(until), ..member })?;
    for device in tables.devices_of(member.account)? {
        tables.end_cursor(log, device.id, until)?;
    }
    match tables.account(member.account)?.filter(|account| account.state == AccountState::Guest) {
        Some(guest) => follower::went(tables, log, &guest.address.domain, until),
        None => Ok(()),
    }
}

/// The commit that makes a change, once it has its place.
pub(super) struct Made<'a> {
    pub(super) log: LogId,
    pub(super) row: &'a LogRow,
    pub(super) id: MessageId,
    pub(super) at: Appended,
    pub(super) now_ms: u64,
}

/// Makes a judged change with its commit.
pub(super) fn apply(
    tables: &mut dyn Tables,
    actor: &Actor,
    made: &Made<'_>,
    bundle: &CommitBundle,
    change: Change,
) -> Result<(), StoreFault> {
    tables.set_epoch(made.log, bundle.epoch.next(), &bundle.group_info)?;
    group::put(tables, made.log, 0, &change.state)?;
    if let Some(tree) = &change.welcome_tree {
        tables.put_welcome_tree(made.log, made.at.seq, tree)?;
    }
    for member in change.removed {
        end_access(tables, made.log, member, made.at.seq)?;
    }
    for device in change.removed_devices {
        tables.remove_departed(made.log, device)?;
    }
    for (account, role) in &change.added {
        follower::came(tables, account, (made.log, made.at.seq), (change.base_tree.as_ref(), &bundle.group_info))?;
        let member = MemberRow { account: account.id, role: *role, from: made.at.seq, until: None };
        tables.put_member(made.log, member)?;
        // Who came in another way does not wait any more either.
        tables.remove_join_request(made.log, account.id)?;
    }
    link::spend(tables, (made.log, &made.row.name), &change.link_uses, made.now_ms)?;
    if !change.roles.is_empty() {
        let members = tables.members(made.log)?;
        for (address, role) in &change.roles {
            if let Some(row) = member(tables, &members, address)? {
                tables.put_member(made.log, MemberRow { role: *role, ..row })?;
            }
        }
    }
    if change.joined {
        tables.start_cursor(made.log, actor.device(), made.at.seq)?;
    }
    let welcomed: BTreeSet<DeviceId> = change.welcomed.iter().map(|(device, _)| device.id).collect();
    for (device, bytes) in change.welcomed {
        let asked = change.asked.contains(&device.account);
        let given = Given { welcome: bytes, without_tree: change.welcome_tree.is_some(), asked };
        welcome(tables, actor, made, given, &device)?;
    }
    for (account, _) in change.added {
        let asked = change.asked.contains(&account.id);
        name_to_others(tables, actor, made, (account.id, asked), &welcomed)?;
    }
    Ok(())
}

/// Names a conversation to those devices of an account that it did not begin with: they join by themselves.
pub(super) fn name_to_others(
    tables: &mut dyn Tables,
    actor: &Actor,
    made: &Made<'_>,
    (account, asked): (AccountId, bool),
    welcomed: &BTreeSet<DeviceId>,
) -> Result<(), StoreFault> {
    for device in tables.devices_of(account)? {
        if device.id != actor.device() && !welcomed.contains(&device.id) {
            welcome(tables, actor, made, Given { asked, ..Given::default() }, &device)?;
        }
    }
    Ok(())
}

/// What a device is welcomed with.
#[derive(Default)]
struct Given {
    welcome: Bytes,
    /// It asks for the tree.
    without_tree: bool,
    /// Its account has asked to be let in.
    asked: bool,
}

/// Welcomes a device through its inbox, or holds the welcome while its owner blocks the actor and has not asked to be let
/// in. Without a welcome in it, it names the conversation alone, and the device reads nothing of it before it has joined.
fn welcome(
    tables: &mut dyn Tables,
    actor: &Actor,
    made: &Made<'_>,
    Given { welcome, without_tree, asked }: Given,
    device: &DeviceRow,
) -> Result<(), StoreFault> {
    let theirs = tables.stance(device.account, actor.account())?;
    let (direct, own) = (made.row.kind == LogKind::Direct, device.account == actor.account());
    let kind = match made.row.kind {
        LogKind::Direct => v1::ConversationKind::Direct,
        LogKind::Personal => v1::ConversationKind::Personal,
        LogKind::Group | LogKind::Inbox => v1::ConversationKind::Group,
    };
    let joins = !welcome.is_empty();
    let notice = WelcomeNotice {
        conversation: Some(ConversationName::to_wire(&made.row.name)),
        kind: kind.into(),
        seq: made.at.seq.0,
        chain: made.at.chain.to_bytes(),
        welcome,
        from: actor.address().to_string(),
        contact_request: direct && !own && theirs.say != Say::Accepted,
        without_tree,
    };
    let body = notice.encode_to_vec().into();
    if theirs.blocked && !asked {
        let notice = Notice {
            kind: EntryKind::Welcome,
            sender: Some(actor.device()),
            id: Some(made.id),
            body,
            now_ms: made.now_ms,
        };
        return hold(tables, (device.account, actor.account()), device.id, &notice);
    }
    if joins {
        tables.start_cursor(made.log, device.id, made.at.seq)?;
    }
    let sender = Some(actor.device());
    let notice = Notice { kind: EntryKind::Welcome, sender, id: Some(made.id), body, now_ms: made.now_ms };
    let Some(account) = tables.account(device.account)? else { return Ok(()) };
    inbox::deliver(tables, &account.address.domain, device, notice)
}

/// Holds a welcome while its owner blocks who sent it. Who is blocked can't fill the store: what is too much is as if the
/// welcome had been lost.
pub(super) fn hold(
    tables: &mut dyn Tables,
    (owner, from): (AccountId, AccountId),
    device: DeviceId,
    notice: &Notice,
) -> Result<(), StoreFault> {
    let (Some(sender), Some(id)) = (notice.sender, notice.id) else { return Ok(()) };
    if tables.count_held(owner, from)? >= HELD_WELCOMES_MAX {
        return Ok(());
    }
    let held = HeldWelcome { device, sender, id, notice: notice.body.clone() };
    tables.hold_welcome(owner, from, &held)
}
