//! No command and no terminal: stay online and print events until stopped.
//!
//! With the home's account where it has one; else with a throw-away account in a temporary home,
//! both of which end with the program. Its password is random and forgotten, so that its key
//! stretching is as cheap as can be: there is nothing to guess. A hundred of these are a load test.

use std::time::Duration;

use qpc_client::{
    Registration,
    api::{Command, Password},
};

use super::{
    account,
    exit::Exit,
    failure::Failure,
    hint,
    listen::{self, What},
    open,
    screen::Screen,
    seat::Seat,
    settings::Settings,
    signals::{self, GRACE, Stop},
};

/// How long the end may take to delete a throw-away account.
const FAREWELL: Duration = Duration::from_secs(5);

/// Runs until stopped.
///
/// # Errors
/// A [`Failure`] that says what to do next.
pub(super) async fn run(settings: Settings, screen: &Screen) -> Result<(), Failure> {
    if open::home(&settings).has_account() {
        match signals::until_told(GRACE, at_home(settings.clone(), screen)).await? {
            // A registration that was cut off leaves a home without an account.
            Some(Ok(Home::Empty)) => {}
            Some(Err(failure)) => return Err(failure),
            Some(Ok(Home::Left)) | None => return Ok(()),
        }
    }
    if settings.token.is_none() || settings.server.is_none() {
        return Err(Failure::usage("there is no account here, and no terminal to chat in")
            .at(settings.home.display().to_string())
            .next(format!(
                "make one:  {} --server HOST --auth-token TOKEN register NAME\n\
                 or pass --server and --auth-token (or QPC_SERVER, QPC_AUTH_TOKEN) for a throw-away account",
                hint::program()
            )));
    }
    // It takes its account with it, if the server lets it; who can't wait for that says so again.
    signals::until_told(FAREWELL.saturating_add(GRACE), throw_away(settings, screen)).await?.unwrap_or(Ok(()))
}

/// What was found at home.
enum Home {
    /// Nobody has ever lived there.
    Empty,
    /// It was opened, and left when that was told.
    Left,
}

async fn at_home(mut settings: Settings, screen: &Screen) -> Result<Home, Failure> {
    let mut stop = Stop::listen()?;
    let Some(session) = open::inhabited(&mut settings).await? else { return Ok(Home::Empty) };
    let mut seat = Seat::of(session, settings);
    let ended = listen::listen(&mut seat, screen, true, (What::Everything, true), &mut stop).await;
    seat.leave().await;
    ended.map(|()| Home::Left)
}

async fn throw_away(settings: Settings, screen: &Screen) -> Result<(), Failure> {
    let temporary = tempfile::Builder::new()
        .prefix("qpc-client-")
        .tempdir()
        .map_err(|error| Failure::new(Exit::Internal, format!("no temporary home: {error}")))?;
    let settings = Settings { home: temporary.path().join("home"), ..settings };
    let password = random(16)?;
    let registration = Registration {
        name: format!("guest-{}", random(5)?),
        password: Password(password.clone()),
        token: settings.token.clone(),
        device_name: account::device_name(),
    };
    let mut stop = Stop::listen()?;
    // Told to stop while the account is being made, it waits until it is made: it could not be deleted otherwise.
    let made = open::register_guest(&settings, registration, stop.wished()).await?;
    let Some(client) = made else { return Ok(()) };
    let mut seat = Seat::of(client.into(), settings);
    screen.note(&format!("online as {}, for as long as this runs", seat.address().await));
    let ended = listen::listen(&mut seat, screen, true, (What::Everything, true), &mut stop).await;
    let farewell = seat.execute(Command::AccountDelete { password: Password(password) });
    if !matches!(tokio::time::timeout(FAREWELL, farewell).await, Ok(Ok(_))) {
        screen.note("the throw-away account could not be deleted; nobody has its password");
    }
    seat.leave().await;
    temporary.close().map_err(|error| Failure::internal(format!("the temporary home can't be removed: {error}")))?;
    ended
}

/// So many random bytes, in hex.
fn random(bytes: usize) -> Result<String, Failure> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random).map_err(|error| Failure::internal(format!("no randomness: {error}")))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
