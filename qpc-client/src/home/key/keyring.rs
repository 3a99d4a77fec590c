//! The key in the system's keyring (the Secret Service on Linux), in builds with the feature `keyring`.
//!
//! A file in the home says under which name it lies there, so that a home that moves finds its key. A machine
//! where no keyring answers gets a key file instead.

use std::path::Path;

use super::{HomeKey, KeyError};

/// Says that the key is in the keyring, and under which name.
const MARKER: &str = "key.keyring";

#[cfg(feature = "keyring")]
mod service {
    use std::{fs, io, path::Path};

    use keyring::Entry;
    use zeroize::Zeroizing;

    use super::{
        super::{KEY_LEN, fault, write_private},
        HomeKey, KeyError, MARKER,
    };
    use crate::fresh;

    const SERVICE: &str = "quicprochat";

    pub(super) fn of(dir: &Path, exists: bool) -> Result<Option<HomeKey>, KeyError> {
        let path = dir.join(MARKER);
        match fs::read_to_string(&path) {
            Ok(name) => match read(name.trim()) {
                Ok(key) => Ok(Some(key)),
                Err(error) => Err(KeyError::Gone(format!("the system's keyring: {error}"))),
            },
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fault(&path)(error)),
            Err(_) if exists => Ok(None),
            Err(_) => make(&path),
        }
    }

    pub(super) fn forget(dir: &Path) {
        let path = dir.join(MARKER);
        let Ok(name) = fs::read_to_string(&path) else { return };
        // A key without its database opens nothing; that it stays behind does no harm.
        let gone = Entry::new(SERVICE, name.trim()).and_then(|entry| entry.delete_credential());
        tracing::debug!(ok = gone.is_ok(), "the keyring was told to forget the home's key");
        fs::remove_file(&path).ok();
    }

    fn read(name: &str) -> keyring::Result<HomeKey> {
        let secret = Zeroizing::new(Entry::new(SERVICE, name)?.get_secret()?);
        let secret: [u8; KEY_LEN] =
            secret.as_slice().try_into().map_err(|_| keyring::Error::BadEncoding(Vec::new()))?;
        Ok(HomeKey(Zeroizing::new(secret)))
    }

    fn make(path: &Path) -> Result<Option<HomeKey>, KeyError> {
        let key = HomeKey(Zeroizing::new(fresh::random()?));
        let name = fresh::device_id()?.to_string();
        let kept = Entry::new(SERVICE, &name).and_then(|entry| entry.set_secret(key.0.as_slice()));
        // Only what comes back the same is a key that a database may depend on.
        if kept.and_then(|()| read(&name)).is_ok_and(|read| *read.0 == *key.0) {
            write_private(path, name.as_bytes())?;
            Ok(Some(key))
        } else {
            tracing::debug!("no keyring answers on this machine");
            Ok(None)
        }
    }
}

/// The key that the keyring holds for this home, made where the home is new; `None` where there is no keyring.
#[cfg(feature = "keyring")]
pub(super) fn of(dir: &Path, exists: bool) -> Result<Option<HomeKey>, KeyError> {
    service::of(dir, exists)
}

/// Has the keyring forget the key of this home.
#[cfg(feature = "keyring")]
pub(super) fn forget(dir: &Path) {
    service::forget(dir);
}

/// This build has no keyring; a home that needs one says so.
#[cfg(not(feature = "keyring"))]
pub(super) fn of(dir: &Path, exists: bool) -> Result<Option<HomeKey>, KeyError> {
    if exists && dir.join(MARKER).exists() {
        return Err(KeyError::Gone("it is in the system's keyring, which this build of the program can't use".into()));
    }
    Ok(None)
}

/// This build has no keyring.
#[cfg(not(feature = "keyring"))]
pub(super) fn forget(_dir: &Path) {}

#[cfg(feature = "keyring")]
#[cfg(test)]
mod tests;
