//! The driver: keeps the account connected, and comes back after a loss with patience and jitter.
//!
//! It does not come back by itself where that would be of no use or do harm: a revoked device, a newer connection
//! of the same device, a server whose key has changed.

pub(crate) mod change;
pub(crate) mod contacts;
pub(crate) mod describe;
pub(crate) mod elsewhere;
mod ephemeral;
pub(crate) mod join;
pub(crate) mod key_packages;
pub(crate) mod links;
mod lost;
mod offer;
pub(crate) mod own;
pub(crate) mod pending;
pub(crate) mod proposals;
mod receive;
mod releases;
pub(crate) mod renew;
mod report;
pub(crate) mod roster;
mod send;
mod session;
mod uploads;
mod welcome_trees;

use std::{sync::Arc, time::Duration};

use qpc_proto::error::CloseCode;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use self::{key_packages::Stock, session::End};
use crate::{
    api::Event,
    auth::{self, AuthError},
    core::{Core, Line},
    store::restore::Restored,
    transport::{CallError, Link, Lost},
};

/// First and longest pause before another attempt; each is drawn between zero and that (full jitter).
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// A session that lasted so long was a good one: the next pause is short again.
const GOOD: Duration = Duration::from_secs(10);

/// What to do after a connection, or an attempt at one, has ended.
enum Next {
    /// Try again: after this long, or else with growing patience.
    Again { after: Option<Duration>, problem: String },
    /// Leave it until a person has done something.
    Park {
        problem: String,
        /// The server does not know this device any more.
        gone: bool,
    },
}

/// Drives until it is told to stop. `first` is a connection that is authenticated already.
pub(crate) async fn run(core: Arc<Core>, mut first: Option<Link>, stop: CancellationToken) {
    let mut failures: u32 = 0;
    loop {
        let began = Instant::now();
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            next = one_connection(&core, &mut first) => next,
        };
        let was_up = matches!(*core.line.borrow(), Line::Up(_));
        core.caught_up.send_replace(false);
        let (problem, pause, gone) = match next {
            Next::Park { problem, gone } => (problem, None, gone),
            Next::Again { after, problem } => {
                failures = if was_up && began.elapsed() >= GOOD { 0 } else { failures.saturating_add(1) };
                (problem, Some(after.unwrap_or_else(|| back_off(failures))), false)
            }
        };
        tracing::debug!(?pause, "not connected");
        let parked = pause.is_none();
        // A connection that has just been lost may be back in a moment: whoever waits for it goes on waiting.
        if was_up && !parked {
            core.line.send_replace(Line::Connecting);
        } else {
            core.line.send_replace(Line::Down { problem: problem.clone(), parked, gone });
        }
        core.events.tell(Event::Online { online: false, problem: Some(problem) });
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = sleep(pause.unwrap_or_default()), if !parked => {}
        }
    }
    if let Line::Up(link) = &*core.line.borrow() {
        link.close(CloseCode::Done);
    }
    core.line.send_replace(Line::Down { problem: "the client is closed".into(), parked: true, gone: false });
}

fn back_off(failures: u32) -> Duration {
    crate::fresh::jitter(longest_pause(failures))
}

/// The longest pause after so many failures in a row. It grows fast: where thousands have lost a server at once, attempts
/// that it can't take yet cost it and them more than the connections that succeed.
fn longest_pause(failures: u32) -> Duration {
    PAUSE_MIN.saturating_mul(4_u32.saturating_pow(failures.saturating_sub(1).min(8))).min(PAUSE_MAX)
}

async fn one_connection(core: &Arc<Core>, first: &mut Option<Link>) -> Next {
    let (link, greeted) = match first.take() {
        // It has published key packages just before, and has nothing that its server may lack.
        Some(link) => (link, None),
        None => match connect(core).await {
            Ok((link, greeted)) => (link, Some(greeted)),
            Err(next) => return next,
        },
    };
    core.line.send_replace(Line::Up(link.clone()));
    core.events.tell(Event::Online { online: true, problem: None });
    tracing::debug!("connected and authenticated");
    let end = session::run(core, &link, greeted).await;
    let next = match end {
        End::Call(error) => after_loss(error),
        End::GoAway(after) => Next::Again { after: Some(after), problem: "the server stops for now".into() },
        End::Apply(error) => {
            tracing::error!(%error, "what the server sent could not be applied");
            Next::Again { after: None, problem: error.to_string() }
        }
    };
    link.close(CloseCode::Done);
    next
}

/// What the server says of itself to a device that has proved itself.
#[derive(Debug, Clone, Copy)]
struct Greeted {
    /// How many key packages it has.
    stock: Stock,
    restored: Restored,
}

/// An authenticated connection.
async fn connect(core: &Arc<Core>) -> Result<(Link, Greeted), Next> {
    let link = core.transport.connect().await.map_err(|error| {
        let problem = error.to_string();
        if error.needs_person() { Next::Park { problem, gone: false } } else { Next::Again { after: None, problem } }
    })?;
    let refused = match auth::authenticate(&link, &core.me.identity).await {
        Ok(answer) => {
            let stock = Stock { classical: answer.key_packages, post_quantum: answer.post_quantum_key_packages };
            let restored = Restored { at_ms: answer.restored_ms, until_ms: answer.read_only_until_ms };
            return Ok((link, Greeted { stock, restored }));
        }
        Err(AuthError::Call(error)) if !error.is_final() => after_loss(error),
        Err(AuthError::Call(CallError::Refused(_))) => Next::Park {
            problem:
                "the server does not know this device any more: it was revoked, or the account was reset or deleted. \
                      Log out here and log in anew"
                    .into(),
            gone: true,
        },
        Err(error) => Next::Park { problem: error.to_string(), gone: false },
    };
    link.close(CloseCode::Done);
    Err(refused)
}

fn after_loss(error: CallError) -> Next {
    let problem = error.to_string();
    match error {
        CallError::Lost(Lost { close: Some(close @ (CloseCode::Revoked | CloseCode::Replaced)), .. }) => {
            Next::Park { problem, gone: close == CloseCode::Revoked }
        }
        CallError::Refused(refused) if !refused.retry_after.is_zero() => {
            Next::Again { after: Some(refused.retry_after), problem }
        }
        _ => Next::Again { after: None, problem },
    }
}

#[cfg(test)]
mod tests {
    use qpc_proto::{error::Code, v1};

    use super::*;
    use crate::transport::Refused;

    /// It keeps all it has, and comes back by itself once the operator has resumed the account.
    #[test]
    fn who_is_suspended_tries_again_when_the_server_says() {
        let close = Some(CloseCode::Suspended);
        let lost = CallError::Lost(Lost { close, text: String::new() });
        assert!(lost.to_string().contains("suspended the account"));
        assert!(matches!(after_loss(lost), Next::Again { after: None, .. }));
        let error = v1::Error { code: Code::Suspended as u32, retry_after_ms: 60_000, ..v1::Error::default() };
        let refused = CallError::Refused(Box::new(Refused::parse(error)));
        assert!(!refused.is_final(), "it would be taken for a revoked device");
        let minute = Some(Duration::from_secs(60));
        assert!(matches!(after_loss(refused), Next::Again { after, .. } if after == minute));
    }

    #[test]
    fn a_pause_grows_fourfold_with_each_failure_up_to_a_minute() {
        let longest: Vec<u128> = (0..=9).map(|failures| longest_pause(failures).as_millis()).collect();
        assert_eq!(longest, [500, 500, 2_000, 8_000, 32_000, 60_000, 60_000, 60_000, 60_000, 60_000]);
        assert_eq!(longest_pause(u32::MAX), PAUSE_MAX);
    }
}
