//! Who has read what, and what is told of it: as lines for people.

use qpc_client::api::{Reader, Told};

use super::Render;
use crate::cli::table::Table;

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
