-- Failed logins and codes asked for, by what they are counted against (a blind index) and by window of time.
CREATE TABLE tallies (
    tally     BLOB    NOT NULL,
    window_ms INTEGER NOT NULL,
    count     INTEGER NOT NULL,
    PRIMARY KEY (tally, window_ms)
) STRICT;
CREATE INDEX tallies_by_window ON tallies (window_ms);

-- Networks and devices from which an account was played, as blind indexes.
CREATE TABLE sightings (
    player_id  BLOB    NOT NULL REFERENCES accounts (player_id),
    mark       BLOB    NOT NULL,
    seen_at_ms INTEGER NOT NULL,
    PRIMARY KEY (player_id, mark)
) STRICT;
CREATE INDEX sightings_by_time ON sightings (seen_at_ms);
