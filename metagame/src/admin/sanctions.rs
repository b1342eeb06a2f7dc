//! Bans and mutes on the admin port.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use protocol::id::PlayerId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::operator::{Operator, open, read_note, unknown_player};
use crate::api::appeals::SEALED_APPEAL;
use crate::app::App;
use crate::core::sanction::SanctionKind;
use crate::extract::{Body, Named};
use crate::problem::Problem;
use crate::store::{NewSanction, Order, Sanction, Sanctioned};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/players/{id}/sanctions", get(list).post(impose))
        .route("/sanctions/{id}/lift", post(lift))
        .route("/sanctions/{id}/uphold", post(uphold))
        .route("/appeals", get(appeals))
}

/// A ban or a mute. One of `until_ms`, `for_s` and `for_ever` says how long.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImposeBody {
    kind: String,
    reason: String,
    #[serde(default)]
    note: Option<String>,
    #[serde(default)]
    until_ms: Option<u64>,
    #[serde(default)]
    for_s: Option<u64>,
    #[serde(default)]
    for_ever: bool,
}

impl ImposeBody {
    /// `None`: for ever. A ban without an end is said in so many words, so that a forgotten field is none.
    fn until_ms(&self, now_ms: u64) -> Result<Option<u64>, Problem> {
        let until_ms = match (self.until_ms, self.for_s, self.for_ever) {
            (Some(until_ms), None, false) => Some(until_ms),
            (None, Some(for_s), false) => Some(now_ms.saturating_add(for_s.saturating_mul(1_000))),
            (None, None, true) => None,
            _ => return Err(Problem::invalid("invalid-term", "say one of until_ms, for_s and \"for_ever\": true")),
        };
        if until_ms.is_some_and(|until_ms| until_ms <= now_ms || until_ms > i64::MAX as u64) {
            return Err(Problem::invalid("invalid-term", "the end is not in the future"));
        }
        Ok(until_ms)
    }
}

/// Why something is lifted or upheld.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReasonBody {
    reason: String,
    #[serde(default)]
    note: Option<String>,
}

/// A ban or a mute, as operators see it.
#[derive(Debug, Serialize)]
pub(super) struct SanctionBody {
    sanction_id: Uuid,
    player_id: PlayerId,
    kind: &'static str,
    reason: String,
    note: Option<String>,
    imposed_by: String,
    imposed_at_ms: u64,
    /// Absent: for ever.
    until_ms: Option<u64>,
    /// Whether it holds now.
    holds: bool,
    lifted_by: Option<String>,
    lifted_at_ms: Option<u64>,
    lift_reason: Option<String>,
    appeal: Option<String>,
    appealed_at_ms: Option<u64>,
    upheld_by: Option<String>,
}

async fn body(app: &App, one: Sanction) -> Result<SanctionBody, Problem> {
    Ok(SanctionBody {
        note: read_note(app, one.player, one.note.as_deref()).await?,
        appeal: open(app, one.player, SEALED_APPEAL, one.appeal.as_deref()).await?,
        holds: one.term.holds(service::clock::unix_ms()),
        sanction_id: one.sanction_id,
        player_id: one.player,
        kind: one.kind.name(),
        reason: one.reason,
        imposed_by: one.imposed_by,
        imposed_at_ms: one.imposed_at_ms,
        until_ms: one.term.until_ms,
        lifted_by: one.lifted_by,
        lifted_at_ms: one.term.lifted_at_ms,
        lift_reason: one.lift_reason,
        appealed_at_ms: one.appealed_at_ms,
        upheld_by: one.upheld_by,
    })
}

pub(super) async fn bodies(app: &App, all: Vec<Sanction>) -> Result<Vec<SanctionBody>, Problem> {
    let mut bodies = Vec::with_capacity(all.len());
    for one in all {
        bodies.push(body(app, one).await?);
    }
    Ok(bodies)
}

async fn list(
    State(app): State<App>,
    _operator: Operator,
    Named(player): Named<PlayerId>,
) -> Result<Json<Vec<SanctionBody>>, Problem> {
    let all = app.store.sanctions_of(player).await?;
    Ok(Json(bodies(&app, all).await?))
}

async fn appeals(State(app): State<App>, _operator: Operator) -> Result<Json<Vec<SanctionBody>>, Problem> {
    let all = app.store.open_appeals(service::clock::unix_ms()).await?;
    Ok(Json(bodies(&app, all).await?))
}

async fn impose(
    State(app): State<App>,
    operator: Operator,
    Named(player): Named<PlayerId>,
    Body(wish): Body<ImposeBody>,
) -> Result<(StatusCode, Json<SanctionBody>), Problem> {
    let kind: SanctionKind =
        wish.kind.parse().map_err(|error| Problem::invalid("invalid-sanction", format!("{error}")))?;
    let until_ms = wish.until_ms(service::clock::unix_ms())?;
    let order = operator.order(&app, player, &wish.reason, wish.note.as_deref()).await?;
    let new = NewSanction { sanction_id: Uuid::from_bytes(service::random::bytes()), player, kind, until_ms };
    let id = new.sanction_id;
    if app.store.impose(new, order).await? == Sanctioned::Unknown {
        return Err(unknown_player());
    }
    if kind == SanctionKind::Ban {
        // Here at once, elsewhere within seconds.
        app.identity.revoked.look(&app.store).await?;
        leave_queue(&app, player).await;
    }
    let one = app.store.sanction(id).await?.ok_or_else(Problem::internal)?;
    Ok((StatusCode::CREATED, Json(body(&app, one).await?)))
}

/// Nobody is matched with a player who cannot come. Where the matchmaker is away the ticket runs out by itself.
pub(crate) async fn leave_queue(app: &App, player: PlayerId) {
    let ticket = match app.store.last_ticket(player).await {
        Ok(ticket) => ticket,
        Err(error) => return tracing::warn!(%player, %error, "cannot look for the ticket of a banned player"),
    };
    if let Some(ticket) = ticket
        && let Err(problem) = app.tickets.cancel(player, ticket).await
    {
        tracing::debug!(%player, %ticket, ?problem, "the ticket of a banned player is not cancelled");
    }
}

async fn lift(
    State(app): State<App>,
    operator: Operator,
    Named(id): Named<Uuid>,
    Body(why): Body<ReasonBody>,
) -> Result<Json<SanctionBody>, Problem> {
    let order = order(&app, &operator, id, &why).await?;
    let done = app.store.lift(id, order).await?;
    said(&app, id, done).await
}

async fn uphold(
    State(app): State<App>,
    operator: Operator,
    Named(id): Named<Uuid>,
    Body(why): Body<ReasonBody>,
) -> Result<Json<SanctionBody>, Problem> {
    let order = order(&app, &operator, id, &why).await?;
    let done = app.store.uphold(id, order).await?;
    said(&app, id, done).await
}

async fn order(app: &App, operator: &Operator, id: Uuid, why: &ReasonBody) -> Result<Order, Problem> {
    let one = app.store.sanction(id).await?.ok_or_else(unknown)?;
    operator.order(app, one.player, &why.reason, why.note.as_deref()).await
}

async fn said(app: &App, id: Uuid, done: Sanctioned) -> Result<Json<SanctionBody>, Problem> {
    match done {
        Sanctioned::Done(_) => {
            let one = app.store.sanction(id).await?.ok_or_else(unknown)?;
            Ok(Json(body(app, one).await?))
        }
        Sanctioned::Over => {
            Err(Problem::conflict("sanction-over", "it is over, was lifted, or nothing waits for a word"))
        }
        Sanctioned::Unknown => Err(unknown()),
    }
}

fn unknown() -> Problem {
    Problem::not_found("unknown-sanction", "there is no such ban or mute")
}
