//! Entries that the server puts into inboxes, and the one way entries enter any log.

use bytes::Bytes;
use prost::Message;
use qpc_proto::{
    address::Domain,
    chain::{ChainValue, EntryContent, EntryKind, LogEntry},
    id::{AccountId, ConversationName, Counter, DeviceId, Epoch, MessageId, Seq},
    v1::{AccountNotice, ContactNotice},
};

use crate::store::{
    Appended, Audience, Committed, StoreFault, rules,
    tables::{DeviceRow, EntryRow, LogId, Tables},
};

/// An entry before it has a place.
pub(super) struct Draft {
    pub(super) kind: EntryKind,
    pub(super) epoch: Epoch,
    pub(super) sender: Option<DeviceId>,
    pub(super) counter: Counter,
    pub(super) id: MessageId,
    pub(super) body: Bytes,
    pub(super) now_ms: u64,
}

/// Gives a draft the next place of its log, and its readers a hint once it is durable.
pub(super) fn write(
    tables: &mut dyn Tables,
    (log, name): (LogId, &ConversationName),
    draft: Draft,
    audience: Audience,
    withheld_from: Option<AccountId>,
) -> Result<Appended, StoreFault> {
    let ends = tables.ends(log)?;
    let mut entry = LogEntry {
        conversation: name.clone(),
        seq: ends.head.next(),
        kind: draft.kind,
        epoch: draft.epoch,
        sender: draft.sender,
        counter: draft.counter,
        id: draft.id,
        stored_ms: draft.now_ms,
        chain: ends.chain,
        content: EntryContent::Body(draft.body),
    };
    entry.chain = ends.chain.after(&entry.header());
    let row = EntryRow { entry, withheld_from };
    tables.append(log, &row)?;
    let appended = rules::appended(&row.entry);
    let followers = tables.followers(log)?;
    tables.emit(Committed { entry: row.entry.into(), audience, withheld_from, followers });
    Ok(appended)
}

/// What goes into an inbox.
pub(super) struct Notice {
    pub(super) kind: EntryKind,
    pub(super) sender: Option<DeviceId>,
    /// `None` for one that the server makes.
    pub(super) id: Option<MessageId>,
    pub(super) body: Bytes,
    pub(super) now_ms: u64,
}

impl Notice {
    fn account(notice: &AccountNotice, sender: Option<DeviceId>, now_ms: u64) -> Self {
        Self { kind: EntryKind::Account, sender, id: None, body: notice.encode_to_vec().into(), now_ms }
    }

    pub(super) fn contact(notice: &ContactNotice, sender: DeviceId, now_ms: u64) -> Self {
        Self { kind: EntryKind::Contact, sender: Some(sender), id: None, body: notice.encode_to_vec().into(), now_ms }
    }
}

/// Puts a notice into a device's inbox.
pub(super) fn deliver(
    tables: &mut dyn Tables,
    domain: &Domain,
    device: &DeviceRow,
    notice: Notice,
) -> Result<(), StoreFault> {
    let name = ConversationName::inbox(domain.clone(), device.id);
    let Some((log, _)) = tables.log(&name)? else {
        return Ok(());
    };
    let ends = tables.ends(log)?;
    let draft = Draft {
        kind: notice.kind,
        epoch: Epoch(0),
        sender: notice.sender,
        counter: Counter(0),
        id: notice.id.unwrap_or_else(|| server_id(&ends.chain, ends.head, notice.now_ms)),
        body: notice.body,
        now_ms: notice.now_ms,
    };
    let audience = Audience::Device(device.account, device.id);
    write(tables, (log, &name), draft, audience, None).map(|_| ())
}

/// Puts a notice into the inboxes of all devices of an account.
pub(super) fn tell_account(
    tables: &mut dyn Tables,
    account: AccountId,
    notice: impl Fn() -> Notice,
) -> Result<(), StoreFault> {
    let Some(row) = tables.account(account)?.filter(|row| row.state.takes_part()) else {
        return Ok(());
    };
    for device in tables.devices_of(account)? {
        deliver(tables, &row.address.domain, &device, notice())?;
    }
    Ok(())
}

/// Tells accounts that something happened to another.
pub(super) fn tell_accounts(
    tables: &mut dyn Tables,
    accounts: &[AccountId],
    sender: Option<DeviceId>,
    notice: &AccountNotice,
    now_ms: u64,
) -> Result<(), StoreFault> {
    for account in accounts {
        tell_account(tables, *account, || Notice::account(notice, sender, now_ms))?;
    }
    Ok(())
}

/// An id for an entry that the server makes. It needs no randomness: the chain value and seq
/// before it are unlike any other's.
pub(super) fn server_id(chain: &ChainValue, head: Seq, now_ms: u64) -> MessageId {
    let hash = blake3::Hasher::new_derive_key("quicprochat inbox entry id")
        .update(&chain.0)
        .update(&head.0.to_be_bytes())
        .finalize();
    let mut random = [0; 10];
    random.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
    MessageId::new(now_ms, random)
}
