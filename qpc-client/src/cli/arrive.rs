//! A new device's first moments: it joins what its account is in, and hears what was said before from the others.

use std::time::Duration;

use qpc_client::{
    EventStream, Notice, Session,
    api::{Command, ConversationKind, Event, Outcome},
};
use serde::Serialize;
use tokio::time::timeout;

use super::{failure::Failure, screen::Screen};

/// Without a word of another device for so long, none is connected, or it has said all.
const SILENCE: Duration = Duration::from_secs(5);

/// What a device found.
#[derive(Debug, Default, Serialize)]
pub(super) struct Arrival {
    /// Conversations and groups of the account that go on.
    conversations: usize,
    /// Messages of before that have come from other devices.
    earlier_messages: u64,
    /// Whether these are all.
    history_complete: bool,
}

impl Arrival {
    /// What to tell a person.
    pub(super) fn text(&self) -> String {
        let conversations = match self.conversations {
            0 => return "you are in no conversation yet".to_owned(),
            1 => "in one conversation".to_owned(),
            many => format!("in {many} conversations"),
        };
        let earlier = match (self.history_complete, self.earlier_messages) {
            (true, 0) => "; your other devices have nothing of before".to_owned(),
            (true, 1) => ", with one earlier message".to_owned(),
            (true, many) => format!(", with {many} earlier messages"),
            (false, 0) => "; what was said before comes as soon as another device of yours is connected".to_owned(),
            (false, many) => format!(", with {many} earlier messages so far; more are on their way"),
        };
        format!("{conversations}{earlier}")
    }
}

/// Joins, and listens to the other devices until they have said all, or say nothing.
///
/// # Errors
/// A [`Failure`] where the conversations can't be joined now; the next command goes on with it.
pub(super) async fn arrive(session: &Session, screen: &Screen) -> Result<Arrival, Failure> {
    let mut events = session.events();
    screen.progress("joining your conversations ...");
    let joined = session.execute(Command::CatchUp).await;
    let listed = match joined {
        Ok(_) => session.execute(Command::Conversations).await,
        Err(error) => Err(error),
    };
    let Ok(Outcome::Conversations { conversations }) = listed else {
        screen.progress("");
        return listed.map(|_| Arrival::default()).map_err(Failure::from);
    };
    let going_on = |one: &&qpc_client::api::Conversation| one.active && one.kind != ConversationKind::Personal;
    let mut arrival = Arrival { conversations: conversations.iter().filter(going_on).count(), ..Arrival::default() };
    let others = session.execute(Command::Devices).await;
    if arrival.conversations > 0 && matches!(others, Ok(Outcome::Devices { devices }) if devices.len() > 1) {
        hear(&mut events, screen, &mut arrival).await;
    }
    screen.progress("");
    Ok(arrival)
}

async fn hear(events: &mut EventStream, screen: &Screen, arrival: &mut Arrival) {
    while !arrival.history_complete {
        screen.progress(&format!("{} earlier messages from your other devices ...", arrival.earlier_messages));
        if let Some(messages) = page(events).await {
            let (more, complete) = messages;
            arrival.earlier_messages = arrival.earlier_messages.saturating_add(more);
            arrival.history_complete = complete;
        } else {
            return;
        }
    }
}

/// The next that another device tells of before; `None` where none does.
async fn page(events: &mut EventStream) -> Option<(u64, bool)> {
    let told = async {
        loop {
            match events.next().await? {
                Notice::Event(Event::History { messages, complete }) => return Some((messages, complete)),
                Notice::Event(_) | Notice::Lagged => {}
            }
        }
    };
    timeout(SILENCE, told).await.ok().flatten()
}
