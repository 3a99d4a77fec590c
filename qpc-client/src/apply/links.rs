//! Links into groups: which there are, by the word of those who may add people; who may be let in by one, and who was.
//!
//! A request counts because a link of the group has signed it, never because the server says that somebody asks.

use std::collections::BTreeMap;

use qpc_proto::{
    address::Address,
    content::{Content, Kind as Said},
    error::Code,
    id::ConversationName,
    link::{JoinRequest, JoinRequestError},
    role::{Action, may},
    v1,
};
use rusqlite::Transaction;

use super::{Applied, ApplyError, Batch, Open};
use crate::{
    fresh,
    mls::{Change, Group, GroupError},
    store::{
        Local, StoreError, asked,
        conversation::{self, Conversation, Kind},
        group_link, join_due, outbox,
    },
};

impl Batch<'_> {
    /// Somebody says which links there are.
    pub(super) fn group_links(
        &mut self,
        log: &mut Open<'_>,
        sender: &str,
        told: &v1::GroupLinks,
    ) -> Result<(), ApplyError> {
        let Ok(sender) = Address::parse(sender) else { return Ok(()) };
        if log.conversation.kind != Kind::Group || !may_add(&mut log.group, &sender)? {
            return Ok(());
        }
        let (local, now_ms) = (log.conversation.local, fresh::now_ms());
        let mut news = false;
        for link in &told.links {
            news |= group_link::merge(self.tx, local, link, now_ms)?;
        }
        // Who has asked by a link that was not known here was passed over.
        if news { self.look_who_waits(log) } else { Ok(()) }
    }

    /// Notes that the server has to be asked who waits, if this account may let them in.
    pub(super) fn look_who_waits(&mut self, log: &mut Open<'_>) -> Result<(), ApplyError> {
        let local = log.conversation.local;
        // Without a link nobody waits.
        if !group_link::all(self.tx, local, fresh::now_ms())?.is_empty() && may_add(&mut log.group, self.me.address())?
        {
            join_due::put(self.tx, local)?;
            self.out.links = true;
        }
        Ok(())
    }

    /// The inbox says that somebody asks to be let into a group.
    pub(super) fn asked_to_join(&mut self, group: Option<&v1::ConversationName>) -> Result<(), ApplyError> {
        let Ok(name) = ConversationName::parse(group) else { return Ok(()) };
        if let Some(known) = conversation::by_name(self.tx, &name)?.filter(|known| known.kind == Kind::Group) {
            join_due::put(self.tx, known.local)?;
            self.out.links = true;
        }
        Ok(())
    }

    /// The inbox says that nobody will let this account in by a link; perhaps it has asked by another one since.
    pub(super) fn join_refused(&mut self, notice: &v1::ContactNotice) -> Result<(), ApplyError> {
        let Ok(name) = ConversationName::parse(notice.conversation.as_ref()) else { return Ok(()) };
        if asked::is_by(self.tx, &name, &notice.link_key)? {
            not_let_in(self.tx, &name, Code::from_wire(notice.code), &mut self.out)?;
        }
        Ok(())
    }
}

/// Nobody will answer a request of this device any more: its person is told.
pub(crate) fn not_let_in(
    tx: &Transaction<'_>,
    name: &ConversationName,
    code: Option<Code>,
    out: &mut Applied,
) -> Result<(), StoreError> {
    if !asked::remove(tx, name)? {
        return Ok(());
    }
    let why = code.map_or("the server does not say why", Code::meaning);
    out.alarm(tx, format!("You were not let into the group {name} by the link that you have: {why}"))
}

/// May an account add people to a group?
pub(crate) fn may_add(group: &mut Group<'_>, who: &Address) -> Result<bool, ApplyError> {
    match group.roles() {
        Ok(roles) => Ok(may(roles.of(who), Action::Add)),
        Err(GroupError::Fault(fault)) => Err(fault.into()),
        Err(_) => Ok(false),
    }
}

/// Tells the group's members which links there are.
pub(crate) fn tell_links(tx: &Transaction<'_>, conversation: &Conversation) -> Result<(), StoreError> {
    let links = group_link::all(tx, conversation.local, fresh::now_ms())?;
    if links.is_empty() {
        return Ok(());
    }
    let links = links.iter().map(group_link::GroupLink::to_wire).collect();
    let kind = Said::GroupLinks(v1::GroupLinks { links });
    let content = Content::new(fresh::now_ms(), kind);
    let content = content.encode().map_err(|_| StoreError::Corrupt("more links than a group can have"))?;
    outbox::put(tx, conversation.local, fresh::message_id()?, &content)
}

/// What is to be done about a request that the server passes on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    /// Let them in.
    LetIn(Box<JoinRequest>),
    /// Not by this device, or not any more.
    PassOver,
    /// The server has made it up.
    Forged,
}

/// Judges a request by what the group's members know.
pub(crate) fn judge(
    tx: &Transaction<'_>,
    conversation: Local,
    name: &ConversationName,
    wire: &v1::JoinRequest,
    now_ms: u64,
) -> Result<Judged, StoreError> {
    let request = match JoinRequest::verify(wire) {
        Ok(request) if request.conversation() == name => request,
        // An honest server takes neither.
        Ok(_) | Err(JoinRequestError::Form | JoinRequestError::Signature) => return Ok(Judged::Forged),
    };
    let link = group_link::get(tx, conversation, request.link())?.filter(|link| link.counts(now_ms));
    // One that has let somebody in once is no reason to let them in again after they were removed.
    let fresh = link.is_some() && !group_link::was_used(tx, conversation, &request)?;
    Ok(if fresh { Judged::LetIn(Box::new(request)) } else { Judged::PassOver })
}

/// Who was let in by a commit because they had asked, and whose link it was. Notes that it was used.
pub(super) fn let_in(
    tx: &Transaction<'_>,
    conversation: Local,
    name: &ConversationName,
    change: &Change,
) -> Result<BTreeMap<Address, Address>, StoreError> {
    let mut by_link = BTreeMap::new();
    if change.beside.is_empty() {
        return Ok(by_link);
    }
    // What somebody puts there who may add people anyway is worth a word, no more.
    let Ok(request) = JoinRequest::verify_encoded(&change.beside) else { return Ok(by_link) };
    let came = change.accounts_added.contains(request.address())
        && change
            .added
            .iter()
            .any(|device| device.address() == request.address() && device.account_key() == request.account_key());
    if came
        && request.conversation() == name
        && let Some(link) = group_link::get(tx, conversation, request.link())?
    {
        group_link::used(tx, conversation, &request)?;
        by_link.insert(request.address().clone(), link.maker);
    }
    Ok(by_link)
}

#[cfg(test)]
mod tests {
    use qpc_proto::{
        id::{ConversationId, DeviceId},
        link::{Asker, InviteLink},
    };

    use super::*;
    use crate::{
        home::HomeKey,
        store::{
            conversation::{New, State},
            schema,
        },
    };

    #[test]
    fn a_request_counts_once_by_a_link_of_the_group_that_counts() {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = schema::open(&dir.path().join("client.db"), &HomeKey::for_tests()).unwrap();
        let tx = connection.transaction().unwrap();
        let alice = Address::parse("alice@a.example").unwrap();
        let name = ConversationName { domain: alice.domain.clone(), id: ConversationId::new(5, [1; 10]) };
        let title = "tea".to_owned();
        let new = New { name: Some(name.clone()), kind: Kind::Group, peer: None, title, state: State::Active };
        let local = conversation::insert(&tx, &new).unwrap();
        let link = InviteLink::new(name.clone(), &[1; 32]);
        let told = v1::GroupLink {
            key: link.key().to_bytes(),
            maker: alice.to_string(),
            expires_ms: 1_000,
            uses: 2,
            used: 0,
            withdrawn: false,
        };
        group_link::merge(&tx, local, &told, 10).unwrap();

        let bob = Address::parse("bob@a.example").unwrap();
        let asker = Asker { address: &bob, account_key: &[7; 32], device: DeviceId::new(1, [3; 10]) };
        let judged = |wire: &v1::JoinRequest, now_ms| judge(&tx, local, &name, wire, now_ms).unwrap();
        let asked = link.ask(&asker, 20);
        let Judged::LetIn(request) = judged(&asked, 30) else { panic!("it counts") };
        assert_eq!(request.address(), &bob);
        assert_eq!(judged(&asked, 1_000), Judged::PassOver, "its time is over");
        // The server has no link of the group: what it signs, or alters, or brings from elsewhere is nothing.
        let other = InviteLink::new(name.clone(), &[2; 32]);
        assert_eq!(judged(&other.ask(&asker, 20), 30), Judged::PassOver);
        let elsewhere = ConversationName { id: ConversationId::new(6, [1; 10]), ..name.clone() };
        assert_eq!(judged(&InviteLink::new(elsewhere, &[1; 32]).ask(&asker, 20), 30), Judged::Forged);
        let altered = v1::JoinRequest { address: "mallory@a.example".into(), ..asked.clone() };
        assert_eq!(judged(&altered, 30), Judged::Forged);
        let other_key = v1::JoinRequest { account_key: vec![8; 32].into(), ..asked.clone() };
        assert_eq!(judged(&other_key, 30), Judged::Forged);
        // Shown again after it was answered; a new one counts.
        group_link::used(&tx, local, &request).unwrap();
        assert_eq!(judged(&asked, 30), Judged::PassOver);
        assert!(matches!(judged(&link.ask(&asker, 21), 30), Judged::LetIn(_)));
        group_link::merge(&tx, local, &v1::GroupLink { withdrawn: true, ..told }, 10).unwrap();
        assert_eq!(judged(&link.ask(&asker, 22), 30), Judged::PassOver, "withdrawn");
    }

    #[test]
    fn a_refusal_is_of_what_was_asked_by_that_link() {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = schema::open(&dir.path().join("client.db"), &HomeKey::for_tests()).unwrap();
        let tx = connection.transaction().unwrap();
        let bob = Address::parse("bob@a.example").unwrap();
        let name = ConversationName { domain: bob.domain.clone(), id: ConversationId::new(5, [1; 10]) };
        let [first, second] = [1, 2].map(|seed| InviteLink::new(name.clone(), &[seed; 32]));
        let asker = Asker { address: &bob, account_key: &[7; 32], device: DeviceId::new(1, [3; 10]) };
        asked::put(&tx, &name, &prost::Message::encode_to_vec(&second.ask(&asker, 20)).into()).unwrap();
        let is_by = |link: &InviteLink| asked::is_by(&tx, &name, link.key().as_bytes()).unwrap();
        assert!(is_by(&second) && !is_by(&first));
        assert!(asked::remove(&tx, &name).unwrap());
        assert!(!is_by(&second));
    }
}
