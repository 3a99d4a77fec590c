//! Concurrent users with a model of what people do, at full size: the sizing tables' load.
//!
//! The `seed` profile, in proportion to 20,000 users: 80,000 messages a minute; three of four users talk, by
//! chance; of their messages 70 % go to one person, the rest to groups; 1 % of users come back a minute.
//! Uploads, receipts and typing are not in it, because the server has none yet.

use std::time::Duration;

use anyhow::bail;

use crate::{
    layout::{CIRCLE, Layout},
    load::Script,
    report::Report,
    talk::{self, Common, Scenario, seconds},
};

/// From one message of an active user to the next, on average: 80,000 a minute by 15,000 of 20,000.
const BETWEEN_MESSAGES: Duration = Duration::from_millis(11_250);
/// One in so many users is silent.
const SILENT: u32 = 4;
/// From one reconnect of a user to the next, on average: 1 % of users a minute.
const BETWEEN_RECONNECTS: Duration = Duration::from_secs(6_000);
/// Members of one MLS group, at most: what is decrypted is the clients' work, and grows with the square.
const MLS_MEMBERS: usize = 8;

/// Runs it for so many seconds.
///
/// # Errors
/// When something goes wrong that is no figure.
pub async fn run(common: &Common, users: u32, measured: u32) -> anyhow::Result<Report> {
    let mut report = talk::run(common, scenario("ccu", users, seconds(measured))?).await?;
    describe(&mut report);
    Ok(report)
}

/// The users of the profile.
///
/// # Errors
/// When there are too few to talk.
pub fn scenario(
    name: &'static str,
    users: u32,
    measured: Duration,
) -> anyhow::Result<Scenario<impl Fn(u32) -> Script>> {
    if users < 2 {
        bail!("at least two users");
    }
    Ok(Scenario {
        name,
        layout: Layout::circles(users),
        script,
        unit: CIRCLE,
        mls_members: MLS_MEMBERS,
        mixed: true,
        churn: Some(BETWEEN_RECONNECTS),
        measured,
    })
}

fn script(user: u32) -> Script {
    if user.is_multiple_of(SILENT) { Script::Silent } else { Script::ByChance { mean: BETWEEN_MESSAGES } }
}

/// Says what the profile is.
pub fn describe(report: &mut Report) {
    report.note_setting("profile", "seed");
    report.note_setting("load", "open: 4 messages per user and minute, by chance; latency counts from the due time");
    report.note_setting("active_percent", 75);
    report.note_setting("reconnects_percent_per_minute", 1);
    report.note_setting(
        "groups",
        "30 % of conversations and messages, each group as many; 3 to 100 members, log-uniform; some of 500",
    );
    report.note_setting("absent", "uploads, receipts, typing: the server has none yet");
    report.note_setting("mls_group_members_max", MLS_MEMBERS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_thousand_users_offer_eighty_thousand_messages_a_minute() {
        let a_minute: f64 = (0..20_000)
            .map(|user| match script(user) {
                Script::ByChance { mean } => 60.0 / mean.as_secs_f64(),
                _ => 0.0,
            })
            .sum();
        assert!((a_minute - 80_000.0).abs() < 1.0, "{a_minute}");
    }
}
