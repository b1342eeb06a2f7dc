//! Recording a result: once, whole, or not at all.

use std::collections::BTreeMap;

use protocol::id::{MatchId, PlayerId};
use sqlx::{Sqlite, Transaction};

use super::boards::participation_name;
use super::matches::{Standing, free_players, insert_match, standing};
use super::outbox::{self, insert_event, note_placement};
use super::{SqliteStore, audit, int};
use crate::core::match_event::{MatchEvent, MatchFacts, Placement};
use crate::core::match_state::{MatchState, lost_yields};
use crate::core::rating::Rating;
use crate::core::settlement::{PlayerSettlement, settle};
use crate::store::{MatchOpened, Recorded, Seat, StoreError, VerifiedResult};

type Tx = Transaction<'static, Sqlite>;

pub(super) async fn record_result(store: &SqliteStore, verified: VerifiedResult) -> Result<Recorded, StoreError> {
    let mut tx = store.write().await?;
    let match_id = verified.result.match_id;
    if let Some(before) = recorded_hash(&mut tx, match_id).await? {
        if before == verified.body_hash {
            return Ok(Recorded::Again);
        }
        return refuse(tx, &verified, "result_conflict", Recorded::Conflict).await;
    }
    let known = standing(&mut tx, match_id).await?;
    if let Some(lost_at_ms) = known.as_ref().filter(|m| m.state == MatchState::Lost).and_then(|m| m.lost_at_ms)
        && !lost_yields(lost_at_ms, verified.now_ms)
    {
        return refuse(tx, &verified, "result_too_late", Recorded::TooLate).await;
    }
    let trace_id = known.as_ref().map(|m| m.trace_id.clone()).filter(|trace| !trace.is_empty());
    let trace_id = trace_id.unwrap_or_else(|| verified.result.trace_id.clone());
    if known.is_none() {
        insert_match(&mut tx, &unknown_match(&verified), MatchState::Ended).await?;
    }
    end_match(&mut tx, &verified).await?;
    let accounts = ratings_before(&mut tx, &verified).await?;
    let ratings = accounts.iter().filter_map(|(player, rating)| Some((*player, (*rating)?))).collect();
    let settled = settle(&verified.result, &ratings, &verified.progression);
    for player in &settled {
        insert_history(&mut tx, &verified, player).await?;
        if accounts.contains_key(&player.result.player_id) {
            grant(&mut tx, &verified, player).await?;
        }
    }
    insert_events(&mut tx, &verified, known.as_ref(), &trace_id, &settled).await?;
    tx.commit().await?;
    store.news.send_replace(());
    Ok(Recorded::First { trace_id })
}

async fn recorded_hash(tx: &mut Tx, match_id: MatchId) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(sqlx::query_scalar("SELECT body_hash FROM results WHERE match_id = ?")
        .bind(&match_id.to_bytes()[..])
        .fetch_optional(&mut **tx)
        .await?)
}

async fn refuse(mut tx: Tx, verified: &VerifiedResult, kind: &str, outcome: Recorded) -> Result<Recorded, StoreError> {
    // One row per contradicting body: a server that repeats itself must not fill the log.
    let hash = hex::encode(verified.body_hash);
    let subject = verified.result.match_id.to_string();
    let detail = format!("sha256 {hash} key {}", verified.claims.jkt);
    let noted: Option<i64> =
        sqlx::query_scalar("SELECT audit_id FROM audit WHERE kind = ? AND subject = ? AND detail = ? LIMIT 1")
            .bind(kind)
            .bind(&subject)
            .bind(&detail)
            .fetch_optional(&mut *tx)
            .await?;
    if noted.is_none() {
        audit(&mut tx, verified.now_ms, kind, &subject, &detail).await?;
    }
    tx.commit().await?;
    Ok(outcome)
}

/// A match that only its certificate proves: no ticket has told of it, so its players' names are not known.
fn unknown_match(verified: &VerifiedResult) -> MatchOpened {
    let seat = |player: &protocol::certificate::PlayerResult| Seat {
        player_id: player.player_id,
        team: player.team,
        name: String::new(),
    };
    MatchOpened {
        match_id: verified.result.match_id,
        queue: verified.claims.queue.clone(),
        trace_id: verified.result.trace_id.clone(),
        roster: verified.result.players.iter().map(seat).collect(),
        placement: Placement::default(),
        placed_at_ms: verified.result.started_at_ms,
    }
}

async fn end_match(tx: &mut Tx, verified: &VerifiedResult) -> Result<(), StoreError> {
    let match_id = verified.result.match_id;
    sqlx::query("UPDATE matches SET queue = ?, state = 'ended', reason = ?, started_at_ms = ?, ended_at_ms = ? WHERE match_id = ?")
        .bind(&verified.claims.queue)
        .bind(&verified.result.reason)
        .bind(int(verified.result.started_at_ms))
        .bind(int(verified.result.ended_at_ms))
        .bind(&match_id.to_bytes()[..])
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "INSERT INTO results (match_id, body_hash, body, key_thumbprint, recorded_at_ms) VALUES (?, ?, ?, ?, ?)",
    )
    .bind(&match_id.to_bytes()[..])
    .bind(&verified.body_hash[..])
    .bind(&verified.body)
    .bind(&verified.claims.jkt)
    .bind(int(verified.now_ms))
    .execute(&mut **tx)
    .await?;
    free_players(tx, match_id).await
}

/// The players that have an account, with their ratings where they have one.
async fn ratings_before(
    tx: &mut Tx,
    verified: &VerifiedResult,
) -> Result<BTreeMap<PlayerId, Option<Rating>>, StoreError> {
    let mut before = BTreeMap::new();
    for player in &verified.result.players {
        let row: Option<(Option<f64>, Option<f64>)> = sqlx::query_as(
            "SELECT rating, uncertainty FROM accounts
             LEFT JOIN ratings ON ratings.player_id = accounts.player_id AND queue = ? WHERE accounts.player_id = ?",
        )
        .bind(&verified.claims.queue)
        .bind(&player.player_id.to_bytes()[..])
        .fetch_optional(&mut **tx)
        .await?;
        if let Some((rating, uncertainty)) = row {
            let rating = rating.zip(uncertainty).map(|(rating, uncertainty)| Rating { rating, uncertainty });
            before.insert(player.player_id, rating);
        }
    }
    Ok(before)
}

async fn insert_history(tx: &mut Tx, verified: &VerifiedResult, player: &PlayerSettlement) -> Result<(), StoreError> {
    let stats = serde_json::to_string(&player.result.stats).map_err(|error| StoreError::Failed(error.to_string()))?;
    sqlx::query(
        "INSERT INTO history (player_id, match_id, queue, ended_at_ms, reason, team, place, score, participation,
                              xp_gained, rating_before, rating_after, stats)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&player.result.player_id.to_bytes()[..])
    .bind(&verified.result.match_id.to_bytes()[..])
    .bind(&verified.claims.queue)
    .bind(int(verified.result.ended_at_ms))
    .bind(&verified.result.reason)
    .bind(i64::from(player.result.team))
    .bind(i64::from(player.result.place))
    .bind(player.result.score)
    .bind(participation_name(player.result.participation))
    .bind(int(player.xp_gained))
    .bind(player.before.rating)
    .bind(player.after.rating)
    .bind(stats)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes what a player with an account gets: XP with its journal entry, counters, rating.
async fn grant(tx: &mut Tx, verified: &VerifiedResult, player: &PlayerSettlement) -> Result<(), StoreError> {
    let player_id = player.result.player_id.to_bytes();
    if player.xp_gained > 0 {
        sqlx::query("INSERT INTO xp_journal (player_id, match_id, xp, rules_version, at_ms) VALUES (?, ?, ?, ?, ?)")
            .bind(&player_id[..])
            .bind(&verified.result.match_id.to_bytes()[..])
            .bind(int(player.xp_gained))
            .bind(i64::from(verified.progression.version))
            .bind(int(verified.now_ms))
            .execute(&mut **tx)
            .await?;
    }
    sqlx::query(
        "UPDATE accounts SET xp = xp + ?, matches = matches + ?, wins = wins + ?, version = version + 1
         WHERE player_id = ?",
    )
    .bind(int(player.xp_gained))
    .bind(player.counts)
    .bind(player.won)
    .bind(&player_id[..])
    .execute(&mut **tx)
    .await?;
    if player.rated {
        sqlx::query(
            "INSERT INTO ratings (queue, player_id, rating, uncertainty, score, matches, wins) VALUES (?, ?, ?, ?, ?, 1, ?)
             ON CONFLICT (queue, player_id) DO UPDATE SET rating = excluded.rating, uncertainty = excluded.uncertainty,
             score = excluded.score, matches = matches + 1, wins = wins + excluded.wins",
        )
        .bind(&verified.claims.queue)
        .bind(&player_id[..])
        .bind(player.after.rating)
        .bind(player.after.uncertainty)
        .bind(player.after.score())
        .bind(player.won)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// The match ended. If nobody has told that it started, its result does.
async fn insert_events(
    tx: &mut Tx,
    verified: &VerifiedResult,
    before: Option<&Standing>,
    trace_id: &str,
    settled: &[PlayerSettlement],
) -> Result<(), StoreError> {
    let result = &verified.result;
    let certified = Placement { build: verified.claims.build.clone(), ..Placement::default() };
    note_placement(tx, result.match_id, &certified).await?;
    let facts = MatchFacts { trace_id: trace_id.to_owned(), ..outbox::facts(tx, result.match_id).await? };
    let teams = outbox::teams(tx, result.match_id).await?;
    let names = outbox::names(&teams);
    if before.is_none_or(|before| before.started_at_ms.is_none()) && result.ticks > 0 {
        insert_event(tx, &MatchEvent::started(&facts, teams, result.started_at_ms), verified.now_ms).await?;
    }
    let after_lost = before.is_some_and(|before| before.state == MatchState::Lost);
    insert_event(tx, &MatchEvent::ended(&facts, result, settled, &names, after_lost), verified.now_ms).await
}
