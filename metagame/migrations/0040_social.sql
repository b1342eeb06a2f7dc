-- What stands between two players, one row for each side that something stands on.
CREATE TABLE edges (
    player_id BLOB    NOT NULL REFERENCES accounts (player_id),
    other_id  BLOB    NOT NULL REFERENCES accounts (player_id),
    -- As player_id sees it: a request that it made or got, a friend, somebody whom it blocks.
    tie       TEXT    NOT NULL CHECK (tie IN ('sent', 'received', 'friend', 'blocked')),
    at_ms     INTEGER NOT NULL,
    PRIMARY KEY (player_id, other_id)
) STRICT;
CREATE INDEX edges_by_tie ON edges (player_id, tie, other_id);
CREATE INDEX edges_by_other ON edges (other_id);

-- How far a player's inbox is written, and how far the player has acknowledged it.
CREATE TABLE inbox_heads (
    player_id BLOB    NOT NULL PRIMARY KEY REFERENCES accounts (player_id),
    last_seq  INTEGER NOT NULL,
    acked_seq INTEGER NOT NULL
) STRICT;

-- What a player must hear, whether connected or not.
CREATE TABLE inbox (
    player_id BLOB    NOT NULL REFERENCES accounts (player_id),
    seq       INTEGER NOT NULL,
    -- Names the fact: told again it is the same message.
    key       TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    -- The player that caused it, if one did: a block takes its messages away.
    sender_id BLOB,
    body      TEXT    NOT NULL,
    at_ms     INTEGER NOT NULL,
    PRIMARY KEY (player_id, seq),
    UNIQUE (player_id, key)
) STRICT;
CREATE INDEX inbox_by_age ON inbox (at_ms);
CREATE INDEX inbox_by_sender ON inbox (player_id, sender_id);
