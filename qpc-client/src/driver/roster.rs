//! The server's list of conversations: its word for who is a member, compared with the MLS group elsewhere.

use qpc_proto::{id::ConversationName, v1};

use crate::transport::{CallError, Link};

/// A conversation in the server's list; `None` where this account is in no such one.
pub(crate) async fn find(link: &Link, name: &ConversationName) -> Result<Option<v1::Conversation>, CallError> {
    let wanted = name.to_wire();
    let mut pages = Pages::new(link);
    while let Some(page) = pages.next().await? {
        let found = page.into_iter().find(|listed| listed.conversation.as_ref() == Some(&wanted));
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The server's list, a page at a time.
pub(crate) struct Pages<'l> {
    link: &'l Link,
    /// After which conversation the next page begins; `None` after the last page.
    after: Option<bytes::Bytes>,
}

impl<'l> Pages<'l> {
    pub(crate) fn new(link: &'l Link) -> Self {
        Self { link, after: Some(bytes::Bytes::new()) }
    }

    /// The next page; `None` after the last one.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<v1::Conversation>>, CallError> {
        let Some(after_id) = self.after.take() else { return Ok(None) };
        let page = self.link.call(v1::ListConversations { after_id: after_id.clone() }).await?;
        let last = page.conversations.last().and_then(|last| last.conversation.clone());
        self.after = last.map(|last| last.id).filter(|last| page.more && *last > after_id);
        Ok(Some(page.conversations))
    }
}
