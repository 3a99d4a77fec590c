//! Links by which people ask to be let into groups: their form and signatures. Whether a link counts is judged where it is
//! stored, in the transaction that uses it.

use qpc_proto::{
    limits::{LINK_DAYS_MAX, LINK_USES_MAX},
    link::{JoinRequest, JoinRequestError, LinkKey},
    v1,
};

use super::Groups;
use crate::{
    field::{self, FieldError},
    store::{Actor, Ask, AskError, LinkError, LinkRefusal, LinkSetting, LinkTerms, Reply},
};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

impl Groups {
    /// Makes a link into a group, or ends one.
    ///
    /// # Errors
    /// [`FieldError`] at once; the reply carries the store's judgement.
    pub fn set_link(&self, actor: &Actor, request: &v1::SetLink) -> Result<Reply<(), LinkError>, FieldError> {
        let now_ms = self.clock.unix_ms();
        let latest = now_ms.saturating_add(LINK_DAYS_MAX.saturating_mul(DAY_MS));
        let terms = match request {
            v1::SetLink { withdrawn: true, .. } => LinkTerms::Withdrawn,
            v1::SetLink { expires_ms, .. } if !(now_ms..=latest).contains(expires_ms) => {
                return Err(FieldError::Malformed("expires_ms"));
            }
            v1::SetLink { uses, .. } if !(1..=LINK_USES_MAX).contains(uses) => {
                return Err(FieldError::Malformed("uses"));
            }
            v1::SetLink { expires_ms, uses, .. } => LinkTerms::Open { expires_ms: *expires_ms, uses: *uses },
        };
        let setting = LinkSetting {
            conversation: field::conversation(request.conversation.as_ref())?,
            link: LinkKey::parse(&request.link_key).ok_or(FieldError::Malformed("link_key"))?,
            terms,
            now_ms,
        };
        Ok(self.store.set_link(actor, setting))
    }

    /// Lets a request to be let in wait, if whoever has the link has signed it.
    ///
    /// # Errors
    /// [`FieldError`] at once; the future carries the judgement of the signature and of the store.
    pub fn ask_to_join(
        &self,
        actor: &Actor,
        request: v1::AskToJoin,
    ) -> Result<impl Future<Output = Result<u64, AskError>> + Send + use<>, FieldError> {
        let malformed = FieldError::Malformed("request");
        let wire = request.request.ok_or(malformed)?;
        let now_ms = self.clock.unix_ms();
        let waiting = match JoinRequest::verify(&wire) {
            Ok(request) if request.device() != actor.device() => return Err(malformed),
            Ok(request) => {
                self.metrics.joins_asked.inc();
                Ok(self.store.ask_to_join(actor, Ask { request, now_ms }))
            }
            Err(JoinRequestError::Form) => return Err(malformed),
            Err(JoinRequestError::Signature) => Err(AskError::Link(LinkRefusal::Unknown)),
        };
        Ok(async move { waiting?.await })
    }

    /// Requests that wait in a group.
    ///
    /// # Errors
    /// [`FieldError`] at once; the future carries the store's judgement.
    pub fn list_join_requests(
        &self,
        actor: &Actor,
        request: &v1::ListJoinRequests,
    ) -> Result<impl Future<Output = Result<v1::ListJoinRequestsAnswer, LinkError>> + Send + use<>, FieldError> {
        let conversation = field::conversation(request.conversation.as_ref())?;
        let reply = self.store.join_requests(actor, &conversation, self.clock.unix_ms());
        Ok(async move {
            // What was stored was verified, and is given as it was: one that can't be read is left out.
            let requests = reply.await?.into_iter().filter_map(|bytes| prost::Message::decode(bytes).ok()).collect();
            Ok(v1::ListJoinRequestsAnswer { requests })
        })
    }
}
