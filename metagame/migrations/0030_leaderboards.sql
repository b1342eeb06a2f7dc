-- Leaderboards: this table is the truth, ranks are computed from it.
CREATE TABLE lb_entries (
    board     TEXT    NOT NULL,
    -- Number of the season by the board's calendar.
    season    INTEGER NOT NULL,
    player_id BLOB    NOT NULL REFERENCES accounts (player_id),
    -- A rating is kept in millionths.
    score     INTEGER NOT NULL,
    -- Since when the score stands: the earlier is before its equals. 0 where ties are not decided by time.
    since_ms  INTEGER NOT NULL,
    -- Empty where it is in no region's list.
    region    TEXT    NOT NULL,
    -- Counts the changes of this row.
    version   INTEGER NOT NULL,
    -- Order of changes, for instances that catch up: the transaction's number on PostgreSQL, a counter on SQLite.
    change    INTEGER NOT NULL,
    -- 1 once it was taken off the board; the row stays for those that catch up.
    removed   INTEGER NOT NULL,
    PRIMARY KEY (board, season, player_id)
) STRICT;
CREATE INDEX lb_entries_by_change ON lb_entries (change);

-- Writes to boards that add up, so that none counts twice.
CREATE TABLE lb_writes (
    board    TEXT    NOT NULL,
    write_id TEXT    NOT NULL,
    at_ms    INTEGER NOT NULL,
    PRIMARY KEY (board, write_id)
) STRICT;
CREATE INDEX lb_writes_by_age ON lb_writes (at_ms);

-- The ratings that there are.
INSERT INTO lb_entries (board, season, player_id, score, since_ms, region, version, change, removed)
SELECT queue, 0, player_id, CAST(round(score * 1000000) AS INTEGER), 0, '', 1, 0, 0 FROM ratings;
