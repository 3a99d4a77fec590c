//! Who has read what, and what is told of it: as lines for people.

use qpc_client::api::{Reader, StepKind, Told, Trace};

use super::Render;
use crate::cli::{table::Table, terminal};

impl Render {
    /// Who has a message, and since when.
    pub(super) fn readers(&self, readers: &[Reader]) -> Vec<String> {
        let when = |time: &Option<String>| time.as_ref().map_or_else(|| "-".to_owned(), |time| self.clock.local(time));
        let mut table = Table::new(&["WHO", "DELIVERED", "READ"]);
        for reader in readers {
            table.row([self.name(&reader.address), when(&reader.delivered), when(&reader.read)]);
        }
        self.headed(table)
    }

    /// The way of a message.
    pub(super) fn trace(&self, trace: &Trace) -> Vec<String> {
        let device = |device: &Option<String>| {
            device.as_ref().map(|id| format!(" on device {}", terminal::line(id))).unwrap_or_default()
        };
        let told = |step: &StepKind| match step {
            StepKind::Written => "written".to_owned(),
            StepKind::Encrypted { epoch, counter } => {
                format!("encrypted: epoch {epoch} of the conversation's keys, number {counter} of this device")
            }
            StepKind::Sent { times: 1 } => "sent to the server".to_owned(),
            StepKind::Sent { times } => format!("sent to the server, {times} times until now"),
            StepKind::Stored { server, seq } => {
                format!("stored by {}, by its clock, at place {seq}", terminal::line(server))
            }
            StepKind::Acknowledged => "acknowledged".to_owned(),
            StepKind::Returned => "came back with the conversation, and was checked".to_owned(),
            StepKind::Received { account, device: on } => format!("received by {}{}", self.name(account), device(on)),
            StepKind::Read { account, device: on } => format!("read by {}{}", self.name(account), device(on)),
        };
        let mut lines = vec![format!("message {} to {}", terminal::line(&trace.id), self.name(&trace.title))];
        lines.extend(trace.steps.iter().map(|step| format!("{}  {}", self.clock.exact(&step.time), told(&step.kind))));
        if !trace.unheard.is_empty() {
            lines.push(format!("nothing is known of {}: not received yet, or not told", self.names(&trace.unheard)));
        }
        lines
    }

    /// What a person tells.
    pub(super) fn told(&self, told: Told) -> Vec<String> {
        let word = |on: bool| if on { "on" } else { "off" }.to_owned();
        self.pairs(&[
            ("presence", word(told.presence)),
            ("typing", word(told.typing)),
            ("delivered", word(told.delivered)),
            ("read", word(told.read)),
        ])
    }
}
