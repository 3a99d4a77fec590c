//! Words for what has no text of its own.

use qpc_proto::{address::Address, content::Kind, v1::ContactState};

use crate::{
    api::{shown_size, span},
    fresh,
};

/// For what this version does not understand.
pub(crate) const KNOWN_NOT: &str = "(a message that this version can't show)";

/// What is left of a message that was deleted.
pub(crate) const DELETED: &str = "(deleted)";

/// For a description of a group that has changed its picture alone.
pub(crate) const PICTURED: &str = "(changed the group's picture)";

/// What a message says or does, for a person.
pub(crate) fn describe(kind: &Kind) -> String {
    match kind {
        Kind::Text(words) | Kind::Edit(_, words) => words.text.clone(),
        Kind::Delete(_) => "(took back a message)".to_owned(),
        Kind::Reaction { emoji, removed: false, .. } => emoji.clone(),
        Kind::Reaction { emoji, removed: true, .. } => format!("(took back {emoji})"),
        Kind::Receipt(..) => "(read)".to_owned(),
        Kind::Attachment(file) => {
            let what = format!("{} ({})", file.file_name, shown_size(file.size));
            if file.caption.is_empty() { what } else { format!("{what} - {}", file.caption) }
        }
        Kind::GroupState(state) if state.topic.is_empty() => format!("(named the group {})", state.name),
        Kind::GroupState(state) => format!("(named the group {}: {})", state.name, state.topic),
        Kind::OwnDevices(_) => "(between your devices)".to_owned(),
        Kind::GroupLinks(_) => "(the group's links)".to_owned(),
        Kind::Pin { removed: false, .. } => "(pinned a message)".to_owned(),
        Kind::Pin { removed: true, .. } => "(took a pin away)".to_owned(),
        Kind::Poll(poll) => poll.question.clone(),
        Kind::Vote(..) => "(voted)".to_owned(),
        Kind::PollClose(_) => "(closed a poll)".to_owned(),
        Kind::Lifetime(0) => "(messages stay from here on)".to_owned(),
        Kind::Lifetime(seconds) => format!("(messages disappear {} after they are sent from here on)", span(*seconds)),
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

/// A day as people write it, in UTC.
pub(crate) fn day(ms: u64) -> String {
    fresh::rfc3339(ms).chars().take(10).collect()
}

/// What it means that somebody presents another account key, and what to do; after a sentence that says that they do.
pub(crate) fn another_key(address: &Address, compared_ms: Option<u64>) -> String {
    let either = "They may have been reset, or somebody is in between.";
    match compared_ms {
        Some(ms) => format!(
            " You had compared the earlier key with them, on {}. {either} Nothing is sent to them until you have compared \
             the new safety number with them: `verify {address}`.",
            day(ms)
        ),
        None => format!(
            " The earlier key was never compared. {either} Compare the safety number with them (`verify {address}`) \
             before you accept the new key."
        ),
    }
}
