//! Which message of a conversation a person means: `last`, `mine`, or what its id begins or ends with.
//!
//! Ids begin with the time, so that those of a minute begin alike; their ends are random. Four digits of the end are enough
//! nearly always, and are what people are shown.

use qpc_proto::id::MessageId;
use rusqlite::Transaction;

use super::usage;
use crate::{
    api::{CommandError, Message},
    store::{conversation::Conversation, message, trace},
};

/// Digits of an id that are taken for one.
const DIGITS_MIN: usize = 4;
/// Candidates that are told where digits fit several.
const CANDIDATES_MAX: u32 = 4;
/// Digits by which these are told apart.
const DIGITS_TOLD: usize = 12;

/// The message that is meant.
pub(super) fn find(tx: &Transaction<'_>, of: &Conversation, text: &str) -> Result<Message, CommandError> {
    let nothing = |whose| usage(format!("{whose} has been said in {} yet", of.title));
    match text {
        "last" => return message::last_said(tx, of.local, false)?.ok_or_else(|| nothing("nothing")),
        "mine" => return message::last_said(tx, of.local, true)?.ok_or_else(|| nothing("nothing of yours")),
        _ => {}
    }
    let digits = digits(text)?;
    let mut found = message::called(tx, of.local, &digits, CANDIDATES_MAX)?;
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(other), false) => {
            let ends = found.iter().chain([&other]).map(|one| end(&one.id));
            Err(usage(format!(
                "more than one message in {} is called {text}: {}",
                of.title,
                ends.collect::<Vec<_>>().join(", ")
            )))
        }
        (None, _) => Err(usage(format!("there is no message {text} in {}: `history --ids` shows them", of.title))),
    }
}

/// Digits of an id, as a person types them.
fn digits(text: &str) -> Result<String, CommandError> {
    let typed = text.strip_prefix('#').unwrap_or(text);
    let digits: String = typed.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    if digits.len() < DIGITS_MIN || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(usage(format!(
            "{text:?} is no message: write last, mine, or at least {DIGITS_MIN} digits of the end of its id, which `history \
             --ids` shows"
        )));
    }
    Ok(digits)
}

/// The message of this account's own that is meant, wherever it was said.
pub(super) fn find_own(tx: &Transaction<'_>, text: &str) -> Result<Message, CommandError> {
    let last = matches!(text, "last" | "mine");
    let digits = if last { String::new() } else { digits(text)? };
    let found = trace::called(tx, &digits, if last { 1 } else { CANDIDATES_MAX })?;
    match found[..] {
        [only] => Ok(message::get(tx, only)?),
        [] if last => Err(usage("you have said nothing yet")),
        [] => Err(usage(format!("there is no message {text} of yours: `history --ids` shows them"))),
        _ => {
            let all = found.iter().map(|local| Ok(end(&message::get(tx, *local)?.id)));
            let all = all.collect::<Result<Vec<_>, CommandError>>()?;
            Err(usage(format!("more than one message of yours is called {text}: {}", all.join(", "))))
        }
    }
}

/// Its id.
pub(super) fn id(message: &Message) -> Result<MessageId, CommandError> {
    message.id.parse().map_err(|_| CommandError::Internal { message: "a message without an id".into() })
}

/// The last digits of an id.
fn end(id: &str) -> String {
    id.chars().skip(id.len().saturating_sub(DIGITS_TOLD)).collect()
}
