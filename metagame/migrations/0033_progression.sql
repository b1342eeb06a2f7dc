-- Rules of progression as they were read, by version: what rows refer to.
CREATE TABLE progression_rules (
    version    INTEGER NOT NULL PRIMARY KEY,
    source     TEXT    NOT NULL,
    seen_at_ms INTEGER NOT NULL
) STRICT;

-- What a player has reached. Players without a row are at level 1 of no prestige, or at what their XP says.
CREATE TABLE progress (
    player_id     BLOB    NOT NULL PRIMARY KEY,
    prestige      INTEGER NOT NULL,
    -- XP that prestiges took: levels are counted from accounts.xp less this.
    spent_xp      INTEGER NOT NULL,
    -- The highest since the last prestige, and ever: a steeper curve takes neither away.
    level         INTEGER NOT NULL,
    level_max     INTEGER NOT NULL,
    rules_version INTEGER NOT NULL
) STRICT;

-- What results have counted: season:<id>, challenge:<id>, achievement:<id>, stat:<name>.
CREATE TABLE progress_counts (
    player_id     BLOB    NOT NULL,
    subject       TEXT    NOT NULL,
    -- Number of the day or week; 0 where it lasts.
    period        INTEGER NOT NULL,
    count         INTEGER NOT NULL,
    -- 0: none.
    goal          INTEGER NOT NULL,
    -- Since when the goal is reached; it stays so when the goal is raised.
    reached_at_ms INTEGER,
    rules_version INTEGER NOT NULL,
    -- When the period ends; NULL: never.
    until_ms      INTEGER,
    PRIMARY KEY (player_id, subject, period)
) STRICT;
CREATE INDEX progress_counts_by_end ON progress_counts (until_ms) WHERE until_ms IS NOT NULL;
-- By season: its archive counts them.
CREATE INDEX progress_counts_seasons ON progress_counts (subject) WHERE subject >= 'season:' AND subject < 'season;';

-- What players have fetched, each once.
CREATE TABLE claims (
    player_id     BLOB    NOT NULL,
    claim         TEXT    NOT NULL,
    rules_version INTEGER NOT NULL,
    -- JSON: what it gave.
    gave          TEXT    NOT NULL,
    at_ms         INTEGER NOT NULL,
    -- When it may be forgotten: what it was for is gone by then. NULL: never.
    until_ms      INTEGER,
    PRIMARY KEY (player_id, claim)
) STRICT;
CREATE INDEX claims_by_end ON claims (until_ms) WHERE until_ms IS NOT NULL;

CREATE TABLE unlocks (
    player_id     BLOB    NOT NULL,
    node          TEXT    NOT NULL,
    rules_version INTEGER NOT NULL,
    at_ms         INTEGER NOT NULL,
    PRIMARY KEY (player_id, node)
) STRICT;

-- Seasons that are over, as they were: the file may forget them.
CREATE TABLE season_archive (
    season         TEXT    NOT NULL PRIMARY KEY,
    -- JSON.
    definition     TEXT    NOT NULL,
    rules_version  INTEGER NOT NULL,
    players        INTEGER NOT NULL,
    ended_at_ms    INTEGER NOT NULL,
    archived_at_ms INTEGER NOT NULL
) STRICT;
-- @postgres
-- Counts are updated in place.
ALTER TABLE progress SET (fillfactor = 80);
ALTER TABLE progress_counts SET (fillfactor = 80);
-- @both
