//! Why a backup was not made, not taken or not brought back.

use std::{io, path::PathBuf};

use crate::{
    blob_store::{objects::OpenObjectsError, sqlite::LosingError},
    store::sqlite::{CheckError, DbKeyError, FreezeError, OpenError},
};

/// Why there is no backup, or nothing from one.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Nobody has said where to.
    #[error("nowhere to put it: give --to DIR, or set backup.directory or backup.s3_bucket")]
    Nowhere,
    /// Another process makes one.
    #[error("another backup of {} is being made; when it has ended, try again", .0.display())]
    Busy(PathBuf),
    /// A database could not be held still.
    #[error(transparent)]
    Freeze(#[from] FreezeError),
    /// A file could not be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The place of backups.
    #[error(transparent)]
    Open(#[from] OpenObjectsError),
    /// It failed.
    #[error("the place of backups failed: {0}")]
    Place(#[from] object_store::Error),
    /// Where the server has, or shall have, the bytes of attachments.
    #[error("the place of attachments failed: {0}")]
    Objects(object_store::Error),
    /// Something is there already.
    #[error(
        "{0} has attachments already: nothing is overwritten. Move them away, or give another place with --objects DIR"
    )]
    HasObjects(String),
    /// There are too many.
    #[error("there are more than {} attachments, which is what a backup can list", max.saturating_mul(16))]
    Attachments {
        /// In one list.
        max: usize,
    },
    /// An object of an attachment is gone from the place of backups.
    #[error(
        "{0} is missing, which backups in this place share. As long as the server has that attachment, its next backup copies \
         it again; to bring back the rest without it, restore with --leave-out-damaged"
    )]
    NoObject(String),
    /// It is not what the server was sent.
    #[error(
        "{0} is damaged, which backups in this place share. Remove it: as long as the server has that attachment, its next backup \
         copies it again. To bring back the rest without it, restore with --leave-out-damaged"
    )]
    BadObject(String),
    /// A restored database could not be told which attachments are not there.
    #[error(transparent)]
    Losing(#[from] LosingError),
    /// A name that no backup has.
    #[error("{0:?} is no backup's name; `qpc-server backup list` shows them, and \"latest\" is the newest")]
    Name(String),
    /// There is none.
    #[error("there is no backup in {0}")]
    None(String),
    /// There is none of this name.
    #[error("there is no backup {0}: no such folder, or it was not finished and has no manifest")]
    Unknown(String),
    /// A manifest that this key did not make.
    #[error(
        "backup {0}: its manifest does not fit the database's key: it belongs to another server, was made before the key was \
         changed, or is not what was written"
    )]
    Manifest(String),
    /// A manifest of another release.
    #[error(
        "backup {name} has format {found}, and this release reads {known}: use the release that made it ({release})"
    )]
    Format {
        /// Which.
        name: String,
        /// Its format.
        found: u32,
        /// The one that is read.
        known: u32,
        /// Who made it.
        release: String,
    },
    /// Something of it is gone.
    #[error("backup {backup}: {object} is missing; take another backup (`qpc-server backup list`)")]
    Missing {
        /// Which.
        backup: String,
        /// What of it.
        object: String,
    },
    /// Something of it is not what was written.
    #[error("backup {backup}: {object} is damaged; take another backup (`qpc-server backup list`)")]
    Damaged {
        /// Which.
        backup: String,
        /// What of it.
        object: String,
    },
    /// An incremental backup is wanted, and there is no full one for it to stand on.
    #[error("there is no full backup that an incremental one could stand on; make one with --full")]
    NoBase,
    /// It would overwrite something.
    #[error("{} is there already and not empty: nothing is overwritten. Move it away, or restore elsewhere", .0.display())]
    Exists(PathBuf),
    /// Whoever restores has no key.
    #[error(
        "the database's key is needed, which is in no backup: give --key-file FILE, QPC_DB_KEY_FILE or storage.key_file"
    )]
    NoKey,
    /// The key makes no sense.
    #[error(transparent)]
    Key(#[from] DbKeyError),
    /// What was brought back does not open.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// It could not be checked.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// It was checked, and is not sound.
    #[error("what is in the backup is not sound:\n{}", .0.join("\n"))]
    Unsound(Vec<String>),
    /// Too much is in the data directory beside the databases.
    #[error("{} has more than {max} bytes of small files beside the databases; move what is not the server's", path.display())]
    Secrets {
        /// Which directory.
        path: PathBuf,
        /// How many there may be.
        max: usize,
    },
    /// A fault of the program or of its libraries.
    #[error("internal fault: {0}")]
    Internal(String),
}

impl BackupError {
    /// For a file that could not be read or written.
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::Io { path, error }
    }
}
