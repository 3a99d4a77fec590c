//! The OPAQUE setups of a server: the newest one, with which passwords are registered, and older ones, with which those are
//! checked that were registered before.
//!
//! They live in one file, a line for each, which is changed as a whole and before anything relies on the change. Who may
//! change them, and what that means for accounts, is said in `rotation`.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use opaque_ke::errors::ProtocolError;
use qpc_proto::address::AccountName;
use zeroize::Zeroizing;

use super::opaque::Setup;
use crate::{rng::Rng, store::PasswordRecord};

/// What each line of the file begins with; version, hexadecimal digits and the time it was made follow.
const FILE_LABEL: &str = "qpc-opaque-setup";
/// More bytes than a line has.
const LINE: usize = 1024;
/// The version of a server's first setup.
const FIRST: u32 = 1;
/// Setups that a server may have at a time: each is one more secret that can be stolen.
const SETUPS_MAX: usize = 8;
/// Milliseconds after which half of the names that nobody has are answered by a newer setup.
const HALF_MS: u64 = 90 * 24 * 60 * 60 * 1000;

/// A setup file that can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SetupFileError {
    /// Not a setup file at all.
    #[error("not an OPAQUE setup file: each of its lines should be `{FILE_LABEL} VERSION HEX TIME`")]
    Form,
    /// Versions grow from line to line.
    #[error(
        "the OPAQUE setup {0} is not in its place: versions grow from line to line; restore the file from a backup"
    )]
    Order(u32),
    /// Too many of them.
    #[error("more than {SETUPS_MAX} OPAQUE setups: restore the file from a backup")]
    TooMany,
    /// The bytes are damaged.
    #[error(
        "the OPAQUE setup {0} is damaged: restore the file from a backup, or the passwords made with it don't work"
    )]
    Damaged(u32),
}

/// Why the setups were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeSetupsError {
    /// There is none of this version.
    #[error("there is no such OPAQUE setup")]
    NotThere,
    /// It is the one with which passwords are registered.
    #[error("it is the newest OPAQUE setup, with which passwords are registered: make another one first")]
    Newest,
    /// As many as there may be.
    #[error("there are {SETUPS_MAX} OPAQUE setups, as many as there may be: retire one first")]
    TooMany,
    /// They could not be written down. Nothing has changed.
    #[error("the OPAQUE setups can't be written: {0}")]
    NotKept(String),
}

/// Writes the text of the setup file. The error is for the operator.
pub type KeepSetups = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// The server's OPAQUE secrets. Whoever loses one loses every password that was registered with it; whoever steals it may
/// guess those passwords offline, if the database is stolen too. Clones are the same setups.
#[derive(Clone)]
pub struct OpaqueSetups {
    shared: Arc<Shared>,
}

struct Shared {
    /// In order of their versions, never none.
    setups: RwLock<Vec<Arc<Setup>>>,
    /// Held while they are changed and written.
    changing: Mutex<()>,
    keep: Option<KeepSetups>,
}

impl OpaqueSetups {
    /// Makes the first one.
    #[must_use]
    pub fn generate(rng: &dyn Rng, now_ms: u64) -> Self {
        Self::of(vec![Arc::new(Setup::generate(rng, FIRST, now_ms))])
    }

    fn of(setups: Vec<Arc<Setup>>) -> Self {
        Self { shared: Arc::new(Shared { setups: RwLock::new(setups), changing: Mutex::new(()), keep: None }) }
    }

    /// Reads the text of a setup file.
    ///
    /// # Errors
    /// [`SetupFileError`].
    pub fn from_file_text(text: &str) -> Result<Self, SetupFileError> {
        let mut setups: Vec<Arc<Setup>> = Vec::new();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(FILE_LABEL), Some(version), Some(digits), made, None) =
                (words.next(), words.next(), words.next(), words.next(), words.next())
            else {
                return Err(SetupFileError::Form);
            };
            let version: u32 = version.parse().map_err(|_| SetupFileError::Form)?;
            let made_ms = made.map(str::parse).transpose().map_err(|_| SetupFileError::Form)?;
            if version < FIRST || setups.last().is_some_and(|last| last.version >= version) {
                return Err(SetupFileError::Order(version));
            }
            if setups.len() >= SETUPS_MAX {
                return Err(SetupFileError::TooMany);
            }
            setups.push(Arc::new(Setup::parse(digits, version, made_ms).ok_or(SetupFileError::Damaged(version))?));
        }
        if setups.is_empty() { Err(SetupFileError::Form) } else { Ok(Self::of(setups)) }
    }

    /// The text of a setup file.
    #[must_use]
    pub fn to_file_text(&self) -> Zeroizing<String> {
        text(&self.current())
    }

    /// Has every change written down by this before it counts. Without it they last as long as the process.
    #[must_use]
    pub fn kept_by(self, keep: KeepSetups) -> Self {
        let setups = RwLock::new(self.current());
        Self { shared: Arc::new(Shared { setups, changing: Mutex::new(()), keep: Some(keep) }) }
    }

    /// Versions and when they were made, oldest first.
    pub(super) fn all(&self) -> Vec<(u32, Option<u64>)> {
        self.current().iter().map(|setup| (setup.version, setup.made_ms)).collect()
    }

    /// The one with which passwords are registered.
    pub(super) fn newest(&self) -> Arc<Setup> {
        newest(&self.read())
    }

    /// The one of a record, if it is there.
    pub(super) fn of_version(&self, version: u32) -> Option<Arc<Setup>> {
        self.read().iter().find(|setup| setup.version == version).cloned()
    }

    /// The one by which a name is answered that nobody has.
    ///
    /// Accounts go over to a newer setup one by one, and who asks for a name before and after can see it do so. So do names
    /// that nobody has, each at a time of its own: half of them within [`HALF_MS`], the others ever more slowly. Neither a
    /// name that has gone over nor one that has not is therefore known to be somebody's.
    pub(super) fn of_nobody(&self, name: &AccountName, now_ms: u64) -> Arc<Setup> {
        let setups = self.read();
        // All are asked, whatever comes of it: the same work for every name.
        let mut found = setups.first();
        for setup in setups.iter().skip(1) {
            if has_gone_over(setup, name, now_ms) {
                found = Some(setup);
            }
        }
        found.map_or_else(|| newest(&setups), Arc::clone)
    }

    /// The record that the store gives where a name is unknown.
    ///
    /// # Errors
    /// None in practice.
    pub(super) fn decoy(&self, rng: &dyn Rng) -> Result<PasswordRecord, ProtocolError> {
        self.newest().decoy(rng)
    }

    /// Does this if `version` is the newest one, and there is no newer one before it is done: it queues a verb of the store
    /// and does not wait. So whatever is stored with an older setup was queued before the newer one was made.
    pub(super) fn while_newest<T>(&self, version: u32, queue: impl FnOnce() -> T) -> Option<T> {
        let setups = self.read();
        (newest(&setups).version == version).then(queue)
    }

    /// Makes a newer one and gives its version. Blocks while it is written.
    ///
    /// # Errors
    /// [`ChangeSetupsError`].
    pub(super) fn rotate(&self, rng: &dyn Rng, now_ms: u64) -> Result<u32, ChangeSetupsError> {
        self.change(|setups| {
            if setups.len() >= SETUPS_MAX {
                return Err(ChangeSetupsError::TooMany);
            }
            let version = newest(setups).version.checked_add(1).ok_or(ChangeSetupsError::TooMany)?;
            setups.push(Arc::new(Setup::generate(rng, version, now_ms)));
            Ok(version)
        })
    }

    /// Forgets an older one. Blocks while that is written.
    ///
    /// # Errors
    /// [`ChangeSetupsError`].
    pub(super) fn retire(&self, version: u32) -> Result<(), ChangeSetupsError> {
        self.change(|setups| {
            may_retire(setups, version)?;
            setups.retain(|setup| setup.version != version);
            Ok(())
        })
    }

    /// Whether it is an older one.
    ///
    /// # Errors
    /// [`ChangeSetupsError`].
    pub(super) fn may_retire(&self, version: u32) -> Result<(), ChangeSetupsError> {
        may_retire(&self.read(), version)
    }

    /// One change at a time, on disk before it counts.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<Arc<Setup>>) -> Result<T, ChangeSetupsError>,
    ) -> Result<T, ChangeSetupsError> {
        let _alone = self.shared.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut setups = self.current();
        let outcome = change(&mut setups)?;
        if let Some(keep) = &self.shared.keep {
            keep(&text(&setups)).map_err(ChangeSetupsError::NotKept)?;
        }
        *self.shared.setups.write().unwrap_or_else(PoisonError::into_inner) = setups;
        Ok(outcome)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Vec<Arc<Setup>>> {
        self.shared.setups.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Vec<Arc<Setup>> {
        self.read().clone()
    }
}

fn newest(setups: &[Arc<Setup>]) -> Arc<Setup> {
    #[expect(clippy::expect_used, reason = "made with one, read with one, and the newest is never retired")]
    setups.last().cloned().expect("a server has a setup")
}

fn may_retire(setups: &[Arc<Setup>], version: u32) -> Result<(), ChangeSetupsError> {
    if !setups.iter().any(|setup| setup.version == version) {
        return Err(ChangeSetupsError::NotThere);
    }
    if newest(setups).version == version { Err(ChangeSetupsError::Newest) } else { Ok(()) }
}

fn text(setups: &[Arc<Setup>]) -> Zeroizing<String> {
    // With room for all of it: a text that grows leaves copies of itself behind.
    let mut text = Zeroizing::new(String::with_capacity(setups.len().saturating_mul(LINE)));
    for setup in setups {
        let made = setup.made_ms.map_or_else(String::new, |made| format!(" {made}"));
        for part in [FILE_LABEL, " ", &setup.version.to_string(), " ", &setup.digits(), &made, "\n"] {
            text.push_str(part);
        }
    }
    text
}

/// Whether a name that nobody has has gone over to a setup. With a lot between 0 and 1 it does so after HALF times
/// lot / (1 - lot): no moment is too early or too late for one.
fn has_gone_over(setup: &Setup, name: &AccountName, now_ms: u64) -> bool {
    let lot = u128::from(setup.lot(name));
    let since = u128::from(now_ms.saturating_sub(setup.made_ms.unwrap_or(0)));
    let left = (u128::from(u32::MAX).saturating_add(1)).saturating_sub(lot);
    since.saturating_mul(left) >= u128::from(HALF_MS).saturating_mul(lot)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::rng::SystemRng;

    fn setups() -> OpaqueSetups {
        OpaqueSetups::generate(&SystemRng, 1_000)
    }

    fn versions(setups: &OpaqueSetups) -> Vec<u32> {
        setups.all().into_iter().map(|(version, _)| version).collect()
    }

    #[test]
    fn setups_survive_their_file() {
        let setups = setups();
        assert_eq!(setups.rotate(&SystemRng, 2_000), Ok(2));
        let again = OpaqueSetups::from_file_text(&setups.to_file_text()).ok().unwrap();
        assert_eq!(setups.to_file_text(), again.to_file_text());
        assert_eq!(again.all(), [(1, Some(1_000)), (2, Some(2_000))]);
    }

    #[test]
    fn a_file_of_one_line_and_no_time_is_read_as_it_was_written() {
        let made = setups().to_file_text().to_string();
        let old = made.replace(" 1000\n", "\n");
        assert!(old != made);
        let setups = OpaqueSetups::from_file_text(&old).ok().unwrap();
        assert_eq!((setups.all(), setups.to_file_text().to_string()), (vec![(1, None)], old));
        assert_eq!(setups.rotate(&SystemRng, 2_000), Ok(2));
        let again = OpaqueSetups::from_file_text(&setups.to_file_text()).ok().unwrap();
        assert_eq!(again.all(), [(1, None), (2, Some(2_000))]);
    }

    #[test]
    fn damaged_files_are_told_apart() {
        let one = setups().to_file_text().to_string();
        let fault = |text: &str| OpaqueSetups::from_file_text(text).err().unwrap();
        for form in ["", "\n", "qpc-opaque-setup 1", "another 1 00", "qpc-opaque-setup one 00"] {
            assert_eq!(fault(form), SetupFileError::Form, "{form:?}");
        }
        assert_eq!(fault(&one.replace(" 1000", " soon")), SetupFileError::Form);
        assert_eq!(fault(&one.replace(" 1000", " 1000 1000")), SetupFileError::Form);
        assert_eq!(fault(&one.replace(" 1000", "00 1000")), SetupFileError::Damaged(1));
        let two = one.replace("setup 1", "setup 2");
        let digits = two.split(' ').nth(2).unwrap();
        assert_eq!(fault(&format!("{one}{}", two.replace(digits, "00ff"))), SetupFileError::Damaged(2));
        assert_eq!(fault(&format!("{two}{one}")), SetupFileError::Order(1));
        assert_eq!(fault(&format!("{one}{one}")), SetupFileError::Order(1));
        assert_eq!(fault(&one.replace("setup 1", "setup 0")), SetupFileError::Order(0));
        let many: String = (1..=9).map(|version| one.replace("setup 1", &format!("setup {version}"))).collect();
        assert_eq!(fault(&many), SetupFileError::TooMany);
    }

    #[test]
    fn there_are_so_many_and_the_newest_stays() {
        let setups = setups();
        assert_eq!(setups.retire(1), Err(ChangeSetupsError::Newest));
        for version in 2..=8 {
            assert_eq!(setups.rotate(&SystemRng, 0), Ok(version));
        }
        assert_eq!(setups.rotate(&SystemRng, 0), Err(ChangeSetupsError::TooMany));
        assert_eq!(setups.retire(3), Ok(()));
        assert_eq!(setups.retire(3), Err(ChangeSetupsError::NotThere));
        assert_eq!(setups.rotate(&SystemRng, 0), Ok(9), "no version is used twice");
        assert_eq!(versions(&setups), [1, 2, 4, 5, 6, 7, 8, 9]);
        assert_eq!((setups.while_newest(9, || ()), setups.while_newest(8, || ())), (Some(()), None));
    }

    #[test]
    fn what_is_not_written_does_not_count() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&written);
        let setups = setups().kept_by(Box::new(move |text| {
            let mut written = to.lock().unwrap();
            // The second time the disk is full.
            if written.is_empty() {
                written.push(text.to_owned())
            } else {
                return Err("full".into());
            }
            Ok(())
        }));
        assert_eq!(setups.rotate(&SystemRng, 0), Ok(2));
        assert_eq!(written.lock().unwrap().as_slice(), [setups.to_file_text().as_str()]);
        assert_eq!(setups.rotate(&SystemRng, 0), Err(ChangeSetupsError::NotKept("full".into())));
        assert_eq!(setups.retire(1), Err(ChangeSetupsError::NotKept("full".into())));
        assert_eq!(versions(&setups), [1, 2]);
    }

    #[test]
    fn names_that_nobody_has_go_over_one_by_one() {
        let setups = setups();
        let made = 5_000;
        setups.rotate(&SystemRng, made).unwrap();
        let names: Vec<_> = (0..1_000).map(|n| AccountName::parse(&format!("name-{n}")).unwrap()).collect();
        let gone = |after: u64| {
            let now = made + after;
            names.iter().filter(|name| setups.of_nobody(name, now).version == 2).count()
        };
        assert!(gone(0) < 5, "the change itself shows nothing: {}", gone(0));
        assert!((400..600).contains(&gone(HALF_MS)), "{}", gone(HALF_MS));
        // It never ends: there is no day after which whoever goes over is somebody.
        assert!((850..990).contains(&gone(10 * HALF_MS)), "{}", gone(10 * HALF_MS));
        // And nobody goes back.
        let both = |name: &&AccountName| {
            setups.of_nobody(name, made + HALF_MS).version == 2
                && setups.of_nobody(name, made + 2 * HALF_MS).version == 1
        };
        assert_eq!(names.iter().filter(both).count(), 0);
        setups.retire(1).unwrap();
        assert_eq!(gone(0), 1_000);
    }
}
