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
    /// Takes a file's bytes, which have to be text.
    pub(super) fn of(file: PathBuf, bytes: Vec<u8>) -> Result<Self, FileFault> {
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { file, text: Zeroizing::new(text) }),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let text = Zeroizing::new(String::from_utf8_lossy(&Zeroizing::new(error.into_bytes())).into_owned());
                let source = Self { file, text };
                let message = "not UTF-8: save the file in that encoding";
                Err(source.fault_at_text(Some(valid..valid), message, message))
            }
        }
    }

    /// Reads it: every key known, every value of its type.
    pub(super) fn parse(&self) -> Result<toml::Table, FileFault> {
        let document = DeTable::parse(&self.text).map_err(|error| self.fault_of_text(&error))?;
        self.check_keys(document.get_ref(), "")?;
        // The whole is put together elsewhere, from the defaults up; here each value's type is judged.
        let wrong = |error: &toml::de::Error| self.fault_of_value(document.get_ref(), error);
        toml::from_str::<Config>(&self.text).map_err(|error| wrong(&error))?;
        self.text.parse().map_err(|error| wrong(&error))
    }

    /// What is no TOML, with the key at which it stands where that can be told, and what to write.
    fn fault_of_text(&self, error: &toml::de::Error) -> FileFault {
        let remedy = match error.message() {
            message if message.contains("duplicate key") => "keep one of the two",
            _ => "a line is `key = value` with text in quotes, a section `[name]`",
        };
        self.fault_at_text(error.span(), error.message(), remedy)
    }

    fn fault_at_text(&self, span: Option<Range<usize>>, message: &str, remedy: &str) -> FileFault {
        let remedy = if remedy == message { String::new() } else { format!("; {remedy}") };
        let message = message.trim_end();
        // A line that ends where it should not is what is meant, not the one after it.
        let at = span.as_ref().map(|span| span.start.saturating_sub(usize::from(self.is_line_start(span.start))));
        match at.and_then(|at| self.typed_key(at)) {
            Some(key) => self.fault(span, &format!("`{key}`: {message}{remedy}")),
            None => self.fault(span, &format!("{message}{remedy}")),
        }
    }

    fn is_line_start(&self, at: usize) -> bool {
        at > 0 && self.text.get(..at).is_some_and(|before| before.ends_with('\n'))
    }

    /// The key of the line at which something stands, as it is typed, in its section.
    fn typed_key(&self, at: usize) -> Option<String> {
        let begin = self.text.get(..at)?.rfind('\n').map_or(0, |newline| newline.saturating_add(1));
        let (above, from) = self.text.split_at_checked(begin)?;
        let plain =
            |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        let key = Some(from.lines().next()?.split('=').next()?.trim()).filter(plain)?;
        let section = above.lines().rev().find_map(|line| line.trim().strip_prefix('['));
        let section = section.map(|line| line.trim_matches(|c| "[] ".contains(c))).filter(plain);
        Some(section.map_or_else(|| key.to_owned(), |section| format!("{section}.{key}")))
    }

    /// A value of the wrong type, with its key and what to write.
    fn fault_of_value(&self, document: &DeTable<'_>, error: &toml::de::Error) -> FileFault {
        let at = error.span();
        let message = words(error.message().trim_end());
        match at.as_ref().and_then(|at| key_at(document, at)) {
            Some(key) => self.fault(at, &format!("`{key}`: {message}; {}", remedy(&key))),
            None => self.fault(at, &message),
        }
    }

    /// Where a key (or its section) stands, as `file:line:column`; of a list's entry, `peers.0`, where that begins.
    pub(super) fn place_of(&self, key: &str) -> Option<String> {
        let document = DeTable::parse(&self.text).ok()?;
        let mut table = document.get_ref();
        let mut span = None;
        let mut parts = key.split('.');
        while let Some(part) = parts.next() {
            let (name, value) = table.iter().find(|(name, _)| name.get_ref() == part)?;
            span = Some(name.span());
            match value.get_ref() {
                DeValue::Table(inner) => table = inner,
                DeValue::Array(entries) => {
                    let entry = parts.next().and_then(|part| entries.get(part.parse::<usize>().ok()?));
                    span = entry.map(toml::Spanned::span).or(span);
                    break;
                }
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
                (Known::Key, DeValue::Table(_)) => {
                    return fault(format!(
                        "`{path}` is a key, not a section: write {} = … in its section",
                        last(&path)
                    ));
                }
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

/// The key whose value holds a place of the text.
fn key_at(table: &DeTable<'_>, at: &Range<usize>) -> Option<String> {
    let inside = |of: &Range<usize>| of.start <= at.start && at.end <= of.end;
    for (name, value) in table {
        match value.get_ref() {
            DeValue::Table(inner) => {
                if let Some(key) = key_at(inner, at) {
                    return Some(format!("{}.{key}", name.get_ref()));
                }
            }
            // A list of tables has no place of its own.
            DeValue::Array(entries) if entries.iter().any(|entry| inside(&entry.span())) || inside(&value.span()) => {
                return Some(name.get_ref().to_string());
            }
            _ if inside(&value.span()) => return Some(name.get_ref().to_string()),
            _ => {}
        }
    }
    None
}

/// A message of the parser without the names of our types.
fn words(message: &str) -> String {
    let message = message.replace('\n', "; ");
    [
        ("expected usize", "expected a whole number from 0 on"),
        ("expected u64", "expected a whole number from 0 on"),
        ("expected u32", "expected a whole number from 0 to 4294967295"),
        ("expected path string", "expected text"),
        ("expected struct FederationPeer", "expected a table"),
    ]
    .into_iter()
    .fold(message, |message, (ours, theirs)| message.replace(ours, theirs))
}

/// What to write for a key.
fn remedy(key: &str) -> String {
    let default = keys().iter().find(|(known, _)| known == key).map(|(_, default)| default);
    match default {
        Some(serde_json::Value::Bool(value)) => format!("write true or false; the default is {value}"),
        Some(serde_json::Value::Number(value)) => format!("write a whole number; the default is {value}"),
        Some(serde_json::Value::Array(_)) if key == "federation.peers" => {
            "write [[federation.peers]] with `domain` and `address` for each".into()
        }
        Some(serde_json::Value::Array(_)) => "write a list, such as [\"a\", \"b\"]".into(),
        Some(serde_json::Value::String(value)) => format!("write text in quotes; the default is {value:?}"),
        _ => "write text in quotes".into(),
    }
}

/// What stands for a key where nothing is configured, as it is said of a wrong value.
pub(super) fn default_of(key: &str) -> Option<String> {
    let (_, default) = keys().iter().find(|(known, _)| known == key)?;
    match default {
        serde_json::Value::Null | serde_json::Value::Array(_) => None,
        serde_json::Value::String(text) if text.is_empty() => None,
        default => Some(default.to_string()),
    }
}

/// All keys by their full names, in order, with their values in a configuration: null where there is none.
pub fn values(of: &Config) -> Vec<(String, serde_json::Value)> {
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
        None => format!("unknown key `{path}`: take it out; `qpc-server config default` shows all there are"),
    }
}

/// A key without its section.
fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or_default()
}

/// The known key or section that a wrong one most resembles: by its full name, or by its last part
/// where it stands in the wrong section.
fn nearest(path: &str) -> Option<String> {
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
    best(names, |name| likeness(name))
}

/// The name that what was typed most resembles, if it resembles any.
pub(super) fn closest<'n>(typed: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    best(names, |name| strsim::normalized_damerau_levenshtein(typed, name))
}

fn best<N>(names: impl IntoIterator<Item = N>, likeness: impl Fn(&N) -> f64) -> Option<N> {
    let judged = names.into_iter().map(|name| (likeness(&name), name));
    let near = judged.filter(|(likeness, _)| *likeness >= NEAR_ENOUGH);
    near.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, name)| name)
}
