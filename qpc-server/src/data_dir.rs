//! The data directory: what a server keeps, created whole or not at all, used by one process at a time.
//!
//! The directory is private (0700), and so is every file in it (0600). Each file is written beside
//! its place, synced and renamed, so that a crash at any moment leaves either nothing or all
//! of it. A secret that is missing beside a database that needs it is never made anew.

mod acme;
mod certificate;
mod federation;
mod file;

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

pub use self::{
    acme::AcmeFiles,
    certificate::{CertificateError, ServerCertificate, certificates, fingerprint},
    federation::FederationFiles,
};
use crate::{
    account::{OpaqueSetups, SetupFileError},
    config::{self, Secret},
    group::HubKey,
    rng::{self, Rng},
    transport::ResetKey,
};

/// The file whose lock says that a process uses the directory.
const LOCK: &str = "lock";

/// Why a data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process uses it.
    #[error("{} is in use by another qpc-server{}", dir.display(), process(*.pid))]
    InUse {
        /// Which directory.
        dir: PathBuf,
        /// Who, where that can be told.
        pid: Option<u32>,
    },
    /// The file system refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// What could not be read or written.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A secret is gone that the database needs.
    #[error("{} is missing, and the database beside it can't be used without it: restore it from a backup", .0.display())]
    Missing(PathBuf),
    /// The OPAQUE setups can't be used.
    #[error("{}: {error}", path.display())]
    Setup {
        /// The file.
        path: PathBuf,
        /// Why.
        error: SetupFileError,
    },
    /// A key is no key.
    #[error("{} is damaged: it should hold 64 hex digits; restore it from a backup", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
    },
    /// The certificate or its key can't be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

fn process(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// What one start notes for the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// The token of the starter invite, so that the same one is printed again.
    StarterInvite,
    /// The domain that the accounts belong to.
    Domain,
}

impl Note {
    fn file_name(self) -> &'static str {
        match self {
            Self::StarterInvite => "starter-invite",
            Self::Domain => "domain",
        }
    }
}

/// A data directory that this process has to itself, until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Opens a directory, creating it where there is none.
    ///
    /// # Errors
    /// [`DataDirError::InUse`] or [`DataDirError::Io`].
    pub fn open(root: &Path) -> Result<Self, DataDirError> {
        let io = |error| DataDirError::Io { path: root.to_owned(), error };
        DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(io)?;
        let root = root.canonicalize().map_err(io)?;
        let lock = lock(&root)?;
        file::sweep(&root).map_err(io)?;
        Ok(Self { root, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The database of the data directory `root`.
    #[must_use]
    pub fn database(root: &Path) -> PathBuf {
        root.join("qpc.db")
    }

    /// The database of blobs in it.
    #[must_use]
    pub fn blobs_database(root: &Path) -> PathBuf {
        root.join("qpc-blobs.db")
    }

    /// Where the bytes of blobs are that are files, unless another directory is configured.
    #[must_use]
    pub fn objects(root: &Path) -> PathBuf {
        root.join("blobs")
    }

    /// The file with the database's key, unless another is configured.
    #[must_use]
    pub fn key_file(root: &Path) -> PathBuf {
        root.join("db.key")
    }

    /// The socket by which programs of the operator talk to the server that runs on this directory.
    #[must_use]
    pub fn admin_socket(root: &Path) -> PathBuf {
        root.join("admin.sock")
    }

    /// The file that whoever makes a backup has to itself.
    #[must_use]
    pub fn backup_lock(root: &Path) -> PathBuf {
        root.join("backup.lock")
    }

    /// Does a file of this name belong into a backup as it is? Not the databases, which are copied in their own way; not their
    /// key, which a backup must not hold; and not what belongs to a process or was half written.
    #[must_use]
    pub fn is_kept_beside(name: &str) -> bool {
        let root = Path::new("");
        let others = [Self::key_file(root), Self::admin_socket(root), Self::backup_lock(root), root.join(LOCK)];
        let databases = [Self::database(root), Self::blobs_database(root)];
        // May be long, and a restored directory begins a log of its own.
        let audit = name.starts_with("audit") && name.ends_with(".log");
        // The key that another one is being changed to begins as it does.
        let keys = name.starts_with("db.key");
        let of_database = |path: &PathBuf| path.to_str().is_some_and(|of| name.starts_with(of));
        !keys
            && !audit
            && !others.iter().any(|path| path == Path::new(name))
            && !databases.iter().any(of_database)
            && !file::is_half(name)
    }

    /// Puts a file in place, whole or not at all, for its owner alone.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn put(path: &Path, bytes: &[u8]) -> Result<(), DataDirError> {
        file::replace(path, bytes).map_err(|error| DataDirError::Io { path: path.to_owned(), error })
    }

    /// Gives a new directory the annotated configuration, in which nothing is switched on.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn ensure_config(&self) -> Result<(), DataDirError> {
        self.read_or_create(self.root.join(config::FILE_NAME), false, || Zeroizing::new(config::annotated())).map(drop)
    }

    /// The database's key, made where there is no database yet.
    ///
    /// # Errors
    /// [`DataDirError::Missing`] or [`DataDirError::Io`].
    pub fn database_key(&self, rng: &dyn Rng) -> Result<Secret, DataDirError> {
        let text = self.read_or_create(Self::key_file(&self.root), true, || {
            let key = Zeroizing::new(rng::bytes::<32>(rng));
            Zeroizing::new(hex::encode(*key))
        })?;
        Ok(Secret::new(text.trim_end().to_owned()))
    }

    /// The OPAQUE setups, the first one made where there is no database yet. Their changes are written to their file.
    ///
    /// # Errors
    /// [`DataDirError`].
    pub fn opaque_setups(&self, rng: &dyn Rng, now_ms: u64) -> Result<OpaqueSetups, DataDirError> {
        let path = self.root.join("opaque-setup");
        let first = || OpaqueSetups::generate(rng, now_ms).to_file_text();
        let text = self.read_or_create(path.clone(), true, first)?;
        let setups =
            OpaqueSetups::from_file_text(&text).map_err(|error| DataDirError::Setup { path: path.clone(), error })?;
        Ok(setups.kept_by(Box::new(move |text| {
            Self::put(&path, text.as_bytes()).map_err(|error| error.to_string())?;
            fail::fail_point!("opaque_setups::written");
            Ok(())
        })))
    }

    /// The key with which this server may propose removals as the hub of its groups (RFC 9420 section 12.1.8.1). Groups name it from their first epoch on; where the file
    /// is gone another is made, which groups of before then do not know.
    ///
    /// # Errors
    /// [`DataDirError`].
    pub fn hub_key(&self, rng: &dyn Rng) -> Result<HubKey, DataDirError> {
        Ok(HubKey::from_seed(&*self.seed("hub-key", rng)?))
    }

    /// The key by which a server that was started again tells clients of before that their
    /// connections are gone. Without the file they only find out by silence.
    ///
    /// # Errors
    /// [`DataDirError`].
    pub fn reset_key(&self, rng: &dyn Rng) -> Result<ResetKey, DataDirError> {
        Ok(ResetKey::new(self.seed("reset-key", rng)?))
    }

    /// The certificate that signs itself, made where there is none, for these names and addresses.
    ///
    /// # Errors
    /// [`DataDirError`].
    pub fn certificate(&self, names: Vec<String>) -> Result<ServerCertificate, DataDirError> {
        certificate::self_signed(&self.root, names)
    }

    /// That certificate where it was made already, and nothing where it was not.
    #[must_use]
    pub fn made_certificate(root: &Path) -> Option<Result<ServerCertificate, CertificateError>> {
        certificate::made(root)
    }

    /// The process that has the data directory `root`, or had it last.
    #[must_use]
    pub fn process(root: &Path) -> Option<u32> {
        fs::read_to_string(root.join(LOCK)).ok()?.trim().parse().ok()
    }

    /// What an earlier start noted, if it did.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn noted(&self, note: Note) -> Result<Option<Secret>, DataDirError> {
        let path = self.root.join(note.file_name());
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(Secret::new(Zeroizing::new(text).trim_end().to_owned()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DataDirError::Io { path, error }),
        }
    }

    /// Notes something for the next start, in place of what was noted before.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn note(&self, note: Note, text: &str) -> Result<(), DataDirError> {
        Self::put(&self.root.join(note.file_name()), text.as_bytes())
    }

    /// 32 random bytes that the database does not need, as hex digits in a file of their own.
    fn seed(&self, name: &str, rng: &dyn Rng) -> Result<Zeroizing<[u8; 32]>, DataDirError> {
        let path = self.root.join(name);
        let text = self.read_or_create(path.clone(), false, || {
            let seed = Zeroizing::new(rng::bytes::<32>(rng));
            Zeroizing::new(hex::encode(*seed))
        })?;
        let mut seed = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim_end(), &mut *seed).map_err(|_| DataDirError::Key { path })?;
        Ok(seed)
    }

    /// Reads a file, or makes it. One that the database needs is made only where there is no database.
    fn read_or_create(
        &self,
        path: PathBuf,
        of_database: bool,
        make: impl FnOnce() -> Zeroizing<String>,
    ) -> Result<Zeroizing<String>, DataDirError> {
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Zeroizing::new(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if of_database && Self::database(&self.root).exists() {
                    return Err(DataDirError::Missing(path));
                }
                let text = make();
                Self::put(&path, text.as_bytes())?;
                Ok(text)
            }
            Err(error) => Err(DataDirError::Io { path, error }),
        }
    }
}

/// Takes the directory for this process. The system gives it back when the process ends, however it does.
fn lock(root: &Path) -> Result<File, DataDirError> {
    let path = root.join(LOCK);
    let io = |error| DataDirError::Io { path: path.clone(), error };
    let mut options = fs::OpenOptions::new();
    let mut file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let read = file.read_to_string(&mut pid).is_ok();
            let pid = Some(pid).filter(|_| read).and_then(|pid| pid.trim().parse().ok());
            return Err(DataDirError::InUse { dir: root.to_owned(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(io(error)),
    }
    file.set_len(0).map_err(io)?;
    file.rewind().map_err(io)?;
    writeln!(file, "{}", std::process::id()).map_err(io)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::rng::SystemRng;

    fn new() -> (tempfile::TempDir, DataDir) {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::open(&temp.path().join("deep/data")).unwrap();
        (temp, dir)
    }

    #[test]
    fn what_is_made_once_stays() {
        let (_temp, dir) = new();
        let key = dir.database_key(&SystemRng).unwrap();
        assert_eq!(key.expose().len(), 64);
        let setup = dir.opaque_setups(&SystemRng, 1).unwrap().to_file_text();
        let print = dir.certificate(vec!["localhost".into()]).unwrap().fingerprint();
        dir.ensure_config().unwrap();
        let root = dir.path().to_owned();
        drop(dir);

        let again = DataDir::open(&root).unwrap();
        assert!(again.database_key(&SystemRng).unwrap() == key);
        assert_eq!(again.opaque_setups(&SystemRng, 2).unwrap().to_file_text(), setup);
        assert_eq!(again.certificate(vec!["localhost".into()]).unwrap().fingerprint(), print);
    }

    #[test]
    fn everything_is_private() {
        let (_temp, dir) = new();
        dir.database_key(&SystemRng).unwrap();
        dir.opaque_setups(&SystemRng, 1).unwrap();
        dir.certificate(vec!["localhost".into()]).unwrap();
        dir.note(Note::StarterInvite, "token").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(dir.path()), 0o700);
        for entry in fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }

    #[test]
    fn a_second_process_is_refused_and_told_who_has_it() {
        let (_temp, dir) = new();
        let refused = DataDir::open(dir.path()).unwrap_err().to_string();
        assert!(refused.ends_with(&format!("is in use by another qpc-server (process {})", std::process::id())));
        let root = dir.path().to_owned();
        drop(dir);
        assert!(DataDir::open(&root).is_ok());
    }

    #[test]
    fn secrets_of_a_database_are_never_made_anew() {
        let (_temp, dir) = new();
        fs::write(DataDir::database(dir.path()), "a database").unwrap();
        assert!(matches!(dir.database_key(&SystemRng), Err(DataDirError::Missing(_))));
        assert!(matches!(dir.opaque_setups(&SystemRng, 1), Err(DataDirError::Missing(_))));
    }

    #[test]
    fn what_a_crash_left_half_written_is_swept() {
        let (_temp, dir) = new();
        let root = dir.path().to_owned();
        drop(dir);
        fs::write(root.join("db.key.new"), "half").unwrap();
        let dir = DataDir::open(&root).unwrap();
        assert!(!root.join("db.key.new").exists());
        assert_eq!(dir.database_key(&SystemRng).unwrap().expose().len(), 64);
    }
}
