//! Queueing, and the room that a match is to these clients.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use protocol::id::{MatchId, PlayerId, TicketId};
use protocol::pb::{RegionRtt, Ticket, TicketState};
use serde::Deserialize;
use serde_json::json;

use super::players::{rank_in_queue, time};
use super::{Player, id};
use crate::api::tickets::permit_queue;
use crate::app::App;
use crate::core::gamemesh;
use crate::core::match_state::MatchState;
use crate::core::rating::Rating;
use crate::extract::Body;
use crate::problem::Problem;
use crate::tickets::NewTicket;

/// Round-trip time to every region of the queue: their clients measure none, so all regions are the same to them.
const RTT_MS: u32 = 50;

/// What the client says of its rank is read and does not count: the server knows the rating.
#[derive(Deserialize)]
pub(super) struct JoinBody {
    #[serde(default)]
    #[expect(dead_code, reason = "a client's own word for its skill is worth nothing")]
    rank: Option<f64>,
}

fn is_waiting(ticket: &Ticket) -> bool {
    matches!(ticket.state(), TicketState::Queued | TicketState::Placing)
}

/// The ticket with which the player waits, if it does.
async fn waiting(app: &App, player: PlayerId) -> Result<Option<Ticket>, Problem> {
    if app.store.last_ticket(player).await?.is_none() {
        return Ok(None);
    }
    match app.tickets.last(player).await {
        Ok(ticket) => Ok(Some(ticket).filter(is_waiting)),
        Err(problem) if problem.is("unknown-ticket") => Ok(None),
        Err(problem) => Err(problem),
    }
}

fn absent() -> Problem {
    Problem::not_found("unknown-route", "there is nothing at this address")
}

pub(super) async fn join(
    State(app): State<App>,
    player: Player,
    Body(_): Body<JoinBody>,
) -> Result<impl IntoResponse, Problem> {
    let queue = app.gamemesh.as_ref().ok_or_else(absent)?.queue(&app.tickets).await?;
    let ticket_id = TicketId::from_time(service::clock::unix_ms(), service::random::bytes());
    let region_rtts = queue.regions.into_iter().map(|region| RegionRtt { region, rtt_ms: RTT_MS }).collect();
    let new = NewTicket { ticket_id, queue: queue.name, region_rtts, build: String::new() };
    permit_queue(&app, player.id, &new, false).await?;
    let status = match app.tickets.create(player.id, new).await {
        Ok(_) => "queued",
        // Joining again is joining.
        Err(problem) if problem.is("has-ticket") => "queued",
        Err(problem) if problem.is("in-match") => "in_match",
        Err(problem) => return Err(problem),
    };
    Ok(Json(json!({ "status": status, "rank": rank_in_queue(&app, player.id).await? })))
}

pub(super) async fn leave(State(app): State<App>, player: Player) -> Result<impl IntoResponse, Problem> {
    let not_queued = || Problem::not_found("not-queued", "player not in queue");
    let ticket = waiting(&app, player.id).await?.ok_or_else(not_queued)?;
    let cancelled = app.tickets.cancel(player.id, id(&ticket.ticket_id, "ticket id")?).await?;
    // Too late: it is in a match.
    if cancelled.state() == TicketState::Completed {
        Err(not_queued())
    } else {
        Ok(Json(json!({ "status": "removed" })))
    }
}

pub(super) async fn status(State(app): State<App>, player: Player) -> Result<impl IntoResponse, Problem> {
    let queue = app.gamemesh.as_ref().ok_or_else(absent)?.queue(&app.tickets).await?;
    let queued = waiting(&app, player.id).await?.is_some();
    Ok(Json(json!({ "queued": queued, "queue_size": queue.waiting_players })))
}

/// A match, to those who play it.
pub(super) async fn room(
    State(app): State<App>,
    player: Player,
    Path(room): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let unknown = || Problem::not_found("unknown-match", "room not found");
    let match_id: MatchId = room.parse().map_err(|_| unknown())?;
    let record = app.matches.get(player.id, match_id).await?;
    let players: Vec<PlayerId> = record.roster.iter().map(|seat| seat.player_id).collect();
    let rated = app.store.ratings_of(&record.queue, &players).await?;
    let rank = |player: &PlayerId| {
        let rating = rated.iter().find(|(one, _)| one == player).map(|(_, rating)| *rating);
        (player.to_string(), gamemesh::rank(rating.unwrap_or_else(Rating::default)))
    };
    let ranks: BTreeMap<String, u64> = players.iter().map(rank).collect();
    let status = match record.state {
        MatchState::Placed => "waiting",
        MatchState::Playing => "playing",
        _ => "finished",
    };
    let created_at = time(app.store.placed_at(match_id).await?.unwrap_or_default());
    Ok(Json(json!({
        "id": match_id, "players": players, "ranks": ranks, "status": status, "created_at": created_at
    })))
}
