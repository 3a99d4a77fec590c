-- Ids are the 16 bytes of a UUID; times are milliseconds since 1970; numbers are those of qpc-proto.

-- Row 0 is the decoy that unknown names are answered with.
CREATE TABLE accounts (
    row INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    domain TEXT NOT NULL,
    key BLOB NOT NULL,
    state INTEGER NOT NULL,
    opaque_record BLOB NOT NULL,
    setup_version INTEGER NOT NULL,
    ksf_version INTEGER NOT NULL,
    wrapped_secret BLOB NOT NULL
);
CREATE UNIQUE INDEX accounts_name ON accounts (name);
-- Covers the search of a login, so that a known and an unknown name cost the same.
CREATE INDEX accounts_login ON accounts (name, state);

CREATE TABLE reset_peers (
    account BLOB NOT NULL,
    peer BLOB NOT NULL,
    PRIMARY KEY (account, peer)
) WITHOUT ROWID;

-- A row without an account is a device that is gone: its id is never used again.
CREATE TABLE devices (
    row INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    account BLOB,
    key BLOB NOT NULL,
    certificate BLOB NOT NULL,
    name TEXT NOT NULL,
    enrolled_ms INTEGER NOT NULL,
    last_seen_ms INTEGER NOT NULL
);
CREATE INDEX devices_account ON devices (account) WHERE account IS NOT NULL;

CREATE TABLE invites (
    token BLOB PRIMARY KEY,
    uses INTEGER NOT NULL,
    expires_ms INTEGER,
    name TEXT
) WITHOUT ROWID;

CREATE TABLE key_packages (
    row INTEGER PRIMARY KEY,
    device BLOB NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX key_packages_device ON key_packages (device);

CREATE TABLE last_resorts (
    device BLOB NOT NULL UNIQUE,
    body BLOB NOT NULL
);

CREATE TABLE contacts (
    owner BLOB NOT NULL,
    peer BLOB NOT NULL,
    say INTEGER NOT NULL,
    blocked INTEGER NOT NULL,
    request_used INTEGER NOT NULL,
    PRIMARY KEY (owner, peer)
) WITHOUT ROWID;
CREATE INDEX contacts_peer ON contacts (peer);

-- One row for each pair, the smaller id first.
CREATE TABLE directs (
    low BLOB NOT NULL,
    high BLOB NOT NULL,
    domain TEXT NOT NULL,
    conversation BLOB NOT NULL,
    PRIMARY KEY (low, high)
) WITHOUT ROWID;
CREATE INDEX directs_high ON directs (high);

CREATE TABLE held_welcomes (
    row INTEGER PRIMARY KEY,
    owner BLOB NOT NULL,
    peer BLOB NOT NULL,
    device BLOB NOT NULL,
    sender BLOB NOT NULL,
    message_id BLOB NOT NULL,
    notice BLOB NOT NULL
);
CREATE INDEX held_welcomes_owner ON held_welcomes (owner, peer);
CREATE INDEX held_welcomes_device ON held_welcomes (device);

-- What changes with each entry (head, chain, counters) is derived from the entries, so that a
-- message dirties no page here.
CREATE TABLE logs (
    id INTEGER PRIMARY KEY,
    name BLOB NOT NULL,
    domain TEXT NOT NULL,
    kind INTEGER NOT NULL,
    creator BLOB,
    creation BLOB,
    created_ms INTEGER NOT NULL,
    epoch INTEGER NOT NULL DEFAULT 0,
    floor_seq INTEGER NOT NULL DEFAULT 0,
    floor_chain BLOB NOT NULL,
    -- The counters in `senders` are those up to this entry.
    senders_as_of INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX logs_name ON logs (name, domain);

CREATE TABLE group_infos (
    log INTEGER PRIMARY KEY REFERENCES logs (id) ON DELETE CASCADE,
    body BLOB NOT NULL
);

CREATE TABLE senders (
    log INTEGER NOT NULL,
    device BLOB NOT NULL,
    counter INTEGER NOT NULL,
    PRIMARY KEY (log, device)
) WITHOUT ROWID;

-- Appended at the end, whatever the log: one page takes the rows of many logs.
CREATE TABLE entries (
    id INTEGER PRIMARY KEY,
    log INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    sender BLOB,
    counter INTEGER NOT NULL,
    message_id BLOB NOT NULL,
    stored_ms INTEGER NOT NULL,
    chain BLOB NOT NULL,
    withheld_from BLOB,
    -- The body, or its digest where `removed`.
    removed INTEGER NOT NULL DEFAULT 0,
    content BLOB NOT NULL
);
CREATE UNIQUE INDEX entries_seq ON entries (log, seq);
-- Finds what is sent again. Ids sort by age, so this too grows at its end.
CREATE UNIQUE INDEX entries_message_id ON entries (message_id, log) WHERE counter > 0;

CREATE TABLE members (
    log INTEGER NOT NULL,
    account BLOB NOT NULL,
    role INTEGER NOT NULL,
    from_seq INTEGER NOT NULL,
    until_seq INTEGER,
    PRIMARY KEY (log, account)
) WITHOUT ROWID;
CREATE INDEX members_account ON members (account);

CREATE TABLE cursors (
    log INTEGER NOT NULL,
    device BLOB NOT NULL,
    seq INTEGER NOT NULL,
    until_seq INTEGER,
    PRIMARY KEY (log, device)
) WITHOUT ROWID;
CREATE INDEX cursors_device ON cursors (device);

-- How far upkeep has come.
CREATE TABLE upkeep (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
