//! Players as these clients see them.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use protocol::id::PlayerId;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::auth::{read_username, taken, username_index};
use super::{Player, id, scores};
use crate::api::passwords::{SEALED_EMAIL, index, read_email};
use crate::api::private;
use crate::app::App;
use crate::core::gamemesh;
use crate::core::live::rule::Act;
use crate::core::rating::Rating;
use crate::extract::Body;
use crate::problem::Problem;
use crate::rules::name_facts;
use crate::store::gamemesh::{Named, NamedChange};

#[derive(Serialize)]
pub(super) struct PlayerBody {
    id: PlayerId,
    username: String,
    /// The caller's own alone; of others it is empty.
    email: String,
    created_at: String,
    updated_at: String,
    stats: StatsBody,
}

#[derive(Serialize)]
struct StatsBody {
    rank: u64,
    score: serde_json::Number,
    games_played: u64,
}

#[derive(Deserialize)]
pub(super) struct ChangeBody {
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    email: Option<String>,
}

/// A time as their clients read it.
pub(super) fn time(at_ms: u64) -> String {
    let at =
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.format(&Rfc3339).unwrap_or_default()
}

fn unknown() -> Problem {
    Problem::not_found("unknown-player", "player not found")
}

/// The player's rank by the rating that the queue knows of it.
pub(super) async fn rank_in_queue(app: &App, player: PlayerId) -> Result<u64, Problem> {
    let Some(compat) = &app.gamemesh else { return Err(unknown()) };
    // Without a matchmaker there is no queue to ask, and a profile is shown all the same.
    let Ok(queue) = compat.queue(&app.tickets).await else { return Ok(gamemesh::rank(Rating::default())) };
    let ratings = app.store.ratings_of(&queue.name, &[player]).await?;
    Ok(gamemesh::rank(ratings.first().map(|(_, rating)| *rating).unwrap_or_default()))
}

pub(super) async fn player_body(app: &App, player: PlayerId, is_own: bool) -> Result<PlayerBody, Problem> {
    let named = app.store.named_player(player).await?.ok_or_else(unknown)?;
    let email = match named.sealed_email.filter(|_| is_own) {
        Some(sealed) => {
            let key = app.store.account_key(&app.identity.vault, player, service::clock::unix_ms()).await?;
            let opened = key.and_then(|key| key.open(SEALED_EMAIL, &sealed).ok());
            opened.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
        }
        None => String::new(),
    };
    let score = scores::entry(app, player).await?.map_or_else(|| 0.into(), |entry| entry.score);
    let rank = rank_in_queue(app, player).await?;
    Ok(PlayerBody {
        id: player,
        username: named.name,
        email,
        created_at: time(named.created_at_ms),
        updated_at: time(named.updated_at_ms),
        stats: StatsBody { rank, score, games_played: named.matches },
    })
}

fn whose(text: &str, caller: Player) -> Result<PlayerId, Problem> {
    if text == "me" { Ok(caller.id) } else { id(text, "player id") }
}

pub(super) async fn show(
    State(app): State<App>,
    caller: Player,
    Path(whom): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let player = whose(&whom, caller)?;
    Ok(private(Json(player_body(&app, player, player == caller.id).await?)))
}

pub(super) async fn change(
    State(app): State<App>,
    caller: Player,
    Path(whom): Path<String>,
    Body(body): Body<ChangeBody>,
) -> Result<impl IntoResponse, Problem> {
    let player = whose(&whom, caller)?;
    if player != caller.id {
        return Err(Problem::forbidden("not-you", "cannot update another player's profile"));
    }
    let username = body.username.as_deref().map(read_username).transpose()?;
    let email = body.email.as_deref().map(read_email).transpose()?;
    let now_ms = service::clock::unix_ms();
    let email = match email {
        Some(email) => {
            let key = app.store.account_key(&app.identity.vault, player, now_ms).await?.ok_or_else(unknown)?;
            Some((index(&app, &email), key.seal(SEALED_EMAIL, email.as_str().as_bytes())))
        }
        None => None,
    };
    let username = username.map(|username| {
        let name = username.as_str().parse().expect("letters and digits are a name");
        (name, username_index(&app, &username))
    });
    if let Some((name, _)) = username.as_ref().filter(|_| app.has_rules(Act::Name)) {
        app.permit(Act::Name, Some(player), name_facts(name)).await?;
    }
    match app.store.change_named(NamedChange { player, username, email, now_ms }).await? {
        Named::Done => {
            app.ranks.forget_name(player);
            Ok(private(Json(player_body(&app, player, true).await?)))
        }
        Named::Taken => Err(taken()),
        Named::Unknown => Err(unknown()),
    }
}
