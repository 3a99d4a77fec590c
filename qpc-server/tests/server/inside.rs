//! What a home holds that nobody drives, as its owner could see it.

use std::{fs, path::Path};

use rusqlite::Connection;

pub(crate) fn database(home: &Path) -> Connection {
    let key = fs::read_to_string(home.join("key")).unwrap();
    let database = Connection::open(home.join("client.db")).unwrap();
    database.execute_batch(&format!("PRAGMA key = \"x'{}'\"", key.trim())).unwrap();
    database
}
