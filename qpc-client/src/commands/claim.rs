//! The suite of a group that is made, by what everybody's devices have key packages for, and those key packages.
//!
//! A device without a key package of the post-quantum suite may not know it and could not be in such a group, now or by
//! coming itself. So all devices of all who are to be in it have one, or it is not made with that suite.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use qpc_proto::{
    address::{Address, Domain},
    error::Code,
    suite::Suite,
    v1,
};
use tokio::time::sleep;

use super::usage;
use crate::{
    api::{CommandError, GroupSuite, LeftOut},
    core::Core,
    driver::{elsewhere, pending::claim_own},
    transport::{CallError, Link},
};

/// How often one account is asked for again where the server says to wait, and how long it is waited each time.
const WAITS: usize = 4;
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Key packages of the people to be added, one for each of their devices.
pub(super) type Claimed = Vec<(Address, Vec<v1::ClaimedKeyPackage>)>;

/// What a group can be made of.
pub(super) struct Gathered {
    pub(super) suite: Suite,
    pub(super) people: Claimed,
    /// Of this account's other devices.
    pub(super) own: Vec<v1::ClaimedKeyPackage>,
    /// Why it is not the suite that was preferred.
    pub(super) note: Option<String>,
}

/// What stands in the way of the post-quantum suite, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Obstacle {
    Server,
    /// Who, and how many devices of theirs; this account's own first, without a name.
    Devices(Vec<(Option<Address>, usize)>),
}

/// Takes key packages for a group with these people and this account's other devices.
pub(super) async fn for_new_group(
    core: &Arc<Core>,
    link: &Link,
    people: Vec<Address>,
    wanted: GroupSuite,
) -> Result<Gathered, CommandError> {
    let mut note = None;
    if wanted != GroupSuite::Classical {
        match take_post_quantum(core, link, &people).await? {
            Ok(gathered) => return Ok(gathered),
            Err(obstacle) if wanted == GroupSuite::PostQuantum => {
                return Err(usage(format!("{}; no group was made", told(&obstacle))));
            }
            Err(obstacle) => note = Some(format!("made a classical group: {}", told(&obstacle))),
        }
    }
    let own = async { Ok(claim_own(core, link).await?) };
    let (people, own) = tokio::try_join!(of_people(link, &people, Suite::Classical), own)?;
    Ok(Gathered { suite: Suite::Classical, people: people.0, own, note })
}

async fn take_post_quantum(
    core: &Arc<Core>,
    link: &Link,
    people: &[Address],
) -> Result<Result<Gathered, Obstacle>, CommandError> {
    if !link.post_quantum {
        return Ok(Err(Obstacle::Server));
    }
    let suite = Suite::PostQuantum;
    let ((people, lacking), own) = tokio::try_join!(of_people(link, people, suite), own_post_quantum(core, link))?;
    let ours = Some((None, own.devices_without.len())).filter(|(_, devices)| *devices > 0);
    let lacking: Vec<_> =
        ours.into_iter().chain(lacking.into_iter().map(|(who, devices)| (Some(who), devices))).collect();
    if lacking.is_empty() {
        Ok(Ok(Gathered { suite, people, own: own.key_packages, note: None }))
    } else {
        Ok(Err(Obstacle::Devices(lacking)))
    }
}

/// Of this account's other devices. What is not known of them is in the way, for they could not come by themselves.
async fn own_post_quantum(core: &Core, link: &Link) -> Result<v1::ClaimKeyPackagesAnswer, CommandError> {
    let (address, suite) = (core.me.address().to_string(), Suite::PostQuantum.to_wire());
    match link.call(v1::ClaimKeyPackages { address, suite }).await {
        Ok(answer) => Ok(answer),
        // There are none.
        Err(CallError::Refused(refused)) if refused.code == Some(Code::NotFound) => Ok(Default::default()),
        Err(error) => Err(error.into()),
    }
}

/// Takes key packages of people who are to be added to a group of this suite.
pub(super) async fn to_add(link: &Link, people: &[Address], suite: Suite) -> Result<Claimed, CommandError> {
    let (claimed, lacking) = of_people(link, people, suite).await?;
    if lacking.is_empty() {
        return Ok(claimed);
    }
    let obstacle = Obstacle::Devices(lacking.into_iter().map(|(who, devices)| (Some(who), devices)).collect());
    Err(usage(format!("{}; nobody was added", told(&obstacle))))
}

/// Those whom it gave, and those who have devices that are in the way of the suite.
async fn of_people(
    link: &Link,
    people: &[Address],
    suite: Suite,
) -> Result<(Claimed, Vec<(Address, usize)>), CommandError> {
    let (mut claimed, mut lacking) = (Vec::new(), Vec::new());
    for person in people {
        match of_one(link, person, suite).await? {
            One::Packages(packages) => claimed.push((person.clone(), packages)),
            One::Lacking(devices) => lacking.push((person.clone(), devices)),
            One::Unreachable => {
                return Err(CommandError::TryLater { message: elsewhere::unreachable(&person.domain) });
            }
            One::Absent(error) => return Err(error),
        }
    }
    Ok((claimed, lacking))
}

/// Takes key packages of those who have some; of the others, it says why not. A domain whose server can't be reached is asked
/// once, and where too much was asked for it waits.
pub(super) async fn of_each(
    link: &Link,
    people: &[Address],
    suite: Suite,
    unreachable: &mut BTreeSet<Domain>,
) -> Result<(Claimed, Vec<LeftOut>), CommandError> {
    let (mut claimed, mut left_out) = (Vec::new(), Vec::new());
    for person in people {
        let one = match unreachable.contains(&person.domain) {
            true => One::Unreachable,
            false => patiently(link, person, suite).await?,
        };
        let reason = match one {
            One::Packages(packages) => {
                claimed.push((person.clone(), packages));
                continue;
            }
            One::Lacking(devices) => told(&Obstacle::Devices(vec![(Some(person.clone()), devices)])),
            One::Unreachable => {
                unreachable.insert(person.domain.clone());
                elsewhere::unreachable(&person.domain)
            }
            One::Absent(error) => error.to_string(),
        };
        left_out.push(LeftOut { address: person.to_string(), reason });
    }
    Ok((claimed, left_out))
}

/// Asks again after as long as the server says, so often.
async fn patiently(link: &Link, person: &Address, suite: Suite) -> Result<One, CommandError> {
    for _ in 0..WAITS {
        match of_one(link, person, suite).await {
            Err(CallError::Refused(refused)) if refused.code == Some(Code::RateLimited) => {
                sleep(refused.retry_after.min(WAIT_MAX)).await;
            }
            asked => return Ok(asked?),
        }
    }
    Ok(of_one(link, person, suite).await?)
}

/// What became of the question for one account's key packages.
enum One {
    Packages(Vec<v1::ClaimedKeyPackage>),
    /// So many devices have none of the suite.
    Lacking(usize),
    /// Its server is away.
    Unreachable,
    /// It is not to be had at all.
    Absent(CommandError),
}

async fn of_one(link: &Link, person: &Address, suite: Suite) -> Result<One, CallError> {
    let (address, number) = (person.to_string(), suite.to_wire());
    let refused = match link.call(v1::ClaimKeyPackages { address, suite: number }).await {
        // In a classical group they come by themselves.
        Ok(answer) if suite == Suite::Classical || answer.devices_without.is_empty() => {
            return Ok(One::Packages(answer.key_packages));
        }
        Ok(answer) => return Ok(One::Lacking(answer.devices_without.len())),
        Err(CallError::Refused(refused)) => refused,
        Err(error) => return Err(error),
    };
    Ok(One::Absent(match refused.code {
        Some(Code::NotFound) => usage(format!("there is no {person}, or nobody has logged in with that name yet")),
        Some(Code::DomainUnknown) => CommandError::Denied { message: elsewhere::not_federated(&person.domain) },
        Some(Code::DomainUnreachable) => return Ok(One::Unreachable),
        _ => return Err(CallError::Refused(refused)),
    }))
}

fn told(obstacle: &Obstacle) -> String {
    let lacking = match obstacle {
        Obstacle::Server => return "this server does not know post-quantum groups".to_owned(),
        Obstacle::Devices(lacking) => lacking,
    };
    let names = lacking.iter().map(|(who, devices)| {
        let devices = if *devices == 1 { "1 device".to_owned() } else { format!("{devices} devices") };
        match who {
            Some(who) => format!("{who} ({devices})"),
            None => format!("you ({devices} besides this one)"),
        }
    });
    format!(
        "not ready for a post-quantum group: {}. Such a device runs an earlier release, or was not connected since it \
         was upgraded",
        names.collect::<Vec<_>>().join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_ready_is_named() {
        let bob = Address::parse("bob@chat.example").unwrap();
        let text = told(&Obstacle::Devices(vec![(None, 2), (Some(bob), 1)]));
        assert!(text.contains("you (2 devices besides this one), bob@chat.example (1 device)"), "{text}");
        assert!(told(&Obstacle::Server).contains("this server"));
    }
}
