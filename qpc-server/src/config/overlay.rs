//! What stands above the file: environment variables, then the command line.
//!
//! `QPC_SECTION__KEY` sets `section.key`; `QPC_AUTH_TOKEN`, `QPC_AUTH_TOKEN_FILE` and
//! `QPC_DB_KEY_FILE` are short names. `QPC_DB_KEY` is no key of the file and is taken apart. Lists have commas between
//! their names, and peers are written `DOMAIN=ADDRESS`.

use serde_json::Value as Json;
use toml::{Table, Value};

use super::{Config, ConfigError, source};

/// Short names and the keys they stand for.
const SHORT: [(&str, &str); 3] = [
    ("QPC_AUTH_TOKEN", "server.auth_token"),
    ("QPC_AUTH_TOKEN_FILE", "server.auth_token_file"),
    ("QPC_DB_KEY_FILE", "storage.key_file"),
];

/// The one list that is not of names.
const PEERS: &str = "federation.peers";

/// One setting from above the file, with what to call it in an error.
pub(super) struct Setting {
    pub(super) origin: String,
    pub(super) key: String,
    pub(super) value: String,
}

/// The settings among environment variables. Other programs' variables are left alone.
pub(super) fn settings(environment: impl IntoIterator<Item = (String, String)>) -> Result<Vec<Setting>, ConfigError> {
    let mut found = Vec::new();
    for (name, value) in environment {
        let key = if let Some((_, key)) = SHORT.iter().find(|(short, _)| *short == name) {
            (*key).to_owned()
        } else if let Some(path) = name.strip_prefix("QPC_").filter(|path| path.contains("__")) {
            path.to_ascii_lowercase().replace("__", ".")
        } else {
            continue;
        };
        if !source::keys().iter().any(|(known, _)| *known == key) {
            return Err(ConfigError::Environment { name, message: source::unknown(&key) });
        }
        found.push(Setting { origin: name, key, value });
    }
    // The same variables give the same outcome, in whatever order the system lists them.
    found.sort_by(|a, b| a.origin.cmp(&b.origin));
    Ok(found)
}

/// Puts settings above a table, one after the other, so that a wrong one is called by its name.
pub(super) fn apply(file: Table, settings: Vec<Setting>) -> Result<Config, ConfigError> {
    let internal = |error: &dyn std::fmt::Display| ConfigError::Internal(error.to_string());
    // From the defaults up, so that a variable may set one half of what belongs together.
    let mut table = Table::try_from(Config::default()).map_err(|error| internal(&error))?;
    merge(&mut table, file);
    let mut config: Config = table.clone().try_into().map_err(|error| internal(&error))?;
    for Setting { origin, key, value } in settings {
        set(&mut table, &key, typed(&key, value));
        config = table.clone().try_into().map_err(|error: toml::de::Error| ConfigError::Environment {
            name: origin,
            message: error.message().trim_end().replace('\n', "; "),
        })?;
    }
    Ok(config)
}

/// A value as the key's type wants it. What does not parse stays text, for the error to quote.
fn typed(key: &str, text: String) -> Value {
    let default = source::keys().iter().find(|(known, _)| known == key).map(|(_, default)| default);
    match default {
        Some(Json::Bool(_)) => text.parse().map(Value::Boolean).unwrap_or(Value::String(text)),
        // Names between commas.
        Some(Json::Array(_)) => {
            let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
            let value = |name: &str| if key == PEERS { peer(name) } else { Value::String(name.to_owned()) };
            Value::Array(names.map(value).collect())
        }
        Some(Json::Number(_)) => text.parse().map(Value::Integer).unwrap_or(Value::String(text)),
        _ => Value::String(text),
    }
}

/// A peer as `DOMAIN=ADDRESS`. What has no address is a table without one, for the error to say so.
fn peer(text: &str) -> Value {
    let (domain, address) = text.split_once('=').map_or((text, None), |(domain, address)| (domain, Some(address)));
    let fields = [("domain", Some(domain)), ("address", address)];
    let field = |(name, text): (&str, Option<&str>)| Some((name.to_owned(), Value::String(text?.trim().to_owned())));
    Value::Table(fields.into_iter().filter_map(field).collect())
}

fn merge(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

fn set(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}
