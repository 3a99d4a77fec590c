//! Configuration as text: known keys, and faults that point at a place in the file.

use std::{fmt, ops::Range, path::PathBuf, sync::LazyLock};

use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::Config;

/// How far a typing mistake may be from what was meant.
const NEAR_ENOUGH: f64 = 0.6;

/// A fault of a configuration file, at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFault {
    file: PathBuf,
    place: Option<(usize, usize)>,
    message: String,
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for FileFault {}

/// The text of a configuration file, which may hold a token.
pub(super) struct Source {
    pub(super) file: PathBuf,
    pub(super) text: Zeroizing<String>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.file.display())
    }
}

impl Source {
    /// Reads it: every key known, every value of its type.
    pub(super) fn parse(&self) -> Result<toml::Table, FileFault> {
        let document = DeTable::parse(&self.text).map_err(|error| self.fault(error.span(), error.message()))?;
        self.check_keys(document.get_ref(), "")?;
        // The whole is put together elsewhere, from the defaults up; here each value's type is judged.
        toml::from_str::<Config>(&self.text).map_err(|error| self.fault(error.span(), error.message()))?;
        self.text.parse().map_err(|error: toml::de::Error| self.fault(error.span(), error.message()))
    }

    /// Where a key (or its section) stands, as `file:line:column`.
    pub(super) fn place_of(&self, key: &str) -> Option<String> {
        let document = DeTable::parse(&self.text).ok()?;
        let mut table = document.get_ref();
        let mut span = None;
        for part in key.split('.') {
            let (name, value) = table.iter().find(|(name, _)| name.get_ref() == part)?;
            span = Some(name.span());
            match value.get_ref() {
                DeValue::Table(inner) => table = inner,
                _ => break,
            }
        }
        let fault = self.fault(span, "");
        let (line, column) = fault.place?;
        Some(format!("{}:{line}:{column}", self.file.display()))
    }

    fn check_keys(&self, table: &DeTable<'_>, prefix: &str) -> Result<(), FileFault> {
        for (key, value) in table {
            let path = format!("{prefix}{}", key.get_ref());
            let fault = |message: String| Err(self.fault(Some(key.span()), &message));
            match (known(&path), value.get_ref()) {
                (Known::Section, DeValue::Table(inner)) => self.check_keys(inner, &format!("{path}."))?,
                (Known::Section, _) => return fault(format!("`{path}` is a section: write [{path}]")),
                (Known::Key, DeValue::Table(_)) => return fault(format!("`{path}` is a key, not a section")),
                (Known::Key, _) => {}
                (Known::No, _) => return fault(unknown(&path)),
            }
        }
        Ok(())
    }

    fn fault(&self, span: Option<Range<usize>>, message: &str) -> FileFault {
        let place = span.and_then(|span| self.text.get(..span.start)).map(|before| {
            let line = before.matches('\n').count().saturating_add(1);
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count().saturating_add(1);
            (line, column)
        });
        FileFault { file: self.file.clone(), place, message: message.trim_end().replace('\n', "; ") }
    }
}

/// All keys by their full names, in order, with their values in a configuration: null where there is none.
pub(super) fn values(of: &Config) -> Vec<(String, serde_json::Value)> {
    fn walk(value: serde_json::Value, path: &str, keys: &mut Vec<(String, serde_json::Value)>) {
        match value {
            serde_json::Value::Object(object) => {
                for (key, value) in object {
                    walk(value, &if path.is_empty() { key } else { format!("{path}.{key}") }, keys);
                }
            }
            value => keys.push((path.to_owned(), value)),
        }
    }
    let mut keys = Vec::new();
    walk(serde_json::to_value(of).unwrap_or_default(), "", &mut keys);
    keys
}

static KEYS: LazyLock<Vec<(String, serde_json::Value)>> = LazyLock::new(|| values(&Config::default()));

/// All keys by their full names, with their default values: null where there is none.
#[must_use]
pub fn keys() -> &'static [(String, serde_json::Value)] {
    &KEYS
}

enum Known {
    Key,
    Section,
    No,
}

fn known(path: &str) -> Known {
    let inside = |key: &str| key.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
    if keys().iter().any(|(key, _)| key == path) {
        Known::Key
    } else if keys().iter().any(|(key, _)| inside(key)) {
        Known::Section
    } else {
        Known::No
    }
}

/// What to say of a key that is not known.
pub(super) fn unknown(path: &str) -> String {
    match nearest(path) {
        Some(near) => format!("unknown key `{path}`; did you mean `{near}`?"),
        None => format!("unknown key `{path}`"),
    }
}

/// The known key or section that a wrong one most resembles: by its full name, or by its last part
/// where it stands in the wrong section.
fn nearest(path: &str) -> Option<String> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let mut names: Vec<String> = Vec::new();
    for (key, _) in keys() {
        names.push(key.clone());
        let mut section = key.as_str();
        while let Some((outer, _)) = section.rsplit_once('.') {
            names.push(outer.to_owned());
            section = outer;
        }
    }
    let likeness = |name: &str| {
        let whole = strsim::normalized_damerau_levenshtein(path, name);
        // The right key in the wrong section is a better guess than a like-sounding neighbour.
        let part = if last(path) == last(name) { 0.9 } else { 0.0 };
        whole.max(part)
    };
    names
        .into_iter()
        .map(|name| (likeness(&name), name))
        .filter(|(likeness, _)| *likeness >= NEAR_ENOUGH)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}
