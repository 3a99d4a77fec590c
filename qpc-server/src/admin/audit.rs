//! What was done through the admin socket: `audit.log` in the data directory, a line for each action, each with a hash
//! over the line before.
//!
//! A line is on disk before what it announces is done. Who can write the file can write all of it anew, so the head of
//! the chain goes into the server's logs as well; a copy of those elsewhere is what the file is compared with. A file
//! that can't be written refuses actions, and never stops the chat.

mod chain;
mod files;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};

pub use self::{
    chain::{AuditEntry, Head, LineFault},
    files::{Audited, Trouble, read_audit},
};
use crate::clock::Clock;

/// The file, in the data directory.
const NAME: &str = "audit.log";
/// Longest file, in bytes: then it is put aside under the number of its first line, and another one goes on.
const AUDIT_FILE_MAX: u64 = 16 * 1024 * 1024;

/// Why an action could not be noted, and so was not done.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file.
    #[error(
        "{} can't be written ({error}), and nothing is done without a trace there: make room or mend the file, then try \
         again",
        path.display()
    )]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The entry can't be written as JSON.
    #[error("the entry is no JSON: {0}")]
    Form(#[from] serde_json::Error),
}

/// The log of one data directory, whose owner this process is.
pub struct AuditLog {
    directory: PathBuf,
    longest: u64,
    clock: Arc<dyn Clock>,
    /// Opened with the first line, and again after a fault.
    open: Mutex<Option<Open>>,
}

struct Open {
    file: File,
    bytes: u64,
    first: u64,
    head: Head,
}

impl AuditLog {
    /// The log of a data directory.
    #[must_use]
    pub fn new(directory: &Path, clock: Arc<dyn Clock>) -> Self {
        Self { directory: directory.to_owned(), longest: AUDIT_FILE_MAX, clock, open: Mutex::new(None) }
    }

    #[cfg(test)]
    fn with_longest(mut self, longest: u64) -> Self {
        self.longest = longest;
        self
    }

    /// Looks at what earlier processes left, and tells the operator where it does not hold together. Whatever it is, the
    /// server starts.
    pub fn look(&self) {
        let mut open = self.lock();
        if let Err(error) = self.opened(&mut open) {
            tracing::warn!(%error, "the audit log can't be opened, and the admin socket changes nothing before it can");
        }
    }

    /// Adds a line, and returns once it is on disk.
    ///
    /// # Errors
    /// [`AuditError`]; then there is no such line.
    pub fn note(&self, uid: u32, action: &Value, outcome: &str) -> Result<Head, AuditError> {
        let mut open = self.lock();
        let state = self.opened(&mut open)?;
        if state.bytes >= self.longest {
            let error = self.put_aside(state).err();
            *open = None;
            if let Some(error) = error {
                return Err(error);
            }
        }
        let state = self.opened(&mut open)?;
        let noted = self.append(state, uid, action, outcome);
        if noted.is_err() {
            // What half a line left is cut off by whoever opens it next.
            *open = None;
        }
        noted
    }

    fn append(&self, open: &mut Open, uid: u32, action: &Value, outcome: &str) -> Result<Head, AuditError> {
        let seq = open.head.seq.saturating_add(1);
        let entry =
            AuditEntry { seq, at_ms: self.clock.unix_ms(), uid, action: action.clone(), outcome: outcome.to_owned() };
        let (line, head) = chain::seal(&open.head.hash, &entry)?;
        let written = open.file.write_all(line.as_bytes()).and_then(|()| open.file.sync_data());
        if let Err(error) = written {
            // As if it had never been begun; where that fails as well, the next opening cuts it off.
            _ = open.file.set_len(open.bytes);
            return Err(self.io(error));
        }
        open.bytes = open.bytes.saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX));
        open.head = head.clone();
        Ok(head)
    }

    /// The open file; opened first where it is not, with its torn end cut off.
    fn opened<'o>(&self, open: &'o mut Option<Open>) -> Result<&'o mut Open, AuditError> {
        let state = match open.take() {
            Some(state) => state,
            None => self.open()?,
        };
        Ok(open.insert(state))
    }

    fn open(&self) -> Result<Open, AuditError> {
        let path = self.path();
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        let file = file.map_err(|error| self.io(error))?;
        let found = files::read_file(&path, None, &mut |_| ()).map_err(|error| self.io(error))?;
        let bytes = found.bytes.saturating_sub(found.torn);
        if found.torn > 0 {
            file.set_len(bytes).map_err(|error| self.io(error))?;
            tracing::warn!(bytes = found.torn, "the last line of the audit log was cut off by a crash, and is removed");
        }
        if let Some(Trouble { line, fault, .. }) = found.troubles.first() {
            tracing::warn!(
                line, %fault, troubles = found.troubles.len(),
                "the audit log was changed by somebody else: `qpc-server admin audit verify` shows where"
            );
        }
        let (mut open, aside) = match (found.first, files::newest_aside(&self.directory)) {
            (Some(first), _) => (Open { file, bytes, first, head: found.head }, None),
            (None, Some(aside)) => {
                let before = files::read_file(&aside, None, &mut |_| ()).map_err(|error| self.io(error))?.head;
                (Open { file, bytes, first: before.seq.saturating_add(1), head: before }, Some(aside))
            }
            (None, None) => (Open { file, bytes, first: 1, head: Head::default() }, None),
        };
        if let Some(aside) = aside {
            let after = aside.file_name().map(|name| name.to_string_lossy().into_owned());
            let action = json!({ "request": "continues", "after": after, "before": open.head.hash });
            self.append(&mut open, rustix::process::geteuid().as_raw(), &action, "done")?;
        }
        if found.torn > 0 {
            let action = json!({ "request": "cut_torn_line", "bytes": found.torn });
            self.append(&mut open, rustix::process::geteuid().as_raw(), &action, "done")?;
        }
        self.sync_directory()?;
        Ok(open)
    }

    /// Renames a file that is long enough; the next opening begins another one.
    fn put_aside(&self, open: &Open) -> Result<(), AuditError> {
        let aside = self.directory.join(files::aside_name(open.first));
        fs::rename(self.path(), aside).map_err(|error| self.io(error))?;
        self.sync_directory()
    }

    fn sync_directory(&self) -> Result<(), AuditError> {
        File::open(&self.directory).and_then(|directory| directory.sync_all()).map_err(|error| self.io(error))
    }

    fn path(&self) -> PathBuf {
        self.directory.join(NAME)
    }

    fn io(&self, error: io::Error) -> AuditError {
        AuditError::Io { path: self.path(), error }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        // Nothing panics while it holds the lock; the file is read again where the state is gone.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
