-- Requests that happened under an Idempotency-Key, with what was answered. A row is written in the transaction of the effect.
CREATE TABLE idempotency (
    -- Whose key it is. No reference to accounts: keys of money outlast the account.
    account         BLOB    NOT NULL,
    idempotency_key TEXT    NOT NULL,
    -- SHA-256 of what was asked: the same key with something else is a mistake.
    request_hash    BLOB    NOT NULL,
    -- HTTP status, 0 within the transaction that is still at it.
    status          INTEGER NOT NULL,
    -- JSON, as it was answered.
    body            TEXT    NOT NULL,
    at_ms           INTEGER NOT NULL,
    -- NULL: never.
    expires_at_ms   INTEGER,
    PRIMARY KEY (account, idempotency_key)
) STRICT;
CREATE INDEX idempotency_by_expiry ON idempotency (expires_at_ms) WHERE expires_at_ms IS NOT NULL;
-- @postgres
-- The answer is written into the row's own page.
ALTER TABLE idempotency SET (fillfactor = 60);
-- @both
