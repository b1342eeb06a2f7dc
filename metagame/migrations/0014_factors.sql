-- Authenticator apps: their secrets, sealed under the account's key, and the step of the newest code that was used.
CREATE TABLE totp (
    player_id     BLOB    NOT NULL PRIMARY KEY REFERENCES accounts (player_id),
    sealed        BLOB    NOT NULL,
    confirmed     INTEGER NOT NULL,
    last_step     INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;

-- Codes on paper, hashed; each is removed when it is used.
CREATE TABLE recovery_codes (
    player_id BLOB NOT NULL REFERENCES accounts (player_id),
    code_hash BLOB NOT NULL,
    PRIMARY KEY (player_id, code_hash)
) STRICT;
