//! Recording a result: once, whole, or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protocol::id::PlayerId;

use super::audit::audit;
use super::boards::participation_name;
use super::economy::rewards::reward;
use super::leaderboards::put_scores;
use super::matches::{Standing, free_players, insert_match, standing};
use super::outbox::{self, insert_event, note_placement};
use super::progression::record as progression;
use super::{Changed, MatchOpened, Recorded, ScoreWrite, Seat, Store, StoreError, VerifiedResult};
use crate::args;
use crate::core::catalog::Catalog;
use crate::core::leaderboard::{Boards, rating_score};
use crate::core::match_event::{MatchEvent, MatchFacts, Placement};
use crate::core::match_state::{MatchState, lost_yields};
use crate::core::rating::Rating;
use crate::core::settlement::{PlayerSettlement, settle};
use crate::db::{Domain, List, Tx};

impl Store {
    /// Records a verified result exactly once: result, history, XP journal, ratings and events together.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record_result(&self, verified: VerifiedResult) -> Result<Recorded, StoreError> {
        let input = (verified, Arc::clone(&self.catalog), self.entries.boards());
        let (recorded, changed) = self
            .db
            .write(Domain::Matches, input, |tx, (verified, catalog, boards)| {
                Box::pin(async move {
                    let mut changed = Vec::new();
                    let recorded = record_result(tx, verified, catalog, boards, &mut changed).await?;
                    Ok((recorded, changed))
                })
            })
            .await?;
        self.entries.tell(&changed);
        if matches!(recorded, Recorded::First { .. }) {
            self.news.send_replace(());
        }
        Ok(recorded)
    }
}

async fn record_result(
    tx: &mut Tx,
    verified: &VerifiedResult,
    catalog: &Catalog,
    boards: &Boards,
    changed: &mut Vec<Changed>,
) -> Result<Recorded, StoreError> {
    let match_id = verified.result.match_id;
    let sql = "SELECT body_hash FROM results WHERE match_id = $1";
    if let Some(before) = tx.optional::<[u8; 32]>(sql, args![match_id]).await? {
        if before == verified.body_hash {
            return Ok(Recorded::Again);
        }
        note_refusal(tx, verified, "result_conflict").await?;
        return Ok(Recorded::Conflict);
    }
    let known = standing(tx, match_id).await?;
    if let Some(lost_at_ms) = known.as_ref().filter(|m| m.state == MatchState::Lost).and_then(|m| m.lost_at_ms)
        && !lost_yields(lost_at_ms, verified.now_ms)
    {
        note_refusal(tx, verified, "result_too_late").await?;
        return Ok(Recorded::TooLate);
    }
    let trace_id = known.as_ref().map(|m| m.trace_id.clone()).filter(|trace| !trace.is_empty());
    let trace_id = trace_id.unwrap_or_else(|| verified.result.trace_id.clone());
    if known.is_none() {
        insert_match(tx, &unknown_match(verified), MatchState::Ended).await?;
    }
    end_match(tx, verified).await?;
    let (accounts, erased) = ratings_before(tx, verified).await?;
    let ratings = accounts.iter().filter_map(|(player, rating)| Some((*player, (*rating)?))).collect();
    let settled = settle(&verified.result, &ratings, &verified.progression.xp);
    for player in &settled {
        if erased.contains(&player.result.player_id) {
            continue;
        }
        insert_history(tx, verified, player).await?;
        if accounts.contains_key(&player.result.player_id) {
            grant(tx, verified, player).await?;
            reward(tx, catalog, verified, player).await?;
        }
    }
    progression::record(tx, verified, &settled, |player| accounts.contains_key(&player)).await?;
    changed.extend(put_entries(tx, verified, boards, &settled).await?);
    insert_events(tx, verified, known.as_ref(), &trace_id, &settled).await?;
    Ok(Recorded::First { trace_id })
}

/// Notes a result that does not count.
pub(super) async fn note_refusal(tx: &mut Tx, verified: &VerifiedResult, kind: &str) -> Result<(), StoreError> {
    // One row per contradicting body: a server that repeats itself must not fill the log.
    let hash = hex::encode(verified.body_hash);
    let subject = verified.result.match_id.to_string();
    let detail = format!("sha256 {hash} key {}", verified.claims.jkt);
    let sql = "SELECT audit_id FROM audit WHERE kind = $1 AND subject = $2 AND detail = $3 LIMIT 1";
    let noted: Option<u64> = tx.optional(sql, args![kind, subject, detail]).await?;
    if noted.is_none() {
        audit(tx, verified.now_ms, kind, &subject, &detail).await?;
    }
    Ok(())
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
    let result = &verified.result;
    tx.execute(
        "UPDATE matches SET queue = $1, state = 'ended', reason = $2, started_at_ms = $3, ended_at_ms = $4
         WHERE match_id = $5",
        args![verified.claims.queue, result.reason, result.started_at_ms, result.ended_at_ms, result.match_id],
    )
    .await?;
    tx.execute(
        "INSERT INTO results (match_id, body_hash, body, key_thumbprint, recorded_at_ms) VALUES ($1, $2, $3, $4, $5)",
        args![result.match_id, verified.body_hash, verified.body, verified.claims.jkt, verified.now_ms],
    )
    .await?;
    free_players(tx, result.match_id).await
}

/// The players that have an account, with their ratings where they have one; and those that were erased, for whom nothing counts.
async fn ratings_before(
    tx: &mut Tx,
    verified: &VerifiedResult,
) -> Result<(BTreeMap<PlayerId, Option<Rating>>, BTreeSet<PlayerId>), StoreError> {
    let players: Vec<PlayerId> = verified.result.players.iter().map(|player| player.player_id).collect();
    let rows: Vec<(PlayerId, Option<f64>, Option<f64>, bool)> = tx
        .all(
            "SELECT accounts.player_id, rating, uncertainty, CASE WHEN erased_at_ms IS NULL THEN 0 ELSE 1 END FROM accounts
             LEFT JOIN ratings ON ratings.player_id = accounts.player_id AND queue = $1
             WHERE accounts.player_id IN blobs($2)",
            args![verified.claims.queue, List(&players)],
        )
        .await?;
    let erased = rows.iter().filter(|(.., is_erased)| *is_erased).map(|(player, ..)| *player).collect();
    let rating = |(player, rating, uncertainty, _): (_, Option<f64>, Option<f64>, bool)| {
        (player, rating.zip(uncertainty).map(|(rating, uncertainty)| Rating { rating, uncertainty }))
    };
    let known = rows.into_iter().filter(|(.., is_erased)| !is_erased).map(rating).collect();
    Ok((known, erased))
}

async fn insert_history(tx: &mut Tx, verified: &VerifiedResult, player: &PlayerSettlement) -> Result<(), StoreError> {
    let stats = serde_json::to_string(&player.result.stats).map_err(|error| StoreError::Failed(error.to_string()))?;
    tx.execute(
        "INSERT INTO history (player_id, match_id, queue, ended_at_ms, reason, team, place, score, participation,
                              xp_gained, rating_before, rating_after, stats)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        args![
            player.result.player_id,
            verified.result.match_id,
            verified.claims.queue,
            verified.result.ended_at_ms,
            verified.result.reason,
            player.result.team,
            player.result.place,
            player.result.score,
            participation_name(player.result.participation),
            player.xp_gained,
            player.before.rating,
            player.after.rating,
            stats,
        ],
    )
    .await?;
    Ok(())
}

/// Writes what a player with an account gets: XP with its journal entry, counters, rating.
async fn grant(tx: &mut Tx, verified: &VerifiedResult, player: &PlayerSettlement) -> Result<(), StoreError> {
    let player_id = player.result.player_id;
    if player.xp_gained > 0 {
        let (match_id, version) = (verified.result.match_id, verified.progression.version);
        tx.execute(
            "INSERT INTO xp_journal (player_id, match_id, xp, rules_version, at_ms) VALUES ($1, $2, $3, $4, $5)",
            args![player_id, match_id, player.xp_gained, version, verified.now_ms],
        )
        .await?;
    }
    tx.execute(
        "UPDATE accounts SET xp = xp + $1, matches = matches + $2, wins = wins + $3, version = version + 1
         WHERE player_id = $4",
        args![player.xp_gained, player.counts, player.won, player_id],
    )
    .await?;
    if player.rated {
        let (after, score) = (player.after, player.after.score());
        tx.execute(
            "INSERT INTO ratings (queue, player_id, rating, uncertainty, score, matches, wins)
             VALUES ($1, $2, $3, $4, $5, 1, $6)
             ON CONFLICT (queue, player_id) DO UPDATE SET rating = excluded.rating, uncertainty = excluded.uncertainty,
             score = excluded.score, matches = ratings.matches + 1, wins = ratings.wins + excluded.wins",
            args![verified.claims.queue, player_id, after.rating, after.uncertainty, score, player.won],
        )
        .await?;
    }
    Ok(())
}

/// Writes what the result gives on leaderboards: of the season that the match ended in, however late its result comes.
async fn put_entries(
    tx: &mut Tx,
    verified: &VerifiedResult,
    boards: &Boards,
    settled: &[PlayerSettlement],
) -> Result<Vec<Changed>, StoreError> {
    let queue = &verified.claims.queue;
    let mut writes = Vec::new();
    for board in boards.of_rating(queue) {
        let rated = settled.iter().filter(|player| player.rated);
        writes.push((board, rated.map(|player| (player.result.player_id, rating_score(player.after))).collect()));
    }
    for board in boards.named() {
        let score = |player: &PlayerSettlement| Some((player.result.player_id, board.score_of(queue, &player.result)?));
        writes.push((Arc::clone(board), settled.iter().filter_map(score).collect::<Vec<_>>()));
    }
    writes.retain(|(_, scores)| !scores.is_empty());
    let mut region = String::new();
    if writes.iter().any(|(board, _)| !board.regions.is_empty()) {
        region = outbox::facts(tx, verified.result.match_id).await?.placement.region;
    }
    let mut changed = Vec::new();
    for (board, scores) in writes {
        let season = board.calendar.at(verified.result.ended_at_ms).number;
        let write = |(player, score)| ScoreWrite { player, score, region: region.clone(), write_id: None };
        let writes: Vec<ScoreWrite> = scores.into_iter().map(write).collect();
        let rows = put_scores(tx, &board, season, &writes, verified.result.ended_at_ms).await?;
        changed.extend(rows.into_iter().map(|row| Changed { board: board.id.clone(), season, row }));
    }
    Ok(changed)
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
