//! Addresses that clients of other backends know, with the bodies of `/v1`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use protocol::id::{PlayerId, TicketId};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{LoginBody, SessionBody, login};
use super::inventory::{InventoryBody, own_page};
use super::leaderboards::{BoardBody, board};
use super::players::{PageQuery, PublicProfileBody, public};
use super::private;
use super::shop::{PurchaseBody, ReceiptBody, buy};
use super::telemetry::{ReportedBody, Reporter, ReportsBody, take_batch};
use super::tickets::{RegionRttBody, TicketBody, new_ticket, permit_queue};
use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Body, Named, Query, QueueName};
use crate::idempotency::IdempotencyKey;
use crate::problem::{Problem, ProblemBody, UsualProblems};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(alias_login))
        .routes(routes!(alias_profile))
        .routes(routes!(alias_join))
        .routes(routes!(alias_status))
        .routes(routes!(alias_leaderboard))
        .routes(routes!(alias_inventory))
        .routes(routes!(alias_purchase))
        .routes(routes!(alias_telemetry))
}

/// A request to be matched, where the server may name the ticket.
#[derive(Debug, Deserialize, ToSchema)]
struct JoinBody {
    queue: String,
    /// Where it is given, sending the same id again gives the same ticket. Absent: the server makes one.
    #[schema(value_type = Option<Uuid>)]
    #[serde(default)]
    ticket_id: Option<TicketId>,
    /// At least one of the queue's regions, as in POST /v1/tickets.
    #[serde(default)]
    region_rtts: Vec<RegionRttBody>,
    #[serde(default)]
    build: Option<String>,
}

/// Alias of POST /v1/auth/device
#[utoipa::path(post, path = "/auth/login", tag = "aliases", request_body = LoginBody,
    responses(UsualProblems, (status = 200, body = SessionBody)))]
async fn alias_login(State(app): State<App>, Body(body): Body<LoginBody>) -> Result<impl IntoResponse, Problem> {
    login(&app, body).await
}

/// Alias of GET /v1/players/{id}
#[utoipa::path(get, path = "/player/{id}/profile", tag = "aliases", security(("access_token" = [])), params(("id" = Uuid, Path)),
    responses(UsualProblems, (status = 200, body = PublicProfileBody)))]
async fn alias_profile(
    State(app): State<App>,
    _caller: Caller,
    Named(player): Named<PlayerId>,
) -> Result<Json<PublicProfileBody>, Problem> {
    public(&app, player).await
}

/// Alias of POST /v1/tickets; the server can make the ticket's id
#[utoipa::path(post, path = "/matchmaking/join", tag = "aliases", security(("access_token" = [])), request_body = JoinBody,
    responses(UsualProblems, (status = 201, body = TicketBody),
        (status = 200, body = TicketBody, description = "The ticket existed"),
        (status = 426, body = ProblemBody, content_type = "application/problem+json", description = "client-too-old with minimum_build")))]
async fn alias_join(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<JoinBody>,
) -> Result<impl IntoResponse, Problem> {
    let made = || TicketId::from_time(service::clock::unix_ms(), service::random::bytes());
    let new = new_ticket(body.ticket_id.unwrap_or_else(made), &body.queue, body.region_rtts, body.build)?;
    permit_queue(&app, caller.player_id, &new, false).await?;
    let (ticket, created) = app.tickets.create(caller.player_id, new).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(private((status, Json(TicketBody::from(ticket)))))
}

/// Alias of GET /v1/tickets/{id} for the ticket that the caller made last
#[utoipa::path(get, path = "/matchmaking/status", tag = "aliases", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = TicketBody)))]
async fn alias_status(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    Ok(private(Json(TicketBody::from(app.tickets.last(caller.player_id).await?))))
}

/// Alias of GET /v1/leaderboards/{queue}
#[utoipa::path(get, path = "/leaderboards/{name}", tag = "aliases", security(("access_token" = [])),
    params(("name" = String, Path), PageQuery),
    responses(UsualProblems, (status = 200, body = BoardBody)))]
async fn alias_leaderboard(
    State(app): State<App>,
    _caller: Caller,
    Named(queue): Named<QueueName>,
    Query(page): Query<PageQuery>,
) -> Result<Json<BoardBody>, Problem> {
    board(&app, queue, &page).await
}

/// Alias of GET /v1/players/me/inventory; the id is the caller's own
#[utoipa::path(get, path = "/inventory/{id}", tag = "aliases", security(("access_token" = [])),
    params(("id" = Uuid, Path, description = "The caller's own id; what others have is theirs"), PageQuery),
    responses(UsualProblems, (status = 200, body = InventoryBody)))]
async fn alias_inventory(
    State(app): State<App>,
    caller: Caller,
    Named(player): Named<PlayerId>,
    Query(page): Query<PageQuery>,
) -> Result<impl IntoResponse, Problem> {
    if player != caller.player_id {
        return Err(Problem::forbidden("not-your-inventory", "this inventory belongs to another player"));
    }
    own_page(&app, player, &page).await
}

/// Alias of POST /v1/store/purchases
#[utoipa::path(post, path = "/store/purchase", tag = "aliases", security(("access_token" = [])), request_body = PurchaseBody,
    params(("Idempotency-Key" = String, Header, description = "Fresh for each purchase; the same when it is sent again")),
    responses(UsualProblems, (status = 201, body = ReceiptBody)))]
async fn alias_purchase(
    State(app): State<App>,
    caller: Caller,
    IdempotencyKey(key): IdempotencyKey,
    Body(body): Body<PurchaseBody>,
) -> Result<Response, Problem> {
    buy(&app, caller.player_id, key, body).await
}

/// Alias of POST /v1/telemetry:batch
#[utoipa::path(post, path = "/game/telemetry", tag = "aliases", security(("access_token" = []), ("service_token" = [])),
    request_body = ReportsBody,
    responses(UsualProblems, (status = 202, body = ReportedBody)))]
async fn alias_telemetry(
    State(app): State<App>,
    reporter: Reporter,
    Body(batch): Body<ReportsBody>,
) -> Result<(StatusCode, Json<ReportedBody>), Problem> {
    take_batch(&app, reporter, batch)
}
