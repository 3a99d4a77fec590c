-- Bytes: an upload's (state 0), a finished blob's (1), nobody's (2), nobody's and in objects alone (3).
CREATE TABLE contents (
    -- Never used again: whoever has looked at one must not find another under its number.
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    digest BLOB NOT NULL,
    size INTEGER NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,
    -- What its objects are called, where there are any.
    name BLOB NOT NULL
);
CREATE UNIQUE INDEX contents_finished ON contents (digest, size) WHERE state = 1;
CREATE INDEX contents_discarded ON contents (state, id) WHERE state > 1;

-- The key is the content's id and, in the lowest 20 bits, the part's number.
CREATE TABLE parts (
    place INTEGER PRIMARY KEY,
    size INTEGER NOT NULL,
    -- NULL where it is an object.
    data BLOB
);

CREATE TABLE uploads (
    account BLOB NOT NULL,
    domain TEXT NOT NULL,
    conversation BLOB NOT NULL,
    digest BLOB NOT NULL,
    content INTEGER NOT NULL,
    size INTEGER NOT NULL,
    gapless INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    touched_ms INTEGER NOT NULL,
    PRIMARY KEY (account, domain, conversation, digest)
) WITHOUT ROWID;
CREATE INDEX uploads_touched ON uploads (touched_ms);

-- Blobs in conversations.
CREATE TABLE blobs (
    domain TEXT NOT NULL,
    conversation BLOB NOT NULL,
    digest BLOB NOT NULL,
    content INTEGER NOT NULL,
    size INTEGER NOT NULL,
    account BLOB NOT NULL,
    added_ms INTEGER NOT NULL,
    PRIMARY KEY (domain, conversation, digest)
) WITHOUT ROWID;
CREATE INDEX blobs_added ON blobs (added_ms);
CREATE INDEX blobs_content ON blobs (content);

-- What somebody takes: an account ('a' and its id), a conversation ('c', its id and domain), all together ('e').
CREATE TABLE usage (
    owner BLOB PRIMARY KEY,
    bytes INTEGER NOT NULL,
    blobs INTEGER NOT NULL,
    uploads INTEGER NOT NULL
) WITHOUT ROWID;
