//! What OpenMLS works with: libcrux for cryptography and randomness, our table for storage.

use openmls_libcrux_crypto::CryptoProvider;
use openmls_traits::OpenMlsProvider;
use rusqlite::Connection;

use super::{device::Device, storage::Table};

/// The provider of one transaction.
pub(super) struct Provider<'t> {
    crypto: &'t CryptoProvider,
    table: Table<'t>,
}

impl<'t> Provider<'t> {
    pub(super) fn new(connection: &'t Connection, device: &'t Device) -> Self {
        Self { crypto: device.crypto(), table: Table::new(connection) }
    }
}

impl<'t> OpenMlsProvider for Provider<'t> {
    type CryptoProvider = CryptoProvider;
    type RandProvider = CryptoProvider;
    type StorageProvider = Table<'t>;

    fn storage(&self) -> &Table<'t> {
        &self.table
    }

    fn crypto(&self) -> &CryptoProvider {
        self.crypto
    }

    fn rand(&self) -> &CryptoProvider {
        self.crypto
    }
}
