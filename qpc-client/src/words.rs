//! Words for what has no text of its own.

use qpc_proto::{content::Kind, v1::ContactState};

/// For what this version does not understand.
pub(crate) const KNOWN_NOT: &str = "(a message that this version can't show)";

/// What a message says or does, for a person.
pub(crate) fn describe(kind: &Kind) -> String {
    match kind {
        Kind::Text(text) | Kind::Edit(_, text) => text.clone(),
        Kind::Delete(_) => "(took back a message)".to_owned(),
        Kind::Reaction { emoji, removed: false, .. } => emoji.clone(),
        Kind::Reaction { emoji, removed: true, .. } => format!("(took back {emoji})"),
        Kind::Receipt(..) => "(read)".to_owned(),
        Kind::Attachment(file) => format!("(file {}, {} bytes) {}", file.file_name, file.size, file.caption),
        Kind::GroupState(state) => format!("(named the group {})", state.name),
        Kind::Unknown => KNOWN_NOT.to_owned(),
    }
}

/// The word that programs see.
pub(crate) const fn contact_state(state: ContactState) -> &'static str {
    match state {
        ContactState::Requested => "requested",
        ContactState::Pending => "pending",
        ContactState::Accepted => "accepted",
        ContactState::Declined => "declined",
        ContactState::Blocked => "blocked",
        ContactState::Unspecified => "known",
    }
}
