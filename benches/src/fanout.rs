//! One group in which a few talk and all listen: what one delivery costs the server.

use anyhow::bail;

use crate::{
    direct::{even, say_load},
    layout::Layout,
    load::Script,
    report::Report,
    talk::{self, Common, Scenario, seconds},
};

/// What to do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Members of the group.
    pub members: u32,
    /// Those who talk.
    pub senders: u32,
    /// Messages a second, over all senders; without, as many as there can be.
    pub rate: Option<u32>,
    /// Without a rate: messages of each sender without an answer.
    pub window: usize,
    /// Seconds that are measured.
    pub seconds: u32,
}

/// Runs it.
///
/// # Errors
/// When something goes wrong that is no figure.
pub async fn run(common: &Common, plan: &Plan) -> anyhow::Result<Report> {
    let Plan { members, rate, window, seconds: measured, .. } = *plan;
    let senders = plan.senders.min(members);
    if members < 2 || senders == 0 || rate == Some(0) || window == 0 {
        bail!("at least two members, a sender, and a message");
    }
    let script = move |member: u32| match rate {
        _ if member >= senders => Script::Silent,
        Some(rate) => even(rate, senders, member),
        None => Script::Window { messages: window },
    };
    let scenario = Scenario {
        name: "fanout",
        layout: Layout::group(members),
        script,
        unit: 1,
        mls_members: usize::MAX,
        mixed: false,
        attachments: None,
        churn: None,
        measured: seconds(measured),
    };
    let mut report = talk::run(common, scenario).await?;
    report.note_setting("senders", senders);
    say_load(&mut report, rate, window);
    Ok(report)
}
