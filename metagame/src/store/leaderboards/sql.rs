//! The statements of leaderboards, where the engines need different words.

use crate::core::leaderboard::{Board, Keep, Order};
use crate::db::Sql;

/// $1 board, $2 season, $3 `[["player in hex", score, "region"], …]`, $4 since when in ms. In order of players, so that
/// statements that run at once lock in the same order. Returns the rows that changed.
macro_rules! upsert {
    ($set:literal, $condition:literal) => {
        Sql::by_engine(
            concat!(
                "INSERT INTO lb_entries (board, season, player_id, score, since_ms, region, version, change, removed)
                 SELECT $1, $2, accounts.player_id, given.score, $4, given.region, 1,
                        (SELECT coalesce(max(change), 0) + 1 FROM lb_entries), 0
                 FROM (SELECT unhex(json_extract(value, '$[0]')) AS player_id, json_extract(value, '$[1]') AS score,
                              json_extract(value, '$[2]') AS region FROM json_each($3)) AS given
                 JOIN accounts ON accounts.player_id = given.player_id AND erased_at_ms IS NULL WHERE true ORDER BY accounts.player_id
                 ON CONFLICT (board, season, player_id) DO UPDATE SET ",
                $set,
                ", region = excluded.region, version = lb_entries.version + 1, change = excluded.change, removed = 0
                 WHERE lb_entries.removed = 1 OR ",
                $condition,
                " RETURNING player_id, score, since_ms, region, version, removed"
            ),
            concat!(
                "INSERT INTO lb_entries (board, season, player_id, score, since_ms, region, version, change, removed)
                 SELECT $1, $2, accounts.player_id, given.score, $4, given.region, 1,
                        CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT), 0
                 FROM (SELECT decode(value->>0, 'hex') AS player_id, CAST(value->>1 AS BIGINT) AS score,
                              value->>2 AS region FROM json_array_elements(CAST($3 AS json)) AS value) AS given
                 JOIN accounts ON accounts.player_id = given.player_id AND erased_at_ms IS NULL ORDER BY accounts.player_id
                 ON CONFLICT (board, season, player_id) DO UPDATE SET ",
                $set,
                ", region = excluded.region, version = lb_entries.version + 1, change = excluded.change, removed = 0
                 WHERE lb_entries.removed = 1 OR ",
                $condition,
                " RETURNING player_id, score, since_ms, region, version, removed"
            ),
        )
    };
}

const BEST_DESCENDING: Sql =
    upsert!("score = excluded.score, since_ms = excluded.since_ms", "excluded.score > lb_entries.score");
const BEST_ASCENDING: Sql =
    upsert!("score = excluded.score, since_ms = excluded.since_ms", "excluded.score < lb_entries.score");
const LAST: Sql = upsert!(
    "score = excluded.score, since_ms = CASE WHEN excluded.score = lb_entries.score AND lb_entries.removed = 0
     THEN lb_entries.since_ms ELSE excluded.since_ms END",
    "excluded.score <> lb_entries.score OR excluded.region <> lb_entries.region"
);
/// The bounds are `SCORE_MAX`.
const SUM: Sql = upsert!(
    "score = CASE WHEN lb_entries.removed = 1 THEN excluded.score
     WHEN lb_entries.score + excluded.score > 9007199254740991 THEN 9007199254740991
     WHEN lb_entries.score + excluded.score < -9007199254740991 THEN -9007199254740991
     ELSE lb_entries.score + excluded.score END,
     since_ms = CASE WHEN excluded.score = 0 AND lb_entries.removed = 0 THEN lb_entries.since_ms ELSE excluded.since_ms END",
    "excluded.score <> 0 OR excluded.region <> lb_entries.region"
);

/// How a board's scores are written.
pub(super) fn upsert(board: &Board) -> Sql {
    match (board.keep, board.order) {
        (Keep::Best, Order::Descending) => BEST_DESCENDING,
        (Keep::Best, Order::Ascending) => BEST_ASCENDING,
        (Keep::Last, _) => LAST,
        (Keep::Sum, _) => SUM,
    }
}

/// $1 board, $2 ids as JSON, $3 now. Returns those that had not been written.
pub(super) const NOTE_WRITES: Sql = Sql::by_engine(
    "INSERT INTO lb_writes (board, write_id, at_ms) SELECT $1, value, $3 FROM json_each($2) WHERE true
     ON CONFLICT (board, write_id) DO NOTHING RETURNING write_id",
    "INSERT INTO lb_writes (board, write_id, at_ms)
     SELECT $1, value, $3 FROM json_array_elements_text(CAST($2 AS json)) AS value
     ON CONFLICT (board, write_id) DO NOTHING RETURNING write_id",
);

/// From where changes have to be asked for by who sees this moment, and the first number that is not given yet.
pub(super) const POSITION: Sql = Sql::by_engine(
    "SELECT coalesce(max(change), 0) + 1, coalesce(max(change), 0) + 1 FROM lb_entries",
    "SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT),
            CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS TEXT) AS BIGINT)",
);

/// $1 from, $2 below: rows whose numbers were given by another server, before the data was moved here, are not news.
pub(super) const CHANGES: &str = "\
    SELECT player_id, score, since_ms, region, version, removed, board, season, change FROM lb_entries
    WHERE change >= $1 AND change < $2 ORDER BY change LIMIT $3";

pub(super) const REMOVE_ENTRY: Sql = Sql::by_engine(
    "UPDATE lb_entries SET removed = 1, version = version + 1,
            change = (SELECT coalesce(max(change), 0) + 1 FROM lb_entries)
     WHERE board = $1 AND season = $2 AND player_id = $3 AND removed = 0
     RETURNING player_id, score, since_ms, region, version, removed",
    "UPDATE lb_entries SET removed = 1, version = version + 1,
            change = CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)
     WHERE board = $1 AND season = $2 AND player_id = $3 AND removed = 0
     RETURNING player_id, score, since_ms, region, version, removed",
);

pub(super) const REMOVE_PLAYER: Sql = Sql::by_engine(
    "UPDATE lb_entries SET removed = 1, version = version + 1,
            change = (SELECT coalesce(max(change), 0) + 1 FROM lb_entries)
     WHERE player_id = $1 AND removed = 0
     RETURNING player_id, score, since_ms, region, version, removed, board, season, change",
    "UPDATE lb_entries SET removed = 1, version = version + 1,
            change = CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)
     WHERE player_id = $1 AND removed = 0
     RETURNING player_id, score, since_ms, region, version, removed, board, season, change",
);
