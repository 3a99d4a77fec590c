//! What happened to messages of this device, and when.

/// Steps (store/trace.rs), and receipts with the device that gave them (store/receipt.rs).
pub(in crate::store) const TRACES: &str = "
CREATE TABLE trace (
    -- The message's.
    id BLOB PRIMARY KEY,
    epoch INTEGER NOT NULL,
    counter INTEGER NOT NULL,
    encrypted_ms INTEGER NOT NULL,
    -- When its bytes left first, and how often they did.
    sent_ms INTEGER,
    times INTEGER NOT NULL DEFAULT 0,
    -- By the clock of the server that orders the conversation.
    stored_ms INTEGER,
    answered_ms INTEGER,
    returned_ms INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE receipt_of_device (
    conversation INTEGER NOT NULL REFERENCES conversation,
    account TEXT NOT NULL,
    -- Empty where that was not noted.
    device BLOB NOT NULL,
    read INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (conversation, account, read, seq, device)
) STRICT, WITHOUT ROWID;
INSERT INTO receipt_of_device SELECT conversation, account, x'', read, seq, at_ms FROM receipt;
DROP TABLE receipt;
ALTER TABLE receipt_of_device RENAME TO receipt;
";
