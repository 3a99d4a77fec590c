//! What is to be sent later.

/// Words that wait for their time (store/scheduled.rs).
pub(in crate::store) const SCHEDULED: &str = "
CREATE TABLE scheduled (
    -- Its number, for people.
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    -- name@domain, or a conversation's id@domain.
    recipient TEXT NOT NULL,
    -- What to call that.
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    -- The message that it answers.
    reply_to BLOB,
    at_ms INTEGER NOT NULL,
    -- Why it was not sent when it was time; it is not tried again.
    problem TEXT
) STRICT;
CREATE INDEX scheduled_by_time ON scheduled (at_ms) WHERE problem IS NULL;
";
