//! What a server that was restored from a backup lacks: entries that members, or domains with a copy, give it
//! back, verbatim, where they carry the log on.
//!
//! They are judged as those of a copy are, by the chain and the group's own rules.

use bytes::Bytes;
use qpc_proto::{
    address::Domain,
    chain::{EntryContent, LogEntry},
    id::{AccountId, ConversationName, Seq},
    limits::LOG_PAGE_MAX,
    v1,
};

use super::{Groups, copy, copy::CopyRefused, shelf::Known};
use crate::{
    field::{self, FieldError},
    rng,
    store::{Actor, CopyAppend, CopyChange, CopyFrom, CopyPlace, GroupVersion, LogEnd, Met, OfferError, Offered},
};

/// Why entries were not taken back.
#[derive(Debug, thiserror::Error)]
pub enum OfferRefused {
    /// They don't carry the log on.
    #[error(transparent)]
    Copy(#[from] CopyRefused),
    /// The store.
    #[error(transparent)]
    Store(#[from] OfferError),
}

impl From<FieldError> for OfferRefused {
    fn from(error: FieldError) -> Self {
        Self::Copy(error.into())
    }
}

/// Who gives something back.
#[derive(Clone, Copy)]
enum Giver<'g> {
    Device(&'g Actor),
    /// Another domain, of its copy.
    Domain(&'g Domain),
}

impl Groups {
    /// Takes what a device has of a log and this server may lack; says where the log ends then.
    ///
    /// # Errors
    /// [`OfferRefused`].
    pub async fn offer(&self, actor: &Actor, offer: v1::Offer) -> Result<v1::OfferAnswer, OfferRefused> {
        let name = field::conversation(offer.conversation.as_ref())?;
        field::at_most(offer.entries.len(), LOG_PAGE_MAX, "entries")?;
        let entries = copy::in_a_row(&name, offer.entries)?;
        let _turn = self.follower.turns.take(&name).await;
        let place = self.store.log_end(actor, &name).await?;
        if self.is_elsewhere(&name) {
            return Err(OfferError::NotAwaited.into());
        }
        if entries.is_empty() && !offer.complete {
            return Ok(v1::OfferAnswer { head_seq: place.head.0, chain: place.chain.to_bytes() });
        }
        self.give_back(Giver::Device(actor), (&name, place), entries, offer.complete).await
    }

    /// Takes what a domain has of a conversation of here after its last entry; without any, that it has no more.
    ///
    /// # Errors
    /// [`OfferRefused`].
    pub async fn take_back(
        &self,
        domain: &Domain,
        name: &ConversationName,
        entries: Vec<v1::Entry>,
    ) -> Result<(), OfferRefused> {
        let entries = copy::in_a_row(name, entries)?;
        let _turn = self.follower.turns.take(name).await;
        let place = self.store.copy_place(name).await.map_err(OfferError::from)?.ok_or(OfferError::NotFound)?;
        let place = LogEnd { head: place.head, chain: place.chain, kind: Some(place.kind) };
        let complete = entries.is_empty();
        self.give_back(Giver::Domain(domain), (name, place), entries, complete).await?;
        Ok(())
    }

    /// Those of other domains whom a change brings in.
    fn people_of_elsewhere(&self, change: Option<&CopyChange>) -> Vec<Met> {
        let Some(abroad) = &self.abroad else { return Vec::new() };
        let added = change.iter().flat_map(|change| &change.added);
        added
            .filter(|(address, ..)| address.domain != self.domain)
            .map(|(address, account_key, _)| Met {
                id: AccountId::new(self.clock.unix_ms(), rng::bytes(&*abroad.rng)),
                address: address.clone(),
                account_key: *account_key,
            })
            .collect()
    }

    async fn give_back(
        &self,
        giver: Giver<'_>,
        (name, place): (&ConversationName, LogEnd),
        mut entries: Vec<LogEntry>,
        complete: bool,
    ) -> Result<v1::OfferAnswer, OfferRefused> {
        if let Some(known) = entries.iter().find(|entry| entry.seq == place.head).filter(|e| e.chain != place.chain) {
            return Err(CopyRefused::Chain(known.seq).into());
        }
        let first = entries.first().map_or(Seq(0), |entry| entry.seq);
        if first > place.head.next() {
            return Err(CopyRefused::Gap(place.head).into());
        }
        entries.retain(|entry| entry.seq > place.head);
        let now_ms = self.clock.unix_ms();
        for entry in &mut entries {
            // Who is given a body's digest alone could never be given the body.
            if matches!(entry.content, EntryContent::Removed(_)) {
                return Err(FieldError::Malformed("entries").into());
            }
            // The chain does not hold the time, by which retention goes.
            entry.stored_ms = entry.stored_ms.min(now_ms);
        }
        let Some(kind) = place.kind else { return Err(OfferError::NotAwaited.into()) };
        let (count, chain) = (entries.len(), entries.last().map_or(place.chain, |last| last.chain));
        // Who has no more changes nothing: its group need not be known for that.
        let judged = match count {
            0 => None,
            _ => {
                Some(self.follow(name, CopyPlace { head: place.head, chain: place.chain, kind }, entries, None).await?)
            }
        };
        let mut append = CopyAppend {
            log: name.clone(),
            from: CopyFrom::Place(place.head, GroupVersion::default()),
            entries: Vec::new(),
            change: None,
            group_info: Bytes::new(),
            now_ms,
        };
        let (mut known, mut met) = (None, Vec::new());
        if let Some((basis, steps, group)) = judged {
            let (version, entries, change) = steps.done(&group);
            met = self.people_of_elsewhere(change.as_ref());
            append = CopyAppend { from: CopyFrom::Place(place.head, basis), entries, change, ..append };
            known = Some(Known { version, group, place: None });
        }
        let head = match giver {
            Giver::Device(actor) => self.store.offer(actor, Offered { append, met, complete }).await?,
            Giver::Domain(domain) => self.store.take_back(domain, Offered { append, met, complete }).await?,
        };
        if let Some(known) = known {
            self.follower.shelf.put(name.clone(), known);
        }
        self.metrics.restore.given_back.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(v1::OfferAnswer { head_seq: head.0, chain: chain.to_bytes() })
    }
}
