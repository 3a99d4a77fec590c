-- Key packages are for one ciphersuite each; those that are there are of suite 3. What is dropped is made anew at once, in
-- the same pages: a page that is freed before it was ever written has no authentication code, and `db check` finds it.
ALTER TABLE key_packages ADD COLUMN suite INTEGER NOT NULL DEFAULT 3;
DROP INDEX key_packages_device;
CREATE INDEX key_packages_device ON key_packages (device, suite);

CREATE TEMP TABLE kept AS SELECT device, body FROM last_resorts;
DROP TABLE last_resorts;
CREATE TABLE last_resorts (
    device BLOB NOT NULL,
    suite INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (device, suite)
);
INSERT INTO last_resorts SELECT device, 3, body FROM kept;
DROP TABLE kept;

-- Trees of groups as the commits made them that welcomed somebody by a welcome without one, while the commit is kept.
CREATE TABLE welcome_trees (
    log INTEGER NOT NULL REFERENCES logs (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (log, seq)
);
