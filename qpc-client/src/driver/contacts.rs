//! How things stand with others, by the server's list: asked for where another device of the account may have changed it.

use std::sync::Arc;

use qpc_proto::{address::Address, v1};

use super::session::End;
use crate::{
    api::CommandError,
    apply::{self, Applied},
    core::Core,
    store::{
        StoreError,
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
