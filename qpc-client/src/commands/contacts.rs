//! Contacts: listed, requests answered, blocks.

use std::sync::Arc;

use qpc_proto::{
    error::Code,
    v1::{self, ContactAnswer, ContactState},
};

use super::{done, target, usage};
use crate::{
    api::{self, CommandError, Outcome},
    apply::{self, Applied},
    core::Core,
    driver::contacts::refresh,
    identity::key_fingerprint,
    store::{
        StoreError,
        contact::{self, Contact},
        conversation,
    },
    transport::CallError,
    trust, words,
};

/// All contacts; the server's list where it can be had.
pub(super) async fn list(core: &Arc<Core>) -> Result<Outcome, CommandError> {
    if let Ok(link) = core.link().await {
        refresh(core, &link).await?;
    }
    let contacts = core.store.run(contact::all).await?;
    let shown = contacts.iter().filter(|one| one.state != ContactState::Unspecified || one.offered_key.is_some());
    Ok(Outcome::Contacts { contacts: shown.map(shown_as).collect() })
}

/// A contact as it is shown.
pub(super) fn shown_as(one: &Contact) -> api::Contact {
    api::Contact {
        address: one.address.to_string(),
        state: words::contact_state(one.state).to_owned(),
        // Where a new key waits for acceptance, that one is to be compared.
        account_key: one.offered_key.or(one.account_key).map(|key| key_fingerprint(&key)),
        key_changed: one.offered_key.is_some(),
        standing: trust::standing(one),
    }
}

/// Accepts a request.
pub(super) async fn accept(core: &Arc<Core>, who: String) -> Result<Outcome, CommandError> {
    answer(core, &who, ContactAnswer::Accept, ContactState::Accepted).await
}

/// Puts a request aside.
pub(super) async fn decline(core: &Arc<Core>, who: String) -> Result<Outcome, CommandError> {
    answer(core, &who, ContactAnswer::Decline, ContactState::Declined).await
}

/// Has the server withhold what they send.
pub(super) async fn block(core: &Arc<Core>, who: String) -> Result<Outcome, CommandError> {
    answer(core, &who, ContactAnswer::Block, ContactState::Blocked).await
}

/// Ends a block.
pub(super) async fn unblock(core: &Arc<Core>, who: String) -> Result<Outcome, CommandError> {
    let done = answer(core, &who, ContactAnswer::Unblock, ContactState::Unspecified).await?;
    // Only the server knows how things stood before.
    if let Ok(link) = core.link().await {
        refresh(core, &link).await?;
    }
    Ok(done)
}

async fn answer(
    core: &Arc<Core>,
    who: &str,
    answer: ContactAnswer,
    state: ContactState,
) -> Result<Outcome, CommandError> {
    let address = target::person(&core.me, who)?;
    let link = core.link().await?;
    let request = v1::AnswerContact { address: address.to_string(), answer: answer.into() };
    match link.call(request).await {
        Err(CallError::Refused(refused)) if refused.code == Some(Code::NotFound) => {
            return Err(usage(format!("there is nothing of {address} to answer")));
        }
        answered => answered?,
    };
    let teller = Arc::clone(core);
    core.store
        .run_and(
            move |tx| {
                let mut out = Applied::default();
                apply::set_contact(tx, &address, state, &mut out)?;
                if let Some(direct) = conversation::direct_with(tx, &address)? {
                    conversation::set_request(tx, direct.local, false)?;
                }
                Ok::<_, StoreError>(out)
            },
            move |applied| teller.tell(applied),
        )
        .await?;
    Ok(done())
}
