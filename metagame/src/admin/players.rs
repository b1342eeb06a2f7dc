//! Players on the admin port: found by id, name or address; one of them whole; its sessions ended.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use protocol::id::{MatchId, PlayerId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::operator::{Operator, unknown_player};
use super::orders::OrderBody;
use super::sanctions::{SanctionBody, bodies, leave_queue};
use crate::app::App;
use crate::core::email::Email;
use crate::extract::{Body, Named, Query};
use crate::problem::Problem;
use crate::store::{FoundPlayer, Movement};

/// Players of a list at most.
const FOUND_MAX: u32 = 50;
/// Movements, orders and items that one player's page shows.
const SHOWN_MAX: u32 = 100;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/players", get(search))
        .route("/players/{id}", get(one))
        .route("/players/{id}/sessions/end", post(end_sessions))
}

/// Whom to look for: an id, an e-mail address, or how the name begins.
#[derive(Debug, Deserialize)]
struct SearchQuery {
    search: String,
}

/// A player in a list.
#[derive(Debug, Serialize)]
struct FoundBody {
    player_id: PlayerId,
    name: String,
    created_at_ms: u64,
    /// Present while it is kept out.
    barred_until_ms: Option<u64>,
    /// Present where the person was forgotten.
    erased_at_ms: Option<u64>,
}

impl From<FoundPlayer> for FoundBody {
    fn from(found: FoundPlayer) -> Self {
        let now_ms = service::clock::unix_ms();
        Self {
            player_id: found.player,
            name: found.name,
            created_at_ms: found.created_at_ms,
            erased_at_ms: found.erased_at_ms,
            barred_until_ms: found.barred_until_ms.filter(|until_ms| *until_ms > now_ms),
        }
    }
}

/// One player, as operators see it. Its addresses are not shown: an export has them, and is logged.
#[derive(Debug, Serialize)]
struct PlayerBody {
    #[serde(flatten)]
    found: FoundBody,
    xp: u64,
    matches: u64,
    wins: u64,
    identities: Vec<Value>,
    sessions: Vec<SessionBody>,
    sanctions: Vec<SanctionBody>,
    wallet: Vec<Value>,
    movements: Vec<MovementBody>,
    orders: Vec<OrderBody>,
    items: Vec<Value>,
}

#[derive(Debug, Serialize)]
struct SessionBody {
    session_id: Uuid,
    method: String,
    created_at_ms: u64,
    refreshed_at_ms: u64,
    expires_at_ms: u64,
}

#[derive(Debug, Serialize)]
struct MovementBody {
    currency: String,
    number: u64,
    amount: i64,
    balance: i64,
    cause: String,
    actor: String,
    match_id: Option<MatchId>,
    at_ms: u64,
}

impl From<Movement> for MovementBody {
    fn from(one: Movement) -> Self {
        let Movement { currency, number, amount, balance, cause, actor, match_id, at_ms } = one;
        Self { currency, number, amount, balance, cause, actor, match_id, at_ms }
    }
}

async fn search(
    State(app): State<App>,
    _operator: Operator,
    Query(query): Query<SearchQuery>,
) -> Result<Json<Vec<FoundBody>>, Problem> {
    let text = query.search.trim();
    if text.is_empty() {
        return Err(Problem::invalid("invalid-search", "an id, an e-mail address, or how the name begins"));
    }
    if let Ok(player) = text.parse::<PlayerId>() {
        return Ok(Json(app.store.found_player(player).await?.into_iter().map(FoundBody::from).collect()));
    }
    if let Some(email) = text.parse::<Email>().ok().filter(|_| text.contains('@')) {
        let index = app.identity.vault.blind_index("email", email.as_str().as_bytes());
        let found = match app.store.player_of_email(index).await? {
            Some(player) => app.store.found_player(player).await?,
            None => None,
        };
        return Ok(Json(found.into_iter().map(FoundBody::from).collect()));
    }
    let found = app.store.players_named(text, FOUND_MAX).await?;
    Ok(Json(found.into_iter().map(FoundBody::from).collect()))
}

async fn one(
    State(app): State<App>,
    _operator: Operator,
    Named(player): Named<PlayerId>,
) -> Result<Json<PlayerBody>, Problem> {
    let (store, now_ms) = (&app.store, service::clock::unix_ms());
    let found = store.found_player(player).await?.ok_or_else(unknown_player)?;
    let profile = store.profile(player).await?;
    let session = |one: crate::store::ListedSession| SessionBody {
        session_id: one.session.0,
        method: one.method,
        created_at_ms: one.created_at_ms,
        refreshed_at_ms: one.refreshed_at_ms,
        expires_at_ms: one.expires_at_ms,
    };
    let identities = store.identities(player).await?.into_iter();
    let wallet = store.wallet(player).await?.into_iter();
    let items = store.inventory(player, None, SHOWN_MAX, now_ms).await?.into_iter();
    Ok(Json(PlayerBody {
        found: found.into(),
        xp: profile.as_ref().map_or(0, |profile| profile.xp),
        matches: profile.as_ref().map_or(0, |profile| profile.matches),
        wins: profile.as_ref().map_or(0, |profile| profile.wins),
        identities: identities
            .map(|one| json!({ "provider": one.provider, "linked_at_ms": one.linked_at_ms }))
            .collect(),
        sessions: store.sessions(player, now_ms).await?.into_iter().map(session).collect(),
        sanctions: bodies(&app, store.sanctions_of(player).await?).await?,
        wallet: wallet.map(|one| json!({ "currency": one.currency, "balance": one.balance })).collect(),
        movements: store.movements(player, SHOWN_MAX).await?.into_iter().map(MovementBody::from).collect(),
        orders: store.orders_of(player, SHOWN_MAX).await?.into_iter().map(OrderBody::from).collect(),
        items: items.map(|item| json!(item)).collect(),
    }))
}

/// Why the sessions are ended.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndBody {
    reason: String,
    #[serde(default)]
    note: Option<String>,
}

async fn end_sessions(
    State(app): State<App>,
    operator: Operator,
    Named(player): Named<PlayerId>,
    Body(why): Body<EndBody>,
) -> Result<StatusCode, Problem> {
    app.store.found_player(player).await?.ok_or_else(unknown_player)?;
    let order = operator.order(&app, player, &why.reason, why.note.as_deref()).await?;
    app.store.order_end_of_sessions(player, order).await?;
    app.identity.revoked.look(&app.store).await?;
    leave_queue(&app, player).await;
    Ok(StatusCode::NO_CONTENT)
}
