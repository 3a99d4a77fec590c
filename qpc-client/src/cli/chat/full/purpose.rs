//! What the words being typed are for: to be said, or to do something with one message.

use qpc_client::api::Message;

use super::look::Look;
use crate::cli::{chat::deed::Deed, table::cut, terminal};

/// Longest piece of a message that is named, in columns.
const PIECE: usize = 30;

/// What is done with what is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It is said.
    Say,
    /// It does this to a message.
    To { message: String, what: What, shown: String },
}

/// Something to do with a message that needs words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Reply,
    Edit,
    Delete,
    React { removed: bool },
    Forward,
    Vote,
}

impl Purpose {
    pub(super) fn of(message: &Message, what: What, look: &Look) -> Self {
        let who = if message.own { "you".to_owned() } else { look.render.name(&message.sender) };
        let body: String = message.body.chars().take(PIECE.saturating_mul(2)).collect();
        let shown = format!("{}: {}", cut(&who, PIECE), cut(&terminal::line(&body), PIECE));
        Self::To { message: message.id.clone(), what, shown }
    }

    /// What stands above the words; nothing where they are said.
    pub(super) fn heading(&self) -> Option<String> {
        let Self::To { what, shown, .. } = self else { return None };
        let verb = match what {
            What::Reply => "reply to",
            What::Edit => "new words for",
            What::Delete => "type y to delete for everybody",
            What::React { removed: false } => "emoji (:name:) on",
            What::React { removed: true } => "take which emoji from",
            What::Forward => "forward to whom:",
            What::Vote => "vote (numbers, none or close) in",
        };
        Some(format!("{verb} {shown}"))
    }

    /// What typed words do; what is wrong with them otherwise.
    pub(super) fn deed(what: What, typed: &str) -> Result<Option<Deed>, String> {
        let words = typed.trim();
        if words.is_empty() {
            return Ok(None);
        }
        let text = typed.to_owned();
        Ok(Some(match what {
            What::Reply => Deed::Reply(text),
            What::Edit => Deed::Edit(text),
            What::Delete if words == "y" => Deed::Delete,
            What::Delete => return Ok(None),
            What::React { removed } => Deed::React { emoji: words.to_owned(), removed },
            What::Forward => Deed::Forward(words.to_owned()),
            What::Vote => crate::cli::chat::deed::understand("vote", &format!("last {words}"))?.1,
        }))
    }
}
