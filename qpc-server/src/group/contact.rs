//! Contacts: who may write to whom, answered and listed.

use qpc_proto::{limits::LIST_PAGE_MAX, v1};

use super::Groups;
use crate::{
    field::{self, FieldError},
    store::{Actor, Consent, ContactDecision, ContactError, ContactInfo, Refusal, Reply},
};

impl Groups {
    /// Accepts, declines, blocks or unblocks.
    ///
    /// # Errors
    /// [`FieldError`] at once; the reply carries the store's judgement.
    pub fn answer_contact(
        &self,
        actor: &Actor,
        request: &v1::AnswerContact,
    ) -> Result<Reply<(), ContactError>, FieldError> {
        let answer = match v1::ContactAnswer::try_from(request.answer) {
            Ok(v1::ContactAnswer::Accept) => Consent::Accept,
            Ok(v1::ContactAnswer::Decline) => Consent::Decline,
            Ok(v1::ContactAnswer::Block) => Consent::Block,
            Ok(v1::ContactAnswer::Unblock) => Consent::Unblock,
            Ok(v1::ContactAnswer::Unspecified) | Err(_) => return Err(FieldError::Malformed("answer")),
        };
        let peer = field::address(&request.address)?;
        Ok(self.store.answer_contact(actor, ContactDecision { peer, answer, now_ms: self.clock.unix_ms() }))
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
