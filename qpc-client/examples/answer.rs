//! A bot that reacts to what it is told and answers questions: `cargo run -p qpc-client --example answer -- HOME`.

#![allow(clippy::print_stderr, reason = "what it is for")]

use std::{env, error::Error};

use qpc_client::{
    Home, KeySource, Notice, Options, Session,
    api::{Command, CommandError, Event, Message, Outcome},
};

/// What to do about a message.
fn answers(message: &Message) -> Vec<Command> {
    let (to, id) = (message.conversation.clone(), message.id.clone());
    match message.body.strip_suffix('?') {
        _ if message.own || message.kind != "text" => Vec::new(),
        Some(asked) => vec![Command::Reply { to, message: id, text: format!("I don't know whether {asked}.") }],
        None => vec![Command::React { to, message: id, emoji: "👀".to_owned(), removed: false }],
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let home = env::args().nth(1).ok_or("usage: answer HOME")?;
    let session = Session::open(Home::at(home, KeySource::Auto), Options::default()).await?;
    let mut events = session.events();
    loop {
        let unshown = session.execute(Command::Unshown { limit: 100, to: None }).await?;
        let Outcome::Messages { messages } = unshown else { break };
        for message in &messages {
            for answer in answers(message) {
                match session.execute(answer).await {
                    Ok(_) => {}
                    // It was deleted meanwhile, or this account is out of that group.
                    Err(error @ CommandError::Usage { .. }) => eprintln!("not answered: {error}"),
                    Err(error) => return Err(error.into()),
                }
            }
            let to = Some(message.conversation.clone());
            session.execute(Command::MarkShown { to, local: message.local }).await?;
        }
        if messages.is_empty() {
            loop {
                match events.next().await {
                    Some(Notice::Event(Event::Message(_)) | Notice::Lagged) => break,
                    Some(Notice::Event(_)) => {}
                    None => return Ok(()),
                }
            }
        }
    }
    Ok(())
}
