//! Values that a game keeps per player.

mod asker;

use axum::Json;
use axum::extract::{FromRequest, Request as HttpRequest, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::id::PlayerId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::players::{PageQuery, bad_cursor};
use super::private;
use crate::app::App;
use crate::auth::{Caller, ServerCaller};
use crate::core::kv::{Change, Collection, CollectionName, Expects, Kept, Key, Place, Refusal, Request, Writers};
use crate::core::page::{KeyCursor, limit};
use crate::extract::{Body, Named, Query};
use crate::problem::{Problem, UsualProblems};
use asker::{Asker, KeyPath, PlayerCollectionPath, PlayerKeyPath, parse};

/// Most values of a batch: with the largest values an answer has some megabytes.
const BATCH_MAX: usize = 64;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(usage))
        .routes(routes!(list))
        .routes(routes!(get, put, delete))
        .routes(routes!(others_list))
        .routes(routes!(others_get, server_put, server_delete))
        .routes(routes!(batch_read))
        .routes(routes!(batch_write))
}

/// What the player keeps, and what it may keep, in collections that players write.
#[derive(Debug, Serialize, ToSchema)]
struct UsageBody {
    bytes: u64,
    bytes_max: u64,
    values: u64,
    values_max: u64,
}

/// A page of a collection, in the order of keys.
#[derive(Debug, Serialize, ToSchema)]
struct ListBody {
    values: Vec<ListedBody>,
    next_cursor: Option<String>,
}

/// A value without itself.
#[derive(Debug, Serialize, ToSchema)]
struct ListedBody {
    key: String,
    /// The ETag without its quotes.
    version: u64,
    bytes: u64,
    /// Unix milliseconds.
    updated_at_ms: u64,
}

/// Which values to read.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReadBody {
    /// 1 to 64.
    places: Vec<PlaceBody>,
}

/// Where a value is.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PlaceBody {
    /// Whose; the caller's own where it is absent. Servers name it.
    #[schema(value_type = Option<Uuid>)]
    player_id: Option<PlayerId>,
    collection: String,
    key: String,
}

/// The values, in the order in which they were asked for.
#[derive(Debug, Serialize, ToSchema)]
struct ValuesBody {
    /// null where nothing is.
    values: Vec<Option<ValueBody>>,
}

/// A value.
#[derive(Debug, Serialize, ToSchema)]
struct ValueBody {
    #[schema(value_type = serde_json::Value)]
    value: Box<serde_json::value::RawValue>,
    /// The ETag without its quotes.
    version: u64,
    /// Unix milliseconds.
    updated_at_ms: u64,
}

/// What to write: all of it, or nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WriteBody {
    /// 1 to 64, each at another place.
    writes: Vec<WriteOneBody>,
}

/// A value to write or to delete.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WriteOneBody {
    /// Whose; the caller's own where it is absent. Servers name it.
    #[schema(value_type = Option<Uuid>)]
    player_id: Option<PlayerId>,
    collection: String,
    key: String,
    /// Any JSON.
    #[serde(default)]
    #[schema(value_type = Option<serde_json::Value>)]
    value: Option<Box<serde_json::value::RawValue>>,
    /// Instead of a value: it goes.
    #[serde(default)]
    delete: bool,
    /// Only if this is its version.
    #[serde(default)]
    if_version: Option<u64>,
    /// Only if nothing is there.
    #[serde(default)]
    if_absent: bool,
}

/// The versions, in the order of the writes.
#[derive(Debug, Serialize, ToSchema)]
struct WrittenBody {
    /// null for what was deleted.
    versions: Vec<Option<u64>>,
}

/// A body of JSON, kept as it was sent.
struct RawJson(String);

impl<S: Send + Sync> FromRequest<S> for RawJson {
    type Rejection = Problem;

    async fn from_request(request: HttpRequest, state: &S) -> Result<Self, Problem> {
        let Body(value) = Body::<Box<serde_json::value::RawValue>>::from_request(request, state).await?;
        whole(&value)?;
        Ok(Self(value.get().to_owned()))
    }
}

/// What is kept must be read by everybody's reader: raw values are looked through less strictly than others.
fn whole(value: &serde_json::value::RawValue) -> Result<(), Problem> {
    let read = serde_json::from_str::<serde_json::Value>(value.get());
    read.map(drop)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "malformed-json", "Body is not JSON", error.to_string()))
}

fn rules(app: &App, collection: &str) -> Result<Collection, Problem> {
    let unknown = || Problem::not_found("unknown-collection", "this game has no collection of this name");
    app.kv.collections.find(collection).ok_or_else(unknown)
}

fn unknown_value() -> Problem {
    Problem::not_found("unknown-value", "there is no value under this key")
}

/// What the caller keeps
#[utoipa::path(get, path = "/v1/kv", operation_id = "kv_usage", tag = "kv", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = UsageBody)))]
async fn usage(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    let (usage, quota) = (app.store.kv_usage(caller.player_id).await?, app.kv.collections.quota);
    let body = UsageBody { bytes: usage.bytes, bytes_max: quota.bytes, values: usage.count, values_max: quota.count };
    Ok(private(Json(body)))
}

/// Keys of an own collection
#[utoipa::path(get, path = "/v1/kv/{collection}", operation_id = "list_values", tag = "kv", security(("access_token" = [])),
    params(("collection" = String, Path), PageQuery),
    responses(UsualProblems, (status = 200, body = ListBody)))]
async fn list(
    State(app): State<App>,
    caller: Caller,
    Named(collection): Named<CollectionName>,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    rules(&app, &collection.0)?;
    listed(&app, caller.player_id, &collection, &page).await
}

/// Keys of a public collection of another player
///
/// Servers read every collection, with a service token.
#[utoipa::path(get, path = "/v1/players/{id}/kv/{collection}", operation_id = "list_values_of", tag = "kv",
    security(("access_token" = []), ("service_token" = [])),
    params(("id" = Uuid, Path), ("collection" = String, Path), PageQuery),
    responses(UsualProblems, (status = 200, body = ListBody)))]
async fn others_list(
    State(app): State<App>,
    asker: Asker,
    PlayerCollectionPath(player, collection): PlayerCollectionPath,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    asker.may_read(player, rules(&app, &collection.0)?)?;
    listed(&app, player, &collection, &page).await
}

async fn listed(
    app: &App,
    player: PlayerId,
    collection: &CollectionName,
    page: &PageQuery,
) -> Result<Response, Problem> {
    let after = page.cursor.as_deref().map(KeyCursor::decode).transpose();
    let after = after.map_err(|error| bad_cursor(error.to_string()))?.map(|cursor| cursor.0).unwrap_or_default();
    let limit = limit(page.limit);
    let values = app.store.kv_list(player, &collection.0, &after, limit).await?;
    let last = values.last().filter(|_| values.len() == limit as usize);
    let next_cursor = last.map(|last| KeyCursor(last.key.clone()).encode());
    let body = |value: crate::store::ListedValue| ListedBody {
        key: value.key,
        version: value.version,
        bytes: value.bytes,
        updated_at_ms: value.updated_at_ms,
    };
    let values = values.into_iter().map(body).collect();
    Ok(private(Json(ListBody { values, next_cursor })).into_response())
}

/// An own value
#[utoipa::path(get, path = "/v1/kv/{collection}/{key}", operation_id = "get_value", tag = "kv", security(("access_token" = [])),
    params(("collection" = String, Path), ("key" = String, Path), ("If-None-Match" = Option<String>, Header)),
    responses(UsualProblems,
        (status = 200, body = serde_json::Value, headers(("ETag" = String, description = "Version of the value"))),
        (status = 304, description = "If-None-Match names the current version")))]
async fn get(
    State(app): State<App>,
    caller: Caller,
    KeyPath(collection, key): KeyPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    rules(&app, &collection.0)?;
    value(&app, Place { player: caller.player_id, collection: collection.0, key: key.0 }, &headers).await
}

/// A public value of another player
///
/// Servers read every value, with a service token.
#[utoipa::path(get, path = "/v1/players/{id}/kv/{collection}/{key}", operation_id = "get_value_of", tag = "kv",
    security(("access_token" = []), ("service_token" = [])),
    params(("id" = Uuid, Path), ("collection" = String, Path), ("key" = String, Path),
        ("If-None-Match" = Option<String>, Header)),
    responses(UsualProblems,
        (status = 200, body = serde_json::Value, headers(("ETag" = String, description = "Version of the value"))),
        (status = 304, description = "If-None-Match names the current version")))]
async fn others_get(
    State(app): State<App>,
    asker: Asker,
    PlayerKeyPath(player, collection, key): PlayerKeyPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    asker.may_read(player, rules(&app, &collection.0)?)?;
    value(&app, Place { player, collection: collection.0, key: key.0 }, &headers).await
}

async fn value(app: &App, place: Place, headers: &HeaderMap) -> Result<Response, Problem> {
    let kept = app.store.kv_value(&place).await?.ok_or_else(unknown_value)?;
    let tag = etag(kept.version);
    let is_known = |known: &str| known == "*" || known.trim_start_matches("W/") == tag;
    if tags(headers, header::IF_NONE_MATCH).any(is_known) {
        return Ok(private((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)])).into_response());
    }
    let json = (header::CONTENT_TYPE, "application/json".to_owned());
    Ok(private(([(header::ETAG, tag), json], kept.value)).into_response())
}

/// Write an own value
///
/// With If-Match only over that version, with If-None-Match: * only where nothing is; otherwise 412. The same write sent again is
/// answered like the first one.
#[utoipa::path(put, path = "/v1/kv/{collection}/{key}", operation_id = "put_value", tag = "kv", security(("access_token" = [])),
    request_body(content = serde_json::Value, description = "Any JSON"),
    params(("collection" = String, Path), ("key" = String, Path), ("If-Match" = Option<String>, Header),
        ("If-None-Match" = Option<String>, Header)),
    responses(UsualProblems,
        (status = 204, description = "It is kept", headers(("ETag" = String, description = "Version of the value")))))]
async fn put(
    State(app): State<App>,
    caller: Caller,
    KeyPath(collection, key): KeyPath,
    headers: HeaderMap,
    RawJson(value): RawJson,
) -> Result<Response, Problem> {
    let place = Place { player: caller.player_id, collection: collection.0, key: key.0 };
    write_one(&app, &Asker::Player(caller.player_id), place, Some(value), &headers).await
}

/// Delete an own value; also where there is none
#[utoipa::path(delete, path = "/v1/kv/{collection}/{key}", operation_id = "delete_value", tag = "kv", security(("access_token" = [])),
    params(("collection" = String, Path), ("key" = String, Path), ("If-Match" = Option<String>, Header)),
    responses(UsualProblems, (status = 204, description = "Nothing is there")))]
async fn delete(
    State(app): State<App>,
    caller: Caller,
    KeyPath(collection, key): KeyPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let place = Place { player: caller.player_id, collection: collection.0, key: key.0 };
    write_one(&app, &Asker::Player(caller.player_id), place, None, &headers).await
}

/// Write a player's value (servers)
#[utoipa::path(put, path = "/v1/players/{id}/kv/{collection}/{key}", operation_id = "put_value_of", tag = "kv", security(("service_token" = [])),
    request_body(content = serde_json::Value, description = "Any JSON"),
    params(("id" = Uuid, Path), ("collection" = String, Path), ("key" = String, Path),
        ("If-Match" = Option<String>, Header), ("If-None-Match" = Option<String>, Header)),
    responses(UsualProblems,
        (status = 204, description = "It is kept", headers(("ETag" = String, description = "Version of the value")))))]
async fn server_put(
    State(app): State<App>,
    _server: ServerCaller,
    PlayerKeyPath(player, collection, key): PlayerKeyPath,
    headers: HeaderMap,
    RawJson(value): RawJson,
) -> Result<Response, Problem> {
    let place = Place { player, collection: collection.0, key: key.0 };
    write_one(&app, &Asker::Server, place, Some(value), &headers).await
}

/// Delete a player's value (servers); also where there is none
#[utoipa::path(delete, path = "/v1/players/{id}/kv/{collection}/{key}", operation_id = "delete_value_of", tag = "kv", security(("service_token" = [])),
    params(("id" = Uuid, Path), ("collection" = String, Path), ("key" = String, Path),
        ("If-Match" = Option<String>, Header)),
    responses(UsualProblems, (status = 204, description = "Nothing is there")))]
async fn server_delete(
    State(app): State<App>,
    _server: ServerCaller,
    PlayerKeyPath(player, collection, key): PlayerKeyPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let place = Place { player, collection: collection.0, key: key.0 };
    write_one(&app, &Asker::Server, place, None, &headers).await
}

async fn write_one(
    app: &App,
    asker: &Asker,
    place: Place,
    value: Option<String>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let change = change(app, asker, place, value, expects(headers)?)?;
    match write(app, asker, vec![change]).await?.first() {
        Some(Some(version)) => Ok((StatusCode::NO_CONTENT, [(header::ETAG, etag(*version))]).into_response()),
        _ => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

/// Read several values at once
#[utoipa::path(post, path = "/v1/kv:read", operation_id = "read_values", tag = "kv", security(("access_token" = []), ("service_token" = [])),
    request_body = ReadBody,
    responses(UsualProblems, (status = 200, body = ValuesBody)))]
async fn batch_read(
    State(app): State<App>,
    asker: Asker,
    Body(body): Body<ReadBody>,
) -> Result<impl IntoResponse, Problem> {
    batch_size(body.places.len())?;
    let mut places = Vec::with_capacity(body.places.len());
    for one in body.places {
        let place = place(&asker, &one)?;
        asker.may_read(place.player, rules(&app, &place.collection)?)?;
        places.push(place);
    }
    let values = app.store.kv_values(&places).await?;
    let values = values.into_iter().map(|kept| kept.map(value_body).transpose()).collect::<Result<_, _>>()?;
    Ok(private(Json(ValuesBody { values })))
}

/// Write several values at once: all of them, or nothing
#[utoipa::path(post, path = "/v1/kv:write", operation_id = "write_values", tag = "kv", security(("access_token" = []), ("service_token" = [])),
    request_body = WriteBody,
    responses(UsualProblems, (status = 200, body = WrittenBody)))]
async fn batch_write(
    State(app): State<App>,
    asker: Asker,
    Body(body): Body<WriteBody>,
) -> Result<Json<WrittenBody>, Problem> {
    batch_size(body.writes.len())?;
    let mut changes: Vec<Change> = Vec::with_capacity(body.writes.len());
    for one in body.writes {
        let expects = match (one.if_absent, one.if_version) {
            (false, None) => Expects::Anything,
            (true, None) => Expects::Absent,
            (false, Some(version)) => Expects::Versions(vec![version]),
            (true, Some(_)) => return Err(invalid_batch("a write has if_version or if_absent, not both")),
        };
        let value = match (one.value, one.delete) {
            (Some(value), false) => {
                whole(&value)?;
                Some(value.get().to_owned())
            }
            (None, true) => None,
            _ => {
                return Err(invalid_batch(
                    "a write has a value, or \"delete\": true; JSON's null is kept by PUT alone",
                ));
            }
        };
        let place = place(&asker, &PlaceBody { player_id: one.player_id, collection: one.collection, key: one.key })?;
        if changes.iter().any(|before| before.place == place) {
            return Err(invalid_batch("two writes of a batch are at the same place"));
        }
        changes.push(change(&app, &asker, place, value, expects)?);
    }
    Ok(Json(WrittenBody { versions: write(&app, &asker, changes).await? }))
}

fn batch_size(count: usize) -> Result<(), Problem> {
    let good = (1..=BATCH_MAX).contains(&count);
    good.then_some(()).ok_or_else(|| invalid_batch(&format!("a batch has 1 to {BATCH_MAX} values")))
}

fn invalid_batch(detail: &str) -> Problem {
    Problem::invalid("invalid-batch", detail)
}

fn place(asker: &Asker, body: &PlaceBody) -> Result<Place, Problem> {
    let player = match (asker, body.player_id) {
        (_, Some(player)) => player,
        (Asker::Player(player), None) => *player,
        (Asker::Server, None) => return Err(invalid_batch("a server names the player_id of each value")),
    };
    let collection: CollectionName = parse(&body.collection)?;
    let key: Key = parse(&body.key)?;
    Ok(Place { player, collection: collection.0, key: key.0 })
}

/// The change, if the asker may make it.
fn change(app: &App, asker: &Asker, place: Place, value: Option<String>, expects: Expects) -> Result<Change, Problem> {
    let rules = rules(app, &place.collection)?;
    asker.may_write(place.player, rules)?;
    let bytes = value.as_ref().map_or(0, String::len) as u64;
    if bytes > rules.value_bytes_max {
        let detail =
            format!("the value has {bytes} bytes; those of this collection have at most {}", rules.value_bytes_max);
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "value-too-large", "Value too large", detail)
            .with("bytes_max", rules.value_bytes_max));
    }
    Ok(Change { place, value, expects, counted: rules.write == Writers::Owner })
}

async fn write(app: &App, asker: &Asker, changes: Vec<Change>) -> Result<Vec<Option<u64>>, Problem> {
    let quota = matches!(asker, Asker::Player(_)).then_some(app.kv.collections.quota);
    let places: Vec<Place> = changes.iter().map(|change| change.place.clone()).collect();
    app.kv.write(Request { changes, quota }).await?.map_err(|(at, refusal)| {
        let problem = refused(app, refusal);
        match places.get(at).filter(|_| places.len() > 1) {
            Some(place) => problem.with("collection", place.collection.clone()).with("key", place.key.clone()),
            None => problem,
        }
    })
}

fn refused(app: &App, refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Stale { version } => {
            let detail = "the value is not the one that you expect: read it again";
            let problem = Problem::new(StatusCode::PRECONDITION_FAILED, "stale", "Changed meanwhile", detail);
            problem.with("version", version)
        }
        Refusal::Full { usage } => {
            let quota = app.kv.collections.quota;
            let detail = format!(
                "you would keep {} bytes in {} values; at most {} and {} are possible: delete something",
                usage.bytes, usage.count, quota.bytes, quota.count
            );
            Problem::conflict("quota-exceeded", detail).with("bytes_max", quota.bytes).with("values_max", quota.count)
        }
        Refusal::NoPlayer => Problem::not_found("unknown-player", "there is no such player"),
    }
}

fn value_body(kept: Kept) -> Result<ValueBody, Problem> {
    let value = serde_json::value::RawValue::from_string(kept.value).map_err(|error| {
        tracing::error!(%error, "a value in the database is not JSON");
        Problem::internal()
    })?;
    Ok(ValueBody { value, version: kept.version, updated_at_ms: kept.updated_at_ms })
}

fn etag(version: u64) -> String {
    format!("\"{version}\"")
}

/// The entity tags that a header lists.
fn tags(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|tag| !tag.is_empty())
}

/// What the headers ask of a write.
fn expects(headers: &HeaderMap) -> Result<Expects, Problem> {
    let bad =
        |detail: &str| Problem::new(StatusCode::BAD_REQUEST, "invalid-precondition", "Invalid precondition", detail);
    match (headers.contains_key(header::IF_MATCH), headers.contains_key(header::IF_NONE_MATCH)) {
        (false, false) => Ok(Expects::Anything),
        (true, true) => Err(bad("send If-Match or If-None-Match, not both")),
        (false, true) if tags(headers, header::IF_NONE_MATCH).eq(["*"]) => Ok(Expects::Absent),
        (false, true) => Err(bad("a write takes If-None-Match: * alone")),
        (true, false) if tags(headers, header::IF_MATCH).eq(["*"]) => Ok(Expects::Present),
        (true, false) => {
            // A tag that metagame did not make, or a weak one, names no version.
            let version = |tag: &str| tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok();
            Ok(Expects::Versions(tags(headers, header::IF_MATCH).filter_map(version).collect()))
        }
    }
}
