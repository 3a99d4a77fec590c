//! Key packages: uploaded, handed out, counted. But for the suite that each says it is for, opaque bytes of a device:
//! whoever adds with one checks it.

use bytes::Bytes;
use futures_util::future::Either;
use prost::Message;
use qpc_proto::{
    address::Address,
    id::DeviceId,
    limits::{KEY_PACKAGE_MAX, KEY_PACKAGES_PER_REQUEST_MAX},
    suite::Suite,
    v1,
};

use super::Groups;
use crate::{
    field::{self, FieldError},
    remote::RemoteError,
    store::{
        Actor, ClaimError, Claimed, ClaimedByPeer, ClaimedKeyPackage, KeyPackageCount, NewKeyPackages, Refusal, Reply,
        StoreFault,
    },
};

/// Why an account's key packages were not handed out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimRefused {
    /// The store's judgement.
    #[error(transparent)]
    Here(#[from] ClaimError),
    /// That of the account's domain, or why there is none.
    #[error(transparent)]
    Elsewhere(#[from] RemoteError),
}

impl Groups {
    /// Adds key packages of the actor's device.
    ///
    /// # Errors
    /// [`FieldError`] at once; the reply carries the store's judgement.
    pub fn publish_key_packages(
        &self,
        actor: &Actor,
        request: v1::PublishKeyPackages,
    ) -> Result<impl Future<Output = Result<KeyPackageCount, Refusal>> + Send + use<>, FieldError> {
        field::at_most(request.key_packages.len(), KEY_PACKAGES_PER_REQUEST_MAX, "key_packages")?;
        for package in request.key_packages.iter().chain([&request.last_resort]) {
            field::at_most(package.len(), KEY_PACKAGE_MAX, "key_package")?;
        }
        let last_resort = Some(request.last_resort).filter(|package| !package.is_empty());
        let suite = one_suite(request.key_packages.iter().chain(&last_resort))?;
        let uploaded = request.key_packages.len().saturating_add(usize::from(last_resort.is_some()));
        let packages = NewKeyPackages { suite, one_time: request.key_packages, last_resort };
        let counter = self.metrics.key_package_upload.clone();
        let reply = self.store.publish_key_packages(actor, packages);
        Ok(async move {
            let count = reply.await?;
            counter.inc_by(u64::try_from(uploaded).unwrap_or(u64::MAX));
            Ok(count)
        })
    }

    /// Takes one key package of each device of an account (invariant 7), for groups of a suite: here, or from the server of
    /// the account's domain.
    pub fn claim_key_packages(
        &self,
        actor: &Actor,
        target: &Address,
        suite: Suite,
    ) -> impl Future<Output = Result<v1::ClaimKeyPackagesAnswer, ClaimRefused>> + Send + use<> {
        // The store's verb is queued now, in the order of requests; what is asked elsewhere is asked when it is awaited.
        if target.domain == self.domain {
            let reply = self.store.claim_key_packages(actor, target, suite);
            Either::Left(async move { Ok(to_wire(reply.await?)) })
        } else {
            Either::Right(self.claim_elsewhere(actor.address(), target, suite))
        }
    }

    /// The same for somebody of another domain, whose server has been judged.
    pub fn claim_key_packages_for_peer(
        &self,
        target: &Address,
        suite: Suite,
    ) -> impl Future<Output = Result<v1::PeerClaimKeyPackagesAnswer, ClaimError>> + Send + use<> {
        let reply = self.store.claim_key_packages_for_peer(target, suite);
        async move {
            let ClaimedByPeer { claimed, certificates } = reply.await?;
            let devices = certificates_to_wire(certificates)?;
            Ok(v1::PeerClaimKeyPackagesAnswer { claimed: Some(to_wire(claimed)), devices })
        }
    }

    /// What the actor's device has left of a suite.
    pub fn count_key_packages(&self, actor: &Actor, suite: Suite) -> Reply<KeyPackageCount, Refusal> {
        self.store.count_key_packages(actor, suite)
    }
}

/// The certificates of an account, as they are stored. One that is left out would be a device that is gone.
///
/// # Errors
/// [`StoreFault::Engine`], if one can't be read.
pub fn certificates_to_wire(stored: Vec<Bytes>) -> Result<Vec<v1::DeviceCertificate>, StoreFault> {
    let all = stored.into_iter().map(v1::DeviceCertificate::decode).collect::<Result<_, _>>();
    all.map_err(|_| StoreFault::Engine("a stored certificate is none".into()))
}

fn to_wire(Claimed { key_packages, without }: Claimed) -> v1::ClaimKeyPackagesAnswer {
    let one = |claimed: ClaimedKeyPackage| v1::ClaimedKeyPackage {
        device_id: claimed.device.to_bytes(),
        key_package: claimed.key_package,
    };
    v1::ClaimKeyPackagesAnswer {
        key_packages: key_packages.into_iter().map(one).collect(),
        devices_without: without.iter().map(DeviceId::to_bytes).collect(),
    }
}

/// The suite that all of them say they are for; of none, the classical one.
fn one_suite<'p>(mut packages: impl Iterator<Item = &'p Bytes>) -> Result<Suite, FieldError> {
    let of = |package: &Bytes| Suite::of_key_package(package).ok_or(FieldError::Malformed("key_packages"));
    let first = packages.next().map(of).transpose()?.unwrap_or_default();
    for package in packages {
        if of(package)? != first {
            return Err(FieldError::Malformed("key_packages"));
        }
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_that_come_together_are_of_one_suite_that_is_known() {
        let package = |suite: u8| Bytes::copy_from_slice(&[0, 1, 0, 5, 0, 1, 0, suite, 9, 9]);
        let one = |packages: &[Bytes]| one_suite(packages.iter());
        assert_eq!(one(&[]), Ok(Suite::Classical));
        assert_eq!(one(&[package(3), package(3)]), Ok(Suite::Classical));
        assert_eq!(one(&[package(0x4D), package(0x4D)]), Ok(Suite::PostQuantum));
        for refused in [vec![package(3), package(0x4D)], vec![package(2)], vec![Bytes::new()], vec!["noise".into()]] {
            assert_eq!(one(&refused), Err(FieldError::Malformed("key_packages")), "{refused:?}");
        }
    }
}
