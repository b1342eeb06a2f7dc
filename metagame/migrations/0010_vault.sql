-- Keys of accounts, wrapped by a key file that is outside the database. Without its key nothing sealed of an account opens.
CREATE TABLE account_keys (
    player_id      BLOB    NOT NULL PRIMARY KEY REFERENCES accounts (player_id),
    -- NULL once it was shredded; the row stays, so that no new key is made.
    wrapped        BLOB,
    -- Names the key file that wrapped it.
    vault          TEXT    NOT NULL,
    created_at_ms  INTEGER NOT NULL,
    shredded_at_ms INTEGER
) STRICT;
