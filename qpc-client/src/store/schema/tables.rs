//! The first tables: what a home has had from the beginning.

/// Of the home, its conversations, messages, contacts and outbox.
pub(in crate::store) const TABLES: &str = "
CREATE TABLE identity (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    address TEXT NOT NULL,
    device BLOB NOT NULL,
    device_secret BLOB NOT NULL,
    account_key BLOB NOT NULL,
    certificate BLOB NOT NULL,
    server TEXT NOT NULL
) STRICT;

-- Logs: the inbox (kind 0), direct conversations (1) and groups (2). One that is wanted and not made yet has
-- no name. States are those of store/conversation.rs.
CREATE TABLE conversation (
    local INTEGER PRIMARY KEY,
    name TEXT UNIQUE,
    kind INTEGER NOT NULL,
    peer TEXT,
    title TEXT NOT NULL DEFAULT '',
    state INTEGER NOT NULL,
    seq INTEGER NOT NULL DEFAULT 0,
    chain BLOB NOT NULL DEFAULT x'',
    -- The last counter of ours that the server is known to have.
    counter INTEGER NOT NULL DEFAULT 0,
    epoch INTEGER NOT NULL DEFAULT 0,
    -- Nothing is encrypted before the group has reached this epoch.
    hold_epoch INTEGER NOT NULL DEFAULT 0,
    -- Why what is in the outbox for it waits; NULL where it does not.
    waiting TEXT,
    request INTEGER NOT NULL DEFAULT 0,
    -- Above 0 it is neither read nor written: see store/conversation.rs.
    distrusted INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX conversation_direct ON conversation (peer) WHERE kind = 1 AND state < 4;

CREATE TABLE message (
    local INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation INTEGER NOT NULL REFERENCES conversation,
    -- 0 until the server has stored it.
    seq INTEGER NOT NULL,
    id BLOB NOT NULL,
    sender TEXT NOT NULL,
    own INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    shown INTEGER NOT NULL
) STRICT;
CREATE INDEX message_of_conversation ON message (conversation, local);
CREATE INDEX message_unshown ON message (local) WHERE shown = 0;
CREATE UNIQUE INDEX message_id ON message (conversation, id);

-- Entries as they came, for 30 days (D7).
CREATE TABLE entry (
    conversation INTEGER NOT NULL REFERENCES conversation,
    seq INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    chain BLOB NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (conversation, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX entry_by_age ON entry (received_ms);

-- Chain values that the server has answered with, for entries that have not come back yet.
CREATE TABLE promise (
    conversation INTEGER NOT NULL REFERENCES conversation,
    seq INTEGER NOT NULL,
    chain BLOB NOT NULL,
    PRIMARY KEY (conversation, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE contact (
    address TEXT PRIMARY KEY,
    state INTEGER NOT NULL DEFAULT 0,
    account_key BLOB,
    -- Another key that was presented and that nobody has accepted.
    offered_key BLOB
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation INTEGER NOT NULL REFERENCES conversation,
    id BLOB NOT NULL UNIQUE,
    -- What to encrypt.
    content BLOB NOT NULL,
    -- The rest is there once it was encrypted: the same bytes are sent until the server says no.
    counter INTEGER,
    epoch INTEGER,
    body BLOB,
    leave INTEGER NOT NULL DEFAULT 0,
    entry_kind INTEGER NOT NULL DEFAULT 1,
    -- Sent on the connection that is open now.
    flying INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX outbox_of_conversation ON outbox (conversation, place);

-- A creation or commit that the server has not accepted or refused yet: the request to send again.
CREATE TABLE pending (
    conversation INTEGER PRIMARY KEY REFERENCES conversation,
    id BLOB NOT NULL,
    counter INTEGER NOT NULL,
    request BLOB NOT NULL
) STRICT;

CREATE TABLE alarm (
    text TEXT PRIMARY KEY,
    raised_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";
