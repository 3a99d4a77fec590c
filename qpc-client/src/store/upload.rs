//! Files on their way to the server. The message that tells of one is in the outbox all the while, and leaves when it is there.

use qpc_proto::{
    id::{ConversationName, MessageId},
    v1,
};
use rusqlite::{OptionalExtension, Transaction};

use super::{Local, StoreError, row};

/// One that can be sent.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    /// Of the message.
    pub(crate) id: MessageId,
    pub(crate) conversation: Local,
    pub(crate) name: ConversationName,
    pub(crate) spool: String,
    pub(crate) digest: [u8; 32],
    pub(crate) blob_size: u64,
}

impl Upload {
    /// As requests name it.
    pub(crate) fn blob(&self) -> v1::Blob {
        v1::Blob { conversation: Some(self.name.to_wire()), digest: self.digest.to_vec().into() }
    }
}

/// Notes one, in the transaction that puts its message into the outbox.
pub(crate) fn put(
    tx: &Transaction<'_>,
    id: MessageId,
    spool: &str,
    digest: &[u8; 32],
    blob_size: u64,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO upload (id, spool, digest, blob_size) VALUES (?1, ?2, ?3, ?4)",
        (id.as_bytes(), spool, digest, row::signed(blob_size)),
    )?;
    Ok(())
}

/// Those that can be sent now, in order: of conversations that this device is in, and that it trusts.
pub(crate) fn ready(tx: &Transaction<'_>) -> Result<Vec<Upload>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT u.id, o.conversation, c.name, u.spool, u.digest, u.blob_size FROM upload u \
         JOIN outbox o ON o.id = u.id JOIN conversation c ON c.local = o.conversation \
         WHERE u.over = 0 AND c.state = 3 AND c.distrusted = 0 AND c.name IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM pending p WHERE p.conversation = o.conversation) ORDER BY o.place",
    )?;
    let mut rows = select.query([])?;
    let mut ready = Vec::new();
    while let Some(row) = rows.next()? {
        ready.push(Upload {
            id: row::message_id(&row.get::<_, Vec<u8>>("id")?)?,
            conversation: row.get("conversation")?,
            name: row::name(&row.get::<_, String>("name")?)?,
            spool: row.get("spool")?,
            digest: row::key(row.get("digest")?)?,
            blob_size: row::number(row, "blob_size")?,
        });
    }
    Ok(ready)
}

/// Is it still to be sent?
pub(crate) fn is_wanted(tx: &Transaction<'_>, id: MessageId) -> Result<bool, StoreError> {
    let mut select =
        tx.prepare_cached("SELECT 1 FROM upload u JOIN outbox o ON o.id = u.id WHERE u.id = ?1 AND u.over = 0")?;
    Ok(select.exists([id.as_bytes()])?)
}

/// The server has it, or never will.
pub(crate) fn set_over(tx: &Transaction<'_>, id: MessageId) -> Result<(), StoreError> {
    tx.execute("UPDATE upload SET over = 1 WHERE id = ?1", [id.as_bytes()])?;
    Ok(())
}

/// Spools that nobody needs: of what is over, and of messages that will not be sent.
pub(crate) fn spent(tx: &Transaction<'_>) -> Result<Vec<String>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT spool FROM upload u WHERE u.over = 1 OR NOT EXISTS (SELECT 1 FROM outbox o WHERE o.id = u.id)",
    )?;
    let spools = select.query_map([], |row| row.get(0))?;
    Ok(spools.collect::<Result<_, _>>()?)
}

/// A spool has been removed.
pub(crate) fn remove(tx: &Transaction<'_>, spool: &str) -> Result<(), StoreError> {
    tx.execute("DELETE FROM upload WHERE spool = ?1", [spool])?;
    Ok(())
}

/// Is a spool one of those?
pub(crate) fn has_spool(tx: &Transaction<'_>, spool: &str) -> Result<bool, StoreError> {
    let mut select = tx.prepare_cached("SELECT 1 FROM upload WHERE spool = ?1")?;
    Ok(select.query_one([spool], |_| Ok(())).optional()?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api,
        store::{attachment, outbox, testing::Home},
    };

    impl Home {
        fn leaving(&mut self) -> Vec<MessageId> {
            let next = self.with(|tx| outbox::next(tx, 10, |_, _| true));
            next.into_iter().map(|outgoing| outgoing.id).collect()
        }

        fn state(&mut self) -> api::FileState {
            let local = self.local;
            self.with(|tx| attachment::last(tx, local)).pop().unwrap().state
        }
    }

    #[test]
    fn a_file_goes_behind_what_was_written_meanwhile() {
        let mut home = Home::new();
        let file = home.queue(true);
        let word = home.queue(false);
        assert_eq!(home.leaving(), [word], "words do not wait for files");
        assert_eq!(home.with(outbox::of_persons_without_files), [(home.local, 1)]);
        assert_eq!(home.with(outbox::of_persons), [(home.local, 2)]);
        assert_eq!(home.state(), api::FileState::Uploading);
        let ready = home.with(ready);
        assert_eq!((ready.len(), ready[0].id, ready[0].blob_size), (1, file, 272));
        home.with(|tx| {
            set_over(tx, file)?;
            outbox::put_last(tx, &outbox::by_id(tx, file)?.unwrap())
        });
        assert_eq!(home.leaving(), [word, file]);
        assert_eq!(home.state(), api::FileState::Queued);
        // Its copy is removed, and then forgotten.
        assert_eq!(home.with(spent), [file.to_string()]);
        assert!(home.with(|tx| has_spool(tx, &file.to_string())));
        home.with(|tx| remove(tx, &file.to_string()));
        assert!(home.with(spent).is_empty());
        assert_eq!(home.leaving(), [word, file]);
    }

    #[test]
    fn what_is_refused_with_its_conversation_leaves_no_copy() {
        let mut home = Home::new();
        let file = home.queue(true);
        assert!(home.with(|tx| is_wanted(tx, file)));
        home.with(|tx| outbox::remove(tx, file));
        assert!(!home.with(|tx| is_wanted(tx, file)));
        assert_eq!(home.with(spent), [file.to_string()]);
        assert!(home.with(ready).is_empty());
        assert_eq!(home.state(), api::FileState::Refused);
    }

    #[test]
    fn a_file_is_found_by_the_beginning_of_its_messages_id() {
        let mut home = Home::new();
        let ids = [home.queue(true), home.queue(true)];
        let digits: String = ids[0].to_string().replace('-', "").chars().take(30).collect();
        let found = home.with(|tx| attachment::beginning(tx, &digits));
        assert_eq!((found.len(), found[0].id, found[0].size), (1, ids[0], 5));
        assert_eq!(home.with(|tx| attachment::beginning(tx, "0")).len(), 2);
        assert!(home.with(|tx| attachment::beginning(tx, "ffff")).is_empty());
    }
}
