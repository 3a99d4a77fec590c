-- Devices that are gone and have a leaf in a group still, which the hub proposes to remove.
CREATE TABLE departed (
    log INTEGER NOT NULL REFERENCES logs (id) ON DELETE CASCADE,
    device BLOB NOT NULL,
    account_gone INTEGER NOT NULL,
    -- The epoch in which something was done about it last.
    epoch INTEGER,
    PRIMARY KEY (log, device)
) WITHOUT ROWID;
