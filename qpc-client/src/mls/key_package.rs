//! This device's own key packages: by them others add it to groups while it is away.

use openmls::{
    key_packages::{KeyPackage, KeyPackageBundle},
    prelude::{MlsMessageOut, tls_codec::Serialize as _},
};
use openmls_traits::OpenMlsProvider as _;
use qpc_proto::suite::Suite;

use super::{
    Fault, KeyPackageError, Mls,
    config::{capabilities, ciphersuite, lifetime},
    storage::Kind,
};

/// Key packages of one suite to publish, encoded MLSMessage each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyPackages {
    /// To be handed out once each.
    pub one_time: Vec<Vec<u8>>,
    /// To be handed out when no other is left, again and again.
    pub last_resort: Option<Vec<u8>>,
}

impl Mls<'_> {
    /// Makes key packages for groups of a suite, and keeps their secrets. After a [`super::Joined`] by the last resort, a
    /// new one should be published.
    ///
    /// # Errors
    /// [`KeyPackageError`].
    pub fn make_key_packages(
        &self,
        suite: Suite,
        one_time: usize,
        last_resort: bool,
    ) -> Result<KeyPackages, KeyPackageError> {
        self.provider.storage().atomically(|| {
            Ok(KeyPackages {
                one_time: (0..one_time).map(|_| self.make_key_package(suite, false)).collect::<Result<_, _>>()?,
                last_resort: last_resort.then(|| self.make_key_package(suite, true)).transpose()?,
            })
        })
    }

    pub(super) fn make_key_package(&self, suite: Suite, last_resort: bool) -> Result<Vec<u8>, Fault> {
        let builder = KeyPackage::builder().leaf_node_capabilities(capabilities()).key_package_lifetime(lifetime());
        let builder = if last_resort { builder.mark_as_last_resort() } else { builder };
        let bundle = builder
            .build(ciphersuite(suite), &self.provider, self.device.signer(), self.device.credential())
            .map_err(Fault::engine)?;
        MlsMessageOut::from(bundle.into_key_package()).tls_serialize_detached().map_err(Fault::engine)
    }

    /// Deletes the secrets of key packages that were made before a time (seconds since 1970), except the
    /// `keep` newest; says how many. A welcome to one of them can't be opened any more, so the server must
    /// have given out or dropped them: it drops the oldest beyond its limit.
    ///
    /// # Errors
    /// [`KeyPackageError`].
    pub fn forget_key_packages(&self, made_before: u64, keep: usize) -> Result<usize, KeyPackageError> {
        let storage = self.provider.storage();
        let kept: Vec<(Vec<u8>, KeyPackageBundle)> = storage.all_of(Kind::KeyPackage)?;
        let old = kept.iter().rev().skip(keep).filter(|(_, bundle)| {
            // A lifetime begins an hour early.
            bundle.key_package().life_time().not_before().saturating_add(3_600) < made_before
        });
        let mut forgotten = 0_usize;
        for (owner, _) in old {
            storage.delete(owner, Kind::KeyPackage)?;
            forgotten = forgotten.saturating_add(1);
        }
        Ok(forgotten)
    }
}
