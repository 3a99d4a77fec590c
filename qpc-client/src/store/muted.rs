//! Conversations of which a person wants to hear nothing: no bell, no notification. Of this home alone; nobody is told.

use rusqlite::Transaction;

use super::{Local, StoreError};

/// Says whether a conversation is one.
pub(crate) fn set(tx: &Transaction<'_>, conversation: Local, muted: bool) -> Result<(), StoreError> {
    tx.execute("UPDATE conversation SET muted = ?2 WHERE local = ?1", (conversation, muted))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::store::{conversation, schema::migrations};

    #[test]
    fn conversations_of_an_older_home_ring_until_they_are_muted() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrations().to_version(&mut connection, 24).unwrap();
        let row = "INSERT INTO conversation (local, kind, title, state) VALUES (1, 2, 'a', 3), (2, 2, 'b', 3)";
        connection.execute(row, []).unwrap();
        migrations().to_latest(&mut connection).unwrap();
        let tx = connection.transaction().unwrap();
        let muted = || [1, 2].map(|local| conversation::get(&tx, local).unwrap().muted);
        assert_eq!(muted(), [false, false]);
        set(&tx, 2, true).unwrap();
        assert_eq!(muted(), [false, true]);
        set(&tx, 2, false).unwrap();
        assert_eq!(muted(), [false, false]);
    }
}
