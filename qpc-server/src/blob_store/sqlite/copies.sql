-- When a blob goes though others that came with it stay, in milliseconds since 1970: a copy of another domain's is kept no
-- longer than that domain keeps it. 0 where it goes with them.
ALTER TABLE blobs ADD COLUMN until_ms INTEGER NOT NULL DEFAULT 0;
CREATE INDEX blobs_until ON blobs (until_ms) WHERE until_ms > 0;
