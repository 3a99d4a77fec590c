//! The server's list of conversations: its word for who is a member, compared with the MLS group elsewhere.

use qpc_proto::{id::ConversationName, v1};

use crate::transport::{CallError, Link};

/// A conversation in the server's list; `None` where this account is in no such one.
pub(crate) async fn find(link: &Link, name: &ConversationName) -> Result<Option<v1::Conversation>, CallError> {
    let wanted = name.to_wire();
    let mut after_id = bytes::Bytes::new();
    loop {
        let page = link.call(v1::ListConversations { after_id: after_id.clone() }).await?;
        let last = page.conversations.last().and_then(|last| last.conversation.clone());
        let found = page.conversations.into_iter().find(|listed| listed.conversation.as_ref() == Some(&wanted));
        if found.is_some() {
            return Ok(found);
        }
        match last {
            Some(last) if page.more && last.id > after_id => after_id = last.id,
            _ => return Ok(None),
        }
    }
}
