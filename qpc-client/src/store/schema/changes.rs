//! Tables of what becomes of messages after they were said.

/// What a message refers to, and what has become of it since (store/change.rs and what it names).
pub(super) const CHANGES: &str = "
-- What it answers; of an edit whose message is not here, that one.
ALTER TABLE message ADD COLUMN reply_to BLOB;
ALTER TABLE message ADD COLUMN forwarded INTEGER NOT NULL DEFAULT 0;
-- A Text without its text.
ALTER TABLE message ADD COLUMN mentions BLOB NOT NULL DEFAULT x'';
-- This account is named.
ALTER TABLE message ADD COLUMN mentioned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN edited_ms INTEGER;
ALTER TABLE message ADD COLUMN deleted_by TEXT;
CREATE TABLE reaction (
    conversation INTEGER NOT NULL REFERENCES conversation,
    id BLOB NOT NULL,
    emoji TEXT NOT NULL,
    account TEXT NOT NULL,
    PRIMARY KEY (conversation, id, emoji, account)
) STRICT, WITHOUT ROWID;
CREATE TABLE pin (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation INTEGER NOT NULL REFERENCES conversation,
    id BLOB NOT NULL,
    UNIQUE (conversation, id)
) STRICT;
CREATE TABLE poll (
    conversation INTEGER NOT NULL REFERENCES conversation,
    id BLOB NOT NULL,
    -- A Poll.
    poll BLOB NOT NULL,
    closed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (conversation, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE vote (
    conversation INTEGER NOT NULL REFERENCES conversation,
    id BLOB NOT NULL,
    account TEXT NOT NULL,
    -- A Vote without its message.
    choices BLOB NOT NULL,
    PRIMARY KEY (conversation, id, account)
) STRICT, WITHOUT ROWID;
-- Changes of our own that the log has not brought back.
CREATE TABLE own_change (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation INTEGER NOT NULL REFERENCES conversation,
    -- Of the change, which may be in the outbox, and of what it changes.
    id BLOB NOT NULL UNIQUE,
    target BLOB NOT NULL,
    -- 0 until the server has stored it.
    seq INTEGER NOT NULL DEFAULT 0,
    -- Ours.
    account TEXT NOT NULL,
    content BLOB NOT NULL,
    moderates INTEGER NOT NULL,
    pins INTEGER NOT NULL
) STRICT;
CREATE INDEX own_change_of_conversation ON own_change (conversation, seq);
CREATE INDEX own_change_of_target ON own_change (target);
-- Changes of what another device of the account has still to tell.
CREATE TABLE orphan (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation INTEGER NOT NULL REFERENCES conversation,
    id BLOB NOT NULL,
    target BLOB NOT NULL,
    account TEXT NOT NULL,
    content BLOB NOT NULL,
    moderates INTEGER NOT NULL,
    pins INTEGER NOT NULL
) STRICT;
CREATE INDEX orphan_of_target ON orphan (conversation, target);
";
