//! From settings to a session: opens the home, drives it or joins whoever does.
//!
//! All failures to open, register or log in are put into words here.

use std::io::{self, IsTerminal};

use qpc_client::{
    Client, Home, KeySource, KsfParams, Login, OpenError, Options, Registration, Session, SignInError,
    api::{Command, Outcome},
    home::{HomeError, KeyError},
};

use super::{
    failure::Failure,
    hint,
    password::Source,
    settings::Settings,
    trust::{self, Refused, Unknown},
};

/// Opens the home for a command. A passphrase that was asked for stays in the settings.
///
/// # Errors
/// A [`Failure`]; where nobody lives there, one that says how to register.
pub(super) async fn session(settings: &mut Settings) -> Result<Session, Failure> {
    inhabited(settings).await?.ok_or_else(|| not_opened(OpenError::NoAccount, settings))
}

/// As [`session`]; `None` where nobody lives there, a registration that was cut off included.
///
/// # Errors
/// A [`Failure`].
pub(super) async fn inhabited(settings: &mut Settings) -> Result<Option<Session>, Failure> {
    let options = options(settings, Unknown::Refuse, &Refused::default());
    let opened = match Session::open(home(settings), options.clone()).await {
        Err(OpenError::Home(HomeError::Key(KeyError::PassphraseNeeded))) if io::stdin().is_terminal() => {
            settings.key = KeySource::Passphrase(Source::Prompt.existing("The passphrase of this home: ").await?);
            Session::open(home(settings), options).await
        }
        opened => opened,
    };
    match opened {
        Err(OpenError::NoAccount) => Ok(None),
        opened => opened.map(Some).map_err(|error| not_opened(error, settings)),
    }
}

/// Says who lives in a home that should be empty.
///
/// # Errors
/// A usage [`Failure`] if somebody does.
pub(super) async fn vacant(settings: &Settings) -> Result<(), Failure> {
    let options = options(settings, Unknown::Refuse, &Refused::default());
    let session = match Session::open(home(settings), options).await {
        Err(OpenError::NoAccount) => return Ok(()),
        opened => opened.map_err(|error| not_opened(error, settings))?,
    };
    let whoami = session.execute(Command::Whoami).await;
    session.close().await;
    let whose = match whoami {
        Ok(Outcome::Whoami(whoami)) => whoami.address,
        _ => "somebody".to_owned(),
    };
    Err(not_signed_in(SignInError::Occupied(whose), settings, &Refused::default()))
}

/// Registers an account.
///
/// # Errors
/// A [`Failure`] that says what to do next.
pub(super) async fn register(settings: &Settings, registration: Registration) -> Result<Client, Failure> {
    let refused = Refused::default();
    let options = options(settings, Unknown::Ask, &refused);
    let made = Client::register(home(settings), options, registration).await;
    made.map_err(|error| not_signed_in(error, settings, &refused))
}

/// Registers a throw-away account; gives `None` where `unless` happens before the server is reached.
///
/// # Errors
/// A [`Failure`] that says what to do next.
pub(super) async fn register_guest(
    settings: &Settings,
    registration: Registration,
    unless: impl Future<Output = ()>,
) -> Result<Option<Client>, Failure> {
    let refused = Refused::default();
    let options = Options { ksf: KsfParams::weak(), ..options(settings, Unknown::Loopback, &refused) };
    let made = Client::register_unless(home(settings), options, registration, unless).await;
    made.map_err(|error| not_signed_in(error, settings, &refused))
}

/// Logs a home in.
///
/// # Errors
/// A [`Failure`] that says what to do next.
pub(super) async fn login(settings: &Settings, login: Login) -> Result<Client, Failure> {
    let refused = Refused::default();
    let options = options(settings, Unknown::Ask, &refused);
    let opened = Client::login(home(settings), options, login).await;
    opened.map_err(|error| not_signed_in(error, settings, &refused))
}

/// The home, which need not exist yet.
pub(super) fn home(settings: &Settings) -> Home {
    Home::at(&settings.home, settings.key.clone())
}

fn options(settings: &Settings, unknown: Unknown, refused: &Refused) -> Options {
    Options {
        server: settings.server.clone(),
        trust: trust::trust(&settings.belief, unknown, refused),
        ..Options::default()
    }
}

fn not_opened(error: OpenError, settings: &Settings) -> Failure {
    let failure = match &error {
        OpenError::NoAccount => Failure::usage(error.to_string()).next(format!(
            "make an account:   {me} --server HOST --auth-token TOKEN register NAME\n\
                 or use one:        {me} --server HOST login NAME",
            me = hint::program()
        )),
        OpenError::Busy => {
            Failure::internal(error.to_string()).next("end the other program, or choose another directory with --home")
        }
        OpenError::WrongKey if matches!(settings.key, KeySource::Passphrase(_)) => {
            Failure::denied("that is not the passphrase of this home")
                .next("try again; without its passphrase nobody can open this home")
        }
        OpenError::WrongKey => Failure::denied(error.to_string())
            .next("put back the key that belongs to client.db, or both files from one copy of the home"),
        OpenError::Home(HomeError::Key(error)) => no_key(error),
        OpenError::Home(_) | OpenError::Database(_) | OpenError::Damaged(_) => Failure::internal(error.to_string()),
    };
    failure.at(settings.home.display().to_string())
}

fn no_key(error: &KeyError) -> Failure {
    let what = error.to_string();
    match error {
        KeyError::PassphraseNeeded => {
            Failure::denied(what).next("pass --passphrase-file FILE, or run the command in a terminal")
        }
        KeyError::NoPassphrase => {
            Failure::usage(what).next("leave out --passphrase-file, and unset QPC_PASSPHRASE_FILE")
        }
        KeyError::Gone(_) | KeyError::Malformed(_) | KeyError::Io { .. } => {
            Failure::denied(what).next("put the key back as it was: without it nobody can open this home")
        }
        KeyError::Stretch(_) | KeyError::Randomness(_) => Failure::internal(what),
    }
}

fn not_signed_in(error: SignInError, settings: &Settings, refused: &Refused) -> Failure {
    if let Some(failure) = refused.failure() {
        return failure;
    }
    match error {
        SignInError::Open(error) => not_opened(error, settings),
        SignInError::Occupied(_) => Failure::usage(error.to_string())
            .at(settings.home.display().to_string())
            .next("one home is one device of one account: choose another directory with --home, or log out first"),
        SignInError::Refused(error) => {
            let failure = Failure::from(error);
            match &settings.server {
                Some(server) => failure.at(server.to_string()),
                None => failure,
            }
        }
    }
}
