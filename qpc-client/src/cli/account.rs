//! Registering, logging in and logging out: the beginning and the end of a home.

use std::io::{self, BufRead, IsTerminal, Write};

use qpc_client::{
    KeySource, Login, Registration, Session,
    api::{Command, Outcome, Whoami},
};
use qpc_proto::{address::AccountName, limits::DEVICE_NAME_MAX};
use serde::Serialize;

use super::{
    args::Lock,
    arrive::{Arrival, arrive},
    failure::Failure,
    hint, input, open,
    password::Source,
    screen::Screen,
    settings::Settings,
};

/// Makes an account.
///
/// # Errors
/// A [`Failure`] that says what to do next.
pub(super) async fn register(mut settings: Settings, screen: &Screen, name: &str, lock: Lock) -> Result<(), Failure> {
    let name = AccountName::parse(name).map_err(|error| Failure::usage(error.to_string()).at("NAME"))?;
    server_is_known(&settings)?;
    open::vacant(&settings).await?;
    let prompt = format!("A password for {name}: ");
    let password = Source::open(settings.password_file.as_deref(), 1).await?.new_one(&prompt).await?;
    lock_with(&mut settings, &lock).await?;
    let registration = Registration {
        name: name.as_str().to_owned(),
        password,
        token: settings.token.clone(),
        device_name: device_name(),
    };
    let client = open::register(&settings, registration).await?;
    welcome(client.into(), screen, "registered", None).await
}

/// Makes the home a device of an account.
///
/// # Errors
/// A [`Failure`] that says what to do next.
pub(super) async fn login(mut settings: Settings, screen: &Screen, name: &str, lock: Lock) -> Result<(), Failure> {
    server_is_known(&settings)?;
    open::vacant(&settings).await?;
    let mut source = Source::open(settings.password_file.as_deref(), 1).await?;
    let password = source.existing(&format!("Password of {name}: ")).await?;
    lock_with(&mut settings, &lock).await?;
    let login = Login { name: name.to_owned(), password, device_name: device_name() };
    let session = Session::from(open::login(&settings, login).await?);
    // It is logged in, whatever comes of the rest: the next command goes on where this one ends.
    let arrival = match arrive(&session, screen).await {
        Ok(arrival) => Some(arrival),
        Err(failure) => {
            screen.note(&format!("the conversations of this account are joined later: {}", failure.text()));
            None
        }
    };
    welcome(session, screen, "logged in as", arrival).await
}

/// Revokes the device and empties the home, after asking a person.
///
/// # Errors
/// A [`Failure`]; the home is as it was then.
pub(super) async fn logout(mut settings: Settings, screen: &Screen) -> Result<(), Failure> {
    let session = open::session(&mut settings).await?;
    if screen.interactive && !confirmed(&settings.home.display().to_string()).await? {
        session.close().await;
        return Err(Failure::denied("not confirmed; nothing was changed"));
    }
    session.logout().await?;
    screen.note("logged out: the device is revoked and the home is empty");
    Ok(())
}

/// What a home's owner reads first.
async fn welcome(session: Session, screen: &Screen, what: &str, arrival: Option<Arrival>) -> Result<(), Failure> {
    let outcome = session.execute(Command::Whoami).await;
    session.close().await;
    let Outcome::Whoami(whoami) = outcome? else { return Ok(()) };
    if screen.json {
        return Ok(screen.object(&SignedIn { whoami: &whoami, arrival: arrival.as_ref() })?);
    }
    screen.data(&format!("{what} {}", screen.paint.bold(&whoami.address)))?;
    if let Some(arrival) = arrival {
        screen.note(&arrival.text());
    }
    screen.note(&format!("account key {} (others can compare it with what they see)", whoami.account_key));
    screen.note(&format!("next: {} chat NAME", hint::program()));
    Ok(())
}

/// What programs read first.
#[derive(Serialize)]
struct SignedIn<'s> {
    #[serde(flatten)]
    whoami: &'s Whoami,
    #[serde(flatten)]
    arrival: Option<&'s Arrival>,
}

/// Asks for the passphrase of a home to be, where it shall have one.
async fn lock_with(settings: &mut Settings, lock: &Lock) -> Result<(), Failure> {
    if !lock.passphrase || !matches!(settings.key, KeySource::Auto) {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("there is no terminal to ask for a passphrase").next("pass --passphrase-file FILE"));
    }
    settings.key = KeySource::Passphrase(Source::Prompt.new_one("A passphrase for this home: ").await?);
    Ok(())
}

/// The first command on a home has to say where the server is.
fn server_is_known(settings: &Settings) -> Result<(), Failure> {
    if settings.server.is_some() {
        return Ok(());
    }
    Err(Failure::usage("which server?").next("pass --server HOST[:PORT], or set QPC_SERVER"))
}

/// The machine's name, so that its owner recognises it in the list of devices.
pub(super) fn device_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| !super::terminal::harmful(*c)).collect();
    if name.is_empty() || name.len() > DEVICE_NAME_MAX { "a computer".to_owned() } else { name }
}

async fn confirmed(home: &str) -> Result<bool, Failure> {
    let question = format!("This revokes the device and deletes its messages in {home}. Type yes to do it: ");
    io::stderr().lock().write_all(question.as_bytes()).ok();
    input::asked(|| {
        let mut answer = String::new();
        Ok(io::stdin().lock().read_line(&mut answer).is_ok() && answer.trim() == "yes")
    })
    .await
}
