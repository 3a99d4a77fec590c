//! The table of what the server has acknowledged and the log has not brought back yet.

/// Whole, because a server that is restored from a backup may lack it (store/answered.rs).
pub(in crate::store) const ANSWERED: &str = "
CREATE TABLE answered (
    conversation INTEGER NOT NULL REFERENCES conversation,
    seq INTEGER NOT NULL,
    answered_ms INTEGER NOT NULL,
    -- What was encrypted.
    content BLOB NOT NULL,
    -- An Entry, as the log will bring it.
    entry BLOB NOT NULL,
    PRIMARY KEY (conversation, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX answered_by_age ON answered (answered_ms);
";
