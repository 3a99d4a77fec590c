//! What a person is told where another domain has to be reached.

use std::sync::Arc;

use qpc_proto::{address::Domain, error::Code};

use super::session::End;
use crate::{
    api::{Event, OutboxState},
    apply::Applied,
    core::Core,
    store::{
        Local, StoreError,
        conversation::{self, State},
        outbox,
    },
    transport::CallError,
};

/// Why nobody of a domain can be written to.
pub(crate) fn not_federated(domain: &Domain) -> String {
    format!(
        "your server exchanges nothing with {domain}: its operator would have to add that domain to the federation's peers"
    )
}

/// Why nobody of a domain can be written to now.
pub(crate) fn unreachable(domain: &Domain) -> String {
    format!("the server of {domain} can't be reached now")
}

/// Says for what a conversation that is not made yet waits, where another domain has to be reached for it.
pub(super) async fn note_unreachable(core: &Arc<Core>, local: Local, error: &CallError) -> Result<(), End> {
    if !matches!(error, CallError::Refused(refused) if refused.code == Some(Code::DomainUnreachable)) {
        return Ok(());
    }
    let teller = Arc::clone(core);
    core.store
        .run_and(
            move |tx| {
                let mut out = Applied::default();
                let conversation = conversation::get(tx, local)?;
                let domain = conversation.peer.as_ref().map(|peer| peer.domain.clone());
                let unmade =
                    matches!(conversation.state, State::Wanted | State::Creating) && !conversation.is_joining();
                if let Some(domain) = domain.filter(|_| unmade) {
                    let reason = format!("{}; it is tried again", unreachable(&domain));
                    if conversation::set_waiting(tx, local, Some(&reason))? {
                        for id in outbox::of_conversation(tx, local)? {
                            let (id, reason) = (id.to_string(), Some(reason.clone()));
                            out.events.push(Event::Outbox { id, state: OutboxState::Waiting, reason });
                        }
                    }
                }
                out.outbox = true;
                Ok::<_, StoreError>(out)
            },
            move |applied| teller.tell(applied),
        )
        .await?;
    Ok(())
}
