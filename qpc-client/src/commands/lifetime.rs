//! How long messages of a conversation stay.

use std::sync::Arc;

use qpc_proto::{
    content::{Content, Kind as Said},
    limits::LIFETIME_MAX_S,
};

use super::{talk, target, usage};
use crate::{
    api::{CommandError, Lifetime, Outcome, span},
    apply,
    core::{Core, internal},
    fresh,
    store::{conversation::Kind, lifetime},
};

/// Tells everybody how long what is said from here on stays, or says how long that is.
pub(super) async fn lifetime(core: &Arc<Core>, to: String, seconds: Option<u32>) -> Result<Outcome, CommandError> {
    if let Some(seconds) = seconds {
        return set(core, to, seconds).await;
    }
    let me = core.me.clone();
    let lifetime = core.store.run(move |tx| {
        let of = target::existing(tx, &me, &to)?;
        let seconds = lifetime::of(tx, of.local)?;
        Ok::<_, CommandError>(Lifetime { title: of.title, seconds })
    });
    Ok(Outcome::Lifetime(lifetime.await?))
}

/// Tells everybody how long what is said from here on stays; 0 for ever.
async fn set(core: &Arc<Core>, to: String, seconds: u32) -> Result<Outcome, CommandError> {
    if seconds > LIFETIME_MAX_S {
        return Err(usage(format!("messages stay at most {} days, or for ever", LIFETIME_MAX_S / 86_400)));
    }
    let (me, of) = (core.me.clone(), to.clone());
    core.store
        .run(move |tx| {
            let conversation = target::existing(tx, &me, &of)?;
            if conversation.kind == Kind::Group {
                let name = conversation.named()?;
                if !me.with_mls(tx, |mls| apply::may_describe(&mut mls.group(name), me.address()))? {
                    return Err(usage("only owners and admins say how long messages stay"));
                }
            }
            if lifetime::of(tx, conversation.local)? == seconds {
                return Err(usage(match seconds {
                    0 => "messages stay there already".to_owned(),
                    _ => format!("messages disappear there after {} already", span(seconds)),
                }));
            }
            Ok(())
        })
        .await?;
    let id = fresh::message_id().map_err(|error| internal(&error))?;
    let content = Content::new(fresh::now_ms(), Said::Lifetime(seconds));
    talk::queue(core, to, id, content, move |tx, conversation| {
        Ok(lifetime::want(tx, conversation.local, Some(seconds))?)
    })
    .await
}
