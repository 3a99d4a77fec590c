//! Says one thing and waits until the server has it: `cargo run -p qpc-client --example send -- HOME TO TEXT`.
//!
//! The home is one that `qpc-client --home HOME register NAME` has made.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it is for")]

use std::{env, error::Error};

use qpc_client::{
    Home, KeySource, Options, Session,
    api::{Command, Outcome},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [home, to, text] = &arguments[..] else { return Err("usage: send HOME TO TEXT".into()) };
    // Drives the home, or joins the program that does, such as an open chat.
    let session = Session::open(Home::at(home, KeySource::Auto), Options::default()).await?;
    // From here on it is durable, whatever happens to this program.
    let queued = session.execute(Command::Send { to: to.clone(), text: text.clone() }).await?;
    if let Outcome::Queued { id } = queued {
        println!("{id}");
    }
    if let Outcome::Flushed { waiting } = session.execute(Command::Flush).await? {
        for one in waiting {
            eprintln!("{} waits: {}", one.to, one.reason);
        }
    }
    session.close().await;
    Ok(())
}
