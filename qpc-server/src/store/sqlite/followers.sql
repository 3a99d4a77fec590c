-- Domains that read logs of here for their people, and how far each has come.
CREATE TABLE followers (
    domain TEXT NOT NULL,
    log INTEGER NOT NULL REFERENCES logs (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    until_seq INTEGER,
    PRIMARY KEY (domain, log)
) WITHOUT ROWID;
CREATE INDEX followers_log ON followers (log);
INSERT INTO followers (domain, log, seq)
    SELECT l.domain, l.id, l.floor_seq FROM accounts a JOIN devices d ON d.account = a.id JOIN logs l ON l.name = d.id
    WHERE a.state = 4 AND l.kind = 3 AND l.domain = a.domain;

-- The group that a domain's copy begins with, until the domain has it.
CREATE TABLE follower_bases (
    domain TEXT NOT NULL,
    log INTEGER NOT NULL REFERENCES logs (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    group_info BLOB NOT NULL,
    tree BLOB NOT NULL,
    UNIQUE (log, domain)
);

-- Members of copied conversations who are not of this server's domain.
CREATE TABLE outer_members (
    log INTEGER NOT NULL REFERENCES logs (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    domain TEXT NOT NULL,
    role INTEGER NOT NULL,
    PRIMARY KEY (log, name, domain)
) WITHOUT ROWID;

-- How far the inboxes were read that other servers keep for devices of here.
CREATE TABLE inboxes_read (
    device BLOB NOT NULL,
    domain TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (device, domain)
) WITHOUT ROWID;

-- Accounts of here, by their addresses, whose devices a domain is to be told anew. Each change makes another row.
CREATE TABLE announcements (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    domain TEXT NOT NULL,
    address TEXT NOT NULL,
    UNIQUE (domain, address)
);

-- What devices of here have sent into conversations of other servers, until the copy shows it. A request waits to be sent;
-- without one it was.
CREATE TABLE outgoing (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation BLOB NOT NULL,
    domain TEXT NOT NULL,
    device BLOB NOT NULL,
    message_id BLOB NOT NULL,
    counter INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    digest BLOB NOT NULL,
    added_ms INTEGER NOT NULL,
    request BLOB
);
CREATE UNIQUE INDEX outgoing_id ON outgoing (message_id, conversation, domain);
CREATE INDEX outgoing_waiting ON outgoing (domain, row) WHERE request IS NOT NULL;
CREATE INDEX outgoing_device ON outgoing (device) WHERE request IS NOT NULL;
CREATE INDEX outgoing_sent ON outgoing (added_ms) WHERE request IS NULL;
