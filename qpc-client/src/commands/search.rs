//! Looking for messages in the home.

use std::sync::Arc;

use super::{talk::PAGE_MAX, target, usage};
use crate::{
    api::{CommandError, Outcome, Search},
    core::Core,
    store::search::{self, Query},
};

/// Longest search, in bytes.
const SEARCH_MAX: usize = 1024;
/// How a person names themselves.
const ME: &str = "me";

/// The newest messages that meet all conditions.
pub(super) async fn search(core: &Arc<Core>, asked: Search) -> Result<Outcome, CommandError> {
    if asked.words.len() > SEARCH_MAX {
        return Err(usage(format!("a search has at most {SEARCH_MAX} bytes")));
    }
    let me = core.me.clone();
    let found = core.store.run(move |tx| {
        let conversation = match &asked.to {
            Some(to) => Some(target::existing(tx, &me, to)?.local),
            None => None,
        };
        let sender = match asked.from.as_deref() {
            Some(ME) => Some(me.address().to_string()),
            Some(who) => Some(target::person(&me, who)?.to_string()),
            None => None,
        };
        let (since_ms, until_ms, before) = (asked.since_ms, asked.until_ms, asked.before);
        let limit = asked.limit.min(PAGE_MAX);
        let query = Query { words: asked.words, conversation, sender, since_ms, until_ms, before, limit };
        search::find(tx, &query)?.map_err(|error| usage(error.to_string()))
    });
    Ok(Outcome::Found { found: found.await? })
}
