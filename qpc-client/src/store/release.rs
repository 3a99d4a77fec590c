//! Blobs that nobody will hear of, because their messages were refused: to be released, so that they take no room on the server.
//!
//! One is noted in the transaction that refuses its message, and forgotten when the server has answered. A message that the
//! server may have is never one of those: its blob goes with time.

use qpc_proto::{
    id::{ConversationName, MessageId},
    v1,
};
use rusqlite::Transaction;

use super::{StoreError, row};

/// Blobs that wait to be released; the server is rid of what is beyond them in time.
const RELEASES_MAX: u32 = 1_000;

/// A blob that is to be released.
#[derive(Debug, Clone)]
pub(crate) struct Release {
    /// Of the message.
    pub(crate) id: MessageId,
    name: ConversationName,
    digest: [u8; 32],
}

impl Release {
    /// As requests name it.
    pub(crate) fn blob(&self) -> v1::Blob {
        v1::Blob { conversation: Some(self.name.to_wire()), digest: self.digest.to_vec().into() }
    }
}

/// Notes what a message told of, while it is in the outbox for the last time.
pub(crate) fn note(tx: &Transaction<'_>, id: MessageId) -> Result<(), StoreError> {
    let noted = tx
        .prepare_cached(
            "INSERT OR IGNORE INTO release (id, name, digest, asked) \
             SELECT o.id, c.name, a.digest, o.flying FROM outbox o \
             JOIN attachment a ON a.conversation = o.conversation AND a.id = o.id \
             JOIN conversation c ON c.local = o.conversation \
             WHERE o.id = ?1 AND o.doubtful = 0 AND c.name IS NOT NULL AND NOT EXISTS ( \
                 SELECT 1 FROM attachment b \
                 WHERE b.conversation = a.conversation AND b.digest = a.digest AND b.id <> a.id)",
        )?
        .execute([id.as_bytes()])?;
    if noted > 0 {
        tx.execute(
            "DELETE FROM release WHERE place <= (SELECT place FROM release ORDER BY place DESC LIMIT 1 OFFSET ?1)",
            [RELEASES_MAX],
        )?;
    }
    Ok(())
}

/// The server has refused a message that was on its way when it was refused here.
pub(crate) fn confirm(tx: &Transaction<'_>, id: MessageId) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE release SET asked = 0 WHERE id = ?1")?.execute([id.as_bytes()])?;
    Ok(())
}

/// Answers to what was on its way will not come any more.
pub(crate) fn forget_asked(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("DELETE FROM release WHERE asked = 1", [])?;
    Ok(())
}

/// Those that can be released now, in order.
pub(crate) fn due(tx: &Transaction<'_>) -> Result<Vec<Release>, StoreError> {
    let mut select = tx.prepare_cached("SELECT id, name, digest FROM release WHERE asked = 0 ORDER BY place")?;
    let mut rows = select.query([])?;
    let mut due = Vec::new();
    while let Some(row) = rows.next()? {
        due.push(Release {
            id: row::message_id(&row.get::<_, Vec<u8>>("id")?)?,
            name: row::name(&row.get::<_, String>("name")?)?,
            digest: row::key(row.get("digest")?)?,
        });
    }
    Ok(due)
}

/// The server is rid of it, or will not be, or the message is there after all.
pub(crate) fn remove(tx: &Transaction<'_>, id: MessageId) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM release WHERE id = ?1")?.execute([id.as_bytes()])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{attachment, outbox, testing::Home};

    /// Refuses a message, as `apply::refuse` does.
    fn refuse(home: &mut Home, id: MessageId) {
        home.with(|tx| {
            note(tx, id)?;
            outbox::remove(tx, id).map(drop)
        });
    }

    fn is_due(home: &mut Home, id: MessageId) -> bool {
        home.with(due).iter().any(|release| release.id == id)
    }

    fn fly(home: &mut Home, id: MessageId) {
        home.with(|tx| outbox::set_flying(tx, outbox::by_id(tx, id)?.unwrap().place, true));
    }

    #[test]
    fn what_never_left_is_released_and_forgotten() {
        let mut home = Home::new();
        let (file, words) = (home.queue(true), home.queue(false));
        refuse(&mut home, file);
        refuse(&mut home, words);
        let noted = home.with(due);
        assert_eq!((noted.len(), noted[0].id, &noted[0].digest), (1, file, &[1; 32]));
        home.with(|tx| remove(tx, file));
        assert!(!is_due(&mut home, file));
    }

    #[test]
    fn what_is_on_its_way_is_released_when_the_server_has_refused_it_too() {
        let mut home = Home::new();
        let file = home.queue(true);
        fly(&mut home, file);
        refuse(&mut home, file);
        assert!(!is_due(&mut home, file));
        home.with(|tx| confirm(tx, file));
        assert!(is_due(&mut home, file));
        // A lost connection takes nothing from what is known.
        home.with(outbox::ground_all);
        assert!(is_due(&mut home, file));
    }

    #[test]
    fn what_the_server_may_have_is_never_released() {
        let begin = |flies: bool| {
            let mut home = Home::new();
            let file = home.queue(true);
            if flies {
                fly(&mut home, file);
            }
            (home, file)
        };
        let (mut home, file) = begin(true);
        refuse(&mut home, file);
        home.with(outbox::ground_all);
        home.with(|tx| confirm(tx, file));
        assert!(!is_due(&mut home, file), "the answer was lost after the refusal");

        let (mut home, file) = begin(true);
        let local = home.local;
        home.with(outbox::ground_all);
        home.with(|tx| outbox::unseal_from(tx, local, 0));
        refuse(&mut home, file);
        assert!(!is_due(&mut home, file), "the answer was lost before it");

        let (mut home, file) = begin(false);
        home.with(|tx| outbox::doubt(tx, local));
        refuse(&mut home, file);
        assert!(!is_due(&mut home, file), "the server says odd things");
    }

    #[test]
    fn what_another_message_tells_of_is_not_released() {
        let mut home = Home::new();
        let (file, local) = (home.queue(true), home.local);
        let other = crate::fresh::message_id().unwrap();
        home.with(|tx| {
            let told = attachment::told(tx, local, file.as_bytes())?.unwrap();
            attachment::put(tx, local, other, &told)
        });
        refuse(&mut home, file);
        assert!(!is_due(&mut home, file));
    }

    #[test]
    fn the_oldest_are_left_to_time() {
        let mut home = Home::new();
        home.with(|tx| {
            let fill = "INSERT INTO release (id, name, digest, asked) VALUES (randomblob(16), 'x', x'', 1)";
            (0..RELEASES_MAX).try_for_each(|_| tx.execute(fill, []).map(drop)).map_err(Into::into)
        });
        let file = home.queue(true);
        refuse(&mut home, file);
        let left: u32 = home.with(|tx| Ok(tx.query_one("SELECT count(*) FROM release", [], |row| row.get(0))?));
        assert_eq!(left, RELEASES_MAX);
        assert!(is_due(&mut home, file));
    }
}
