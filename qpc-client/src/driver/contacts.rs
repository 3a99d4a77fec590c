//! How things stand with others, by the server's list: asked for where another device of the account may have changed it.

use std::{collections::HashMap, sync::Arc};

use qpc_proto::{
    address::Address,
    v1::{self, ContactAnswer, ContactState},
};

use super::session::End;
use crate::{
    api::CommandError,
    apply::{self, Applied},
    core::Core,
    store::{
        StoreError, contact,
        due::{self, What},
    },
    transport::{CallError, Link},
};

/// Asks, if it has to be asked.
pub(super) async fn when_due(core: &Arc<Core>, link: &Link) -> Result<(), End> {
    let Some(times) = core.store.run(|tx| due::get(tx, What::Contacts)).await? else { return Ok(()) };
    refresh(core, link).await?;
    Ok(core.store.run(move |tx| due::done(tx, What::Contacts, times)).await?)
}

/// Why the list was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefreshError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<RefreshError> for End {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Call(error) => error.into(),
            RefreshError::Store(error) => error.into(),
        }
    }
}

impl From<RefreshError> for CommandError {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Call(error) => error.into(),
            RefreshError::Store(error) => error.into(),
        }
    }
}

/// Reads the whole list.
pub(crate) async fn refresh(core: &Arc<Core>, link: &Link) -> Result<(), RefreshError> {
    let mut after = String::new();
    loop {
        let page = link.call(v1::ListContacts { after: after.clone() }).await?;
        let last = page.contacts.last().map(|last| last.address.clone());
        let teller = Arc::clone(core);
        core.store
            .run_and(
                move |tx| {
                    let mut out = Applied::default();
                    for listed in page.contacts {
                        if let Ok(address) = Address::parse(&listed.address) {
                            apply::stands(tx, &address, listed.state(), &mut out)?;
                        }
                    }
                    Ok::<_, StoreError>(out)
                },
                move |applied| {
                    if applied.has_news() {
                        teller.tell(applied);
                    }
                },
            )
            .await?;
        match last {
            Some(last) if page.more && last > after => after = last,
            _ => return Ok(()),
        }
    }
}

/// Says again to a restored server whom the person has accepted or blocked since the backup.
pub(super) async fn say_again(core: &Arc<Core>, link: &Link) -> Result<(), End> {
    let mut known: HashMap<_, _> =
        core.store.run(contact::all).await?.into_iter().map(|known| (known.address, known.state)).collect();
    let mut after = String::new();
    loop {
        let page = link.call(v1::ListContacts { after: after.clone() }).await?;
        let last = page.contacts.last().map(|last| last.address.clone());
        for listed in &page.contacts {
            let Ok(address) = Address::parse(&listed.address) else { continue };
            match (listed.state(), known.remove(&address)) {
                (ContactState::Pending, Some(ContactState::Accepted)) => {
                    answer(link, &address, ContactAnswer::Accept).await?;
                }
                (state, Some(ContactState::Blocked)) if state != ContactState::Blocked => {
                    answer(link, &address, ContactAnswer::Block).await?;
                }
                _ => {}
            }
        }
        match last {
            Some(last) if page.more && last > after => after = last,
            _ => break,
        }
    }
    for (address, _) in known.into_iter().filter(|(_, state)| *state == ContactState::Blocked) {
        answer(link, &address, ContactAnswer::Block).await?;
    }
    Ok(())
}

/// Says again that the person has accepted somebody, if they have.
pub(super) async fn accept_again(core: &Arc<Core>, link: &Link, address: &Address) -> Result<(), End> {
    let of = address.clone();
    let known = core.store.run(move |tx| contact::get(tx, &of)).await?;
    match known.map(|known| known.state) {
        Some(ContactState::Accepted) => answer(link, address, ContactAnswer::Accept).await,
        _ => Ok(()),
    }
}

async fn answer(link: &Link, address: &Address, answer: ContactAnswer) -> Result<(), End> {
    match link.call(v1::AnswerContact { address: address.to_string(), answer: answer.into() }).await {
        Ok(_) => Ok(()),
        Err(CallError::Refused(refused)) => {
            tracing::debug!(%refused, "the server did not take an answer again");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}
