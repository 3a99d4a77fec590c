//! Typing, who has read what, and what of it is told.

use std::sync::Arc;

use qpc_proto::id::Seq;

use super::{done, refer, target};
use crate::{
    api::{self, CommandError, Ephemeral, Outcome},
    core::Core,
    fresh,
    store::{receipt, tell},
};

pub(super) async fn execute(core: &Arc<Core>, about: Ephemeral) -> Result<Outcome, CommandError> {
    match about {
        Ephemeral::Typing { to, typing } => writes(core, to, typing).await,
        Ephemeral::Readers { to, message } => readers(core, to, message).await,
        Ephemeral::Tell { change } => {
            let told = core.store.run(move |tx| {
                if let Some((what, on)) = change {
                    tell::set(tx, what, on)?;
                }
                tell::told(tx)
            });
            let told = told.await?;
            if change.is_some() {
                core.ephemerals.say_again();
            }
            Ok(Outcome::Told(told))
        }
    }
}

async fn writes(core: &Arc<Core>, to: String, typing: bool) -> Result<Outcome, CommandError> {
    let me = core.me.clone();
    let name = core.store.run(move |tx| Ok::<_, CommandError>(target::existing(tx, &me, &to)?.name)).await?;
    if let Some(name) = name {
        core.ephemerals.types(&name, typing);
    }
    Ok(done())
}

async fn readers(core: &Arc<Core>, to: String, message: String) -> Result<Outcome, CommandError> {
    let me = core.me.clone();
    let readers = core.store.run(move |tx| {
        let of = target::existing(tx, &me, &to)?;
        let message = refer::find(tx, &of, &message)?;
        // What has no place yet nobody has.
        let readers = if message.seq == 0 { Vec::new() } else { receipt::readers(tx, of.local, Seq(message.seq))? };
        Ok::<_, CommandError>(readers.into_iter().filter(|reader| reader.account != message.sender).collect::<Vec<_>>())
    });
    let shown = |reader: receipt::Reader| api::Reader {
        address: reader.account,
        delivered: reader.delivered_ms.map(fresh::rfc3339),
        read: reader.read_ms.map(fresh::rfc3339),
    };
    Ok(Outcome::Readers { readers: readers.await?.into_iter().map(shown).collect() })
}
