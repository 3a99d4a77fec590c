//! What happens, told to whoever listens: bounded, so that a slow listener loses events and is
//! told so, and then reads the store, where everything is that an event only hints at.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::broadcast;

use crate::api::Event;

/// Events that a listener may be behind before it loses the oldest.
const EVENTS_MAX: usize = 1024;

/// What a listener gets.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are events, and most of those messages")]
pub enum Notice {
    /// Something happened.
    Event(Event),
    /// The listener was too slow and has lost events: what counts is in the store.
    Lagged,
}

/// One listener's events.
#[derive(Debug)]
pub struct EventStream {
    told: broadcast::Receiver<Told>,
    ended: bool,
}

/// What goes to every listener.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are events, and most of those messages")]
enum Told {
    Event(Event),
    Lagged,
    End,
}

impl EventStream {
    /// The next one, in order; `None` once the client is closed, and ever after. Cancel-safe.
    pub async fn next(&mut self) -> Option<Notice> {
        if self.ended {
            return None;
        }
        match self.told.recv().await {
            Ok(Told::Event(event)) => Some(Notice::Event(event)),
            Ok(Told::Lagged) | Err(broadcast::error::RecvError::Lagged(_)) => Some(Notice::Lagged),
            Ok(Told::End) | Err(broadcast::error::RecvError::Closed) => {
                self.ended = true;
                None
            }
        }
    }
}

/// The end that tells. Telling never waits.
#[derive(Debug, Clone)]
pub(crate) struct Events {
    teller: broadcast::Sender<Told>,
    ended: Arc<AtomicBool>,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self { teller: broadcast::Sender::new(EVENTS_MAX), ended: Arc::default() }
    }

    pub(crate) fn tell(&self, event: Event) {
        // Nobody listening is fine: the store has it.
        drop(self.teller.send(Told::Event(event)));
    }

    /// Tells listeners that events were lost before they came here.
    pub(crate) fn tell_lagged(&self) {
        drop(self.teller.send(Told::Lagged));
    }

    /// Ends every listener's stream, of those to come as well, whoever still holds this.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        drop(self.teller.send(Told::End));
    }

    pub(crate) fn listen(&self) -> EventStream {
        // In this order: an end that comes between the two is told.
        let told = self.teller.subscribe();
        EventStream { told, ended: self.ended.load(Ordering::SeqCst) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm(number: usize) -> Event {
        Event::Alarm { text: number.to_string() }
    }

    #[tokio::test]
    async fn a_slow_listener_is_told_that_it_lost_events_and_then_goes_on() {
        let events = Events::new();
        let mut stream = events.listen();
        for number in 0..=EVENTS_MAX {
            events.tell(alarm(number));
        }
        assert!(matches!(stream.next().await, Some(Notice::Lagged)));
        let Some(Notice::Event(Event::Alarm { text })) = stream.next().await else { panic!("an event") };
        assert_eq!(text, "1");
    }

    #[tokio::test]
    async fn an_end_is_final_and_reaches_those_who_come_late() {
        let events = Events::new();
        let mut stream = events.listen();
        events.end();
        assert!(stream.next().await.is_none());
        assert!(stream.next().await.is_none(), "asked again");
        assert!(events.listen().next().await.is_none(), "listened too late");
    }

    #[tokio::test]
    async fn the_stream_ends_with_the_client() {
        let events = Events::new();
        let mut stream = events.listen();
        events.tell(alarm(1));
        drop(events);
        assert!(matches!(stream.next().await, Some(Notice::Event(_))));
        assert!(stream.next().await.is_none());
    }
}
