-- Links into groups: the public key of each, and what it is worth still.
CREATE TABLE group_links (
    log INTEGER NOT NULL REFERENCES logs (id) ON DELETE CASCADE,
    key BLOB NOT NULL,
    expires_ms INTEGER NOT NULL,
    uses_left INTEGER NOT NULL,
    withdrawn INTEGER NOT NULL,
    PRIMARY KEY (log, key)
) WITHOUT ROWID;
CREATE INDEX group_links_expires ON group_links (expires_ms);

-- Who waits to be let in by one, with the request that the group's members verify.
CREATE TABLE join_requests (
    log INTEGER NOT NULL,
    account BLOB NOT NULL,
    link BLOB NOT NULL,
    request BLOB NOT NULL,
    PRIMARY KEY (log, account),
    FOREIGN KEY (log, link) REFERENCES group_links (log, key) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX join_requests_account ON join_requests (account);
CREATE INDEX join_requests_link ON join_requests (log, link);
