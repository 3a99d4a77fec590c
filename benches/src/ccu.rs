//! Concurrent users with a model of what people do, at full size: the sizing tables' load.
//!
//! The `seed` profile, in proportion to 20,000 users: 80,000 messages a minute; three of four users talk, by
//! chance; of their messages 70 % go to one person, the rest to groups; 1 % of users come back a minute; 15 % of those who
//! talk send a file an hour. Unless it is switched off, each says that it is writing three seconds before a message, and what it
//! has read a second or two after one came, in conversations that are small enough for either.

use std::time::Duration;

use anyhow::{Context, bail};

use crate::{
    attachments::Plan,
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
/// From one file to the next of an active user who sends any: 15 % do, one an hour.
const BETWEEN_FILES: Duration = Duration::from_secs(3_600);
const SEND_FILES_PERCENT: u32 = 15;
/// Pairs that send all those files, and read them.
const PAIRS_WITH_FILES: u32 = 16;
/// Members of one MLS group, at most: what is decrypted is the clients' work, and grows with the square.
const MLS_MEMBERS: usize = 8;

/// Runs it for so many seconds, with as many files a minute as the profile has, or these.
///
/// # Errors
/// When something goes wrong that is no figure.
pub async fn run(common: &Common, users: u32, measured: u32, files: Option<u32>) -> anyhow::Result<Report> {
    let mut scenario = scenario("ccu", users, seconds(measured))?;
    scenario.layout = scenario.layout.and_pairs(PAIRS_WITH_FILES);
    let every = match files {
        Some(a_minute) => Duration::from_secs(60).checked_div(a_minute).context("no files")?,
        None => between_files(users)?,
    };
    scenario.attachments = Some(Plan { pairs: PAIRS_WITH_FILES, every });
    let mut report = talk::run(common, scenario).await?;
    describe(&mut report);
    report.note_setting("ephemeral", if common.ephemeral { "typing, receipts" } else { "none" });
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
        attachments: None,
        churn: Some(BETWEEN_RECONNECTS),
        measured,
    })
}

/// From one file to the next, of all of so many users.
fn between_files(users: u32) -> anyhow::Result<Duration> {
    let who = (0..users).filter(|user| !matches!(script(*user), Script::Silent)).count();
    let who = u32::try_from(who)?.saturating_mul(SEND_FILES_PERCENT);
    BETWEEN_FILES.saturating_mul(100).checked_div(who).context("nobody sends files")
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

    #[test]
    fn fifteen_percent_of_active_users_send_a_file_an_hour() {
        assert_eq!(between_files(20_000).unwrap(), Duration::from_millis(1_600));
    }
}
