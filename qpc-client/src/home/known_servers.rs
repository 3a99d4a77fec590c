//! What this home has been told about servers' certificates: a text file, one line a server, that
//! a person can read and edit, as ssh's `known_hosts` is.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{Fingerprint, ServerAddress, home::HomeError};

/// What is known of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    /// It has this certificate.
    Pin(Fingerprint),
    /// The system's roots vouched for it.
    Roots,
    /// A root of this file, by its absolute path, vouched for it.
    Ca(PathBuf),
}

impl Known {
    /// As it stands in the file; `None` for a path that can't stand in a line.
    fn line(&self) -> Option<String> {
        match self {
            Self::Pin(fingerprint) => Some(fingerprint.to_string()),
            Self::Roots => Some("roots".to_owned()),
            Self::Ca(path) => {
                path.to_str().filter(|path| !path.contains(['\n', '\r'])).map(|path| format!("{CA}{path}"))
            }
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix(CA) {
            return (!path.is_empty()).then(|| Self::Ca(path.into()));
        }
        if text.trim() == "roots" { Some(Self::Roots) } else { text.trim().parse().ok().map(Self::Pin) }
    }
}

/// What stands before the path of a file with roots.
const CA: &str = "ca ";

/// The file.
#[derive(Debug, Clone)]
pub(crate) struct KnownServers {
    /// `None` where nothing is remembered.
    path: Option<PathBuf>,
}

impl KnownServers {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path: Some(path) }
    }

    /// Knows no server and remembers none.
    pub(crate) fn none() -> Self {
        Self { path: None }
    }

    pub(crate) fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    /// What is known of a server; the last line about it counts.
    pub(crate) fn get(&self, server: &ServerAddress) -> Result<Option<Known>, HomeError> {
        let Some(path) = &self.path else { return Ok(None) };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(HomeError::io(path)(error)),
        };
        let name = server.to_string();
        let mine = text.lines().filter_map(|line| line.split_once(' ')).filter(|(server, _)| *server == name);
        Ok(mine.filter_map(|(_, known)| Known::parse(known.trim_start())).next_back())
    }

    /// Remembers what is known of a server, instead of what was.
    pub(crate) fn put(&self, server: &ServerAddress, known: &Known) -> Result<(), HomeError> {
        let Some(path) = &self.path else { return Ok(()) };
        if self.get(server)?.as_ref() == Some(known) {
            return Ok(());
        }
        let Some(known) = known.line() else {
            return Err(HomeError::io(path)(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the path of the file with roots is no text of one line, and can't be remembered",
            )));
        };
        let name = server.to_string();
        let old = fs::read_to_string(path).unwrap_or_default();
        let others = old.lines().filter(|line| line.split_once(' ').is_none_or(|(server, _)| server != name));
        let mut text: String = others.flat_map(|line| [line, "\n"]).collect();
        text.push_str(&format!("{name} {known}\n"));
        let fresh = path.with_extension("new");
        fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, path)).map_err(HomeError::io(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_remembered_is_known_and_others_lines_stay() {
        let dir = tempfile::tempdir().unwrap();
        let known = KnownServers::at(dir.path().join("known_servers"));
        let server = |text: &str| text.parse::<ServerAddress>().unwrap();
        assert_eq!(known.get(&server("a.example")).unwrap(), None);
        fs::write(known.path(), "# mine\n").unwrap();
        known.put(&server("a.example"), &Known::Pin(Fingerprint([1; 32]))).unwrap();
        known.put(&server("b.example"), &Known::Roots).unwrap();
        known.put(&server("a.example"), &Known::Pin(Fingerprint([2; 32]))).unwrap();
        assert_eq!(known.get(&server("a.example")).unwrap(), Some(Known::Pin(Fingerprint([2; 32]))));
        assert_eq!(known.get(&server("b.example")).unwrap(), Some(Known::Roots));
        assert_eq!(known.get(&server("a.example:7001")).unwrap(), None);
        let text = fs::read_to_string(known.path()).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
    }
    #[test]
    fn a_file_of_roots_is_known_by_its_path_blanks_and_all() {
        let dir = tempfile::tempdir().unwrap();
        let known = KnownServers::at(dir.path().join("known_servers"));
        let server = "a.example".parse::<ServerAddress>().unwrap();
        let ca = Known::Ca("/etc/our roots .pem ".into());
        known.put(&server, &ca).unwrap();
        assert_eq!(known.get(&server).unwrap(), Some(ca.clone()));
        assert!(known.put(&server, &Known::Ca("/two\nlines".into())).is_err());
        assert_eq!(known.get(&server).unwrap(), Some(ca));
        fs::write(known.path(), "a.example:7000 ca \n").unwrap();
        assert_eq!(known.get(&server).unwrap(), None);
    }
}
