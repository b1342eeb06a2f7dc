-- What players have. How much of it came and went, and why, is in the journal.
CREATE TABLE items (
    player_id          BLOB    NOT NULL,
    -- A stack's id is made of player, definition and expiry, a unique item's of the entry that it came with.
    item_id            BLOB    NOT NULL,
    definition         TEXT    NOT NULL,
    definition_version INTEGER NOT NULL,
    quantity           INTEGER NOT NULL CHECK (quantity > 0),
    acquired_at_ms     INTEGER NOT NULL,
    -- NULL: never.
    expires_at_ms      INTEGER,
    PRIMARY KEY (player_id, item_id)
) STRICT;
CREATE INDEX items_by_expiry ON items (expires_at_ms) WHERE expires_at_ms IS NOT NULL;
-- @postgres
-- Quantities are updated in place.
ALTER TABLE items SET (fillfactor = 80);
-- @both
