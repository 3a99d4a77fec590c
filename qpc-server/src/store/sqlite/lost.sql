-- From when on devices had been seen that conversations wait for, for those that are made again after the restore.
ALTER TABLE restores ADD COLUMN seen_since_ms INTEGER NOT NULL DEFAULT 0;
