//! The command line as resolved: words become the values that the library wants.
//!
//! Files named here are read here, except the password's, which is read when it is needed.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use qpc_client::{Fingerprint, Home, KeySource, ServerAddress, api::Password};

use super::{args::Common, failure::Failure, hint};

/// What makes the server's certificate believable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Belief {
    /// This fingerprint alone.
    Pin(Fingerprint),
    /// What chains to this file.
    Ca(PathBuf),
    /// What the home knows; on first use, whatever a person says.
    Known,
}

/// The options that every command has.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// The server; `None` for the home's own.
    pub(super) server: Option<ServerAddress>,
    /// The home's directory.
    pub(super) home: PathBuf,
    /// What lets a new account in.
    pub(super) token: Option<String>,
    /// See [`Belief`].
    pub(super) belief: Belief,
    /// What opens the home's database.
    pub(super) key: KeySource,
    /// Where the password is.
    pub(super) password_file: Option<PathBuf>,
}

impl Settings {
    /// Resolves what was typed; `env` is the environment.
    ///
    /// # Errors
    /// A usage or data [`Failure`] that names the option.
    pub(super) fn resolve(typed: Common, env: impl Fn(&str) -> Option<OsString>) -> Result<Self, Failure> {
        // An empty option is an unset one: `--auth-token "$QPC_AUTH_TOKEN"` in a script.
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        let server = filled(typed.server)
            .map(|text| text.parse::<ServerAddress>())
            .transpose()
            .map_err(|error| Failure::usage(error.to_string()).at("--server (or QPC_SERVER)"))?;
        let belief = match (filled(typed.pin), typed.ca) {
            (Some(pin), _) => Belief::Pin(pin.parse().map_err(|_| {
                Failure::usage("a pin is sha256: and 64 hex digits")
                    .at("--pin")
                    .next("copy the fingerprint that the server prints when it starts")
            })?),
            (None, Some(ca)) => Belief::Ca(ca),
            (None, None) => Belief::Known,
        };
        let token = match (filled(typed.auth_token), env("QPC_AUTH_TOKEN_FILE")) {
            (Some(token), _) => Some(token),
            (None, Some(path)) if !path.is_empty() => Some(first_line(Path::new(&path), "QPC_AUTH_TOKEN_FILE")?),
            _ => None,
        };
        let home = match typed.home.filter(|dir| !dir.as_os_str().is_empty()) {
            Some(dir) => {
                // What the environment says it says to the next command, too.
                if env("QPC_HOME").is_none_or(|set| set != dir.as_os_str()) {
                    hint::remember_home(&dir);
                }
                dir
            }
            None => Home::default_dir()
                .map_err(|error| Failure::usage(error.to_string()).next("pass --home DIR, or set QPC_HOME"))?,
        };
        let key = match typed.passphrase_file {
            Some(path) => KeySource::Passphrase(Password(first_line(&path, "--passphrase-file")?)),
            None => KeySource::Auto,
        };
        Ok(Self { server, home, token, belief, key, password_file: typed.password_file })
    }
}

/// The first line of a small file, without its end.
///
/// # Errors
/// A data [`Failure`] where it can't be read or is empty.
pub(super) fn first_line(path: &Path, option: &str) -> Result<String, Failure> {
    let place = format!("{} ({option})", path.display());
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::data(format!("the file can't be read: {error}")).at(place.clone()))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(Failure::data("the first line of the file is empty").at(place)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::Exit;

    fn nothing() -> Common {
        Common {
            server: None,
            home: Some("/home".into()),
            auth_token: None,
            pin: None,
            ca: None,
            password_file: None,
            passphrase_file: None,
            json: false,
        }
    }

    #[test]
    fn words_become_values() {
        let pin = format!("sha256:{}", "ab".repeat(32));
        let typed = Common { server: Some("Chat.Example".into()), pin: Some(pin.clone()), ..nothing() };
        let settings = Settings::resolve(typed, |_| None).unwrap();
        assert_eq!(settings.server.unwrap().to_string(), "chat.example:7000");
        assert_eq!(settings.belief, Belief::Pin(pin.parse().unwrap()));
        assert_eq!(settings.home, Path::new("/home"));
    }

    #[test]
    fn an_empty_option_is_an_unset_one() {
        let empty = Some(String::new());
        let typed = Common { server: empty.clone(), auth_token: empty.clone(), pin: empty, ..nothing() };
        let settings = Settings::resolve(typed, |_| None).unwrap();
        assert_eq!((settings.server, settings.token, settings.belief), (None, None, Belief::Known));
    }

    #[test]
    fn a_wrong_word_is_a_usage_error_that_names_its_option() {
        let server = Settings::resolve(Common { server: Some("https://x".into()), ..nothing() }, |_| None);
        let pin = Settings::resolve(Common { pin: Some("sha256:1".into()), ..nothing() }, |_| None);
        for (failure, place) in [(server, "--server (or QPC_SERVER)"), (pin, "--pin")] {
            let failure = failure.unwrap_err();
            assert_eq!((failure.exit, failure.place.as_deref()), (Exit::Usage, Some(place)));
        }
    }

    #[test]
    fn the_token_may_be_in_a_file_and_the_option_wins() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, "from-file\nrest").unwrap();
        let env = |name: &str| (name == "QPC_AUTH_TOKEN_FILE").then(|| path.clone().into_os_string());
        assert_eq!(Settings::resolve(nothing(), env).unwrap().token.as_deref(), Some("from-file"));
        let typed = Common { auth_token: Some("typed".into()), ..nothing() };
        assert_eq!(Settings::resolve(typed, env).unwrap().token.as_deref(), Some("typed"));
        fs::write(&path, "\n").unwrap();
        assert_eq!(Settings::resolve(nothing(), env).unwrap_err().exit, Exit::Data);
    }
}
