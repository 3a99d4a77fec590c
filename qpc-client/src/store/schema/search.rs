//! The index of words.

/// Words of all messages, kept by the engine as the messages change (store/search.rs). What is deleted is gone from it.
pub(in crate::store) const SEARCH: &str = "
CREATE VIRTUAL TABLE message_index USING fts5 (
    body, content = 'message', content_rowid = 'local', tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
);
INSERT INTO message_index (message_index, rank) VALUES ('secure-delete', 1);
INSERT INTO message_index (message_index) VALUES ('rebuild');
CREATE TRIGGER message_index_added AFTER INSERT ON message BEGIN
    INSERT INTO message_index (rowid, body) VALUES (new.local, new.body);
END;
CREATE TRIGGER message_index_removed AFTER DELETE ON message BEGIN
    INSERT INTO message_index (message_index, rowid, body) VALUES ('delete', old.local, old.body);
END;
CREATE TRIGGER message_index_changed AFTER UPDATE OF local, body ON message BEGIN
    INSERT INTO message_index (message_index, rowid, body) VALUES ('delete', old.local, old.body);
    INSERT INTO message_index (rowid, body) VALUES (new.local, new.body);
END;
";
