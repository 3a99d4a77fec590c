//! How the program ends: codes after sysexits, which `--help` lists.

use std::{fmt, process::ExitCode};

use crate::{
    backup::BackupError,
    blob_store::{objects::OpenObjectsError, sqlite::LosingError},
    config::ConfigError,
    data_dir::{CertificateError, DataDirError},
    server::storage::StorageError,
    store::{
        StoreFault,
        sqlite::{CheckError, FreezeError, OpenError},
    },
};

/// The exit codes. Wrong arguments end with clap's 2, and so does an argument that only the command can judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    Ok = 0,
    Bad = 1,
    Usage = 2,
    Damaged = 65,
    NoAccount = 67,
    NotReady = 69,
    Internal = 70,
    Listen = 71,
    Exists = 73,
    Io = 74,
    InUse = 75,
    Config = 78,
}

impl Exit {
    /// Every code, in order.
    pub(super) const ALL: [Self; 12] = [
        Self::Ok,
        Self::Bad,
        Self::Usage,
        Self::Damaged,
        Self::NoAccount,
        Self::NotReady,
        Self::Internal,
        Self::Listen,
        Self::Exists,
        Self::Io,
        Self::InUse,
        Self::Config,
    ];

    /// What it means, for people.
    pub(super) const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done",
            Self::Bad => "doctor has found something bad",
            Self::Usage => "wrong arguments",
            Self::Damaged => "the database or a backup is damaged",
            Self::NoAccount => "no such account",
            Self::NotReady => "not ready",
            Self::Internal => "a fault of the program",
            Self::Listen => "an address can't be listened on",
            Self::Exists => "something is there already, or missing",
            Self::Io => "a file or the store failed",
            Self::InUse => "the data directory is in use",
            Self::Config => "the configuration is wrong",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why the program ends early, in words for the operator.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) exit: Exit,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string() }
    }
}

impl From<ConfigError> for Fault {
    fn from(error: ConfigError) -> Self {
        let exit = if matches!(error, ConfigError::Internal(_)) { Exit::Internal } else { Exit::Config };
        Self::new(exit, error)
    }
}

impl From<DataDirError> for Fault {
    fn from(error: DataDirError) -> Self {
        let exit = match &error {
            DataDirError::InUse { .. } => Exit::InUse,
            DataDirError::Io { .. } | DataDirError::Certificate(CertificateError::Unreadable { .. }) => Exit::Io,
            DataDirError::Missing(_)
            | DataDirError::Setup { .. }
            | DataDirError::Key { .. }
            | DataDirError::Certificate(_) => Exit::Config,
        };
        Self::new(exit, error)
    }
}

impl From<StoreFault> for Fault {
    fn from(fault: StoreFault) -> Self {
        Self::new(Exit::Io, fault)
    }
}

impl From<StorageError> for Fault {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Directory(error) => error.into(),
            StorageError::KeyFile(error) => error.into(),
            StorageError::Key(error) => Self::new(Exit::Config, error),
            StorageError::Open(error) | StorageError::Check(CheckError::Open(error)) => {
                let ours = matches!(error, OpenError::WrongKey(_) | OpenError::NewerSchema { .. });
                Self::new(if ours { Exit::Config } else { Exit::Io }, error)
            }
            StorageError::Check(error) => Self::new(Exit::Io, error),
            StorageError::Blobs(OpenObjectsError::Index(error)) => StorageError::Open(error).into(),
            StorageError::Blobs(error) => Self::new(Exit::Io, error),
            error @ (StorageError::Bucket(_) | StorageError::KeyElsewhere | StorageError::KeyChanging(_)) => {
                Self::new(Exit::Config, error)
            }
            StorageError::Metrics(error) => Self::new(Exit::Internal, error),
        }
    }
}

impl From<BackupError> for Fault {
    fn from(error: BackupError) -> Self {
        let exit = match error {
            BackupError::Freeze(FreezeError::Open(error))
            | BackupError::Database(error)
            | BackupError::Losing(LosingError::Open(error))
            | BackupError::Check(CheckError::Open(error)) => return StorageError::Open(error).into(),
            BackupError::Nowhere | BackupError::NoKey | BackupError::Key(_) => Exit::Config,
            BackupError::Name(_) | BackupError::NoBase => Exit::Usage,
            BackupError::Busy(_) => Exit::InUse,
            BackupError::None(_) | BackupError::Unknown(_) | BackupError::Exists(_) | BackupError::HasObjects(_) => {
                Exit::Exists
            }
            BackupError::Manifest(_)
            | BackupError::Format { .. }
            | BackupError::Missing { .. }
            | BackupError::Damaged { .. }
            | BackupError::NoObject(_)
            | BackupError::BadObject(_)
            | BackupError::Unsound(_) => Exit::Damaged,
            BackupError::Freeze(_)
            | BackupError::Check(_)
            | BackupError::Io { .. }
            | BackupError::Open(_)
            | BackupError::Place(_)
            | BackupError::Objects(_)
            | BackupError::Losing(LosingError::Fault(_))
            | BackupError::Attachments { .. }
            | BackupError::Secrets { .. } => Exit::Io,
            BackupError::Internal(_) => Exit::Internal,
        };
        Self::new(exit, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_the_documented_ones() {
        assert_eq!(Exit::ALL.map(|exit| exit as u8), [0, 1, 2, 65, 67, 69, 70, 71, 73, 74, 75, 78]);
    }
}
