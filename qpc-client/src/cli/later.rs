//! `send --at`, `send --after`: messages that wait for their time.

use qpc_client::api::Command;

use super::{ask, failure::Failure, screen::Screen, seat::Seat};

/// When a message is to be sent.
#[derive(Debug, Clone)]
pub(super) struct When {
    /// As typed.
    pub(super) at: Option<String>,
    /// So many seconds from now.
    pub(super) after: Option<u32>,
}

impl When {
    fn read(&self, screen: &Screen) -> Result<u64, Failure> {
        match (&self.at, self.after) {
            (Some(at), _) => screen.clock.coming(at).ok_or_else(|| {
                Failure::usage(format!(
                    "{at:?} is no time to come: write 18:30, a day as 2026-11-30, or a time as 2026-11-30T18:30"
                ))
            }),
            (None, after) => {
                let later = u64::from(after.unwrap_or_default()).saturating_mul(1000);
                Ok(screen.clock.now_ms().saturating_add(later))
            }
        }
    }
}

/// Puts a message aside until it is time.
///
/// # Errors
/// A [`Failure`] as the library or the output has it.
pub(super) async fn put(
    seat: &Seat,
    screen: &Screen,
    to: String,
    (text, message): (String, Option<String>),
    when: When,
) -> Result<(), Failure> {
    if text == "-" {
        return Err(Failure::usage("lines of standard input are sent now: only one message can wait for its time"));
    }
    let at_ms = when.read(screen)?;
    ask::ask(seat, screen, Command::Schedule { to, text, message, at_ms }).await?;
    screen.note("it goes then if a chat or `listen --follow` runs in this home, and with the next command otherwise");
    Ok(())
}
