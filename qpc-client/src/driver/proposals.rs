//! What others propose, above all that they leave, is committed by whoever comes first: after a random moment, so
//! that not all members try at once.
//!
//! A leave that a change of the group has overtaken is void in MLS, and its sender is served no more and can't
//! repeat it. Those who may remove them do so instead, as often as it takes: what is due is in the store.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc, time::Duration};

use qpc_proto::{
    address::Address,
    limits::HANDSHAKE_BODY_MAX,
    role::{Action, RoleTable, may},
};
use rusqlite::Transaction;
use tokio::time::sleep;

use super::{
    change::{Operation, change},
    session::End,
};
use crate::{
    apply::ApplyError,
    core::Core,
    fresh,
    mls::{CommitError, Fault, Group, GroupError, Invitee, Staged},
    store::{
        Local, StoreError,
        conversation::{self, Kind},
        reported::{self, Waiting},
        unheard,
    },
    transport::Link,
    trust::Me,
};

/// Longest moment before a commit.
const MOMENT: Duration = Duration::from_millis(1500);
/// So long one who puts devices in anew waits for others that report the same.
const GATHER: Duration = Duration::from_secs(2);
/// Bytes of key packages in one commit that does so: with the welcome it fits into what a server takes.
const KEY_PACKAGES_MAX: usize = HANDSHAKE_BODY_MAX * 3 / 4;
/// Commits of one group in a row, before others are waited for.
const ROUNDS: usize = 4;

/// Commits until the connection ends.
pub(super) async fn run(core: &Arc<Core>, link: &Link) -> Result<Infallible, End> {
    loop {
        for _ in 0..ROUNDS {
            let due = all_due(core).await?;
            if due.is_empty() {
                break;
            }
            let gather = if due.iter().any(|(_, due)| due.repairs()) { GATHER } else { Duration::ZERO };
            sleep(fresh::jitter(MOMENT).saturating_add(gather)).await;
            for (conversation, _) in all_due(core).await? {
                if let Err(error) = change(core, link, conversation, operation(&core.me, conversation)).await {
                    tracing::debug!(%error, "proposals were not committed");
                }
            }
        }
        core.proposals.notified().await;
    }
}

/// What a group waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Due {
    /// Who left unheard and may be removed by this account; with them go the proposals.
    remove: Vec<Address>,
    /// Devices that can't follow the group and are put in anew.
    anew: Vec<Waiting>,
    /// Whose commits they could not follow, where this account may remove them.
    culprits: Vec<Address>,
}

impl Due {
    #[cfg(test)]
    pub(crate) fn removing<const N: usize>(remove: [Address; N]) -> Self {
        Self { remove: remove.into(), ..Self::default() }
    }

    fn repairs(&self) -> bool {
        !self.anew.is_empty() || !self.culprits.is_empty()
    }

    fn carry_out(&self, group: &mut Group<'_>) -> Result<Staged, CommitError> {
        if self.repairs() {
            let devices = self.anew.iter();
            let devices =
                devices.map(|(address, device, key_package)| Invitee { address, device: *device, key_package });
            let devices: Vec<_> = devices.collect();
            match group.repair(&devices, &self.culprits) {
                Err(CommitError::Nothing) => {}
                done => return done,
            }
        }
        if self.remove.is_empty() { group.commit_proposals() } else { group.remove(&self.remove) }
    }
}

/// Does what a group waits for by the time it is done: another member may have been first.
pub(crate) fn operation(me: &Me, conversation: Local) -> Arc<Operation> {
    let me = me.clone();
    Arc::new(move |tx, group| {
        let fault = |error: StoreError| CommitError::Group(GroupError::Fault(Fault::engine(error)));
        let unheard = unheard::of(tx, conversation).map_err(fault)?;
        let reported = reported::open(tx, conversation).map_err(fault)?;
        match of_group(group, &me, unheard.into_iter(), reported)? {
            Some(due) => due.carry_out(group),
            None => Err(CommitError::Nothing),
        }
    })
}

async fn all_due(core: &Arc<Core>) -> Result<Vec<(Local, Due)>, End> {
    let me = core.me.clone();
    Ok(core.store.run(move |tx| due(tx, &me)).await?)
}

/// Groups with proposals that wait, with somebody in them who has left unheard, or with devices that can't follow them.
pub(crate) fn due(tx: &Transaction<'_>, me: &Me) -> Result<Vec<(Local, Due)>, ApplyError> {
    me.with_mls(tx, |mls| {
        let mut all = Vec::new();
        for log in conversation::going_on(tx)? {
            let (false, Some(name)) = (log.kind == Kind::Inbox, &log.name) else { continue };
            let unheard = unheard::of(tx, log.local)?;
            let reported = reported::open(tx, log.local)?;
            match of_group(&mut mls.group(name), me, unheard.into_iter(), reported) {
                Ok(due) => all.extend(due.map(|due| (log.local, due))),
                Err(GroupError::NoGroup | GroupError::Removed) => {}
                Err(GroupError::Fault(fault)) => return Err(ApplyError::from(fault)),
            }
        }
        Ok(all)
    })
}

fn of_group(
    group: &mut Group<'_>,
    me: &Me,
    unheard: impl Iterator<Item = Address>,
    reported: reported::Open,
) -> Result<Option<Due>, GroupError> {
    let roles = group.roles()?;
    let mine = roles.of(me.address());
    let mut due = Due {
        remove: unheard.filter(|address| may(mine, Action::Remove(roles.of(address)))).collect(),
        culprits: culprits(&reported, &roles, me.address()),
        anew: Vec::new(),
    };
    if !(reported.waiting.is_empty() && due.culprits.is_empty()) {
        let members = group.members()?;
        due.culprits.retain(|culprit| members.iter().any(|member| member.device.address() == culprit));
        let members: BTreeSet<_> = members.iter().map(|member| member.device.device()).collect();
        due.anew = fitting(reported.waiting.into_iter().filter(|(_, device, _)| members.contains(device)));
    }
    Ok((!due.remove.is_empty() || due.repairs() || group.has_proposals()?).then_some(due))
}

/// The first that fit into one commit.
fn fitting(waiting: impl Iterator<Item = Waiting>) -> Vec<Waiting> {
    let mut bytes = 0_usize;
    let first = waiting.take_while(|(_, _, key_package)| {
        bytes = bytes.saturating_add(key_package.len());
        bytes <= KEY_PACKAGES_MAX
    });
    first.collect()
}

/// Who is taken out for commits that others could not follow. A report proves nothing: its maker may lie to have somebody
/// thrown out. So it counts where the reporter could do that alone, or where two accounts say the same.
fn culprits(reported: &reported::Open, roles: &RoleTable, me: &Address) -> Vec<Address> {
    let removable = |by: &Address, whom: &Address| may(roles.of(by), Action::Remove(roles.of(whom)));
    let blamed = reported.blamed.iter().filter(|(maker, by)| {
        let believed = by.len() > 1 || by.iter().any(|reporter| removable(reporter, maker));
        believed && *maker != me && removable(me, maker)
    });
    blamed.map(|(maker, _)| maker.clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use qpc_proto::{id::DeviceId, role::Role};

    use super::*;

    fn address(name: &str) -> Address {
        Address::parse(&format!("{name}@a.example")).unwrap()
    }

    #[test]
    fn a_report_counts_where_its_maker_could_remove_alone_or_two_say_the_same() {
        let mut roles = RoleTable::owned_by(address("owner"));
        roles.set(address("admin"), Role::Admin);
        let out = |maker: &str, by: &[&str], me: &str| {
            let blamed = BTreeMap::from([(address(maker), by.iter().map(|name| address(name)).collect())]);
            !culprits(&reported::Open { waiting: Vec::new(), blamed }, &roles, &address(me)).is_empty()
        };
        assert!(out("mallory", &["admin"], "owner") && out("mallory", &["bob", "carol"], "admin"));
        assert!(!out("mallory", &["bob"], "owner"), "one plain member may lie");
        assert!(!out("mallory", &["bob", "carol"], "dave"), "who may not remove does not");
        assert!(!out("admin", &["admin"], "admin") && !out("owner", &["bob", "carol", "admin"], "admin"));
        assert!(out("admin", &["bob", "carol"], "owner") && !out("admin", &["bob", "carol"], "admin"));
        assert!(!out("owner", &["bob", "carol"], "owner"), "nobody takes themselves out");
    }

    #[test]
    fn as_many_are_put_in_anew_at_once_as_fit() {
        let waiting = |number: u8, size| (address("bob"), DeviceId::new(1, [number; 10]), vec![number; size].into());
        let all = [waiting(1, KEY_PACKAGES_MAX - 1), waiting(2, 1), waiting(3, 1)];
        assert_eq!(fitting(all.clone().into_iter()), all[..2]);
        assert_eq!(fitting(all[..1].iter().cloned()), all[..1]);
    }
}
