//! Queueing for a match, and hearing about it.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::Stream;
use protocol::id::{PlayerId, TicketId};
use protocol::pb::{self, TicketState};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::private;
use crate::app::App;
use crate::auth::Caller;
use crate::core::live::rule::{Act, Fact};
use crate::extract::{Body, Named, QueueName};
use crate::feed::Subscription;
use crate::problem::{Problem, ProblemBody, UsualProblems};
use crate::rules::facts;
use crate::tickets::NewTicket;

/// Most regions of one ticket.
const REGIONS_MAX: usize = 32;
/// Longest name of a region or a build in bytes.
const NAME_BYTES_MAX: usize = 64;
/// How often a quiet event stream shows that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create)).routes(routes!(get, cancel)).routes(routes!(events))
}

/// A request to be matched. Who the player is, its name and its rating are known to the server.
#[derive(Debug, Deserialize, ToSchema)]
struct NewTicketBody {
    /// Made by the client: sending the same id again gives the same ticket.
    #[schema(value_type = Uuid)]
    ticket_id: TicketId,
    queue: String,
    /// Round-trip times that the client measured. A region that is absent is not acceptable, so
    /// a ticket names at least one of the queue's regions (GET /v1/queues).
    #[serde(default)]
    region_rtts: Vec<RegionRttBody>,
    /// Build of the client; players of different builds never meet. Absent: any.
    #[serde(default)]
    build: Option<String>,
}

/// A region and how far it is.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct RegionRttBody {
    region: String,
    rtt_ms: u32,
}

/// A ticket.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TicketBody {
    ticket_id: String,
    queue: String,
    /// "queued", "placing", "completed", "cancelled", "timed_out" or "failed"; the last four are final.
    state: &'static str,
    /// Unix milliseconds.
    created_at_ms: u64,
    /// Unix milliseconds of the last change.
    updated_at_ms: u64,
    /// From now, as far as it is known.
    estimated_wait_ms: Option<u32>,
    /// Why it ended, where it ended without a match.
    reason: String,
    /// Where to play, once the state is "completed".
    #[schema(nullable)]
    r#match: Option<MatchBody>,
    /// Names the ticket and its match in every log.
    trace_id: String,
    /// Position of this state in the event stream.
    cursor: u64,
}

/// How to reach the server of a match. It needs a join token, too: POST /v1/matches/{id}/join-token.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MatchBody {
    match_id: String,
    /// "host:port", UDP.
    address: String,
    /// "muster": native packets, and QUIC where there are fingerprints. "foreign": the game's own protocol, to which the
    /// client gives the join token; there is no server key then.
    transport: &'static str,
    /// X25519 key of the server, base64url, 32 bytes; empty for a foreign transport.
    server_key: String,
    /// Begins every connection id, base64url.
    routing_token: String,
    /// This process of the server.
    server_id: String,
    build: String,
    region: String,
    /// Hash of the game's schema, 16 hex digits.
    schema_hash: String,
    tick_rate_hz: u32,
    /// SHA-256 of the server's QUIC certificates, base64url; empty where it speaks no QUIC.
    quic_fingerprints: Vec<String>,
    roster: Vec<SeatBody>,
}

/// One player of a match.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SeatBody {
    pub(super) player_id: String,
    /// From 0.
    pub(super) team: u32,
    pub(super) name: String,
}

impl MatchBody {
    pub(super) fn new(assignment: pb::Assignment, roster: Vec<SeatBody>) -> Self {
        let transport = match assignment.transport() {
            pb::Transport::Unspecified | pb::Transport::Muster => "muster",
            pb::Transport::Foreign => "foreign",
        };
        Self {
            transport,
            match_id: assignment.match_id,
            address: assignment.address,
            server_key: URL_SAFE_NO_PAD.encode(assignment.server_key),
            routing_token: URL_SAFE_NO_PAD.encode(assignment.routing_token),
            server_id: assignment.server_id,
            build: assignment.build,
            region: assignment.region,
            schema_hash: format!("{:016x}", assignment.schema_hash),
            tick_rate_hz: assignment.tick_rate_hz,
            quic_fingerprints: assignment.quic_fingerprints.iter().map(|print| URL_SAFE_NO_PAD.encode(print)).collect(),
            roster,
        }
    }
}

impl From<pb::Ticket> for TicketBody {
    fn from(ticket: pb::Ticket) -> Self {
        let state = state_name(ticket.state());
        let seat = |entry: pb::RosterEntry| SeatBody { player_id: entry.player_id, team: entry.team, name: entry.name };
        let roster = ticket.roster.into_iter().map(seat).collect();
        Self {
            ticket_id: ticket.ticket_id,
            queue: ticket.queue,
            state,
            created_at_ms: ticket.created_at_ms,
            updated_at_ms: ticket.updated_at_ms,
            estimated_wait_ms: Some(ticket.estimated_wait_ms).filter(|wait| *wait > 0),
            reason: ticket.reason,
            r#match: ticket.assignment.map(|assignment| MatchBody::new(assignment, roster)),
            trace_id: ticket.trace_id,
            cursor: ticket.cursor,
        }
    }
}

pub(crate) fn state_name(state: TicketState) -> &'static str {
    match state {
        TicketState::Unspecified | TicketState::Queued => "queued",
        TicketState::Placing => "placing",
        TicketState::Completed => "completed",
        TicketState::Cancelled => "cancelled",
        TicketState::TimedOut => "timed_out",
        TicketState::Failed => "failed",
    }
}

fn is_final(state: TicketState) -> bool {
    !matches!(state, TicketState::Unspecified | TicketState::Queued | TicketState::Placing)
}

/// The ticket that a client asks for, within bounds.
pub(super) fn new_ticket(
    ticket_id: TicketId,
    queue: &str,
    region_rtts: Vec<RegionRttBody>,
    build: Option<String>,
) -> Result<NewTicket, Problem> {
    let invalid = |detail: String| Problem::invalid("invalid-ticket", detail);
    let QueueName(queue) = queue.parse().map_err(|error: &str| invalid(error.to_owned()))?;
    if region_rtts.len() > REGIONS_MAX {
        return Err(invalid(format!("a ticket names at most {REGIONS_MAX} regions")));
    }
    let build = build.unwrap_or_default();
    if region_rtts.iter().map(|one| &one.region).chain([&build]).any(|name| name.len() > NAME_BYTES_MAX) {
        return Err(invalid(format!("names of regions and builds have at most {NAME_BYTES_MAX} bytes")));
    }
    let region_rtts =
        region_rtts.into_iter().map(|one| pb::RegionRtt { region: one.region, rtt_ms: one.rtt_ms }).collect();
    Ok(NewTicket { ticket_id, queue, region_rtts, build })
}

/// Asks the studio's rules about a ticket that would be a new one: sending the same id again gives the same ticket.
pub(crate) async fn permit_queue(
    app: &App,
    player: PlayerId,
    new: &NewTicket,
    with_party: bool,
) -> Result<(), Problem> {
    if !app.has_rules(Act::Queue) || app.store.last_ticket(player).await? == Some(new.ticket_id) {
        return Ok(());
    }
    let known = facts([
        ("queue", Some(new.queue.as_str().into())),
        ("build", Some(new.build.as_str()).filter(|build| !build.is_empty()).map(Fact::from)),
        ("with_party", Some(Fact::Flag(with_party))),
    ]);
    app.permit(Act::Queue, Some(player), known).await
}

/// Queue for a match
///
/// A player has one ticket at a time, and none while in a match.
#[utoipa::path(post, path = "/v1/tickets", operation_id = "create_ticket", tag = "tickets", security(("access_token" = [])), request_body = NewTicketBody,
    responses(UsualProblems, (status = 201, body = TicketBody),
        (status = 200, body = TicketBody, description = "The ticket existed"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "has-ticket with ticket_id, or in-match with match_id"),
        (status = 426, body = ProblemBody, content_type = "application/problem+json", description = "client-too-old with minimum_build")))]
async fn create(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<NewTicketBody>,
) -> Result<impl IntoResponse, Problem> {
    let new = new_ticket(body.ticket_id, &body.queue, body.region_rtts, body.build)?;
    permit_queue(&app, caller.player_id, &new, false).await?;
    let (ticket, created) = app.tickets.create(caller.player_id, new).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let location = format!("/v1/tickets/{}", ticket.ticket_id);
    Ok(private((status, [(header::LOCATION, location)], Json(TicketBody::from(ticket)))))
}

/// A ticket as it stands
#[utoipa::path(get, path = "/v1/tickets/{id}", operation_id = "get_ticket", tag = "tickets", security(("access_token" = [])), params(("id" = Uuid, Path)),
    responses(UsualProblems, (status = 200, body = TicketBody)))]
async fn get(
    State(app): State<App>,
    caller: Caller,
    Named(ticket_id): Named<TicketId>,
) -> Result<impl IntoResponse, Problem> {
    Ok(private(Json(TicketBody::from(app.tickets.get(caller.player_id, ticket_id).await?))))
}

/// Cancel a ticket
///
/// The answer is the ticket after the race: cancelled, or already in a match.
#[utoipa::path(delete, path = "/v1/tickets/{id}", operation_id = "cancel_ticket", tag = "tickets", security(("access_token" = [])), params(("id" = Uuid, Path)),
    responses(UsualProblems, (status = 200, body = TicketBody)))]
async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Named(ticket_id): Named<TicketId>,
) -> Result<impl IntoResponse, Problem> {
    Ok(private(Json(TicketBody::from(app.tickets.cancel(caller.player_id, ticket_id).await?))))
}

/// Hear about a ticket
///
/// Server-sent events: each event named `ticket` holds the whole ticket, its id is the cursor. After a broken
/// connection send the last id as Last-Event-ID: the newest state follows if it is another. The stream ends after a
/// final state.
#[utoipa::path(get, path = "/v1/tickets/{id}/events", operation_id = "ticket_events", tag = "tickets", security(("access_token" = [])),
    params(("id" = Uuid, Path), ("Last-Event-ID" = Option<String>, Header, description = "Cursor of the last event that was received")),
    responses(UsualProblems, (status = 200, body = TicketBody, content_type = "text/event-stream")))]
async fn events(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Named(ticket_id): Named<TicketId>,
) -> Result<impl IntoResponse, Problem> {
    // Subscribed first: what happens while the ticket is read is not missed.
    let subscription = app.tickets.subscribe(ticket_id)?;
    let ticket = app.tickets.get(caller.player_id, ticket_id).await?;
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse::<u64>().ok());
    let cursor = ticket.cursor;
    let ended = is_final(ticket.state());
    let next = Some(ticket).filter(|_| seen != Some(cursor));
    let following = Following { app, subscription, next, cursor, ended };
    let stream = Sse::new(following.into_stream()).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("waiting"));
    Ok(([("x-accel-buffering", "no")], stream))
}

/// One event stream.
struct Following {
    app: App,
    subscription: Subscription,
    /// To be sent before anything else.
    next: Option<pb::Ticket>,
    /// Of the newest state that was seen.
    cursor: u64,
    /// Nothing comes after the state that was seen.
    ended: bool,
}

impl Following {
    fn into_stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        futures_util::stream::unfold(self, |mut this| async move {
            let ticket = match this.next.take() {
                Some(ticket) => ticket,
                None if this.ended => return None,
                None => tokio::select! {
                    () = this.app.shutdown.wait() => return None,
                    ticket = this.subscription.newer(this.cursor) => (*ticket).clone(),
                },
            };
            this.cursor = ticket.cursor;
            this.ended = is_final(ticket.state());
            Some((Ok(event(ticket)), this))
        })
    }
}

fn event(ticket: pb::Ticket) -> Event {
    let id = ticket.cursor.to_string();
    let data = serde_json::to_string(&TicketBody::from(ticket)).expect("a ticket is plain data");
    Event::default().event("ticket").id(id).data(data)
}
