//! Metagame's REST API in memory: the next two players in the queue get a match.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use arena::Arena;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use game::Game as _;
use netcode::endpoint::Carrier;
use protocol::id::{MatchId, PlayerId};
use serde_json::{Value, json};

use super::game_server::GameServer;

/// What the stand-in knows.
#[derive(Default)]
pub(crate) struct World {
    accounts: BTreeMap<String, PlayerId>,
    tickets: BTreeMap<String, (PlayerId, Option<MatchId>, bool)>,
    matches: BTreeMap<MatchId, (Vec<PlayerId>, GameServer)>,
    tokens: u64,
    /// Answers of this kind that the next calls get, the last first.
    pub(crate) faults: Vec<(StatusCode, Option<&'static str>)>,
    /// Access tokens issued before this one are expired.
    pub(crate) generation: u64,
    /// Calls so far.
    pub(crate) calls: Vec<String>,
    /// Streams are refused: tickets must be polled.
    pub(crate) no_streams: bool,
    /// A carrier that does not reach the game servers.
    pub(crate) blocked: Option<Carrier>,
    /// Length of a match beyond 5 s.
    pub(crate) more_seconds: u32,
}

type Shared = Arc<Mutex<World>>;

/// Starts the stand-in; returns its address.
pub(crate) async fn start(world: Shared) -> SocketAddr {
    let app = Router::new()
        .route("/v1/auth/device", post(login))
        .route("/v1/auth/refresh", post(refresh))
        .route("/v1/queues", get(queues))
        .route("/v1/tickets", post(create_ticket))
        .route("/v1/tickets/{id}", get(ticket).delete(cancel))
        .route("/v1/tickets/{id}/events", get(events))
        .route("/v1/matches/{id}/join-token", post(join_token))
        .route("/v1/players/me/matches", get(history))
        .with_state(world);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

fn problem(status: StatusCode, kind: &str, extras: &Value) -> Response {
    let mut body = json!({ "type": format!("urn:muster:problem:{kind}"), "detail": "a test" });
    body.as_object_mut().unwrap().extend(extras.as_object().unwrap().clone());
    (status, Json(body)).into_response()
}

fn session(world: &World, player: PlayerId) -> Response {
    let access = format!("{player} {}", world.generation);
    Json(json!({ "player_id": player, "access_token": access, "refresh_token": format!("refresh {player}") }))
        .into_response()
}

async fn login(State(world): State<Shared>, Json(body): Json<Value>) -> Response {
    let mut world = world.lock().unwrap();
    world.calls.push("login".into());
    let device = body["device_id"].as_str().unwrap().to_owned();
    assert!(device.len() == 32 && device.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let next = PlayerId::from_entropy([world.accounts.len() as u8 + 1; 16]);
    let player = *world.accounts.entry(device).or_insert(next);
    session(&world, player)
}

async fn refresh(State(world): State<Shared>, Json(body): Json<Value>) -> Response {
    let mut world = world.lock().unwrap();
    world.calls.push("refresh".into());
    let player = body["refresh_token"].as_str().unwrap().strip_prefix("refresh ").unwrap().parse().unwrap();
    session(&world, player)
}

/// Who calls, unless the call is to fail.
fn caller(world: &mut World, headers: &HeaderMap, call: &str) -> Result<PlayerId, Box<Response>> {
    world.calls.push(call.into());
    if let Some((status, retry_after)) = world.faults.pop() {
        let mut answer = problem(status, "test", &json!({}));
        if let Some(seconds) = retry_after {
            answer.headers_mut().insert("retry-after", seconds.parse().unwrap());
        }
        return Err(Box::new(answer));
    }
    let bearer = headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap();
    let (player, generation) = bearer.split_once(' ').unwrap();
    if generation.parse() != Ok(world.generation) {
        return Err(Box::new(problem(StatusCode::UNAUTHORIZED, "token-expired", &json!({}))));
    }
    Ok(player.parse().unwrap())
}

async fn queues(State(world): State<Shared>, headers: HeaderMap) -> Response {
    match caller(&mut world.lock().unwrap(), &headers, "queues") {
        Ok(_) => Json(json!({ "queues": [{ "name": "duel", "regions": ["here", "there"] }] })).into_response(),
        Err(answer) => *answer,
    }
}

async fn create_ticket(State(world): State<Shared>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let world = &mut *world.lock().unwrap();
    let player = match caller(world, &headers, "create ticket") {
        Ok(player) => player,
        Err(answer) => return *answer,
    };
    assert_eq!(body["region_rtts"].as_array().unwrap().len(), 2);
    let id = body["ticket_id"].as_str().unwrap().to_owned();
    world.tickets.insert(id.clone(), (player, None, false));
    let waiting = world.tickets.iter().filter(|(_, (_, placed, cancelled))| placed.is_none() && !cancelled);
    let waiting: Vec<String> = waiting.map(|(id, _)| id.clone()).collect();
    if let [first, second] = &waiting[..] {
        let match_id = MatchId::from_entropy([world.matches.len() as u8 + 100; 16]);
        let players = vec![world.tickets[first].0, world.tickets[second].0];
        let server = GameServer::start(match_id, &players, 5 + world.more_seconds, world.blocked);
        world.matches.insert(match_id, (players, server));
        for id in &waiting {
            world.tickets.get_mut(id).unwrap().1 = Some(match_id);
        }
    }
    (StatusCode::CREATED, Json(ticket_json(world, &id))).into_response()
}

fn ticket_json(world: &World, id: &str) -> Value {
    let (_, placed, cancelled) = &world.tickets[id];
    let state = match (placed, cancelled) {
        (Some(_), _) => "completed",
        (None, true) => "cancelled",
        (None, false) => "queued",
    };
    json!({ "ticket_id": id, "state": state, "match": placed.map(|match_id| match_json(world, match_id)) })
}

fn match_json(world: &World, match_id: MatchId) -> Value {
    let server = &world.matches[&match_id].1;
    json!({
        "match_id": match_id,
        "address": server.address.to_string(),
        "server_key": URL_SAFE_NO_PAD.encode(server.server_key),
        "quic_fingerprints": [URL_SAFE_NO_PAD.encode(server.fingerprint)],
        "routing_token": URL_SAFE_NO_PAD.encode([7]),
        "schema_hash": format!("{:016x}", Arena::schema().hash()),
    })
}

async fn ticket(State(world): State<Shared>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let world = &mut *world.lock().unwrap();
    match caller(world, &headers, "ticket") {
        Ok(_) => Json(ticket_json(world, &id)).into_response(),
        Err(answer) => *answer,
    }
}

async fn cancel(State(world): State<Shared>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let world = &mut *world.lock().unwrap();
    match caller(world, &headers, "cancel") {
        Ok(_) => {
            world.tickets.get_mut(&id).unwrap().2 = true;
            Json(ticket_json(world, &id)).into_response()
        }
        Err(answer) => *answer,
    }
}

/// The ticket as it stands, then the end of the stream: the caller has to come back.
async fn events(State(world): State<Shared>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let world = &mut *world.lock().unwrap();
    match caller(world, &headers, "events") {
        Ok(_) if world.no_streams => problem(StatusCode::SERVICE_UNAVAILABLE, "too-many-streams", &json!({})),
        Ok(_) => {
            let body = format!(": hello\n\nid: 1\nevent: ticket\ndata: {}\n\n", ticket_json(world, &id));
            ([("content-type", "text/event-stream")], body).into_response()
        }
        Err(answer) => *answer,
    }
}

async fn join_token(State(world): State<Shared>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    let world = &mut *world.lock().unwrap();
    let player = match caller(world, &headers, "join token") {
        Ok(player) => player,
        Err(answer) => return *answer,
    };
    let match_id = id.parse().unwrap();
    world.tokens += 1;
    let token = format!("{player} {}", world.tokens);
    Json(json!({ "join_token": token, "expires_at_ms": 0, "match": match_json(world, match_id) })).into_response()
}

async fn history(State(world): State<Shared>, headers: HeaderMap) -> Response {
    let world = &mut *world.lock().unwrap();
    let player = match caller(world, &headers, "history") {
        Ok(player) => player,
        Err(answer) => return *answer,
    };
    let own = world.matches.iter().filter(|(_, (players, _))| players.contains(&player));
    let over = own.filter(|(_, (_, server))| server.is_over.load(Ordering::Relaxed));
    let matches: Vec<_> = over.map(|(match_id, _)| json!({ "match_id": match_id })).collect();
    Json(json!({ "matches": matches, "next_cursor": null })).into_response()
}
