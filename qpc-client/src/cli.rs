//! The command line: from words to a session of the library, from its answers to words.
//!
//! Only this program prints; the library never does. Data goes to standard output, everything
//! else to standard error, and the way it ended into the exit code.

mod account;
mod args;
mod arrive;
mod ask;
mod chat;
mod clock;
mod done;
mod exit;
mod export;
mod failure;
mod file;
mod help;
mod hint;
mod history;
mod import;
mod input;
mod later;
mod listen;
mod message;
mod open;
mod pages;
mod password;
mod picture;
mod render;
mod screen;
mod search;
mod seat;
mod send;
mod settings;
mod signals;
mod table;
mod terminal;
mod trust;
mod unattended;
mod verify;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use tracing_subscriber::EnvFilter;

use self::{
    args::{GroupVerb, Typed, Verb},
    exit::Exit,
    failure::Failure,
    screen::Screen,
    seat::Seat,
    settings::Settings,
    signals::{GRACE, Stop},
};

/// How long work that nobody waits for any more may hold up the end.
const LAST_WORK: Duration = Duration::from_millis(500);

/// Runs the program.
pub(crate) fn run() -> ExitCode {
    let typed = match help::parse() {
        Ok(typed) => typed,
        Err(asked) => {
            // Help and version are answers, not mistakes: clap knows which stream and code they want.
            asked.print().ok();
            return ExitCode::from(u8::try_from(asked.exit_code()).unwrap_or(Exit::Usage as u8));
        }
    };
    let screen = Screen::new(typed.common.json);
    match act(typed, &screen) {
        Ok(()) => Exit::Ok.into(),
        Err(failure) => {
            screen.failure(&failure);
            failure.exit.into()
        }
    }
}

fn act(typed: Typed, screen: &Screen) -> Result<(), Failure> {
    match &typed.command {
        Some(Verb::Completions { shell }) => return Ok(page(&pages::completions(*shell))?),
        Some(Verb::Man) => return Ok(page(&pages::manual()?)?),
        _ => {}
    }
    log();
    let settings = Settings::resolve(typed.common, |name| std::env::var_os(name))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::internal(format!("no runtime: {error}")))?;
    let done = runtime.block_on(perform(typed.command, settings, screen));
    runtime.shutdown_timeout(LAST_WORK);
    done
}

async fn perform(verb: Option<Verb>, settings: Settings, screen: &Screen) -> Result<(), Failure> {
    let verb = match verb {
        None if !screen.interactive => return unattended::run(settings, screen).await,
        None => Verb::Chat { to: None, lines: false },
        Some(verb) => verb,
    };
    // These go on until they are told to stop: that is how they end well.
    let endless = matches!(verb, Verb::Chat { .. } | Verb::Listen { .. });
    let grace = if endless { GRACE } else { Duration::ZERO };
    match signals::until_told(grace, obey(verb, settings, screen)).await? {
        Some(done) => done,
        None if endless => Ok(()),
        None => Err(Failure::new(Exit::TryLater, "stopped before it was done")
            .next("what was to be sent is kept; whichever command runs next sends it")),
    }
}

async fn obey(verb: Verb, settings: Settings, screen: &Screen) -> Result<(), Failure> {
    match verb {
        Verb::Register { name, lock } => account::register(settings, screen, &name, lock).await,
        Verb::Login { name, lock } => account::login(settings, screen, &name, lock).await,
        Verb::Logout => account::logout(settings, screen).await,
        verb => seated(verb, settings, screen).await,
    }
}

/// The commands of somebody who has an account here.
async fn seated(verb: Verb, settings: Settings, screen: &Screen) -> Result<(), Failure> {
    let mut seat = Seat::take(settings.clone()).await?;
    let done = match verb {
        Verb::Chat { to, lines } => chat::chat(&mut seat, screen, (to, lines)).await,
        Verb::Send { to, text, reply_to, at: None, after: None } => {
            send::send(&mut seat, screen, to, (text, reply_to)).await
        }
        Verb::Send { to, text, reply_to, at, after } => {
            later::put(&seat, screen, to, (text, reply_to), later::When { at, after }).await
        }
        Verb::File { verb } => file::file(&mut seat, screen, verb).await,
        Verb::Verify { who, verdict } => verify::verify(&mut seat, screen, who, verdict).await,
        Verb::Group { verb: GroupVerb::Picture { group, output, force } } => {
            picture::write(&seat, screen, group, (output, force)).await
        }
        Verb::History { to, limit, ids } => history::history(&mut seat, screen, to, (limit, ids)).await,
        Verb::Export { directory, of, no_files } => {
            export::export(&mut seat, screen, export::What { directory, of, files: !no_files }).await
        }
        Verb::Import { from } => import::import(&mut seat, screen, from).await,
        Verb::Search(asked) => search::search(&mut seat, screen, asked).await,
        Verb::Listen { follow, changes, moments } => {
            let what = if changes { listen::What::Changes } else { listen::What::Messages };
            listen::listen(&mut seat, screen, follow, (what, moments), &mut Stop::listen()?).await
        }
        Verb::Forward { from, message, to } => message::forward(&mut seat, screen, (from, message), to).await,
        verb => match message::change(&verb) {
            Some((to, command, done)) => send::change(&mut seat, screen, to, (command, done)).await,
            None => match ask::question(&verb, &settings).await {
                Ok(Some(command)) => ask::ask(&seat, screen, command).await,
                Ok(None) => Ok(()),
                Err(failure) => Err(failure),
            },
        },
    };
    seat.leave().await;
    done
}

fn page(page: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(page)?;
    out.flush()
}

/// Logs go to standard error, and only where somebody asks for them.
fn log() {
    if let Ok(filter) = EnvFilter::try_from_env("QPC_LOG") {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    }
}
