//! The database's tables, and how it is opened: keyed first, then told to sync every commit and to
//! overwrite what is deleted.

mod answered;
mod changes;
mod ephemeral;
mod lifetime;
mod muted;
mod scheduled;
mod search;
mod tables;
mod trace;

use std::{path::Path, sync::Once, thread, time::Duration};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use rusqlite_migration::{M, Migrations};
use zeroize::Zeroizing;

use super::StoreError;
use crate::{home::HomeKey, mls};

/// How often it is tried whether SQLCipher takes a key, and how long it is let alone between.
const CIPHER_LOOKS: u32 = 1000;
const CIPHER_PAUSE: Duration = Duration::from_millis(1);

/// Alarms get numbers, by which a person acknowledges them.
const ALARMS: &str = "
CREATE TABLE numbered_alarm (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    text TEXT NOT NULL,
    raised_ms INTEGER NOT NULL,
    -- NULL until a person has said that they know.
    acknowledged_ms INTEGER
) STRICT;
INSERT INTO numbered_alarm (text, raised_ms) SELECT text, raised_ms FROM alarm ORDER BY raised_ms, text;
DROP TABLE alarm;
ALTER TABLE numbered_alarm RENAME TO alarm;
CREATE UNIQUE INDEX alarm_open ON alarm (text) WHERE acknowledged_ms IS NULL;
";

/// Who has said to leave, and was not heard because a change of the group came between: still in it, and out of
/// the server's list. Who may remove them does.
const UNHEARD: &str = "
CREATE TABLE unheard (
    conversation INTEGER NOT NULL REFERENCES conversation,
    address TEXT NOT NULL,
    PRIMARY KEY (conversation, address)
) STRICT, WITHOUT ROWID;
";

/// Since when somebody presents another key, and whose keys a person has compared.
const VERIFICATION: &str = "
ALTER TABLE contact ADD COLUMN offered_ms INTEGER;
CREATE TABLE verification (
    address TEXT PRIMARY KEY,
    -- The key that was compared.
    account_key BLOB NOT NULL,
    -- 0 where a person has taken it back.
    verified INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL,
    -- The device at which the person was.
    device BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Conversations of the account that this device has to join by itself, and what the server has to be asked for: a home
/// of before asks once, for what it may have missed.
const DEVICES: &str = "
CREATE TABLE unjoined (
    name TEXT PRIMARY KEY,
    kind INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE due (
    what TEXT PRIMARY KEY,
    -- Raised each time it falls due, so that nothing is done away with that came in between.
    times INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO due (what, times) VALUES ('conversations', 1), ('contacts', 1);

-- What the account's other devices have not been told yet.
CREATE TABLE read_untold (
    conversation INTEGER PRIMARY KEY REFERENCES conversation,
    seq INTEGER NOT NULL
) STRICT;
ALTER TABLE verification ADD COLUMN untold INTEGER NOT NULL DEFAULT 1;

-- This device has asked the others for what was said before it came.
CREATE TABLE history_wanted (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    request BLOB NOT NULL,
    asked_ms INTEGER NOT NULL
) STRICT;
-- Another one has, and this one answers, unless one that is older does.
CREATE TABLE history_asked (
    request BLOB PRIMARY KEY,
    begin_ms INTEGER NOT NULL,
    -- The last conversation and the last message that were told; the messages come after all conversations.
    conversation INTEGER NOT NULL DEFAULT 0,
    message INTEGER
) STRICT, WITHOUT ROWID;
";

/// What a group is about, and groups that somebody has come into who was not told what they are called.
const DESCRIPTIONS: &str = "
ALTER TABLE conversation ADD COLUMN topic TEXT NOT NULL DEFAULT '';
-- The entry that said so.
ALTER TABLE conversation ADD COLUMN described_seq INTEGER NOT NULL DEFAULT 0;
CREATE TABLE undescribed (
    conversation INTEGER PRIMARY KEY REFERENCES conversation,
    -- When this device tells, if nobody has by then.
    due_ms INTEGER NOT NULL
) STRICT;
";

/// Key packages that were published and used, and how many were taken without being used, since when.
const KEY_PACKAGES: &str = "
CREATE TABLE key_package_count (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    published INTEGER NOT NULL,
    welcomed INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    unused INTEGER NOT NULL
) STRICT;
INSERT INTO key_package_count VALUES (1, 0, 0, 0, 0);
";

/// When this device's keys in a conversation's group were made; 0 where that was not noted.
const RENEWALS: &str = "ALTER TABLE conversation ADD COLUMN renewed_ms INTEGER NOT NULL DEFAULT 0;";

/// When this device left a group whose change it could not follow, to come back by itself, and how it had the group then.
/// members: addresses, one in a line.
const RETURNS: &str = "
CREATE TABLE returned (
    conversation INTEGER NOT NULL REFERENCES conversation,
    at_ms INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    members TEXT NOT NULL
) STRICT;
CREATE INDEX returned_of_conversation ON returned (conversation, at_ms);
";

/// Trees that welcomes need which come without, until they are applied.
const WELCOME_TREES: &str = "
CREATE TABLE welcome_tree (
    name TEXT NOT NULL,
    seq INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    tree BLOB NOT NULL,
    PRIMARY KEY (name, seq)
) STRICT;
";

/// report: that this device can't follow a group, on its way to the others, until it is in again. counter and
/// answered_ms: once it is sent, and once the server has it.
/// reported: what devices have said of commits; key_package until they are in again, maker where there was one to blame.
const REPORTS: &str = "
CREATE TABLE report (
    conversation INTEGER PRIMARY KEY REFERENCES conversation,
    id BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    body BLOB NOT NULL,
    counter INTEGER,
    answered_ms INTEGER
) STRICT;
CREATE TABLE reported (
    conversation INTEGER NOT NULL REFERENCES conversation,
    at_ms INTEGER NOT NULL,
    device BLOB NOT NULL,
    address TEXT NOT NULL,
    maker TEXT,
    seq INTEGER NOT NULL,
    key_package BLOB
) STRICT;
CREATE INDEX reported_of_conversation ON reported (conversation, at_ms);
";

/// Conversations that are over and not read to their end yet, and what is said there then.
const ENDINGS: &str = "
CREATE TABLE ending (
    conversation INTEGER PRIMARY KEY REFERENCES conversation,
    text TEXT NOT NULL
) STRICT;
";

/// Who has asked for what was said before it came, and whether it was told what there was here while this device waited
/// itself; and who has told this one so.
const HISTORY_IN_PART: &str = "
ALTER TABLE history_asked ADD COLUMN asker BLOB NOT NULL DEFAULT x'';
ALTER TABLE history_asked ADD COLUMN in_part INTEGER NOT NULL DEFAULT 0;
CREATE TABLE history_in_part (
    device BLOB PRIMARY KEY
) STRICT, WITHOUT ROWID;
";

/// Pictures of groups.
const PICTURES: &str = "
CREATE TABLE picture (
    conversation INTEGER PRIMARY KEY REFERENCES conversation,
    bytes BLOB NOT NULL
) STRICT;
";

/// Links into groups, by the word of their members, and the requests by which somebody came in; groups in which somebody
/// may wait; groups that this device asks to be let into.
const LINKS: &str = "
CREATE TABLE group_link (
    conversation INTEGER NOT NULL REFERENCES conversation,
    key BLOB NOT NULL,
    -- By which people call it.
    number INTEGER NOT NULL,
    maker TEXT NOT NULL,
    expires_ms INTEGER NOT NULL,
    uses INTEGER NOT NULL,
    used INTEGER NOT NULL,
    withdrawn INTEGER NOT NULL,
    PRIMARY KEY (conversation, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE link_use (
    conversation INTEGER NOT NULL REFERENCES conversation,
    key BLOB NOT NULL,
    address TEXT NOT NULL,
    asked_ms INTEGER NOT NULL,
    PRIMARY KEY (conversation, key, address, asked_ms)
) STRICT, WITHOUT ROWID;
CREATE TABLE join_due (
    conversation INTEGER PRIMARY KEY REFERENCES conversation,
    -- Raised each time it falls due, so that nobody is passed over who came in between.
    times INTEGER NOT NULL
) STRICT;
CREATE TABLE asked (
    name TEXT PRIMARY KEY,
    request BLOB NOT NULL,
    -- When the link ends; NULL until the server has said so.
    expires_ms INTEGER,
    -- Sent by a command that waits for the answer.
    flying INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

const MISSED: &str = "
-- Of a conversation: after the one entry, up to the other, which is NULL until this device reads on.
CREATE TABLE missed (
    conversation INTEGER NOT NULL REFERENCES conversation,
    after_seq INTEGER NOT NULL,
    until_seq INTEGER,
    PRIMARY KEY (conversation, after_seq)
) STRICT;
-- 1 for what another device of the account has told, 2 until that stands in its place.
ALTER TABLE message ADD COLUMN told INTEGER NOT NULL DEFAULT 0;
UPDATE message SET told = 2 WHERE local < 0;
CREATE INDEX message_to_place ON message (conversation) WHERE told = 2;
";

/// Files that messages tell of, apart from the messages, which are read far more often. And those that are on their way to the
/// server: their ciphertext lies in the home, under the name that is given here.
const FILES: &str = "
CREATE TABLE attachment (
    conversation INTEGER NOT NULL REFERENCES conversation,
    -- Of the message.
    id BLOB NOT NULL,
    file_name TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size INTEGER NOT NULL,
    format INTEGER NOT NULL,
    digest BLOB NOT NULL,
    key BLOB NOT NULL,
    blob_size INTEGER NOT NULL,
    preview BLOB NOT NULL,
    PRIMARY KEY (conversation, id)
) STRICT;
CREATE TABLE upload (
    -- Of the message, which stays in the outbox until over is 1.
    id BLOB PRIMARY KEY,
    spool TEXT NOT NULL UNIQUE,
    digest BLOB NOT NULL,
    blob_size INTEGER NOT NULL,
    -- The server has all of it, or never will: the spool is to be removed, and then this row.
    over INTEGER NOT NULL DEFAULT 0
) STRICT;
";

/// What this device's own server keeps for the one that orders a conversation.
const QUEUED: &str = "ALTER TABLE outbox ADD COLUMN queued INTEGER NOT NULL DEFAULT 0;";

/// Blobs that are to be released, because the messages that would have told of them were refused.
const RELEASES: &str = "
CREATE TABLE release (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Of the message, which is in the outbox no more.
    id BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    digest BLOB NOT NULL,
    -- The message was on its way when it was refused: nothing is released before the server has refused it too.
    asked INTEGER NOT NULL
) STRICT;
-- The server may have it: its answer was lost, or says something else.
ALTER TABLE outbox ADD COLUMN doubtful INTEGER NOT NULL DEFAULT 0;
";

/// Groups that continue another one, as their contexts say, and how that fits what this device has of the other one
/// (store/continuation.rs).
const CONTINUATIONS: &str = "
CREATE TABLE continuation (
    conversation INTEGER PRIMARY KEY REFERENCES conversation,
    before TEXT NOT NULL,
    seq INTEGER NOT NULL,
    chain BLOB NOT NULL,
    fit INTEGER NOT NULL,
    -- This device has made it, and is still adding the members of the other one.
    moving INTEGER NOT NULL
) STRICT;
CREATE INDEX continuation_of ON continuation (before);
";

/// The last restore of the server that this device has heard of (store/restore.rs).
const RESTORES: &str = "
CREATE TABLE server_restore (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    at_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    -- What it lacked was offered to it.
    offered INTEGER NOT NULL
) STRICT;
";

/// What a server that was restored from a backup may not know (store/founding.rs, store/lost.rs).
const LOST: &str = "
CREATE TABLE founding (
    conversation INTEGER PRIMARY KEY REFERENCES conversation ON DELETE CASCADE,
    made_ms INTEGER NOT NULL,
    request BLOB NOT NULL
) STRICT;
CREATE INDEX founding_by_age ON founding (made_ms);
CREATE TABLE lost (conversation INTEGER PRIMARY KEY REFERENCES conversation ON DELETE CASCADE) STRICT;
";

pub(super) fn migrations() -> Migrations<'static> {
    Migrations::new(vec![
        M::up(tables::TABLES),
        M::up(mls::SCHEMA),
        M::up(ALARMS),
        M::up(UNHEARD),
        M::up(VERIFICATION),
        M::up(DEVICES),
        M::up(DESCRIPTIONS),
        M::up(KEY_PACKAGES),
        M::up(RENEWALS),
        M::up(RETURNS),
        M::up(WELCOME_TREES),
        M::up(REPORTS),
        M::up(ENDINGS),
        M::up(HISTORY_IN_PART),
        M::up(PICTURES),
        M::up(LINKS),
        M::up(MISSED),
        M::up(FILES),
        M::up(RELEASES),
        M::up(QUEUED),
        M::up(CONTINUATIONS),
        M::up(RESTORES),
        M::up(LOST),
        M::up(changes::CHANGES),
        M::up(answered::ANSWERED),
        M::up(search::SEARCH),
        M::up(lifetime::LIFETIME),
        M::up(scheduled::SCHEDULED),
        M::up(ephemeral::RECEIPTS),
        M::up(muted::MUTED),
        M::up(trace::TRACES),
    ])
}

pub(crate) fn open(path: &Path, key: &HomeKey) -> Result<Connection, StoreError> {
    await_cipher();
    let mut connection = Connection::open(path)?;
    unlock(&connection, key)?;
    let mode: String = connection.query_one("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(StoreError::Corrupt("a journal that is no WAL"));
    }
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;",
    )?;
    prepare(&mut connection)?;
    Ok(connection)
}

/// A second way to a database that is open, for reading.
pub(super) fn open_apart(path: &Path, key: &HomeKey) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    unlock(&connection, key)?;
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA temp_store = MEMORY")?;
    Ok(connection)
}

fn unlock(connection: &Connection, key: &HomeKey) -> Result<(), StoreError> {
    let digits: Zeroizing<String> = key.digits();
    let pragma = Zeroizing::new(format!("PRAGMA key = \"x'{}'\"", &*digits));
    // What SQLCipher has to say about a wrong key is said by our own error.
    connection.execute_batch("PRAGMA cipher_log_level = NONE")?;
    connection.execute_batch(&pragma)?;
    connection.query_one("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0)).map_err(|error| {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => StoreError::WrongKey,
            _ => error.into(),
        }
    })?;
    Ok(())
}

/// Waits, once in a process, until SQLCipher takes keys.
///
/// SQLite counts as initialised before the extension that is SQLCipher is: a thread that opens while another one is at
/// the very first opening of the process is refused its key. What never takes any is told by the opening itself.
fn await_cipher() {
    static READY: Once = Once::new();
    READY.call_once(|| {
        let took_key = || {
            let connection = Connection::open_in_memory()?;
            connection.execute_batch("PRAGMA cipher_log_level = NONE; PRAGMA key = 'any'")
        };
        for _ in 0..CIPHER_LOOKS {
            if took_key().is_ok() {
                return;
            }
            thread::sleep(CIPHER_PAUSE);
        }
    });
}

/// One that is there as long as it is held.
#[cfg(feature = "simulation")]
pub(crate) fn in_memory() -> Result<Connection, StoreError> {
    let mut connection = Connection::open_in_memory()?;
    connection.execute_batch("PRAGMA foreign_keys = ON")?;
    prepare(&mut connection)?;
    Ok(connection)
}

fn prepare(connection: &mut Connection) -> Result<(), StoreError> {
    connection.set_prepared_statement_cache_capacity(128);
    migrations().to_latest(connection).map_err(|error| match error {
        rusqlite_migration::Error::MigrationDefinition(_) => StoreError::Newer,
        rusqlite_migration::Error::RusqliteError { err, .. } => err.into(),
        _ => StoreError::Corrupt("a schema that does not migrate"),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn whoever_opens_first_in_a_process_at_the_same_time_opens() {
        let dir = tempfile::tempdir().unwrap();
        let start = Barrier::new(16);
        thread::scope(|scope| {
            let opened = (0..16).map(|nr| {
                let (start, path) = (&start, dir.path().join(format!("{nr}.db")));
                scope.spawn(move || {
                    start.wait();
                    open(&path, &HomeKey::for_tests()).map(drop)
                })
            });
            for thread in opened.collect::<Vec<_>>() {
                thread.join().unwrap().unwrap();
            }
        });
    }

    #[test]
    fn migrations_apply() {
        migrations().validate().unwrap();
    }

    #[test]
    fn alarms_of_an_older_home_are_still_open() {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = Connection::open(dir.path().join("client.db")).unwrap();
        migrations().to_version(&mut connection, 2).unwrap();
        connection.execute("INSERT INTO alarm (text, raised_ms) VALUES ('b', 2), ('a', 1)", []).unwrap();
        migrations().to_latest(&mut connection).unwrap();
        let tx = connection.transaction().unwrap();
        assert_eq!(crate::store::alarm::open(&tx).unwrap(), ["a", "b"]);
    }

    #[test]
    fn a_key_that_waits_in_an_older_home_still_waits() {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = Connection::open(dir.path().join("client.db")).unwrap();
        migrations().to_version(&mut connection, 4).unwrap();
        let row = "INSERT INTO contact (address, account_key, offered_key) VALUES ('bob@a.example', ?1, ?2)";
        connection.execute(row, ([1; 32], [2; 32])).unwrap();
        migrations().to_latest(&mut connection).unwrap();
        let tx = connection.transaction().unwrap();
        let bob = crate::store::contact::all(&tx).unwrap().remove(0);
        assert_eq!((bob.offered_key, bob.offered_ms, bob.mark), (Some([2; 32]), None, None));
    }

    #[test]
    fn commits_are_synced_and_deletions_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let connection = open(&dir.path().join("client.db"), &HomeKey::for_tests()).unwrap();
        let pragma =
            |name: &str| connection.query_one(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(pragma("synchronous"), 2, "FULL");
        assert_eq!(pragma("secure_delete"), 1);
    }
}
