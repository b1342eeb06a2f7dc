//! What the admin port shows of running matches: `GET /matches`, and `GET /matches/{id}/live` as server-sent events.
//!
//! `/matches` gives figures that only grow ([`figures`]). `/live` begins with an event `match` (what does not change),
//! goes on with `frame` (the world, at most ten a second) and `players` (their paths, once a second), and ends with `end`.

pub mod figures;
pub mod live;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::Stream;
use protocol::id::MatchId;
use serde_json::{Value, json};
use tokio::time::Instant;

use self::figures::{TickPhase, bucket_ends_us};
use crate::room_link::{Directory, RoomLink};

/// How often the players' paths are told, and how long silence may last.
const PLAYERS_EVERY: Duration = Duration::from_secs(1);

/// The routes, over the rooms of `directory`.
pub fn routes(directory: Directory) -> Router {
    Router::new().route("/matches", get(matches)).route("/matches/{id}/live", get(live)).with_state(directory)
}

async fn matches(State(directory): State<Directory>) -> Json<Value> {
    let one = |link: &Arc<RoomLink>| {
        let mut about = json!({
            "match_id": link.id.to_string(),
            "tick_load_permille": link.tick_load_permille.load(Ordering::Relaxed),
            "figures": link.figures.to_json(),
        });
        for name in ["game", "tick_rate_hz", "players"] {
            about[name] = link.live.about()[name].clone();
        }
        about
    };
    let matches: Vec<Value> = directory.links().iter().map(one).collect();
    let phases = TickPhase::ALL.map(TickPhase::label);
    Json(json!({ "phases": phases, "tick_us_ends": bucket_ends_us().to_vec(), "matches": matches }))
}

async fn live(State(directory): State<Directory>, Path(id): Path<String>) -> Response {
    let link = id.parse::<MatchId>().ok().and_then(|id| directory.find(id));
    let Some(link) = link else { return (StatusCode::NOT_FOUND, "no such match runs here\n").into_response() };
    if !link.live.enter() {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many watch this match already\n").into_response();
    }
    let watcher = Watcher { link, next: Next::About, seen: None, players_at: Instant::now() };
    Sse::new(events(watcher)).into_response()
}

/// One who watches; leaves when it is dropped.
struct Watcher {
    link: Arc<RoomLink>,
    next: Next,
    seen: Option<u32>,
    players_at: Instant,
}

#[derive(PartialEq, Eq)]
enum Next {
    About,
    States,
    Nothing,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.link.live.leave();
    }
}

fn events(watcher: Watcher) -> impl Stream<Item = Result<Event, Infallible>> {
    futures_util::stream::unfold(watcher, |mut watcher| async move {
        let event = watcher.event().await?;
        Some((Ok(event), watcher))
    })
}

impl Watcher {
    /// The next event; `None` after the last.
    async fn event(&mut self) -> Option<Event> {
        match self.next {
            Next::About => {
                self.next = Next::States;
                return Some(Event::default().event("match").data(self.link.live.about().to_string()));
            }
            Next::States => {}
            Next::Nothing => return None,
        }
        let link = Arc::clone(&self.link);
        loop {
            // Asked for before the slot is read: a state that comes in between is not missed.
            let changed = link.live.changed();
            if link.live.is_over() {
                self.next = Next::Nothing;
                return Some(Event::default().event("end").data("{}"));
            }
            if Instant::now() >= self.players_at {
                self.players_at = Instant::now() + PLAYERS_EVERY;
                let players = Value::Array(link.figures.seats_json());
                return Some(Event::default().event("players").data(players.to_string()));
            }
            if let Some((tick, frame)) = link.live.frame_json(self.seen) {
                self.seen = Some(tick);
                return Some(Event::default().event("frame").data(frame));
            }
            let _ = tokio::time::timeout_at(self.players_at, changed).await;
        }
    }
}
