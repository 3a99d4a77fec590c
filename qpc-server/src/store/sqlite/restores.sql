-- The last restore, and the devices that conversations wait for since: they may have entries that are not here.
CREATE TABLE restores (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    at_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL
);
CREATE TABLE awaited (
    log INTEGER NOT NULL,
    device BLOB NOT NULL,
    PRIMARY KEY (log, device)
) WITHOUT ROWID;
CREATE INDEX awaited_device ON awaited (device);
