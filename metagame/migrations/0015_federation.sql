-- Proofs of other systems that have begun a session or linked an account (a ticket of Steam), by their hash: each works once.
CREATE TABLE used_proofs (
    proof         BLOB    NOT NULL PRIMARY KEY,
    -- What it was used for: a repetition of the same use is none.
    used_for      BLOB    NOT NULL,
    expires_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX used_proofs_by_expiry ON used_proofs (expires_at_ms);

-- Proofs that were begun and not finished: what the answer has to fit to (nonces, challenges), sealed. Each is taken once.
CREATE TABLE begun_proofs (
    -- SHA-256 of the secret that only whoever began it knows.
    proof_id      BLOB    NOT NULL PRIMARY KEY,
    purpose       TEXT    NOT NULL,
    -- Who proves it, where that is known already.
    player_id     BLOB,
    sealed        BLOB    NOT NULL,
    expires_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX begun_proofs_by_expiry ON begun_proofs (expires_at_ms);
CREATE INDEX begun_proofs_by_player ON begun_proofs (player_id);
