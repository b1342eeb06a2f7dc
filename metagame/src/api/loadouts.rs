//! Loadouts: named sets of a player's items.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::id::PlayerId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::inventory::{ItemBody, item_body};
use super::private;
use crate::app::App;
use crate::auth::{Caller, ServerCaller};
use crate::core::inventory::ItemId;
use crate::core::loadout::{LOADOUTS_MAX, PLACES_MAX, SlotName, Worn};
use crate::extract::{Body, Named};
use crate::problem::{Problem, UsualProblems};
use crate::store::{Loadout, LoadoutSaved};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(loadouts)).routes(routes!(save, remove)).routes(routes!(others_loadouts))
}

/// A player's loadouts, by name.
#[derive(Debug, Serialize, ToSchema)]
struct LoadoutsBody {
    loadouts: Vec<LoadoutBody>,
}

/// A named set of items.
#[derive(Debug, Serialize, ToSchema)]
struct LoadoutBody {
    slot: String,
    /// Counts its changes: what If-Match takes, in quotes.
    version: u64,
    /// What is there, by place.
    items: BTreeMap<String, ItemBody>,
    /// Places whose item is gone: traded, used up, expired.
    missing: Vec<String>,
}

/// An item for each place.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SaveBody {
    /// At most 32 places, each with the id of an own item. A stack may be in as many places as it has items.
    #[schema(value_type = BTreeMap<String, Uuid>)]
    items: BTreeMap<String, ItemId>,
}

/// Own loadouts
#[utoipa::path(get, path = "/v1/players/me/loadouts", operation_id = "own_loadouts", tag = "players", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = LoadoutsBody)))]
async fn loadouts(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    of(&app, caller.player_id).await
}

/// A player's loadouts (servers)
///
/// What the player takes into a match: with a service token.
#[utoipa::path(get, path = "/v1/players/{id}/loadouts", operation_id = "loadouts_of", tag = "players", security(("service_token" = [])),
    params(("id" = Uuid, Path)),
    responses(UsualProblems, (status = 200, body = LoadoutsBody)))]
async fn others_loadouts(
    State(app): State<App>,
    _server: ServerCaller,
    Named(player): Named<PlayerId>,
) -> Result<impl IntoResponse, Problem> {
    of(&app, player).await
}

async fn of(app: &App, player: PlayerId) -> Result<impl IntoResponse + use<>, Problem> {
    let loadouts = app.store.loadouts(player, service::clock::unix_ms()).await?;
    Ok(private(Json(LoadoutsBody { loadouts: loadouts.iter().map(body).collect() })))
}

fn body(loadout: &Loadout) -> LoadoutBody {
    LoadoutBody {
        slot: loadout.slot.clone(),
        version: loadout.version,
        items: loadout.items.iter().map(|(place, item)| (place.as_str().to_owned(), item_body(item))).collect(),
        missing: loadout.missing.iter().map(|place| place.as_str().to_owned()).collect(),
    }
}

/// Save a loadout
///
/// Of items that the player has. With If-Match only over that version; otherwise 412.
#[utoipa::path(put, path = "/v1/players/me/loadouts/{slot}", operation_id = "save_loadout", tag = "players", security(("access_token" = [])),
    params(("slot" = String, Path), ("If-Match" = Option<String>, Header)), request_body = SaveBody,
    responses(UsualProblems,
        (status = 204, description = "It is saved", headers(("ETag" = String, description = "Its version")))))]
async fn save(
    State(app): State<App>,
    caller: Caller,
    Named(slot): Named<SlotName>,
    headers: HeaderMap,
    Body(body): Body<SaveBody>,
) -> Result<Response, Problem> {
    let invalid = |detail: &str| Problem::invalid("invalid-loadout", detail);
    if body.items.len() > PLACES_MAX {
        return Err(invalid(&format!("a loadout has at most {PLACES_MAX} places")));
    }
    let place = |(place, item): (String, ItemId)| Ok((place.parse::<SlotName>().map_err(invalid)?, item));
    let worn = body.items.into_iter().map(place).collect::<Result<Worn, Problem>>()?;
    let expected = if_match(&headers);
    let saved = app.store.save_loadout(caller.player_id, slot, worn, expected, service::clock::unix_ms()).await?;
    Err(match saved {
        LoadoutSaved::Done(version) => {
            return Ok((StatusCode::NO_CONTENT, [(header::ETAG, format!("\"{version}\""))]).into_response());
        }
        LoadoutSaved::Missing(places) => {
            let places: Vec<String> = places.into_iter().map(String::from).collect();
            Problem::conflict("not-your-items", "you do not have the items of these places").with("places", places)
        }
        LoadoutSaved::Stale(version) => {
            let detail = "the loadout has changed since you read it: read it again";
            Problem::new(StatusCode::PRECONDITION_FAILED, "stale", "Changed meanwhile", detail).with("version", version)
        }
        LoadoutSaved::Full => {
            let detail = format!("a player has at most {LOADOUTS_MAX} loadouts: remove one");
            Problem::conflict("too-many-loadouts", detail)
        }
    })
}

/// Remove a loadout; also where there is none
#[utoipa::path(delete, path = "/v1/players/me/loadouts/{slot}", operation_id = "remove_loadout", tag = "players", security(("access_token" = [])),
    params(("slot" = String, Path)),
    responses(UsualProblems, (status = 204, description = "There is none")))]
async fn remove(State(app): State<App>, caller: Caller, Named(slot): Named<SlotName>) -> Result<StatusCode, Problem> {
    app.store.remove_loadout(caller.player_id, slot).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The version that If-Match names; one that nothing has where it names none of ours.
fn if_match(headers: &HeaderMap) -> Option<u64> {
    let tag = headers.get(header::IF_MATCH)?.to_str().unwrap_or_default();
    let version = tag.strip_prefix('"').and_then(|text| text.strip_suffix('"')).and_then(|text| text.parse().ok());
    Some(version.unwrap_or(u64::MAX))
}
