//! Key packages: uploaded, handed out, counted. Opaque bytes of a device.

use qpc_proto::{
    address::Address,
    limits::{KEY_PACKAGE_MAX, KEY_PACKAGES_PER_REQUEST_MAX},
    v1,
};

use super::Groups;
use crate::{
    field::{self, FieldError},
    store::{Actor, ClaimError, ClaimedKeyPackage, KeyPackageCount, NewKeyPackages, Refusal, Reply},
};

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
        if request.key_packages.iter().any(bytes::Bytes::is_empty) {
            return Err(FieldError::Malformed("key_packages"));
        }
        let last_resort = Some(request.last_resort).filter(|package| !package.is_empty());
        let uploaded = request.key_packages.len().saturating_add(usize::from(last_resort.is_some()));
        let packages = NewKeyPackages { one_time: request.key_packages, last_resort };
        let counter = self.metrics.key_package_upload.clone();
        let reply = self.store.publish_key_packages(actor, packages);
        Ok(async move {
            let count = reply.await?;
            counter.inc_by(u64::try_from(uploaded).unwrap_or(u64::MAX));
            Ok(count)
        })
    }

    /// Takes one key package of each device of an account (invariant 7).
    pub fn claim_key_packages(
        &self,
        actor: &Actor,
        target: &Address,
    ) -> impl Future<Output = Result<v1::ClaimKeyPackagesAnswer, ClaimError>> + Send + use<> {
        let reply = self.store.claim_key_packages(actor, target);
        let to_wire = |claimed: ClaimedKeyPackage| v1::ClaimedKeyPackage {
            device_id: claimed.device.to_bytes(),
            key_package: claimed.key_package,
        };
        async move { Ok(v1::ClaimKeyPackagesAnswer { key_packages: reply.await?.into_iter().map(to_wire).collect() }) }
    }

    /// What the actor's device has left.
    pub fn count_key_packages(&self, actor: &Actor) -> Reply<KeyPackageCount, Refusal> {
        self.store.count_key_packages(actor)
    }
}
