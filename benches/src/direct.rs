//! Direct messages: what one costs the server, how long it takes, and whether each arrives once.
//!
//! With a rate the load is open: a message is due at its time whether or not earlier ones are answered. Without one
//! it is closed: each client keeps a number of messages unanswered, which gives the maximum. Both sides of each
//! pair send, follow the conversation, and acknowledge what comes.

use std::time::Duration;

use anyhow::bail;

use crate::{
    layout::Layout,
    load::Script,
    report::Report,
    talk::{self, Common, Scenario, seconds},
};

/// What to do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Direct conversations.
    pub pairs: u32,
    /// Messages a second, over all; without, as many as there can be.
    pub rate: Option<u32>,
    /// Without a rate: messages of each client without an answer.
    pub window: usize,
    /// Seconds that are measured.
    pub seconds: u32,
}

/// Runs it.
///
/// # Errors
/// When something goes wrong that is no figure.
pub async fn run(common: &Common, plan: &Plan) -> anyhow::Result<Report> {
    let Plan { pairs, rate, window, seconds: measured } = *plan;
    if pairs == 0 || rate == Some(0) || window == 0 {
        bail!("at least one pair and one message");
    }
    let sides = pairs.saturating_mul(2);
    let script = move |side: u32| rate.map_or(Script::Window { messages: window }, |rate| even(rate, sides, side));
    let scenario = Scenario {
        name: "direct",
        layout: Layout::pairs(pairs),
        script,
        unit: 2,
        mls_members: 2,
        mixed: false,
        attachments: None,
        churn: None,
        measured: seconds(measured),
    };
    let mut report = talk::run(common, scenario).await?;
    say_load(&mut report, rate, window);
    Ok(report)
}

/// Messages of all who talk stand evenly in time, one sender after the other.
#[must_use]
pub fn even(rate: u32, senders: u32, sender: u32) -> Script {
    let turn =
        |number: u32| Duration::from_secs(1).saturating_mul(number).checked_div(rate).unwrap_or(Duration::from_secs(1));
    Script::Paced { first: turn(sender), interval: turn(senders) }
}

/// Notes what the load was.
pub fn say_load(report: &mut Report, rate: Option<u32>, window: usize) {
    let load = rate.map_or_else(
        || format!("closed, {window} messages of each sender without an answer; latency counts from sending"),
        |rate| format!("open, {rate} messages/s; latency counts from the due time"),
    );
    report.note_setting("load", load);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_take_turns_at_the_rate() {
        let millis = Duration::from_millis;
        assert_eq!(even(100, 4, 0), Script::Paced { first: millis(0), interval: millis(40) });
        assert_eq!(even(100, 4, 3), Script::Paced { first: millis(30), interval: millis(40) });
    }
}
