-- Trades between two players, and what of them is in escrow.
CREATE TABLE trades (
    trade_id    BLOB    NOT NULL PRIMARY KEY,
    from_player BLOB    NOT NULL,
    to_player   BLOB    NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('offered', 'accepted', 'settled', 'cancelled', 'timed_out')),
    -- JSON: items and currencies of each side.
    gives       TEXT    NOT NULL,
    takes       TEXT    NOT NULL,
    until_ms    INTEGER NOT NULL,
    made_at_ms  INTEGER NOT NULL
) STRICT;
CREATE INDEX trades_of_offerer ON trades (from_player, until_ms) WHERE state IN ('offered', 'accepted');
CREATE INDEX trades_of_receiver ON trades (to_player, until_ms) WHERE state IN ('offered', 'accepted');
CREATE INDEX trades_open ON trades (until_ms) WHERE state IN ('offered', 'accepted');
