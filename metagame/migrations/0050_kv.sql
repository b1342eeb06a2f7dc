-- Values that games keep per player. No reference to accounts: the use case asks, once for all that are written together.
CREATE TABLE kv (
    player_id     BLOB    NOT NULL,
    collection    TEXT    NOT NULL,
    key           TEXT    NOT NULL,
    -- JSON, as it was sent.
    value         TEXT    NOT NULL,
    bytes         INTEGER NOT NULL,
    -- The ETag. Never below the time of the write, so a value that was deleted and made anew has another one.
    version       INTEGER NOT NULL,
    -- Hash of the write that it came from: the same write again changes nothing.
    mark          BLOB    NOT NULL,
    -- 1 where it counts against the account's quota; what only servers write does not.
    counted       INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    PRIMARY KEY (player_id, collection, key)
) STRICT;

-- Sums over an account's counted values.
CREATE TABLE kv_usage (
    player_id BLOB    NOT NULL PRIMARY KEY,
    bytes     INTEGER NOT NULL,
    count     INTEGER NOT NULL
) STRICT;
-- @postgres
-- Both are updated in place.
ALTER TABLE kv SET (fillfactor = 70);
ALTER TABLE kv_usage SET (fillfactor = 70);
-- @both
