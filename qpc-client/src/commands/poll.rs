//! Asking a question with answers to choose from.

use std::sync::Arc;

use qpc_proto::{
    content::{Content, Kind as Said},
    limits::{POLL_OPTION_MAX, POLL_OPTIONS_MAX, POLL_QUESTION_MAX},
    v1,
};

use super::{talk, usage};
use crate::{
    api::{CommandError, Outcome},
    core::{Core, internal},
    fresh,
    store::poll::{self, OPTIONS_MIN},
};

/// Asks.
pub(super) async fn ask(
    core: &Arc<Core>,
    to: String,
    question: String,
    (options, several): (Vec<String>, bool),
) -> Result<Outcome, CommandError> {
    if !(OPTIONS_MIN..=POLL_OPTIONS_MAX).contains(&options.len()) {
        return Err(usage(format!("a poll has {OPTIONS_MIN} to {POLL_OPTIONS_MAX} answers to choose from")));
    }
    if question.trim().is_empty() || options.iter().any(|option| option.trim().is_empty()) {
        return Err(usage("a poll has a question, and words in each of its answers"));
    }
    if question.len() > POLL_QUESTION_MAX || options.iter().any(|option| option.len() > POLL_OPTION_MAX) {
        return Err(usage(format!(
            "a question has at most {POLL_QUESTION_MAX} bytes, and each answer at most {POLL_OPTION_MAX}"
        )));
    }
    let id = fresh::message_id().map_err(|error| internal(&error))?;
    let asked = v1::Poll { question, options, several };
    let content = Content::new(fresh::now_ms(), Said::Poll(asked.clone()));
    talk::queue(core, to, id, content, move |tx, conversation| Ok(poll::put(tx, conversation.local, id, &asked)?)).await
}
