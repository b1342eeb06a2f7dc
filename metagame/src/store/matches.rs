//! Matches before their result.

use protocol::id::MatchId;
use serde_json::json;

use super::outbox::{self, insert_event, note_placement};
use super::social::inbox::{self, NewMessage};
use super::{MatchOpened, MatchRecord, MatchReport, Seat, Store, StoreError};
use crate::args;
use crate::core::match_event::MatchEvent;
use crate::core::match_state::{MatchState, Report, advance, holds_players};
use crate::db::{Domain, Tx};

impl Store {
    /// Stores a match with its roster as a completed ticket names it. Repeating it changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open_match(&self, opened: MatchOpened) -> Result<(), StoreError> {
        self.db.write(Domain::Matches, opened, |tx, opened| Box::pin(open_match(tx, opened))).await
    }

    /// Notes what the allocator reports of a match; old news changes nothing. Says whether anything changed. A match
    /// that started or was lost is an event.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn report_match(&self, report: MatchReport) -> Result<bool, StoreError> {
        let changed = self.db.write(Domain::Matches, report, |tx, report| Box::pin(report_match(tx, report))).await?;
        if changed {
            self.news.send_replace(());
        }
        Ok(changed)
    }

    /// A match with its roster and result.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_match(&self, match_id: MatchId) -> Result<Option<MatchRecord>, StoreError> {
        self.db.read(Domain::Matches, match_id, |tx, match_id| Box::pin(find_match(tx, *match_id))).await
    }

    /// Matches that hold players: placed, played, or ended without a result yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn held_matches(&self, now_ms: u64) -> Result<Vec<MatchId>, StoreError> {
        let sql = "SELECT match_id, state, placed_at_ms, ended_at_ms FROM matches
                   WHERE match_id IN (SELECT match_id FROM match_players WHERE holds = 1)";
        let held: Vec<(MatchId, String, u64, Option<u64>)> = self.db.all(Domain::Matches, sql, args![]).await?;
        let mut ids = Vec::new();
        for (match_id, state, placed_at_ms, ended_at_ms) in held {
            if holds_players(match_state(&state)?, placed_at_ms, ended_at_ms, now_ms) {
                ids.push(match_id);
            }
        }
        Ok(ids)
    }
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

pub(super) fn match_state(name: &str) -> Result<MatchState, StoreError> {
    name.parse().map_err(|error| StoreError::Unreadable(format!("{error}")))
}

/// State, queue, trace id, whether there is a result, started at, lost at.
type StandingRow = (String, String, String, bool, Option<u64>, Option<u64>);

pub(super) async fn standing(tx: &mut Tx, match_id: MatchId) -> Result<Option<Standing>, StoreError> {
    let row: Option<StandingRow> = tx
        .optional(
            "SELECT state, queue, trace_id, results.match_id IS NOT NULL, started_at_ms, lost_at_ms
             FROM matches LEFT JOIN results ON results.match_id = matches.match_id WHERE matches.match_id = $1",
            args![match_id],
        )
        .await?;
    let standing = |(state, queue, trace_id, has_result, started_at_ms, lost_at_ms): StandingRow| {
        Ok(Standing { state: match_state(&state)?, queue, trace_id, has_result, started_at_ms, lost_at_ms })
    };
    row.map(standing).transpose()
}

/// Stores a match that was not known, with its players.
pub(super) async fn insert_match(tx: &mut Tx, opened: &MatchOpened, state: MatchState) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO matches (match_id, queue, state, trace_id, reason, placed_at_ms) VALUES ($1, $2, $3, $4, '', $5)",
        args![opened.match_id, opened.queue, state.name(), opened.trace_id, opened.placed_at_ms],
    )
    .await?;
    note_placement(tx, opened.match_id, &opened.placement).await?;
    insert_players(tx, opened.match_id, &opened.roster, state.is_live()).await?;
    if state.is_live() { tell_players(tx, opened).await } else { Ok(()) }
}

/// Puts the match into its players' inboxes, once.
async fn tell_players(tx: &mut Tx, opened: &MatchOpened) -> Result<(), StoreError> {
    let players: Vec<_> = opened.roster.iter().map(|seat| seat.player_id).collect();
    let message = NewMessage {
        key: format!("match_found/{}", opened.match_id),
        kind: "match_found",
        sender: None,
        body: json!({ "match_id": opened.match_id, "queue": opened.queue }),
        at_ms: opened.placed_at_ms,
    };
    inbox::put_all(tx, &players, &message).await
}

async fn insert_players(tx: &mut Tx, match_id: MatchId, roster: &[Seat], holds: bool) -> Result<(), StoreError> {
    for seat in roster {
        // A result or an allocator's report may have come first, without names.
        tx.execute(
            "INSERT INTO match_players (match_id, player_id, team, name, holds) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (match_id, player_id) DO UPDATE SET name = excluded.name WHERE match_players.name = ''",
            args![match_id, seat.player_id, seat.team, seat.name, holds],
        )
        .await?;
    }
    Ok(())
}

async fn open_match(tx: &mut Tx, opened: &MatchOpened) -> Result<(), StoreError> {
    let Some(known) = standing(tx, opened.match_id).await? else {
        return insert_match(tx, opened, MatchState::Placed).await;
    };
    note_placement(tx, opened.match_id, &opened.placement).await?;
    if !known.queue.is_empty() && !lacks_players(tx, opened.match_id).await? {
        return Ok(());
    }
    let sql = "UPDATE matches SET queue = $1, trace_id = $2 WHERE match_id = $3";
    tx.execute(sql, args![opened.queue, opened.trace_id, opened.match_id]).await?;
    let holds = known.state.is_live() && !known.has_result;
    insert_players(tx, opened.match_id, &opened.roster, holds).await?;
    if holds { tell_players(tx, opened).await } else { Ok(()) }
}

/// Whether its ticket knows more of who plays: a result has no names, and a report may have no roster.
async fn lacks_players(tx: &mut Tx, match_id: MatchId) -> Result<bool, StoreError> {
    tx.one(
        "SELECT NOT EXISTS (SELECT 1 FROM match_players WHERE match_id = $1)
         OR EXISTS (SELECT 1 FROM match_players WHERE match_id = $1 AND name = '')",
        args![match_id],
    )
    .await
}

async fn report_match(tx: &mut Tx, report: &MatchReport) -> Result<bool, StoreError> {
    let known = standing(tx, report.match_id).await?;
    let new = known.is_none();
    let standing = match known {
        Some(standing) => {
            note_placement(tx, report.match_id, &report.placement).await?;
            standing
        }
        None => insert_reported(tx, report).await?,
    };
    let Some(step) = advance(standing.state, standing.has_result, report.report) else {
        return Ok(new);
    };
    let at = |kind: Report| Some(report.at_ms).filter(|_| report.report == kind);
    tx.execute(
        "UPDATE matches SET state = $1, reason = CASE WHEN $2 = '' THEN reason ELSE $2 END,
         started_at_ms = coalesce(started_at_ms, $3), ended_at_ms = coalesce(ended_at_ms, $4),
         lost_at_ms = coalesce(lost_at_ms, $5) WHERE match_id = $6",
        args![
            step.state.name(),
            report.reason,
            at(Report::Playing),
            at(Report::Ended),
            at(Report::Lost),
            report.match_id
        ],
    )
    .await?;
    if step.frees {
        free_players(tx, report.match_id).await?;
    }
    insert_report_event(tx, report, &standing).await?;
    Ok(true)
}

/// Stores a match that only the allocator has told of.
async fn insert_reported(tx: &mut Tx, report: &MatchReport) -> Result<Standing, StoreError> {
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
async fn insert_report_event(tx: &mut Tx, report: &MatchReport, before: &Standing) -> Result<(), StoreError> {
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

pub(super) async fn free_players(tx: &mut Tx, match_id: MatchId) -> Result<(), StoreError> {
    tx.execute("UPDATE match_players SET holds = 0 WHERE match_id = $1", args![match_id]).await.map(drop)
}

/// Queue, state, trace id, reason, started at, ended at, result.
type MatchRow = (String, String, String, String, Option<u64>, Option<u64>, Option<String>);

async fn find_match(tx: &mut Tx, match_id: MatchId) -> Result<Option<MatchRecord>, StoreError> {
    let row: Option<MatchRow> = tx
        .optional(
            "SELECT queue, state, trace_id, reason, started_at_ms, ended_at_ms, body
             FROM matches LEFT JOIN results ON results.match_id = matches.match_id WHERE matches.match_id = $1",
            args![match_id],
        )
        .await?;
    let Some((queue, state, trace_id, reason, started_at_ms, ended_at_ms, result)) = row else {
        return Ok(None);
    };
    let sql = "SELECT player_id, team, name FROM match_players WHERE match_id = $1 ORDER BY team, player_id";
    let players = tx.all(sql, args![match_id]).await?;
    let seat = |(player_id, team, name)| Seat { player_id, team, name };
    Ok(Some(MatchRecord {
        match_id,
        queue,
        state: match_state(&state)?,
        trace_id,
        reason,
        started_at_ms,
        ended_at_ms,
        roster: players.into_iter().map(seat).collect(),
        result,
    }))
}
