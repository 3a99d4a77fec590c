//! Conversations that ring no bell.

/// A person wants to hear nothing of it (store/muted.rs).
pub(super) const MUTED: &str = "
ALTER TABLE conversation ADD COLUMN muted INTEGER NOT NULL DEFAULT 0;
";
