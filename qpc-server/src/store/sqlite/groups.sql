-- The public state of a conversation's MLS group. A proposal changes the first table alone.
CREATE TABLE group_states (
    log INTEGER PRIMARY KEY REFERENCES logs (id) ON DELETE CASCADE,
    -- Of the epoch, in the state.
    proposals INTEGER NOT NULL,
    core BLOB NOT NULL
);

CREATE TABLE group_trees (
    log INTEGER PRIMARY KEY REFERENCES logs (id) ON DELETE CASCADE,
    body BLOB NOT NULL
);
