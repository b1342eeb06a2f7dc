-- What has happened and is on its way to whoever listens: one row for each listener, gone once it has it.

-- Those that take events. Of several instances one relays to each of them at a time.
CREATE TABLE event_relays (
    sink          TEXT    NOT NULL PRIMARY KEY,
    holder        TEXT    NOT NULL DEFAULT '',
    held_until_ms INTEGER NOT NULL DEFAULT 0,
    -- Events that it has acknowledged.
    taken         INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Which types of events each of them wants; '*' is all of them. Without a row here nothing is written below.
CREATE TABLE event_wants (
    sink TEXT NOT NULL REFERENCES event_relays (sink),
    type TEXT NOT NULL,
    PRIMARY KEY (sink, type)
) STRICT;

CREATE TABLE events (
    -- Ascending in the order of what happened to one subject.
    sequence INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    sink     TEXT    NOT NULL,
    -- Made of what happened: the same fact is the same event.
    event_id TEXT    NOT NULL,
    type     TEXT    NOT NULL,
    -- Of what its data has.
    version  INTEGER NOT NULL,
    -- What it happened to.
    subject  TEXT    NOT NULL,
    -- JSON: ids, figures and names of things, nothing personal.
    data     TEXT    NOT NULL,
    at_ms    INTEGER NOT NULL
) STRICT;
CREATE INDEX events_by_sink ON events (sink, sequence);
