//! Trees that welcomes need which come without: read from the server and kept before the welcomes are applied, because
//! whatever applies them is a transaction and asks nobody.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use prost::Message;
use qpc_proto::{
    chain::{EntryContent, EntryKind},
    error::Code,
    id::{ConversationName, Seq},
    limits::TREE_MAX,
    v1,
};
use tokio::time::sleep;

use super::session::End;
use crate::{
    apply::Item,
    core::Core,
    store::{StoreError, conversation, conversation::State, welcome_tree},
    transport::{CallError, Link},
};

/// How often one is asked for when the server is busy, before the connection is given up and begun anew.
const ATTEMPTS: usize = 5;
/// Pause before each.
const PAUSE: Duration = Duration::from_secs(1);

/// Reads what the welcomes among these items need. What the server does not give is left out: such a welcome can't be
/// opened, and the device comes by itself, if its account is still in the group.
pub(super) async fn fetch(core: &Arc<Core>, link: &Link, items: &[Item]) -> Result<(), End> {
    for (name, seq) in items.iter().filter_map(needed) {
        let wanted = name.clone();
        if core.store.run(move |tx| is_there(tx, &wanted, seq)).await? {
            continue;
        }
        if let Some(tree) = read(link, &name, seq).await? {
            core.store.run(move |tx| welcome_tree::put(tx, &name, seq, &tree)).await?;
        }
    }
    Ok(())
}

/// The tree that an item needs.
fn needed(item: &Item) -> Option<(ConversationName, Seq)> {
    let Item::Entry(entry) = item else { return None };
    let EntryContent::Body(body) = &entry.content else { return None };
    if entry.kind != EntryKind::Welcome {
        return None;
    }
    let notice = v1::WelcomeNotice::decode(body.clone()).ok().filter(|notice| notice.without_tree)?;
    Some((ConversationName::parse(notice.conversation.as_ref()).ok()?, Seq(notice.seq)))
}

/// Is the tree here, or this device in the group already, and not one that goes on without it?
fn is_there(tx: &rusqlite::Transaction<'_>, name: &ConversationName, seq: Seq) -> Result<bool, StoreError> {
    let known = conversation::by_name(tx, name)?;
    let joined = known.is_some_and(|known| known.state == State::Active && known.seq >= seq);
    Ok(joined || welcome_tree::get(tx, name, seq)?.is_some())
}

async fn read(link: &Link, name: &ConversationName, seq: Seq) -> Result<Option<BytesMut>, CallError> {
    let mut tree = BytesMut::new();
    let mut attempts = 0;
    loop {
        let request = v1::ReadGroup {
            conversation: Some(name.to_wire()),
            offset: u64::try_from(tree.len()).unwrap_or(u64::MAX),
            welcome_seq: seq.0,
            ..Default::default()
        };
        let page = match link.call(request).await {
            Ok(page) => page,
            Err(CallError::Refused(refused)) if attempts < ATTEMPTS && refused.code.is_some_and(Code::retryable) => {
                attempts = attempts.saturating_add(1);
                sleep(refused.retry_after.max(PAUSE)).await;
                continue;
            }
            Err(CallError::Refused(refused)) if refused.code.is_none_or(|code| !code.retryable()) => {
                tracing::debug!(%refused, "the tree of a group is not to be had");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let size = usize::try_from(page.tree_size).ok().filter(|size| *size <= TREE_MAX);
        let size = size.ok_or(CallError::Protocol("a group that is larger than a group can be"))?;
        tree.extend_from_slice(&page.tree);
        if tree.len() >= size {
            return Ok(Some(tree));
        }
        if page.tree.is_empty() {
            return Err(CallError::Protocol("a page of a group without anything in it"));
        }
    }
}
