-- Players that queue together.
CREATE TABLE parties (
    party_id      BLOB    NOT NULL PRIMARY KEY,
    leader_id     BLOB    NOT NULL REFERENCES accounts (player_id),
    -- Counts every change.
    version       INTEGER NOT NULL,
    size_max      INTEGER NOT NULL,
    -- By which anybody may join: a private lobby.
    code          TEXT    UNIQUE,
    -- The ticket that stands for the members as they are.
    ticket_id     BLOB,
    created_at_ms INTEGER NOT NULL
) STRICT;

-- A player is in one party at a time.
CREATE TABLE party_members (
    player_id    BLOB    NOT NULL PRIMARY KEY REFERENCES accounts (player_id),
    party_id     BLOB    NOT NULL REFERENCES parties (party_id),
    -- Ascending in the order of joining: the leader is followed by the lowest.
    place        INTEGER NOT NULL,
    joined_at_ms INTEGER NOT NULL,
    ready        INTEGER NOT NULL,
    -- JSON: milliseconds by region.
    region_rtts  TEXT    NOT NULL
) STRICT;
CREATE INDEX party_members_by_party ON party_members (party_id, place);

CREATE TABLE party_invites (
    party_id      BLOB    NOT NULL REFERENCES parties (party_id),
    player_id     BLOB    NOT NULL REFERENCES accounts (player_id),
    from_id       BLOB    NOT NULL,
    at_ms         INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    PRIMARY KEY (party_id, player_id)
) STRICT;
CREATE INDEX party_invites_by_player ON party_invites (player_id, expires_at_ms);
CREATE INDEX party_invites_by_expiry ON party_invites (expires_at_ms);

-- Tickets of parties that have changed since: the matchmaker has still to be told.
CREATE TABLE party_cancels (
    ticket_id BLOB    NOT NULL PRIMARY KEY,
    at_ms     INTEGER NOT NULL
) STRICT;
