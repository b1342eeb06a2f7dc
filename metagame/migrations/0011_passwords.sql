-- Ways to prove to be an account: since when, and for its owner alone what it is (an e-mail address), sealed under the
-- account's key. The subject is a blind index where it would be personal data.
ALTER TABLE identities ADD COLUMN linked_at_ms INTEGER;
ALTER TABLE identities ADD COLUMN sealed BLOB;
CREATE INDEX identities_by_player ON identities (player_id);

-- An account that may not log in until then.
ALTER TABLE accounts ADD COLUMN barred_until_ms INTEGER;

-- How a session began, and when a second factor was last shown in it.
ALTER TABLE sessions ADD COLUMN method TEXT NOT NULL DEFAULT 'device';
ALTER TABLE sessions ADD COLUMN strong_at_ms INTEGER;
ALTER TABLE sessions ADD COLUMN strong_by TEXT;

-- Passwords, hashed, in PHC's form or bcrypt's.
CREATE TABLE passwords (
    player_id     BLOB    NOT NULL PRIMARY KEY REFERENCES accounts (player_id),
    phc           TEXT    NOT NULL,
    changed_at_ms INTEGER NOT NULL
) STRICT;

-- Codes that were sent by mail and prove that somebody reads it. What follows from them is sealed.
CREATE TABLE codes (
    code_id       BLOB    NOT NULL PRIMARY KEY,
    purpose       TEXT    NOT NULL,
    -- NULL where it belongs to no account, or to none yet.
    player_id     BLOB,
    code_hash     BLOB    NOT NULL,
    sealed        BLOB    NOT NULL,
    tries_left    INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX codes_by_expiry ON codes (expires_at_ms);
CREATE INDEX codes_by_player ON codes (player_id);

-- Mail that waits to be sent: address and text, sealed.
CREATE TABLE mails (
    mail_id       BLOB    NOT NULL PRIMARY KEY,
    player_id     BLOB,
    sealed        BLOB    NOT NULL,
    due_at_ms     INTEGER NOT NULL,
    tries         INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX mails_by_due ON mails (due_at_ms);
CREATE INDEX mails_by_player ON mails (player_id);

-- Access tokens that are refused before they expire: those of a session, or those of a player's sessions that began before
-- that time, but for the one kept.
CREATE TABLE revocations (
    revocation_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    player_id     BLOB    NOT NULL,
    session_id    BLOB,
    kept          BLOB,
    at_ms         INTEGER NOT NULL
) STRICT;
CREATE INDEX revocations_by_time ON revocations (at_ms);
