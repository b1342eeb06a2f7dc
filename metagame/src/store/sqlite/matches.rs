//! Tickets and matches before their result.

use protocol::id::{MatchId, PlayerId, TicketId};
use sqlx::{Sqlite, Transaction};

use super::outbox::{self, insert_event, note_placement};
use super::{SqliteStore, accounts, bytes, game, int, player, small, unsigned};
use crate::core::match_event::MatchEvent;
use crate::core::match_state::{MatchState, Report, advance, holds_players};
use crate::core::rating::Rating;
use crate::store::{MatchOpened, MatchRecord, MatchReport, Seat, StoreError, TicketReadiness};

pub(super) async fn prepare_ticket(
    store: &SqliteStore,
    player_id: PlayerId,
    queue: String,
    now_ms: u64,
) -> Result<TicketReadiness, StoreError> {
    let Some(name) = accounts::name_of(&store.readers, player_id).await? else {
        return Ok(TicketReadiness::Unknown);
    };
    let held: Vec<(Vec<u8>, String, i64, Option<i64>)> = sqlx::query_as(
        "SELECT matches.match_id, state, placed_at_ms, ended_at_ms
         FROM match_players JOIN matches ON matches.match_id = match_players.match_id
         WHERE match_players.player_id = ? AND holds = 1 ORDER BY placed_at_ms DESC",
    )
    .bind(&player_id.to_bytes()[..])
    .fetch_all(&store.readers)
    .await?;
    for (match_id, state, placed_at, ended_at) in held {
        if holds_players(match_state(&state)?, unsigned(placed_at), ended_at.map(unsigned), now_ms) {
            return Ok(TicketReadiness::InMatch(game(&match_id)?));
        }
    }
    let rating: Option<(f64, f64)> =
        sqlx::query_as("SELECT rating, uncertainty FROM ratings WHERE queue = ? AND player_id = ?")
            .bind(queue)
            .bind(&player_id.to_bytes()[..])
            .fetch_optional(&store.readers)
            .await?;
    let rating = rating.map_or_else(Rating::default, |(rating, uncertainty)| Rating { rating, uncertainty });
    Ok(TicketReadiness::Ready { name, rating })
}

pub(super) async fn held_matches(store: &SqliteStore, now_ms: u64) -> Result<Vec<MatchId>, StoreError> {
    let held: Vec<(Vec<u8>, String, i64, Option<i64>)> = sqlx::query_as(
        "SELECT match_id, state, placed_at_ms, ended_at_ms FROM matches
         WHERE match_id IN (SELECT match_id FROM match_players WHERE holds = 1)",
    )
    .fetch_all(&store.readers)
    .await?;
    let mut ids = Vec::new();
    for (match_id, state, placed_at, ended_at) in held {
        if holds_players(match_state(&state)?, unsigned(placed_at), ended_at.map(unsigned), now_ms) {
            ids.push(game(&match_id)?);
        }
    }
    Ok(ids)
}

pub(super) async fn remember_ticket(
    store: &SqliteStore,
    player_id: PlayerId,
    ticket: TicketId,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO player_tickets (player_id, ticket_id) VALUES (?, ?)
         ON CONFLICT (player_id) DO UPDATE SET ticket_id = excluded.ticket_id",
    )
    .bind(&player_id.to_bytes()[..])
    .bind(&ticket.to_bytes()[..])
    .execute(&store.writer)
    .await?;
    Ok(())
}

pub(super) async fn last_ticket(store: &SqliteStore, player_id: PlayerId) -> Result<Option<TicketId>, StoreError> {
    let ticket: Option<Vec<u8>> = sqlx::query_scalar("SELECT ticket_id FROM player_tickets WHERE player_id = ?")
        .bind(&player_id.to_bytes()[..])
        .fetch_optional(&store.readers)
        .await?;
    Ok(ticket.as_deref().map(bytes).transpose()?.map(TicketId::from_bytes))
}

/// How far a match is, as far as rules ask for it.
pub(super) struct Standing {
    pub(super) state: MatchState,
    pub(super) queue: String,
    pub(super) trace_id: String,
    pub(super) has_result: bool,
    pub(super) started_at_ms: Option<u64>,
    pub(super) lost_at_ms: Option<u64>,
}

fn match_state(name: &str) -> Result<MatchState, StoreError> {
    name.parse().map_err(|error| StoreError::Unreadable(format!("{error}")))
}

/// State, queue, trace id, whether there is a result, started at, lost at.
type StandingRow = (String, String, String, bool, Option<i64>, Option<i64>);

pub(super) async fn standing(
    tx: &mut Transaction<'static, Sqlite>,
    match_id: MatchId,
) -> Result<Option<Standing>, StoreError> {
    let row: Option<StandingRow> = sqlx::query_as(
        "SELECT state, queue, trace_id, results.match_id IS NOT NULL, started_at_ms, lost_at_ms
         FROM matches LEFT JOIN results ON results.match_id = matches.match_id WHERE matches.match_id = ?",
    )
    .bind(&match_id.to_bytes()[..])
    .fetch_optional(&mut **tx)
    .await?;
    let standing = |(state, queue, trace_id, has_result, started_at, lost_at): StandingRow| {
        let (started_at_ms, lost_at_ms) = (started_at.map(unsigned), lost_at.map(unsigned));
        Ok(Standing { state: match_state(&state)?, queue, trace_id, has_result, started_at_ms, lost_at_ms })
    };
    row.map(standing).transpose()
}

/// Stores a match that was not known, with its players.
pub(super) async fn insert_match(
    tx: &mut Transaction<'static, Sqlite>,
    opened: &MatchOpened,
    state: MatchState,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO matches (match_id, queue, state, trace_id, reason, placed_at_ms) VALUES (?, ?, ?, ?, '', ?)",
    )
    .bind(&opened.match_id.to_bytes()[..])
    .bind(&opened.queue)
    .bind(state.name())
    .bind(&opened.trace_id)
    .bind(int(opened.placed_at_ms))
    .execute(&mut **tx)
    .await?;
    note_placement(tx, opened.match_id, &opened.placement).await?;
    insert_players(tx, opened.match_id, &opened.roster, state.is_live()).await
}

async fn insert_players(
    tx: &mut Transaction<'static, Sqlite>,
    match_id: MatchId,
    roster: &[Seat],
    holds: bool,
) -> Result<(), StoreError> {
    for seat in roster {
        // A result or an allocator's report may have come first, without names.
        sqlx::query(
            "INSERT INTO match_players (match_id, player_id, team, name, holds) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (match_id, player_id) DO UPDATE SET name = excluded.name WHERE name = ''",
        )
        .bind(&match_id.to_bytes()[..])
        .bind(&seat.player_id.to_bytes()[..])
        .bind(i64::from(seat.team))
        .bind(&seat.name)
        .bind(holds)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

pub(super) async fn open_match(store: &SqliteStore, opened: MatchOpened) -> Result<(), StoreError> {
    let mut tx = store.write().await?;
    match standing(&mut tx, opened.match_id).await? {
        None => insert_match(&mut tx, &opened, MatchState::Placed).await?,
        Some(known) if !known.queue.is_empty() && !lacks_players(&mut tx, opened.match_id).await? => {
            note_placement(&mut tx, opened.match_id, &opened.placement).await?;
        }
        Some(known) => {
            note_placement(&mut tx, opened.match_id, &opened.placement).await?;
            sqlx::query("UPDATE matches SET queue = ?, trace_id = ? WHERE match_id = ?")
                .bind(&opened.queue)
                .bind(&opened.trace_id)
                .bind(&opened.match_id.to_bytes()[..])
                .execute(&mut *tx)
                .await?;
            let holds = known.state.is_live() && !known.has_result;
            insert_players(&mut tx, opened.match_id, &opened.roster, holds).await?;
        }
    }
    Ok(tx.commit().await?)
}

/// Whether its ticket knows more of who plays: a result has no names, and a report may have no roster.
async fn lacks_players(tx: &mut Transaction<'static, Sqlite>, match_id: MatchId) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT NOT EXISTS (SELECT 1 FROM match_players WHERE match_id = ?1)
         OR EXISTS (SELECT 1 FROM match_players WHERE match_id = ?1 AND name = '')",
    )
    .bind(&match_id.to_bytes()[..])
    .fetch_one(&mut **tx)
    .await?)
}

pub(super) async fn report_match(store: &SqliteStore, report: MatchReport) -> Result<bool, StoreError> {
    let mut tx = store.write().await?;
    let known = standing(&mut tx, report.match_id).await?;
    let new = known.is_none();
    let standing = match known {
        Some(standing) => {
            note_placement(&mut tx, report.match_id, &report.placement).await?;
            standing
        }
        None => insert_reported(&mut tx, &report).await?,
    };
    let Some(step) = advance(standing.state, standing.has_result, report.report) else {
        tx.commit().await?;
        return Ok(new);
    };
    let at = Some(int(report.at_ms));
    sqlx::query(
        "UPDATE matches SET state = ?, reason = CASE WHEN ? = '' THEN reason ELSE ? END,
         started_at_ms = coalesce(started_at_ms, ?), ended_at_ms = coalesce(ended_at_ms, ?),
         lost_at_ms = coalesce(lost_at_ms, ?) WHERE match_id = ?",
    )
    .bind(step.state.name())
    .bind(&report.reason)
    .bind(&report.reason)
    .bind(at.filter(|_| report.report == Report::Playing))
    .bind(at.filter(|_| report.report == Report::Ended))
    .bind(at.filter(|_| report.report == Report::Lost))
    .bind(&report.match_id.to_bytes()[..])
    .execute(&mut *tx)
    .await?;
    if step.frees {
        free_players(&mut tx, report.match_id).await?;
    }
    insert_report_event(&mut tx, &report, &standing).await?;
    tx.commit().await?;
    store.news.send_replace(());
    Ok(true)
}

/// Stores a match that only the allocator has told of.
async fn insert_reported(tx: &mut Transaction<'static, Sqlite>, report: &MatchReport) -> Result<Standing, StoreError> {
    let opened = MatchOpened {
        match_id: report.match_id,
        queue: report.queue.clone(),
        trace_id: report.trace_id.clone(),
        roster: report.roster.clone(),
        placement: report.placement.clone(),
        placed_at_ms: report.at_ms,
    };
    let state = MatchState::Placed;
    insert_match(tx, &opened, state).await?;
    let (queue, trace_id) = (opened.queue, opened.trace_id);
    Ok(Standing { state, queue, trace_id, has_result: false, started_at_ms: None, lost_at_ms: None })
}

/// The event that a report is, if it is one. The match has taken the step by now.
async fn insert_report_event(
    tx: &mut Transaction<'static, Sqlite>,
    report: &MatchReport,
    before: &Standing,
) -> Result<(), StoreError> {
    if !matches!(report.report, Report::Playing | Report::Lost) {
        return Ok(());
    }
    let facts = outbox::facts(tx, report.match_id).await?;
    let teams = outbox::teams(tx, report.match_id).await?;
    let event = match report.report {
        Report::Playing => MatchEvent::started(&facts, teams, report.at_ms),
        _ => MatchEvent::lost(&facts, teams, &report.reason, before.started_at_ms, report.at_ms),
    };
    insert_event(tx, &event, report.at_ms).await
}

pub(super) async fn free_players(tx: &mut Transaction<'static, Sqlite>, match_id: MatchId) -> Result<(), StoreError> {
    sqlx::query("UPDATE match_players SET holds = 0 WHERE match_id = ?")
        .bind(&match_id.to_bytes()[..])
        .execute(&mut **tx)
        .await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct MatchRow {
    queue: String,
    state: String,
    trace_id: String,
    reason: String,
    started_at_ms: Option<i64>,
    ended_at_ms: Option<i64>,
    body: Option<String>,
}

pub(super) async fn find_match(store: &SqliteStore, match_id: MatchId) -> Result<Option<MatchRecord>, StoreError> {
    let mut tx = store.readers.begin().await?;
    let row: Option<MatchRow> = sqlx::query_as(
        "SELECT queue, state, trace_id, reason, started_at_ms, ended_at_ms, body
         FROM matches LEFT JOIN results ON results.match_id = matches.match_id WHERE matches.match_id = ?",
    )
    .bind(&match_id.to_bytes()[..])
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let players: Vec<(Vec<u8>, i64, String)> =
        sqlx::query_as("SELECT player_id, team, name FROM match_players WHERE match_id = ? ORDER BY team, player_id")
            .bind(&match_id.to_bytes()[..])
            .fetch_all(&mut *tx)
            .await?;
    let seat = |(player_id, team, name): (Vec<u8>, i64, String)| {
        Ok::<_, StoreError>(Seat { player_id: player(&player_id)?, team: small(team), name })
    };
    Ok(Some(MatchRecord {
        match_id,
        queue: row.queue,
        state: match_state(&row.state)?,
        trace_id: row.trace_id,
        reason: row.reason,
        started_at_ms: row.started_at_ms.map(unsigned),
        ended_at_ms: row.ended_at_ms.map(unsigned),
        roster: players.into_iter().map(seat).collect::<Result<_, _>>()?,
        result: row.body,
    }))
}
