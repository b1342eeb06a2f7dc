//! What a player says against a ban or a mute.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::private;
use crate::app::App;
use crate::auth::Caller;
use crate::extract::{Body, Named};
use crate::problem::{Problem, UsualProblems};

/// Where it is kept.
pub(crate) const SEALED_APPEAL: &str = "appeal";
/// Longest appeal in bytes.
const APPEAL_BYTES_MAX: usize = 2_000;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(appeal)).routes(routes!(own))
}

/// What the player says.
#[derive(Debug, Deserialize, ToSchema)]
struct AppealBody {
    /// 1 to 2,000 bytes.
    text: String,
}

/// What holds against the player.
#[derive(Debug, Serialize, ToSchema)]
struct SanctionsBody {
    sanctions: Vec<OwnSanctionBody>,
}

/// A ban or a mute.
#[derive(Debug, Serialize, ToSchema)]
struct OwnSanctionBody {
    sanction_id: Uuid,
    /// ban or mute
    kind: &'static str,
    /// A code.
    reason: String,
    /// Unix milliseconds; absent where it has no end.
    until_ms: Option<u64>,
    /// Whether you have appealed.
    appealed: bool,
}

/// Bans and mutes that hold against you
#[utoipa::path(get, path = "/v1/players/me/sanctions", operation_id = "own_sanctions", tag = "players", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = SanctionsBody)))]
async fn own(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    let now_ms = service::clock::unix_ms();
    let all = app.store.sanctions_of(caller.player_id).await?;
    let holds = all.into_iter().filter(|one| one.term.holds(now_ms));
    let body = |one: crate::store::Sanction| OwnSanctionBody {
        sanction_id: one.sanction_id,
        kind: one.kind.name(),
        reason: one.reason,
        until_ms: one.term.until_ms,
        appealed: one.appealed_at_ms.is_some(),
    };
    Ok(private(Json(SanctionsBody { sanctions: holds.map(body).collect() })))
}

/// Appeal against a ban or a mute
///
/// Once for each. The id is in the answer to the login that was refused (`sanction_id`) and in players/me/sanctions, and proves who
/// asks: a banned player has no access token. An operator reads it and lifts the sanction or leaves it.
#[utoipa::path(post, path = "/v1/sanctions/{id}/appeal", operation_id = "appeal_sanction", tag = "auth", params(("id" = Uuid, Path)), request_body = AppealBody,
    responses(UsualProblems, (status = 202)))]
async fn appeal(
    State(app): State<App>,
    Named(id): Named<Uuid>,
    Body(body): Body<AppealBody>,
) -> Result<StatusCode, Problem> {
    let text = body.text.trim();
    if text.is_empty() || text.len() > APPEAL_BYTES_MAX {
        return Err(Problem::invalid("invalid-text", format!("an appeal has 1 to {APPEAL_BYTES_MAX} bytes")));
    }
    let now_ms = service::clock::unix_ms();
    let unknown = || Problem::not_found("unknown-sanction", "there is no such ban or mute");
    let one = app.store.sanction(id).await?.ok_or_else(unknown)?;
    if !one.term.holds(now_ms) {
        return Err(Problem::conflict("sanction-over", "it is over already: log in again"));
    }
    let key = app.store.account_key(&app.identity.vault, one.player, now_ms).await?.ok_or_else(unknown)?;
    if !app.store.appeal(id, key.seal(SEALED_APPEAL, text.as_bytes()), now_ms).await? {
        return Err(Problem::conflict("appealed-already", "you have appealed: an operator will read it"));
    }
    Ok(StatusCode::ACCEPTED)
}
