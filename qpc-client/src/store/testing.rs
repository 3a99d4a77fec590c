//! A home for tests of what it holds.

use qpc_proto::{
    id::{ConversationName, MessageId, Seq},
    v1,
};
use rusqlite::{Connection, Transaction};
use tempfile::TempDir;

use super::{
    Local, StoreError, attachment,
    conversation::{self, Kind, New, State},
    message, outbox, schema, upload,
};
use crate::{fresh, home::HomeKey};

/// Whose home it is.
const ME: &str = "alice@a.example";

/// A home with a group.
pub(crate) struct Home {
    pub(crate) database: Connection,
    pub(crate) local: Local,
    _dir: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let database = schema::open(&dir.path().join("client.db"), &HomeKey::for_tests()).unwrap();
        let mut home = Self { database, local: 0, _dir: dir };
        home.local = home.conversation("tea");
        home
    }

    pub(crate) fn with<T>(&mut self, work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>) -> T {
        let tx = self.database.transaction().unwrap();
        let result = work(&tx).unwrap();
        tx.commit().unwrap();
        result
    }

    /// One more group.
    pub(crate) fn conversation(&mut self, title: &str) -> Local {
        let id = fresh::conversation_id().unwrap();
        let name = Some(ConversationName { domain: "a.example".parse().unwrap(), id });
        let new = New { name, kind: Kind::Group, peer: None, title: title.to_owned(), state: State::Active };
        self.with(|tx| conversation::insert(tx, &new))
    }

    /// Somebody said something; what [`ME`] says waits.
    pub(crate) fn said(&mut self, conversation: Local, sender: &str, nr: u64, body: &str) -> (i64, MessageId) {
        let id = MessageId::new(nr, [7; 10]);
        (self.insert(conversation, id, sender, nr, "text", body), id)
    }

    fn insert(
        &mut self,
        conversation: Local,
        id: MessageId,
        sender: &str,
        nr: u64,
        kind: &'static str,
        body: &str,
    ) -> i64 {
        let own = sender == ME;
        let seq = Seq(if own { 0 } else { nr });
        let new = message::New { conversation, seq, id, sender, own, time_ms: nr, kind, body, shown: true };
        self.with(|tx| message::insert(tx, &new)).unwrap()
    }

    /// Queues something to say, with a file or without.
    pub(crate) fn queue(&mut self, file: bool) -> MessageId {
        let (id, local) = (fresh::message_id().unwrap(), self.local);
        self.insert(local, id, ME, 1, if file { "attachment" } else { "text" }, "x");
        self.with(|tx| {
            outbox::put(tx, local, id, b"content")?;
            if file {
                let told = v1::Attachment {
                    file_name: "photo.jpg".into(),
                    digest: vec![1; 32].into(),
                    key: vec![2; 32].into(),
                    size: 5,
                    format: 1,
                    blob_size: 272,
                    ..Default::default()
                };
                attachment::put(tx, local, id, &told)?;
                upload::put(tx, id, &id.to_string(), &[1; 32], 272)?;
            }
            Ok(())
        });
        id
    }
}
