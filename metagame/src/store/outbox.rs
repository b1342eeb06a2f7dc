//! The webhooks' outbox: events with a delivery for each endpoint that wants to hear of them, kept for 30 days. Those of matches are
//! written in the transaction that makes them true, others by the relay of [`super::events`].

use std::collections::BTreeMap;

use protocol::id::{MatchId, PlayerId};
use sha2::{Digest as _, Sha256};

use super::StoreError;
use super::events::tell;
use crate::args;
use crate::core::event::{Event, fact};
use crate::core::match_event::{EventPlayer, EventTeams, MatchEvent, MatchFacts, Placement};
use crate::db::Tx;

/// Writes an event, unless it was written before. Its deliveries are due from `now_ms` on.
pub(super) async fn insert_event(tx: &mut Tx, event: &MatchEvent, now_ms: u64) -> Result<(), StoreError> {
    let sequence: Option<u64> = tx
        .optional(
            "INSERT INTO outbox (event_id, kind, match_id, body, at_ms) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (event_id) DO NOTHING RETURNING sequence",
            args![event.id(), event.kind.name(), event.match_id, event.body, event.at_ms],
        )
        .await?;
    let Some(sequence) = sequence else { return Ok(()) };
    insert_deliveries(tx, sequence, event.match_id, event.kind.name(), now_ms).await?;
    tell(tx, || vec![fact::of_match(event)]).await
}

/// Writes an event that is of no match for the webhooks that name its type, unless it was written before. Its deliveries are due from
/// `now_ms` on, those of one subject after each other.
pub(super) async fn insert_other(tx: &mut Tx, event: &Event, now_ms: u64) -> Result<(), StoreError> {
    let place = subject_key(&event.subject);
    let sequence: Option<u64> = tx
        .optional(
            "INSERT INTO outbox (event_id, kind, match_id, body, at_ms, subject)
             SELECT $1, $2, $3, $4, $5, $6 WHERE EXISTS (SELECT 1 FROM webhook_filters WHERE kind = $2)
             ON CONFLICT (event_id) DO NOTHING RETURNING sequence",
            args![event.id, event.type_name, place, event.webhook_body(), event.at_ms, event.subject],
        )
        .await?;
    match sequence {
        Some(sequence) => insert_deliveries(tx, sequence, place, &event.type_name, now_ms).await,
        None => Ok(()),
    }
}

/// By what deliveries of one subject find each other.
fn subject_key(subject: &str) -> MatchId {
    let hash = Sha256::digest(subject);
    MatchId::from_bytes(hash[..16].try_into().expect("16 of 32 bytes"))
}

async fn insert_deliveries(
    tx: &mut Tx,
    sequence: u64,
    place: MatchId,
    kind: &str,
    now_ms: u64,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO webhook_deliveries (endpoint, sequence, match_id, state, attempts, since_ms, next_at_ms, reason)
         SELECT name, $1, $2, 'pending', 0, $3, $3, '' FROM webhook_endpoints
         JOIN webhook_filters ON webhook_filters.endpoint = name AND kind = $4 WHERE active = 1",
        args![sequence, place, now_ms, kind],
    )
    .await
    .map(drop)
}

/// Notes on what a match is played; what is not known now stays as it was.
pub(super) async fn note_placement(tx: &mut Tx, match_id: MatchId, placement: &Placement) -> Result<(), StoreError> {
    if *placement == Placement::default() {
        return Ok(());
    }
    tx.execute(
        "UPDATE matches SET server_id = coalesce(nullif($1, ''), server_id),
         server_name = coalesce(nullif($2, ''), server_name), build = coalesce(nullif($3, ''), build),
         region = coalesce(nullif($4, ''), region)
         WHERE match_id = $5 AND ($1 NOT IN ('', server_id) OR $2 NOT IN ('', server_name)
                                  OR $3 NOT IN ('', build) OR $4 NOT IN ('', region))",
        args![placement.server_id, placement.server_name, placement.build, placement.region, match_id],
    )
    .await?;
    Ok(())
}

/// What every event says of its match, as it is known now.
pub(super) async fn facts(tx: &mut Tx, match_id: MatchId) -> Result<MatchFacts, StoreError> {
    let sql = "SELECT queue, trace_id, server_id, server_name, build, region FROM matches WHERE match_id = $1";
    let (queue, trace_id, server_id, server_name, build, region) = tx.one(sql, args![match_id]).await?;
    let placement = Placement { server_id, server_name, build, region };
    Ok(MatchFacts { match_id, queue, trace_id, placement })
}

/// Who plays a match, as it is known now.
pub(super) async fn teams(tx: &mut Tx, match_id: MatchId) -> Result<EventTeams, StoreError> {
    let sql = "SELECT player_id, team, name FROM match_players WHERE match_id = $1 ORDER BY team, player_id";
    let mut teams = EventTeams::new();
    for (player_id, team, name) in tx.all(sql, args![match_id]).await? {
        teams.entry(team).or_default().push(EventPlayer { player_id, name });
    }
    Ok(teams)
}

/// The names in `teams`, by player.
pub(super) fn names(teams: &EventTeams) -> BTreeMap<PlayerId, String> {
    teams.values().flatten().map(|player| (player.player_id, player.name.clone())).collect()
}

/// Removes events older than `before_ms` with whatever is left of their deliveries.
pub(super) async fn prune(tx: &mut Tx, before_ms: u64) -> Result<(), StoreError> {
    let sql = "DELETE FROM webhook_deliveries WHERE sequence IN (SELECT sequence FROM outbox WHERE at_ms < $1)";
    tx.execute(sql, args![before_ms]).await?;
    tx.execute("DELETE FROM outbox WHERE at_ms < $1", args![before_ms]).await?;
    Ok(())
}
