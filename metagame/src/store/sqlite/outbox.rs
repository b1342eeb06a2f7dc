//! Events of matches, written in the transaction that makes them true, with a delivery for each endpoint that wants
//! to hear of them.

use std::collections::BTreeMap;

use protocol::id::{MatchId, PlayerId};
use sqlx::{Sqlite, Transaction};

use super::{int, player, small};
use crate::core::match_event::{EventPlayer, EventTeams, MatchEvent, MatchFacts, Placement};
use crate::store::StoreError;

type Tx = Transaction<'static, Sqlite>;

/// Writes an event, unless it was written before. Its deliveries are due from `now_ms` on.
pub(super) async fn insert_event(tx: &mut Tx, event: &MatchEvent, now_ms: u64) -> Result<(), StoreError> {
    let sequence: Option<i64> = sqlx::query_scalar(
        "INSERT INTO outbox (event_id, kind, match_id, body, at_ms) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (event_id) DO NOTHING RETURNING sequence",
    )
    .bind(event.id())
    .bind(event.kind.name())
    .bind(&event.match_id.to_bytes()[..])
    .bind(&event.body)
    .bind(int(event.at_ms))
    .fetch_optional(&mut **tx)
    .await?;
    let Some(sequence) = sequence else { return Ok(()) };
    sqlx::query(
        "INSERT INTO webhook_deliveries (endpoint, sequence, match_id, state, attempts, since_ms, next_at_ms, reason)
         SELECT name, ?1, ?2, 'pending', 0, ?3, ?3, '' FROM webhook_endpoints
         JOIN webhook_filters ON webhook_filters.endpoint = name AND kind = ?4 WHERE active = 1",
    )
    .bind(sequence)
    .bind(&event.match_id.to_bytes()[..])
    .bind(int(now_ms))
    .bind(event.kind.name())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes on what a match is played; what is not known now stays as it was.
pub(super) async fn note_placement(tx: &mut Tx, match_id: MatchId, placement: &Placement) -> Result<(), StoreError> {
    if *placement == Placement::default() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE matches SET server_id = coalesce(nullif(?1, ''), server_id),
         server_name = coalesce(nullif(?2, ''), server_name), build = coalesce(nullif(?3, ''), build),
         region = coalesce(nullif(?4, ''), region)
         WHERE match_id = ?5 AND (?1 NOT IN ('', server_id) OR ?2 NOT IN ('', server_name)
                                  OR ?3 NOT IN ('', build) OR ?4 NOT IN ('', region))",
    )
    .bind(&placement.server_id)
    .bind(&placement.server_name)
    .bind(&placement.build)
    .bind(&placement.region)
    .bind(&match_id.to_bytes()[..])
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What every event says of its match, as it is known now.
pub(super) async fn facts(tx: &mut Tx, match_id: MatchId) -> Result<MatchFacts, StoreError> {
    let (queue, trace_id, server_id, server_name, build, region) =
        sqlx::query_as("SELECT queue, trace_id, server_id, server_name, build, region FROM matches WHERE match_id = ?")
            .bind(&match_id.to_bytes()[..])
            .fetch_one(&mut **tx)
            .await?;
    let placement = Placement { server_id, server_name, build, region };
    Ok(MatchFacts { match_id, queue, trace_id, placement })
}

/// Who plays a match, as it is known now.
pub(super) async fn teams(tx: &mut Tx, match_id: MatchId) -> Result<EventTeams, StoreError> {
    let rows: Vec<(Vec<u8>, i64, String)> =
        sqlx::query_as("SELECT player_id, team, name FROM match_players WHERE match_id = ? ORDER BY team, player_id")
            .bind(&match_id.to_bytes()[..])
            .fetch_all(&mut **tx)
            .await?;
    let mut teams = EventTeams::new();
    for (player_id, team, name) in rows {
        let seat = EventPlayer { player_id: player(&player_id)?, name };
        teams.entry(small(team)).or_default().push(seat);
    }
    Ok(teams)
}

/// The names in `teams`, by player.
pub(super) fn names(teams: &EventTeams) -> BTreeMap<PlayerId, String> {
    teams.values().flatten().map(|player| (player.player_id, player.name.clone())).collect()
}

/// Removes events older than `before_ms` with whatever is left of their deliveries.
pub(super) async fn prune(tx: &mut Tx, before_ms: u64) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM webhook_deliveries WHERE sequence IN (SELECT sequence FROM outbox WHERE at_ms < ?)")
        .bind(int(before_ms))
        .execute(&mut **tx)
        .await?;
    sqlx::query("DELETE FROM outbox WHERE at_ms < ?").bind(int(before_ms)).execute(&mut **tx).await?;
    Ok(())
}
