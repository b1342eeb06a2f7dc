-- What operators and the program did with privilege, each entry hashed onto the one before. Nothing here is changed or removed.
CREATE TABLE acts (
    -- From 1, without gaps.
    number     INTEGER NOT NULL PRIMARY KEY,
    at_ms      INTEGER NOT NULL,
    -- operator:<name>, player:<id>, system; admin-port where nobody said who.
    actor      TEXT    NOT NULL,
    act        TEXT    NOT NULL,
    -- player:<id>, or what else it was done to.
    subject    TEXT    NOT NULL,
    -- A code: nothing personal belongs here, for nothing here can be taken back.
    reason     TEXT    NOT NULL,
    -- Words of the operator, sealed under the key of the player that they concern: with that key they are gone, and the chain
    -- stays whole.
    note       BLOB,
    -- JSON: figures and ids.
    detail     TEXT    NOT NULL,
    request_id TEXT    NOT NULL,
    -- SHA-256 over the hash before and all of this.
    hash       BLOB    NOT NULL
) STRICT;
CREATE INDEX acts_by_subject ON acts (subject, number);
CREATE INDEX acts_by_request ON acts (request_id);
