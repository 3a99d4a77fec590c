//! Tables of what others have said that they have, and of what is told to others.

/// Receipts (store/receipt.rs), and what this person does not tell, or tells though it is not usual (store/tell.rs).
pub(super) const RECEIPTS: &str = "
-- Each time that somebody has come further: they have everything up to that entry, or have read it.
CREATE TABLE receipt (
    conversation INTEGER NOT NULL REFERENCES conversation,
    account TEXT NOT NULL,
    read INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (conversation, account, read, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE tell (
    what TEXT PRIMARY KEY,
    told INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";
