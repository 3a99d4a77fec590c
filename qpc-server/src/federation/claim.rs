//! Key packages across servers: asked for by the requester's, handed out by the account's own, each of which compares what is
//! said with the domain that the other has proved.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use qpc_proto::{
    address::{Address, Domain},
    chain::LogEntry,
    error::Code,
    id::ConversationName,
    limits::{DEVICES_PER_ACCOUNT_MAX, KEY_PACKAGE_MAX},
    suite::Suite,
    v1::{self, peer_answer, peer_done, peer_request},
};

use super::{House, call::Caller};
use crate::{
    blob_store::Place,
    field::{self, FieldError},
    remote::{PeerRange, Remote, RemoteError},
    session::WireError,
    store::Waiting,
};

impl Remote for Caller {
    fn knows(&self, domain: &Domain) -> bool {
        self.hall.reach(domain).is_some() && self.hall.allows(domain)
    }

    fn act(&self, domain: &Domain, deed: v1::PeerDeed) -> BoxFuture<'static, Result<peer_done::Result, RemoteError>> {
        let (hall, domain) = (Arc::clone(&self.hall), domain.clone());
        async move { hall.act(&domain, vec![deed]).await?.pop().ok_or(RemoteError::Unfit) }.boxed()
    }

    fn read_tree(
        &self,
        _: &Domain,
        conversation: &ConversationName,
        offset: usize,
    ) -> BoxFuture<'static, Result<Bytes, RemoteError>> {
        let (hall, conversation) = (Arc::clone(&self.hall), conversation.clone());
        async move { hall.tree(conversation, offset).await }.boxed()
    }

    fn read_blob(
        &self,
        place: &Place,
        offset: u64,
        length: usize,
    ) -> BoxFuture<'static, Result<PeerRange, RemoteError>> {
        let (hall, place) = (Arc::clone(&self.hall), place.clone());
        async move { hall.read_blob(place, offset, length).await }.boxed()
    }

    fn news(&self, domain: &Domain, entry: &Arc<LogEntry>) {
        if let Some(peer) = self.hall.reach(domain) {
            peer.news.of(entry);
        }
    }

    fn devices_gone(&self) {
        self.hall.circle().peers().for_each(|peer| peer.outgoing.of_all());
    }

    fn outgoing(&self, domain: &Domain, waiting: Waiting) {
        if let Some(peer) = self.hall.reach(domain) {
            peer.outgoing.of(waiting);
        }
    }

    fn claim_key_packages(
        &self,
        requester: &Address,
        target: &Address,
        suite: Suite,
    ) -> BoxFuture<'static, Result<v1::PeerClaimKeyPackagesAnswer, RemoteError>> {
        let (hall, domain) = (Arc::clone(&self.hall), target.domain.clone());
        let claim = v1::ClaimKeyPackages { address: target.to_string(), suite: suite.to_wire() };
        let request = v1::PeerClaimKeyPackages { requester: requester.to_string(), claim: Some(claim) };
        async move {
            let read = |answer| match answer {
                peer_answer::Result::ClaimKeyPackages(answer)
                    if answer.claimed.as_ref().is_some_and(|claimed| fits(claimed, suite)) =>
                {
                    Some(answer)
                }
                _ => None,
            };
            hall.ask(&domain, peer_request::Method::ClaimKeyPackages(request), read).await
        }
        .boxed()
    }
}

/// Whether an answer is one that this server could have given: devices that are different and no more than an account has,
/// with packages of the suite. Whose the devices are, `group` judges by their certificates, and clients each package.
fn fits(answer: &v1::ClaimKeyPackagesAnswer, suite: Suite) -> bool {
    let with = answer.key_packages.iter().map(|claimed| &claimed.device_id);
    let named = with.chain(&answer.devices_without);
    let devices: Option<BTreeSet<_>> = named.clone().map(|id| field::device_id(id).ok()).collect();
    let of_suite = |package: &v1::ClaimedKeyPackage| {
        package.key_package.len() <= KEY_PACKAGE_MAX && Suite::of_key_package(&package.key_package) == Some(suite)
    };
    let count = named.count();
    (1..=DEVICES_PER_ACCOUNT_MAX).contains(&count)
        && devices.is_some_and(|devices| devices.len() == count)
        && answer.key_packages.iter().all(of_suite)
}

/// Hands out key packages of this server's accounts to people of a peer's.
pub(super) async fn answer(
    house: &House,
    (own, peer): (&Domain, &Domain),
    request: v1::PeerClaimKeyPackages,
) -> Result<peer_answer::Result, WireError> {
    let claim = request.claim.ok_or(FieldError::Malformed("claim"))?;
    let requester = of_domain(&request.requester, peer)?;
    let target = of_domain(&claim.address, own)?;
    let suite = field::suite(claim.suite)?;
    house.policy.peer_claim(&requester, &target)?;
    let claimed = house.groups.claim_key_packages_for_peer(&target, suite).await?;
    Ok(peer_answer::Result::ClaimKeyPackages(claimed))
}

/// An address in its canonical form, of this domain and no other.
pub(super) fn of_domain(text: &str, domain: &Domain) -> Result<Address, WireError> {
    let address = field::address(text)?;
    if address.to_string() != text {
        return Err(FieldError::Malformed("address").into());
    }
    if address.domain != *domain {
        return Err(WireError::new(Code::Forbidden, "an address of another domain"));
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use qpc_proto::id::DeviceId;

    use super::*;

    fn package(device: u8, suite: u8) -> v1::ClaimedKeyPackage {
        let key_package = Bytes::copy_from_slice(&[0, 1, 0, 5, 0, 1, 0, suite, 9, 9]);
        v1::ClaimedKeyPackage { device_id: id(device), key_package }
    }

    fn id(device: u8) -> Bytes {
        DeviceId::new(1, [device; 10]).to_bytes()
    }

    #[test]
    fn an_answer_is_one_of_an_accounts_devices_and_of_the_suite() {
        let answer = |with: &[u8], without: &[u8]| v1::ClaimKeyPackagesAnswer {
            key_packages: with.iter().map(|device| package(*device, 3)).collect(),
            devices_without: without.iter().map(|device| id(*device)).collect(),
        };
        let judged = |answer: &v1::ClaimKeyPackagesAnswer| fits(answer, Suite::Classical);
        assert!(judged(&answer(&[1, 2], &[3])));
        assert!(judged(&answer(&[], &[3])));
        let most: Vec<u8> = (1..=16).collect();
        assert!(judged(&answer(&most, &[])));
        assert!(!judged(&answer(&most, &[17])), "more than an account has");
        assert!(!judged(&answer(&[], &[])), "nobody");
        assert!(!judged(&answer(&[1, 1], &[])) && !judged(&answer(&[1], &[1])), "one twice");
        assert!(!fits(&answer(&[1], &[]), Suite::PostQuantum), "another suite");
        let mut odd = answer(&[1], &[]);
        odd.key_packages.push(v1::ClaimedKeyPackage { device_id: vec![7; 15].into(), ..package(1, 3) });
        assert!(!judged(&odd), "no device");
        let mut long = answer(&[1], &[]);
        long.key_packages[0].key_package = [&[0, 1, 0, 5, 0, 1, 0, 3][..], &[0; KEY_PACKAGE_MAX]].concat().into();
        assert!(!judged(&long), "too long");
    }

    #[test]
    fn an_address_is_exactly_of_the_domain_that_was_proved() {
        let b = Domain::parse("b.example").unwrap();
        assert!(of_domain("bob@b.example", &b).is_ok());
        for (text, code) in [
            ("bob@c.example", Code::Forbidden),
            ("bob@b.example.c.example", Code::Forbidden),
            ("bob@sub.b.example", Code::Forbidden),
            ("bob@B.example", Code::Malformed),
            ("Bob@b.example", Code::Malformed),
            ("bob@b.example.", Code::Malformed),
            ("bob@b\u{2024}example", Code::Malformed),
            ("b\u{43e}b@b.example", Code::Malformed),
            ("bob", Code::Malformed),
            ("@b.example", Code::Malformed),
            ("bob@b.example@b.example", Code::Malformed),
            ("", Code::Malformed),
        ] {
            assert_eq!(of_domain(text, &b).unwrap_err().code(), code, "{text:?}");
        }
    }
}
