//! Contacts: who may write to whom, answered and listed.

use std::sync::Arc;

use futures_util::future::Either;
use qpc_proto::{address::Address, limits::LIST_PAGE_MAX, v1};

use super::{Elsewhere, Groups};
use crate::{
    field::{self, FieldError},
    store::{Actor, Consent, ContactDecision, ContactError, ContactInfo, Refusal, Reply, StoreFault},
};

/// Why a contact was not answered.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The store's judgement.
    #[error(transparent)]
    Here(#[from] ContactError),
    /// That of the contact's domain, or why there is none.
    #[error(transparent)]
    Elsewhere(#[from] Elsewhere),
}

impl Groups {
    /// Accepts, declines, blocks or unblocks.
    ///
    /// # Errors
    /// [`FieldError`] at once; the reply carries the store's judgement.
    pub fn answer_contact(
        self: &Arc<Self>,
        actor: &Actor,
        request: &v1::AnswerContact,
    ) -> Result<impl Future<Output = Result<(), AnswerError>> + Send + use<>, FieldError> {
        let answer = match v1::ContactAnswer::try_from(request.answer) {
            Ok(v1::ContactAnswer::Accept) => Consent::Accept,
            Ok(v1::ContactAnswer::Decline) => Consent::Decline,
            Ok(v1::ContactAnswer::Block) => Consent::Block,
            Ok(v1::ContactAnswer::Unblock) => Consent::Unblock,
            Ok(v1::ContactAnswer::Unspecified) | Err(_) => return Err(FieldError::Malformed("answer")),
        };
        let peer = field::address(&request.address)?;
        // Whoever is of another domain hears from that one that they may write, and their hub lets them.
        let tells = answer == Consent::Accept && peer.domain != self.domain && actor.address().domain == self.domain;
        if !tells {
            // The verb is queued here and now, in the order of requests.
            let decided = self.decide(actor, peer, answer);
            return Ok(Either::Left(async { Ok(decided.await?) }));
        }
        let (this, actor) = (Arc::clone(self), actor.clone());
        Ok(Either::Right(async move {
            this.accept_elsewhere(&actor, &peer).await?;
            Ok(this.decide(&actor, peer, answer).await?)
        }))
    }

    fn decide(&self, actor: &Actor, peer: Address, answer: Consent) -> Reply<(), ContactError> {
        self.store.answer_contact(actor, ContactDecision { peer, answer, now_ms: self.clock.unix_ms() })
    }

    /// Notes what the hub has noted already. Where nothing was asked there is nothing to note.
    pub(super) async fn accept_here(&self, actor: &Actor, peer: &Address) -> Result<(), StoreFault> {
        match self.decide(actor, peer.clone(), Consent::Accept).await {
            Err(ContactError::Fault(fault)) => Err(fault),
            Ok(()) | Err(ContactError::NotFound | ContactError::DeviceGone) => Ok(()),
        }
    }

    /// One page of the actor's contacts.
    ///
    /// # Errors
    /// [`FieldError`] at once; the reply carries the store's judgement.
    pub fn list_contacts(
        &self,
        actor: &Actor,
        request: &v1::ListContacts,
    ) -> Result<impl Future<Output = Result<v1::ListContactsAnswer, Refusal>> + Send + use<>, FieldError> {
        let after = match request.after.as_str() {
            "" => None,
            address => Some(field::address(address)?),
        };
        let reply = self.store.list_contacts(actor, after, LIST_PAGE_MAX.saturating_add(1));
        Ok(async move {
            let found = reply.await?;
            let more = found.len() > LIST_PAGE_MAX;
            Ok(v1::ListContactsAnswer { contacts: found.into_iter().take(LIST_PAGE_MAX).map(to_wire).collect(), more })
        })
    }
}

fn to_wire(contact: ContactInfo) -> v1::Contact {
    v1::Contact {
        address: contact.address.to_string(),
        state: contact.state.into(),
        conversation: contact.conversation.map(|name| name.to_wire()),
    }
}
