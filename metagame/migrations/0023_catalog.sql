-- Catalogs as they were read, by version: what the journal's entries refer to.
CREATE TABLE catalogs (
    version    INTEGER NOT NULL PRIMARY KEY,
    source     TEXT    NOT NULL,
    seen_at_ms INTEGER NOT NULL
) STRICT;
