//! When messages disappear.

/// Of a conversation and of its messages (store/lifetime.rs).
pub(in crate::store) const LIFETIME: &str = "
-- Seconds; 0 for messages that stay.
ALTER TABLE conversation ADD COLUMN lifetime_s INTEGER NOT NULL DEFAULT 0;
-- The entry that said so; 0 for none.
ALTER TABLE conversation ADD COLUMN lifetime_seq INTEGER NOT NULL DEFAULT 0;
-- What this account has said, until the server has stored it.
ALTER TABLE conversation ADD COLUMN lifetime_wanted_s INTEGER;
ALTER TABLE message ADD COLUMN lifetime_s INTEGER NOT NULL DEFAULT 0;
-- Milliseconds since 1970; NULL for one that stays, or is not stored yet.
ALTER TABLE message ADD COLUMN expires_ms INTEGER;
CREATE INDEX message_by_expiry ON message (expires_ms) WHERE expires_ms IS NOT NULL;
";
