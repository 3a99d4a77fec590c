//! Sending on what a message says. It is marked as forwarded; who had said it is not told, because nobody could check it.

use std::sync::Arc;

use qpc_proto::content::{Content, Kind as Said};

use super::{files, refer, talk, target, usage};
use crate::{
    api::{CommandError, Outcome},
    core::{Core, internal},
    fresh,
};

/// Sends a message of one conversation into another.
pub(super) async fn forward(
    core: &Arc<Core>,
    from: String,
    message: String,
    to: String,
) -> Result<Outcome, CommandError> {
    let me = core.me.clone();
    let found = core
        .store
        .run(move |tx| {
            let of = target::existing(tx, &me, &from)?;
            refer::find(tx, &of, &message)
        })
        .await?;
    match found.kind.as_str() {
        "text" => {
            let id = fresh::message_id().map_err(|error| internal(&error))?;
            let content = Content { forwarded: true, ..Content::new(fresh::now_ms(), Said::Text(found.body.into())) };
            talk::queue(core, to, id, content, |_, _| Ok(())).await
        }
        "attachment" if found.seq == 0 => {
            Err(CommandError::TryLater { message: "the file is still on its way: try again when it is there".into() })
        }
        "attachment" => files::forward(core, refer::id(&found)?, to).await,
        _ => Err(usage(format!("only texts and files can be forwarded, and that in {} is neither", found.title))),
    }
}
