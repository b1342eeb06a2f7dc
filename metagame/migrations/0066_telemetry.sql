-- What clients and servers report of the game, by day of receipt, so that a day goes as a whole. On PostgreSQL each day is a
-- partition, telemetry_2026_11_22. Beside a file each day is a file of its own, with this same table: here it stays empty.
CREATE TABLE telemetry (
    -- Days since 1970, UTC.
    day            INTEGER NOT NULL,
    -- Made by whoever reports: what comes twice on a day is there once.
    event_id       BLOB    NOT NULL,
    name           TEXT    NOT NULL,
    version        INTEGER NOT NULL,
    -- When it happened, by the reporter's clock.
    at_ms          INTEGER NOT NULL,
    received_at_ms INTEGER NOT NULL,
    -- Whom it is about, made of the account's key: without the key nothing leads from one to the other. Empty: nobody.
    pseudonym      BLOB    NOT NULL,
    -- client or server.
    source         TEXT    NOT NULL,
    -- JSON: figures, listed texts, pseudonyms.
    body           TEXT    NOT NULL,
    -- JSON under the account's key: all other texts. Empty: none.
    sealed         BLOB    NOT NULL,
    PRIMARY KEY (pseudonym, event_id, day)
-- @sqlite
) STRICT;
-- @postgres
) PARTITION BY RANGE (day);
-- @both
