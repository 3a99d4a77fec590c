//! Prints what comes, each message once, until it is stopped: `cargo run -p qpc-client --example listen -- HOME`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it is for")]

use std::{env, error::Error};

use qpc_client::{
    Home, KeySource, Notice, Options, Session,
    api::{Command, Event, Outcome},
};

/// Prints what nobody has been shown, and says so of each.
async fn print_unshown(session: &Session) -> Result<(), Box<dyn Error>> {
    while let Outcome::Messages { messages } = session.execute(Command::Unshown { limit: 100, to: None }).await? {
        if messages.is_empty() {
            break;
        }
        for message in messages {
            println!("{} {}: {}", message.time, message.sender, message.body.escape_debug());
            let to = Some(message.conversation);
            session.execute(Command::MarkShown { to, local: message.local }).await?;
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let home = env::args().nth(1).ok_or("usage: listen HOME")?;
    let session = Session::open(Home::at(home, KeySource::Auto), Options::default()).await?;
    let mut events = session.events();
    print_unshown(&session).await?;
    while let Some(notice) = events.next().await {
        match notice {
            // An event is a hint, and some may have been missed: the store knows what nobody has been shown.
            Notice::Lagged | Notice::Event(Event::Message(_)) => print_unshown(&session).await?,
            Notice::Event(Event::Online { online: false, problem }) => {
                eprintln!("not connected: {}", problem.unwrap_or_default());
            }
            Notice::Event(_) => {}
        }
    }
    Ok(())
}
