-- Domains that may have entries of conversations of here which this restored server lacks.
CREATE TABLE awaited_domains (
    log INTEGER NOT NULL,
    domain TEXT NOT NULL,
    PRIMARY KEY (domain, log)
) WITHOUT ROWID;
CREATE INDEX awaited_domains_log ON awaited_domains (log);

-- The last restore of each other server that this one has heard of.
CREATE TABLE peer_restores (
    domain TEXT PRIMARY KEY,
    at_ms INTEGER NOT NULL
) WITHOUT ROWID;
