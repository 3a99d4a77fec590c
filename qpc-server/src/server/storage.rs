//! The one place that names a storage backend: opens what a data directory keeps.

use std::{
    num::NonZero,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use zeroize::Zeroizing;

use crate::{
    account::OpaqueSetups,
    blob_store::{
        BlobStore,
        objects::{ObjectBlobs, ObjectPlace, OpenObjectsError, S3Settings, SecretText},
        reserve::Reserved,
        sqlite::{BlobReport, SqliteBlobs},
    },
    clock::{Clock, SystemClock},
    config::{self, BlobBackend, ConfigError, Loaded, Secret, read_secret},
    data_dir::{DataDir, DataDirError},
    metrics::Metrics,
    rng::{self, SystemRng},
    store::{
        Aftermath, Store,
        sqlite::{
            self, Batch, CheckError, CheckReport, DbKey, DbKeyError, OpenError, Options, SqliteStore, StoreObserver,
        },
    },
};

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The data directory.
    #[error(transparent)]
    Directory(#[from] DataDirError),
    /// The key file.
    #[error(transparent)]
    KeyFile(#[from] ConfigError),
    /// The key.
    #[error(transparent)]
    Key(#[from] DbKeyError),
    /// The database.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The place for blobs.
    #[error(transparent)]
    Blobs(#[from] OpenObjectsError),
    /// Something that a bucket needs is not configured.
    #[error("{0} is not set, and a bucket is to be used")]
    Bucket(&'static str),
    /// The database can't be checked.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The key can't be changed where it is.
    #[error(
        "the database's key comes from the environment (QPC_DB_KEY), where it can't be changed: put it into a file, name that by \
         QPC_DB_KEY_FILE or storage.key_file, and try again"
    )]
    KeyElsewhere,
    /// A change of the key was interrupted.
    #[error(
        "a change of the database's key was interrupted: {} holds the new one. Give `qpc-server db change-key` again, without \
         --new-key-file, which ends it",
        .0.display()
    )]
    KeyChanging(PathBuf),
    /// The metrics clash: a fault of the program.
    #[error("internal fault: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// What a data directory holds, opened by this process alone.
pub struct Opened {
    /// The directory, locked.
    pub dir: DataDir,
    /// The database.
    pub store: Arc<dyn Store>,
    /// That of blobs.
    pub blobs: Arc<dyn BlobStore>,
    /// What it hands over after its commits: to be run, or dropped before the first verb.
    pub aftermath: Aftermath,
    /// The metrics that it counts in.
    pub metrics: Arc<Metrics>,
    /// The OPAQUE secrets.
    pub setups: OpaqueSetups,
}

/// Cores that this process may use.
#[must_use]
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Opens the data directory and its database, creating what a new one lacks. Blocks.
///
/// # Errors
/// [`StorageError`].
pub fn open(loaded: &Loaded) -> Result<Opened, StorageError> {
    let dir = DataDir::open(&loaded.config.server.data_dir)?;
    // Secrets first: the database is made last, so that none is ever without them.
    let setups = dir.opaque_setups(&SystemRng, SystemClock.unix_ms())?;
    let next = next_key(loaded, dir.path());
    if next.exists() {
        return Err(StorageError::KeyChanging(next));
    }
    let key = key(loaded, || Ok(dir.database_key(&SystemRng)?))?;
    let metrics = Arc::new(Metrics::new()?);
    let storage = &loaded.config.storage;
    let (hand_over, aftermath) = Aftermath::new();
    let options = Options {
        hand_over,
        reader_threads: storage.readers_on(cores()),
        wal_autocheckpoint: storage.wal_autocheckpoint,
        commit_gather: storage.commit_gather.0,
        observer: Arc::new(Observer(Arc::clone(&metrics))),
        ..Options::default()
    };
    let store = Arc::new(SqliteStore::open(&DataDir::database(dir.path()), key.clone(), options)?);
    let blobs = blobs(&loaded.config.blobs, &dir, key, &metrics)?;
    Ok(Opened { dir, store, blobs, aftermath, metrics, setups })
}

/// Opens what keeps blobs.
fn blobs(
    config: &config::Blobs,
    dir: &DataDir,
    key: DbKey,
    metrics: &Arc<Metrics>,
) -> Result<Arc<dyn BlobStore>, StorageError> {
    let options = Options { observer: Arc::new(BlobObserver(Arc::clone(metrics))), ..SqliteBlobs::options() };
    let path = DataDir::blobs_database(dir.path());
    let own = directory(config, dir.path());
    let (blobs, disk): (Arc<dyn BlobStore>, _) = match config.backend {
        BlobBackend::Database => (Arc::new(SqliteBlobs::open(&path, key, options)?), dir.path().to_owned()),
        BlobBackend::Directory => {
            (Arc::new(ObjectBlobs::open(&path, key, options, &ObjectPlace::Directory(own.clone()))?), own)
        }
        BlobBackend::S3 => {
            let place = ObjectPlace::S3(bucket(&Bucket::of_blobs(config))?);
            (Arc::new(ObjectBlobs::open(&path, key, options, &place)?), dir.path().to_owned())
        }
    };
    Ok(Arc::new(Reserved::new(blobs, disk, config.disk_reserve)))
}

/// What two sections say of a bucket.
struct Bucket<'a> {
    name: &'a str,
    endpoint: &'a str,
    region: &'a str,
    access_key: Option<&'a Secret>,
    secret_key_file: Option<&'a Path>,
    allow_http: bool,
    missing: Option<&'static str>,
}

impl<'a> Bucket<'a> {
    fn of_blobs(of: &'a config::Blobs) -> Self {
        Self {
            name: &of.s3_bucket,
            endpoint: &of.s3_endpoint,
            region: &of.s3_region,
            access_key: of.s3_access_key.as_ref(),
            secret_key_file: of.s3_secret_key_file.as_deref(),
            allow_http: of.s3_allow_http,
            missing: of.missing(),
        }
    }

    fn of_backup(of: &'a config::Backup) -> Self {
        Self {
            name: &of.s3_bucket,
            endpoint: &of.s3_endpoint,
            region: &of.s3_region,
            access_key: of.s3_access_key.as_ref(),
            secret_key_file: of.s3_secret_key_file.as_deref(),
            allow_http: of.s3_allow_http,
            missing: of.missing(),
        }
    }
}

fn bucket(config: &Bucket<'_>) -> Result<S3Settings, StorageError> {
    let secret = |secret: &Secret| SecretText::new(secret.expose().to_owned());
    let (Some(access_key), Some(secret_key), None) = (config.access_key, config.secret_key_file, config.missing) else {
        return Err(StorageError::Bucket(config.missing.unwrap_or("a key of the bucket")));
    };
    Ok(S3Settings {
        endpoint: config.endpoint.into(),
        bucket: config.name.into(),
        region: config.region.into(),
        access_key: secret(access_key),
        secret_key: secret(&read_secret(secret_key)?),
        allow_http: config.allow_http,
    })
}

/// Where backups go by the configuration; nothing where it does not say.
///
/// # Errors
/// [`StorageError`].
pub fn backups(config: &config::Backup) -> Result<Option<ObjectPlace>, StorageError> {
    if !config.s3_bucket.is_empty() {
        return Ok(Some(ObjectPlace::S3(bucket(&Bucket::of_backup(config))?)));
    }
    Ok(config.directory.clone().map(ObjectPlace::Directory))
}

/// The key of the databases that are there: from the environment, a file, or the data directory.
///
/// # Errors
/// [`StorageError`].
pub fn database_key(loaded: &Loaded) -> Result<DbKey, StorageError> {
    let root = &loaded.config.server.data_dir;
    key(loaded, || Ok(read_secret(&DataDir::key_file(root))?))
}

/// The file with the key, of which a copy is made while the databases are given the new one.
const NEXT: &str = ".next";

/// Where the key is, unless it is in the environment.
fn key_file(loaded: &Loaded, root: &Path) -> PathBuf {
    loaded.config.storage.key_file.clone().unwrap_or_else(|| DataDir::key_file(root))
}

/// Where the key is that another one is being changed to.
fn next_key(loaded: &Loaded, root: &Path) -> PathBuf {
    let mut next = key_file(loaded, root).into_os_string();
    next.push(NEXT);
    next.into()
}

/// Gives both databases another key, and puts it in the place of the old one's file; a new random one unless `new` is given. No server
/// may run. Interrupted at any moment, it goes on where it is called again: until then no server starts, because the key in
/// the file may not open what is there. Gives the file.
///
/// # Errors
/// [`StorageError`]; [`StorageError::KeyElsewhere`] where the key is in no file, [`StorageError::KeyChanging`] where a change to
/// another key was interrupted.
pub fn change_key(loaded: &Loaded, new: Option<Secret>) -> Result<PathBuf, StorageError> {
    let dir = DataDir::open(&loaded.config.server.data_dir)?;
    if loaded.db_key.is_some() {
        return Err(StorageError::KeyElsewhere);
    }
    let file = key_file(loaded, dir.path());
    let old = DbKey::parse(read_secret(&file)?.expose())?;
    let next = next_key(loaded, dir.path());
    let begun = if next.exists() { Some(read_secret(&next)?) } else { None };
    let new = match (begun, new) {
        // Some of the files may have the key of the interrupted change; a third one would part them for good.
        (Some(begun), Some(new)) if new.expose().trim_end() != begun.expose().trim_end() => {
            return Err(StorageError::KeyChanging(next));
        }
        (Some(begun), _) => begun,
        (None, Some(new)) => new,
        (None, None) => Secret::new(hex::encode(*Zeroizing::new(rng::bytes::<32>(&SystemRng)))),
    };
    let key = DbKey::parse(new.expose())?;
    let text = Zeroizing::new(format!("{}\n", new.expose().trim_end()));
    DataDir::put(&next, text.as_bytes())?;
    sqlite::change_key(&DataDir::database(dir.path()), &old, &key)?;
    fail::fail_point!("change_key::between");
    let blobs = DataDir::blobs_database(dir.path());
    if blobs.exists() {
        SqliteBlobs::change_key(&blobs, &old, &key)?;
    }
    DataDir::put(&file, text.as_bytes())?;
    std::fs::remove_file(&next).map_err(|error| DataDirError::Io { path: next, error })?;
    Ok(file)
}

/// Verifies the pages and chains of a database, and changes nothing. A server may run on it.
///
/// # Errors
/// [`StorageError`], where it can't even be looked at.
pub fn check(loaded: &Loaded) -> Result<CheckReport, StorageError> {
    let root = &loaded.config.server.data_dir;
    let key = database_key(loaded)?;
    Ok(sqlite::check(&DataDir::database(root), &key)?)
}

/// That the databases open with their key, and are not of a later release. Reads next to nothing.
///
/// # Errors
/// [`StorageError`].
pub fn opens(loaded: &Loaded) -> Result<(), StorageError> {
    let root = &loaded.config.server.data_dir;
    // Before the key: a new directory has neither.
    if !DataDir::database(root).exists() {
        return Err(CheckError::Missing(DataDir::database(root).display().to_string()).into());
    }
    let key = key(loaded, || Ok(read_secret(&DataDir::key_file(root))?))?;
    sqlite::opens(&DataDir::database(root), &key)?;
    match SqliteBlobs::opens(&DataDir::blobs_database(root), &key) {
        // A new one is made by the next start.
        Err(CheckError::Missing(_)) => Ok(()),
        outcome => Ok(outcome?),
    }
}

/// The same for the database of blobs, and the objects that it names; nothing where there is none. With `read` the bytes of
/// objects are compared with their digests as well, as those in the database always are. `told` hears how many bytes of how many
/// have been looked at.
///
/// # Errors
/// [`StorageError`], where they can't even be looked at.
pub fn check_blobs(
    loaded: &Loaded,
    read: bool,
    told: &mut dyn FnMut(u64, u64),
) -> Result<Option<BlobReport>, StorageError> {
    let (root, config) = (&loaded.config.server.data_dir, &loaded.config.blobs);
    let path = DataDir::blobs_database(root);
    if !path.exists() {
        return Ok(None);
    }
    let key = database_key(loaded)?;
    Ok(Some(match objects(config, root)? {
        None => SqliteBlobs::check(&path, &key, told)?,
        Some(place) => ObjectBlobs::check(&path, &key, (&place, read), told)?,
    }))
}

/// Where the bytes of blobs are objects by the configuration; nothing where they are in the database.
///
/// # Errors
/// [`StorageError`].
pub fn objects(config: &config::Blobs, root: &Path) -> Result<Option<ObjectPlace>, StorageError> {
    Ok(match config.backend {
        BlobBackend::Database => None,
        BlobBackend::Directory => Some(ObjectPlace::Directory(directory(config, root))),
        BlobBackend::S3 => Some(ObjectPlace::S3(bucket(&Bucket::of_blobs(config))?)),
    })
}

/// Where objects are, where they are files.
fn directory(config: &config::Blobs, root: &Path) -> PathBuf {
    config.directory.clone().unwrap_or_else(|| DataDir::objects(root))
}

/// From the environment, an explicit file, or the data directory: whichever of these is there first.
fn key(loaded: &Loaded, own: impl FnOnce() -> Result<Secret, StorageError>) -> Result<DbKey, StorageError> {
    let text = match (&loaded.db_key, &loaded.config.storage.key_file) {
        (Some(key), _) => key.clone(),
        (None, Some(file)) => read_secret(file)?,
        (None, None) => own()?,
    };
    Ok(DbKey::parse(text.expose())?)
}

/// Puts the store's times and sizes into the metrics.
struct Observer(Arc<Metrics>);

impl StoreObserver for Observer {
    fn committed(&self, batch: Batch) {
        self.0.store_commit.observe(batch.whole.saturating_sub(batch.sync).as_secs_f64());
        self.0.store_fsync.observe(batch.sync.as_secs_f64());
        self.0.store_batch.observe(u32::try_from(batch.verbs).map_or(f64::INFINITY, f64::from));
    }
}

/// The same for the store of blobs.
struct BlobObserver(Arc<Metrics>);

impl StoreObserver for BlobObserver {
    fn committed(&self, batch: Batch) {
        self.0.blob_commit.observe(batch.whole.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    #[cfg(feature = "failpoints")]
    mod failpoints;
}
