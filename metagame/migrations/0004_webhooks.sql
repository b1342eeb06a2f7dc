-- Events of matches, and who has still to be told of them.

-- Where a match is played, as the ticket and the allocator tell it; empty until then.
ALTER TABLE matches ADD COLUMN server_id   TEXT NOT NULL DEFAULT '';
ALTER TABLE matches ADD COLUMN server_name TEXT NOT NULL DEFAULT '';
ALTER TABLE matches ADD COLUMN build       TEXT NOT NULL DEFAULT '';
ALTER TABLE matches ADD COLUMN region      TEXT NOT NULL DEFAULT '';

-- Nothing has ever read the old outbox; what its rows said is in results, history and xp_journal.
DROP TABLE outbox;
CREATE TABLE outbox (
    sequence INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    -- Made of match and kind: a fact that is told again is the same event.
    event_id TEXT    NOT NULL UNIQUE,
    kind     TEXT    NOT NULL,
    match_id BLOB    NOT NULL,
    -- The JSON, byte for byte as it is delivered.
    body     TEXT    NOT NULL,
    at_ms    INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_by_age ON outbox (at_ms);

-- Endpoints that the settings have ever named.
CREATE TABLE webhook_endpoints (
    name      TEXT    NOT NULL PRIMARY KEY,
    -- 1 while the settings name it: only then it gets new events.
    active    INTEGER NOT NULL,
    delivered INTEGER NOT NULL DEFAULT 0,
    failures  INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE webhook_filters (
    endpoint TEXT NOT NULL REFERENCES webhook_endpoints (name),
    kind     TEXT NOT NULL,
    PRIMARY KEY (endpoint, kind)
) STRICT;

-- One row per event that an endpoint has not acknowledged.
CREATE TABLE webhook_deliveries (
    endpoint   TEXT    NOT NULL REFERENCES webhook_endpoints (name),
    sequence   INTEGER NOT NULL REFERENCES outbox (sequence),
    match_id   BLOB    NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('pending', 'dead')),
    attempts   INTEGER NOT NULL,
    -- Patience is counted from here.
    since_ms   INTEGER NOT NULL,
    next_at_ms INTEGER NOT NULL,
    -- Why the last attempt failed, or empty.
    reason     TEXT    NOT NULL,
    PRIMARY KEY (endpoint, sequence)
) STRICT;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint, state, next_at_ms);
CREATE INDEX webhook_deliveries_order ON webhook_deliveries (endpoint, match_id, sequence);
CREATE INDEX webhook_deliveries_by_event ON webhook_deliveries (sequence);
