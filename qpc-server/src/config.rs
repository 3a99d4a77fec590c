//! The configuration: a TOML file, above it the environment, above that the command line.
//!
//! A wrong key or value is an error that says where it stands and what was probably meant;
//! nothing is ignored. [`Config::load`] reads, [`Loaded::check`] judges what only makes sense
//! together, and `production = true` refuses what is only good for trying out.

mod acme;
mod annotated;
mod change;
mod check;
mod files;
mod limits;
mod overlay;
mod profile;
mod section;
mod source;
mod value;

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use self::{
    acme::Acme,
    annotated::annotated,
    change::{Change, changes},
    check::Fault,
    limits::{Limits, Rate, Transport},
    profile::{PROFILES, Profile, UnknownProfile},
    section::{
        Backup, BlobBackend, Blobs, Ephemeral, Federation, FederationAccess, FederationPeer, Log, LogFormat, Metrics,
        Retention, Runtime, Server, Storage,
    },
    source::{FileFault, keys, values},
    value::{Period, PeriodError, Secret},
};

/// What a configuration file is called in a data directory.
pub const FILE_NAME: &str = "qpc-server.toml";
/// The environment's name for the database's key itself.
const DB_KEY: &str = "QPC_DB_KEY";

/// Everything that can be configured, with effective values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `[server]`.
    pub server: Server,
    /// `[runtime]`.
    pub runtime: Runtime,
    /// `[storage]`.
    pub storage: Storage,
    /// `[blobs]`.
    pub blobs: Blobs,
    /// `[retention]`.
    pub retention: Retention,
    /// `[backup]`.
    pub backup: Backup,
    /// `[transport]`.
    pub transport: Transport,
    /// `[limits]`.
    pub limits: Limits,
    /// `[ephemeral]`.
    pub ephemeral: Ephemeral,
    /// `[acme]`.
    pub acme: Acme,
    /// `[federation]`.
    pub federation: Federation,
    /// `[metrics]`.
    pub metrics: Metrics,
    /// `[log]`.
    pub log: Log,
}

/// A configuration with where it came from, and the one secret that no file of it holds.
#[derive(Debug)]
pub struct Loaded {
    /// Effective values; secrets are read from their files.
    pub config: Config,
    /// The database's key, where the environment gives it.
    pub db_key: Option<Secret>,
    /// The file, where there is one.
    pub file: Option<PathBuf>,
    source: Option<source::Source>,
    /// Keys that stand above the file, and who sets them.
    above: Vec<(String, String)>,
}

/// What the command line says of the configuration.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--config`: the file. By default the one in the data directory, if there is one.
    pub file: Option<PathBuf>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<SocketAddr>,
    /// `--metrics-listen`.
    pub metrics_listen: Option<SocketAddr>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file can't be read.
    #[error("{}: {error}{}", file.display(), hint(file, error))]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file says something that is not understood.
    #[error(transparent)]
    File(#[from] FileFault),
    /// A variable of the environment does.
    #[error("{name}: {message}")]
    Environment {
        /// Which.
        name: String,
        /// What is wrong with it.
        message: String,
    },
    /// A file that the configuration names can't be read.
    #[error("{place}: {key}: {}: {error}; name a file that the server may read", file.display())]
    Named {
        /// Where that is said: a place in the file, or a variable.
        place: String,
        /// By which key.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Secrets are given twice.
    #[error("{place}: {key}_file: {key} is set as well: take one of the two out")]
    Twice {
        /// Where the file is named.
        place: String,
        /// The key of the secret itself.
        key: &'static str,
    },
    /// A fault of this program.
    #[error("internal fault: {0}")]
    Internal(String),
}

impl Config {
    /// Reads everything. The data directory of the command line or the environment is where the file is
    /// looked for; a file found there can't name another one.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(
        overrides: &Overrides,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Loaded, ConfigError> {
        let mut environment: Vec<(String, String)> = environment.into_iter().collect();
        let db_key = environment.iter().position(|(name, _)| name == DB_KEY).map(|at| environment.swap_remove(at).1);
        let settings = overlay::settings(environment)?;

        let home = overrides.data_dir.clone().unwrap_or_else(|| {
            let set = settings.iter().find(|setting| setting.key == "server.data_dir");
            set.map_or_else(|| Server::default().data_dir, |setting| PathBuf::from(&setting.value))
        });
        let source = match &overrides.file {
            Some(file) => Some(read(file)?),
            None => Some(home.join(FILE_NAME)).filter(|file| file.exists()).map(|file| read(&file)).transpose()?,
        };
        let table = source.as_ref().map(source::Source::parse).transpose()?.unwrap_or_default();
        let mut above: Vec<_> = settings.iter().map(|set| (set.key.clone(), set.origin.clone())).collect();
        let typed = [
            ("server.data_dir", overrides.data_dir.is_some(), "--data-dir"),
            ("server.listen", overrides.listen.is_some(), "--listen"),
            ("metrics.listen", overrides.metrics_listen.is_some(), "--metrics-listen"),
        ];
        above.extend(typed.into_iter().filter(|(_, is, _)| *is).map(|(key, _, by)| (key.to_owned(), by.to_owned())));
        let mut config = overlay::apply(table, settings)?;

        if overrides.file.is_none() || overrides.data_dir.is_some() {
            config.server.data_dir = home;
        }
        config.server.listen = overrides.listen.unwrap_or(config.server.listen);
        config.metrics.listen = overrides.metrics_listen.unwrap_or(config.metrics.listen);
        let file = source.as_ref().map(|source| source.file.clone());
        let mut loaded = Loaded { config, db_key: db_key.map(Secret::new), file, source, above };
        let (server, acme) = (&loaded.config.server, &loaded.config.acme);
        let token = loaded.secret(
            "server.auth_token",
            "server.auth_token_file",
            &server.auth_token,
            &server.auth_token_file,
        )?;
        let key = loaded.secret("acme.eab_key", "acme.eab_key_file", &acme.eab_key, &acme.eab_key_file)?;
        (loaded.config.server.auth_token, loaded.config.acme.eab_key) = (token, key);
        Ok(loaded)
    }

    /// The effective values as a configuration file, secrets redacted.
    ///
    /// # Errors
    /// [`ConfigError::Internal`].
    pub fn show(&self) -> Result<String, ConfigError> {
        toml::to_string(self).map_err(|error| ConfigError::Internal(error.to_string()))
    }
}

impl Loaded {
    /// A secret that is given itself, or in a file, or not at all.
    fn secret(
        &self,
        key: &'static str,
        key_of_file: &'static str,
        given: &Option<Secret>,
        file: &Option<PathBuf>,
    ) -> Result<Option<Secret>, ConfigError> {
        let Some(file) = file else { return Ok(given.clone()) };
        let place = self.origin(key_of_file);
        if given.is_some() {
            return Err(ConfigError::Twice { place, key });
        }
        let named = |error| ConfigError::Named { place, key: key_of_file, file: file.clone(), error };
        secret_of(file).map(Some).map_err(named)
    }

    /// The effective values, one a line and still a configuration file, each with where it comes from. Secrets are redacted,
    /// and keys that are not set left out.
    ///
    /// # Errors
    /// [`ConfigError::Internal`].
    pub fn show_origins(&self) -> Result<String, ConfigError> {
        let mut text = String::new();
        for (key, value) in values(&self.config).into_iter().filter(|(_, value)| !value.is_null()) {
            let value = toml::Value::try_from(&value).map_err(|error| ConfigError::Internal(error.to_string()))?;
            text.push_str(&format!("{key} = {value}  # {}\n", self.origin(&key)));
        }
        Ok(text)
    }

    /// Who sets a key: what stands highest.
    fn origin(&self, key: &str) -> String {
        self.set_by(key).unwrap_or_else(|| "default".into())
    }

    /// The same, where it is not the default. Of an entry of a list, `federation.peers.0`, its own place.
    fn set_by(&self, key: &str) -> Option<String> {
        let sets = |set: &str| key.strip_prefix(set).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let above = self.above.iter().rev().find(|(set, _)| sets(set)).map(|(_, by)| by.clone());
        above.or_else(|| self.source.as_ref().and_then(|source| source.place_of(key)))
    }
}

fn read(file: &Path) -> Result<source::Source, ConfigError> {
    let bytes = fs::read(file).map_err(|error| ConfigError::Unreadable { file: file.to_owned(), error })?;
    Ok(source::Source::of(file.to_owned(), bytes)?)
}

/// Whether a file is one that systemd hands to a unit (`LoadCredential=`): it is there only while that runs.
fn is_credential(file: &Path) -> bool {
    file.starts_with("/run/credentials")
}

/// What to do about a file that can't be read.
fn hint(file: &Path, error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound if is_credential(file) => "; systemd has it there while the unit runs",
        io::ErrorKind::IsADirectory => "; name a file in it",
        io::ErrorKind::NotFound => "; name a file that is there",
        io::ErrorKind::PermissionDenied => "; let the server's user read it",
        _ => "",
    }
}

/// Reads a secret's file; the line's end is no part of it.
///
/// # Errors
/// [`ConfigError::Unreadable`].
pub fn read_secret(file: &Path) -> Result<Secret, ConfigError> {
    secret_of(file).map_err(|error| ConfigError::Unreadable { file: file.to_owned(), error })
}

fn secret_of(file: &Path) -> io::Result<Secret> {
    let text = Zeroizing::new(fs::read_to_string(file)?);
    Ok(Secret::new(text.trim_end_matches(['\n', '\r']).to_owned()))
}

#[cfg(test)]
mod tests;
