-- Bans and mutes that operators have imposed. A row stays when it is over: it is the account's record.
CREATE TABLE sanctions (
    -- Random: who has been told it may appeal.
    sanction_id    BLOB    NOT NULL PRIMARY KEY,
    player_id      BLOB    NOT NULL REFERENCES accounts (player_id),
    kind           TEXT    NOT NULL CHECK (kind IN ('ban', 'mute')),
    reason         TEXT    NOT NULL,
    -- Words of the operator, sealed under the account's key.
    note           BLOB,
    imposed_by     TEXT    NOT NULL,
    imposed_at_ms  INTEGER NOT NULL,
    -- NULL: for ever.
    until_ms       INTEGER,
    lifted_by      TEXT,
    lifted_at_ms   INTEGER,
    lift_reason    TEXT,
    -- Words of the player, sealed under the account's key; once.
    appeal         BLOB,
    appealed_at_ms INTEGER,
    -- An operator has read it and the sanction stands.
    upheld_by      TEXT,
    upheld_at_ms   INTEGER
) STRICT;
CREATE INDEX sanctions_by_player ON sanctions (player_id, imposed_at_ms);
CREATE INDEX sanctions_appealed ON sanctions (appealed_at_ms) WHERE appealed_at_ms IS NOT NULL;

-- Players are found by how their name begins, whatever its case.
CREATE INDEX accounts_by_name ON accounts (lower(name));
