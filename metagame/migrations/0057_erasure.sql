-- When an account's person was forgotten. The row stays under its id, which then says nothing about anybody.
ALTER TABLE accounts ADD COLUMN erased_at_ms INTEGER;

-- Erasures, so that one that was interrupted goes on.
CREATE TABLE erasures (
    player_id   BLOB    NOT NULL PRIMARY KEY REFERENCES accounts (player_id),
    receipt_id  BLOB    NOT NULL,
    asked_by    TEXT    NOT NULL,
    asked_at_ms INTEGER NOT NULL,
    -- NULL: under way.
    done_at_ms  INTEGER,
    -- Everything was done once more, after the last token that could have written something had expired.
    swept_at_ms INTEGER
) STRICT;
CREATE INDEX erasures_open ON erasures (asked_at_ms) WHERE swept_at_ms IS NULL;

-- How many rows of which table an erasure has taken.
CREATE TABLE erased_rows (
    player_id BLOB    NOT NULL REFERENCES erasures (player_id),
    held      TEXT    NOT NULL,
    taken     INTEGER NOT NULL,
    PRIMARY KEY (player_id, held)
) STRICT;

-- Receipts of exports and erasures, as they were signed.
CREATE TABLE receipts (
    receipt_id BLOB    NOT NULL PRIMARY KEY,
    player_id  BLOB    NOT NULL,
    kind       TEXT    NOT NULL,
    body       TEXT    NOT NULL,
    signature  BLOB    NOT NULL,
    at_ms      INTEGER NOT NULL
) STRICT;
CREATE INDEX receipts_by_player ON receipts (player_id);

-- By whom they are found when a player is forgotten.
CREATE INDEX match_players_by_player ON match_players (player_id, match_id);
CREATE INDEX inbox_by_cause ON inbox (sender_id) WHERE sender_id IS NOT NULL;
