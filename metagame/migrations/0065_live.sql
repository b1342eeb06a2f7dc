-- What operators have put on: events and remote settings, each version as a whole. The newest holds.
CREATE TABLE live_documents (
    version INTEGER NOT NULL PRIMARY KEY,
    -- The JSON.
    body    TEXT    NOT NULL,
    at_ms   INTEGER NOT NULL
) STRICT;

-- What vendors of anti-cheat have said of players, once per message.
CREATE TABLE anti_cheat_verdicts (
    vendor      TEXT    NOT NULL,
    message_id  TEXT    NOT NULL,
    player_id   BLOB    NOT NULL,
    -- NULL where it names no match.
    match_id    BLOB,
    verdict     TEXT    NOT NULL,
    -- What followed: none, flag, ban, unknown_player.
    outcome     TEXT    NOT NULL,
    -- The vendor's words.
    reason      TEXT    NOT NULL,
    at_ms       INTEGER NOT NULL,
    -- NULL until an operator has looked into it.
    resolved_at_ms INTEGER,
    PRIMARY KEY (vendor, message_id)
) STRICT;
CREATE INDEX anti_cheat_verdicts_by_player ON anti_cheat_verdicts (player_id, at_ms);
CREATE INDEX anti_cheat_verdicts_open ON anti_cheat_verdicts (at_ms) WHERE resolved_at_ms IS NULL;
