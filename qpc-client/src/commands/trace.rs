//! Where a message of one's own is, and how it got there.

use std::sync::Arc;

use qpc_proto::id::{DeviceId, Seq};
use rusqlite::Transaction;

use super::{refer, talk};
use crate::{
    api::{CommandError, Outcome, Step, StepKind, Trace},
    core::Core,
    fresh,
    store::{conversation, trace},
    trust::Me,
};

pub(super) async fn trace(core: &Arc<Core>, message: String) -> Result<Outcome, CommandError> {
    let me = core.me.clone();
    core.store.run(move |tx| follow(tx, &me, &message)).await.map(Outcome::Trace)
}

fn follow(tx: &Transaction<'_>, me: &Me, text: &str) -> Result<Trace, CommandError> {
    let message = refer::find_own(tx, text)?;
    let name = message.conversation.parse().ok();
    let conversation = name.map(|name| conversation::by_name(tx, &name)).transpose()?.flatten();
    let mut steps = vec![Step { time: message.time.clone(), kind: StepKind::Written }];
    let mut step = |ms: Option<u64>, kind: StepKind| {
        steps.extend(ms.map(|ms| Step { time: fresh::rfc3339(ms), kind }));
    };
    if let Some(known) = trace::of(tx, refer::id(&message)?)? {
        let (epoch, counter, times) = (known.epoch, known.counter, known.times);
        step(Some(known.encrypted_ms), StepKind::Encrypted { epoch, counter });
        step(known.sent_ms, StepKind::Sent { times });
        let server = hub(&message.conversation);
        step(known.stored_ms.filter(|_| message.seq > 0), StepKind::Stored { server, seq: message.seq });
        step(known.answered_ms, StepKind::Acknowledged);
        step(known.returned_ms, StepKind::Returned);
    }
    let mut unheard = Vec::new();
    if let Some(conversation) = conversation.filter(|_| message.seq > 0) {
        let mine = me.address().to_string();
        let receivers = trace::receivers(tx, conversation.local, Seq(message.seq))?;
        if let Some(name) = &conversation.name {
            unheard = me.with_mls(tx, |mls| talk::members(&mut mls.group(name)))?;
            unheard.retain(|member| *member != mine && !receivers.iter().any(|one| one.account == *member));
        }
        for one in receivers.into_iter().filter(|one| one.account != mine) {
            let (account, device) = (one.account, one.device.as_ref().map(DeviceId::to_string));
            let kind =
                if one.read { StepKind::Read { account, device } } else { StepKind::Received { account, device } };
            step(Some(one.at_ms), kind);
        }
    }
    Ok(Trace { id: message.id, title: message.title, steps, unheard })
}

/// The domain of the server that orders a conversation.
fn hub(conversation: &str) -> String {
    conversation.rsplit('@').next().unwrap_or_default().to_owned()
}
