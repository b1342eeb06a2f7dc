-- Accounts and how they are reached. Ids are 16-byte blobs, times Unix milliseconds.
CREATE TABLE accounts (
    player_id     BLOB    NOT NULL PRIMARY KEY,
    name          TEXT    NOT NULL,
    -- Counts every change of the profile: the ETag.
    version       INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    -- Sum of the player's xp_journal.
    xp            INTEGER NOT NULL,
    matches       INTEGER NOT NULL,
    wins          INTEGER NOT NULL
) STRICT;

-- Ways to prove to be an account. A device is known by the SHA-256 of its secret id alone.
CREATE TABLE identities (
    provider  TEXT NOT NULL,
    subject   BLOB NOT NULL,
    player_id BLOB NOT NULL REFERENCES accounts (player_id),
    PRIMARY KEY (provider, subject)
) STRICT;

-- One refresh family per row; tokens appear only as SHA-256.
CREATE TABLE sessions (
    session_id    BLOB    NOT NULL PRIMARY KEY,
    player_id     BLOB    NOT NULL REFERENCES accounts (player_id),
    current_hash  BLOB    NOT NULL,
    previous_hash BLOB,
    rotated_at_ms INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_by_player ON sessions (player_id, created_at_ms);
CREATE INDEX sessions_by_expiry ON sessions (expires_at_ms);

-- What somebody may want to look into later: reused refresh tokens, contradicting results.
CREATE TABLE audit (
    audit_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at_ms    INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    subject  TEXT    NOT NULL,
    detail   TEXT    NOT NULL
) STRICT;
