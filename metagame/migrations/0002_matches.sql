-- Matches from ticket to result.
CREATE TABLE matches (
    match_id      BLOB    NOT NULL PRIMARY KEY,
    -- Empty until a ticket or a result names it.
    queue         TEXT    NOT NULL,
    state         TEXT    NOT NULL CHECK (state IN ('placed', 'playing', 'ended', 'lost', 'closed')),
    trace_id      TEXT    NOT NULL,
    reason        TEXT    NOT NULL,
    placed_at_ms  INTEGER NOT NULL,
    started_at_ms INTEGER,
    ended_at_ms   INTEGER,
    lost_at_ms    INTEGER
) STRICT;

CREATE TABLE match_players (
    match_id  BLOB    NOT NULL REFERENCES matches (match_id),
    player_id BLOB    NOT NULL,
    team      INTEGER NOT NULL,
    name      TEXT    NOT NULL,
    -- 1 while the match keeps the player from queueing.
    holds     INTEGER NOT NULL,
    PRIMARY KEY (match_id, player_id)
) STRICT;
CREATE INDEX match_players_held ON match_players (player_id) WHERE holds = 1;

-- The ticket that a player made last.
CREATE TABLE player_tickets (
    player_id BLOB NOT NULL PRIMARY KEY,
    ticket_id BLOB NOT NULL
) STRICT;

-- Results as they were signed. The key makes them count once.
CREATE TABLE results (
    match_id       BLOB    NOT NULL PRIMARY KEY REFERENCES matches (match_id),
    body_hash      BLOB    NOT NULL,
    body           TEXT    NOT NULL,
    key_thumbprint TEXT    NOT NULL,
    recorded_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE history (
    player_id     BLOB    NOT NULL,
    match_id      BLOB    NOT NULL REFERENCES results (match_id),
    queue         TEXT    NOT NULL,
    ended_at_ms   INTEGER NOT NULL,
    reason        TEXT    NOT NULL,
    team          INTEGER NOT NULL,
    place         INTEGER NOT NULL,
    score         INTEGER NOT NULL,
    participation TEXT    NOT NULL,
    xp_gained     INTEGER NOT NULL,
    rating_before REAL    NOT NULL,
    rating_after  REAL    NOT NULL,
    stats         TEXT    NOT NULL,
    PRIMARY KEY (player_id, match_id)
) STRICT;
CREATE INDEX history_newest ON history (player_id, ended_at_ms DESC, match_id DESC);

-- Every grant of XP and its cause; accounts.xp is its sum.
CREATE TABLE xp_journal (
    player_id     BLOB    NOT NULL REFERENCES accounts (player_id),
    match_id      BLOB    NOT NULL REFERENCES results (match_id),
    xp            INTEGER NOT NULL,
    -- Version of the progression rules that granted it.
    rules_version INTEGER NOT NULL,
    at_ms         INTEGER NOT NULL,
    PRIMARY KEY (player_id, match_id)
) STRICT;

CREATE TABLE ratings (
    queue       TEXT    NOT NULL,
    player_id   BLOB    NOT NULL REFERENCES accounts (player_id),
    rating      REAL    NOT NULL,
    uncertainty REAL    NOT NULL,
    -- rating - 3 * uncertainty, what the leaderboard sorts by.
    score       REAL    NOT NULL,
    matches     INTEGER NOT NULL,
    wins        INTEGER NOT NULL,
    PRIMARY KEY (queue, player_id)
) STRICT;
CREATE INDEX ratings_board ON ratings (queue, score DESC, player_id);
CREATE INDEX ratings_by_player ON ratings (player_id);

-- Events for other systems, written in the transaction that caused them.
CREATE TABLE outbox (
    event_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    kind     TEXT    NOT NULL,
    subject  TEXT    NOT NULL,
    body     TEXT    NOT NULL,
    at_ms    INTEGER NOT NULL
) STRICT;

-- Public keys of the allocator, kept so that results survive its restart.
CREATE TABLE allocator_keys (
    public_key BLOB    NOT NULL PRIMARY KEY,
    seen_at_ms INTEGER NOT NULL
) STRICT;
