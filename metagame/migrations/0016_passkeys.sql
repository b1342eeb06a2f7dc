-- Passkeys and security keys. What checks them and what their owner calls them is sealed under the account's key.
CREATE TABLE passkeys (
    -- A blind index of what the platform calls it.
    passkey_id    BLOB    NOT NULL PRIMARY KEY,
    player_id     BLOB    NOT NULL REFERENCES accounts (player_id),
    sealed        BLOB    NOT NULL,
    -- Counts every use: of two uses at once, one is refused.
    version       INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    used_at_ms    INTEGER
) STRICT;
CREATE INDEX passkeys_by_player ON passkeys (player_id, created_at_ms);
