-- Key packages are for one ciphersuite each; those that are there are of suite 3.
ALTER TABLE key_packages ADD COLUMN suite INTEGER NOT NULL DEFAULT 3;
DROP INDEX key_packages_device;
CREATE INDEX key_packages_device ON key_packages (device, suite);

CREATE TABLE last_resorts_by_suite (
    device BLOB NOT NULL,
    suite INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (device, suite)
);
INSERT INTO last_resorts_by_suite SELECT device, 3, body FROM last_resorts;
DROP TABLE last_resorts;
ALTER TABLE last_resorts_by_suite RENAME TO last_resorts;
