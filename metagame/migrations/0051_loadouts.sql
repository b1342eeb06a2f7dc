-- Named sets of items that players take along. What is in them may be gone: it is looked up when they are read.
CREATE TABLE loadouts (
    player_id     BLOB    NOT NULL,
    slot          TEXT    NOT NULL,
    -- JSON: an item for each place.
    items         TEXT    NOT NULL,
    -- Counts every change.
    version       INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    PRIMARY KEY (player_id, slot)
) STRICT;
