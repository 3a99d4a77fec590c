//! The key of a home's database: from a file in the home, a passphrase, or the system's keyring.
//!
//! A key file (`key`, readable by its owner alone) is what a machine without a keyring gets. It keeps
//! the database useless to whoever finds it alone, a backup of it say, not to whoever reads the whole home.

mod keyring;

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use zeroize::{Zeroize, Zeroizing};

use crate::{
    api::Password,
    fresh::{self, NoRandomness},
};

const KEY_FILE: &str = "key";
const SALT_FILE: &str = "key.salt";
const KEY_LEN: usize = 32;
const SALT_LEN: usize = 16;

/// Where the key of the home's database comes from.
#[derive(Debug, Clone, Default)]
pub enum KeySource {
    /// What the home has; for a new one the system's keyring where this build and the machine have
    /// one, else a key file.
    #[default]
    Auto,
    /// The file `key` in the home, readable by its owner alone.
    File,
    /// A passphrase, stretched with Argon2id.
    Passphrase(Password),
}

/// No key for the home's database.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The home was made with a passphrase and none was given.
    #[error("this home is locked with a passphrase")]
    PassphraseNeeded,
    /// A passphrase was given and the home was made without one.
    #[error("this home is not locked with a passphrase")]
    NoPassphrase,
    /// The database is there and its key is not.
    #[error("the key of this home is gone: {0}")]
    Gone(String),
    /// A key file is there that is none.
    #[error("{0} does not hold 64 hex digits")]
    Malformed(PathBuf),
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// What could not be used.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The passphrase could not be stretched.
    #[error("the passphrase could not be stretched: {0}")]
    Stretch(argon2::Error),
    /// The system.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

/// The raw key of a home's database. Each copy is zeroized.
#[derive(Clone)]
pub(crate) struct HomeKey(Zeroizing<[u8; KEY_LEN]>);

impl HomeKey {
    #[cfg(test)]
    pub(crate) fn expose(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// As 64 hex digits.
    pub(crate) fn digits(&self) -> Zeroizing<String> {
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        let mut text = String::with_capacity(KEY_LEN * 2);
        for byte in self.0.iter() {
            text.push(digit(byte >> 4));
            text.push(digit(byte & 0x0f));
        }
        Zeroizing::new(text)
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self::of_bytes([7; KEY_LEN])
    }

    #[cfg(test)]
    pub(crate) fn of_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

fn fault(path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    move |source| KeyError::Io { path: path.to_owned(), source }
}

/// The key of the home in `dir`; `exists` says that there is a database that needs it.
pub(super) fn of(dir: &Path, source: &KeySource, exists: bool) -> Result<HomeKey, KeyError> {
    match source {
        KeySource::Passphrase(passphrase) => from_passphrase(dir, passphrase, exists),
        KeySource::File => from_file(dir, exists),
        KeySource::Auto if exists && dir.join(SALT_FILE).exists() => Err(KeyError::PassphraseNeeded),
        KeySource::Auto if dir.join(KEY_FILE).exists() => from_file(dir, exists),
        KeySource::Auto => match keyring::of(dir, exists)? {
            Some(key) => Ok(key),
            None => from_file(dir, exists),
        },
    }
}

/// Removes what `of` has made.
pub(super) fn forget(dir: &Path) -> Result<(), KeyError> {
    keyring::forget(dir);
    for path in [dir.join(KEY_FILE), dir.join(SALT_FILE)] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fault(&path)(error)),
            _ => {}
        }
    }
    Ok(())
}

fn from_file(dir: &Path, exists: bool) -> Result<HomeKey, KeyError> {
    let path = dir.join(KEY_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let text = Zeroizing::new(text);
            decode(text.trim()).ok_or(KeyError::Malformed(path))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && exists => {
            Err(KeyError::Gone(format!("{} does not exist", path.display())))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = HomeKey(Zeroizing::new(fresh::random()?));
            write_private(&path, key.digits().as_bytes())?;
            Ok(key)
        }
        Err(error) => Err(fault(&path)(error)),
    }
}

fn from_passphrase(dir: &Path, passphrase: &Password, exists: bool) -> Result<HomeKey, KeyError> {
    let path = dir.join(SALT_FILE);
    let salt = match fs::read(&path) {
        Ok(salt) => salt,
        Err(error) if error.kind() == io::ErrorKind::NotFound && exists => {
            return Err(KeyError::NoPassphrase);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let salt = fresh::random::<SALT_LEN>()?;
            write_private(&path, &salt)?;
            salt.to_vec()
        }
        Err(error) => return Err(fault(&path)(error)),
    };
    let cost = crate::KsfParams::default();
    let mut key = Zeroizing::new([0; KEY_LEN]);
    cost.argon2()
        .and_then(|argon2| argon2.hash_password_into(passphrase.0.as_bytes(), &salt, key.as_mut()))
        .map_err(KeyError::Stretch)?;
    Ok(HomeKey(key))
}

/// Writes a file that must not be lost to a crash once the database depends on it.
fn write_private(path: &Path, content: &[u8]) -> Result<(), KeyError> {
    let write = || {
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
        file.write_all(content)?;
        file.sync_all()?;
        path.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
    };
    write().map_err(fault(path))
}

fn decode(text: &str) -> Option<HomeKey> {
    // A key file reads like the digits of a fingerprint.
    let mut fingerprint: crate::Fingerprint = format!("sha256:{text}").parse().ok()?;
    let key = HomeKey(Zeroizing::new(fingerprint.0));
    fingerprint.0.zeroize();
    Some(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_passphrase_opens_what_it_made_and_another_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let passphrase = |text: &str| KeySource::Passphrase(Password(text.into()));
        let made = of(dir.path(), &passphrase("correct horse"), false).unwrap();
        let again = of(dir.path(), &passphrase("correct horse"), true).unwrap();
        let other = of(dir.path(), &passphrase("battery staple"), true).unwrap();
        assert!(made.expose() == again.expose() && made.expose() != other.expose());
        assert!(matches!(of(dir.path(), &KeySource::Auto, true), Err(KeyError::PassphraseNeeded)));
        let without = tempfile::tempdir().unwrap();
        assert!(matches!(of(without.path(), &passphrase("any"), true), Err(KeyError::NoPassphrase)));
    }

    #[test]
    fn a_key_file_is_private_and_its_loss_is_not_papered_over() {
        let dir = tempfile::tempdir().unwrap();
        let made = of(dir.path(), &KeySource::Auto, false).unwrap();
        let path = dir.path().join(KEY_FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(of(dir.path(), &KeySource::Auto, true).unwrap().expose() == made.expose());
        fs::write(&path, "short").unwrap();
        assert!(matches!(of(dir.path(), &KeySource::Auto, true), Err(KeyError::Malformed(_))));
        fs::remove_file(&path).unwrap();
        assert!(matches!(of(dir.path(), &KeySource::Auto, true), Err(KeyError::Gone(_))));
    }
}
