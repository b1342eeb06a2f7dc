//! Who asks for values, for which, and whether it may.

use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use protocol::id::PlayerId;

use crate::app::App;
use crate::auth::{Caller, ServerCaller};
use crate::core::kv::{Collection, CollectionName, Key, Readers, Writers};
use crate::problem::Problem;

/// Who asks: a player, or one of the studio's servers.
pub(super) enum Asker {
    Player(PlayerId),
    Server,
}

impl FromRequestParts<App> for Asker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let problem = match Caller::from_request_parts(parts, app).await {
            Ok(caller) => return Ok(Self::Player(caller.player_id)),
            Err(problem) => problem,
        };
        match ServerCaller::from_request_parts(parts, app).await {
            Ok(_) => Ok(Self::Server),
            Err(_) => Err(problem),
        }
    }
}

impl Asker {
    /// Whether it reads values of `owner` in a collection of these rules.
    pub(super) fn may_read(&self, owner: PlayerId, rules: Collection) -> Result<(), Problem> {
        match self {
            Self::Player(player) if *player != owner && rules.read == Readers::Owner => {
                Err(Problem::forbidden("not-public", "other players' values of this collection are not public"))
            }
            _ => Ok(()),
        }
    }

    /// Whether it writes values of `owner` there.
    pub(super) fn may_write(&self, owner: PlayerId, rules: Collection) -> Result<(), Problem> {
        match self {
            Self::Server => Ok(()),
            Self::Player(player) if *player != owner => {
                Err(Problem::forbidden("not-yours", "players write values of their own alone"))
            }
            Self::Player(_) if rules.write == Writers::Server => {
                Err(Problem::forbidden("server-only", "players cannot write this collection: their servers do"))
            }
            Self::Player(_) => Ok(()),
        }
    }
}

/// Collection and key in the path.
pub(super) struct KeyPath(pub(super) CollectionName, pub(super) Key);

impl<S: Send + Sync> FromRequestParts<S> for KeyPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let (collection, key) = path.map_err(|rejection| bad_id(&rejection.body_text()))?.0;
        Ok(Self(parse(&collection)?, parse(&key)?))
    }
}

/// Player, collection and key in the path.
pub(super) struct PlayerKeyPath(pub(super) PlayerId, pub(super) CollectionName, pub(super) Key);

impl<S: Send + Sync> FromRequestParts<S> for PlayerKeyPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<(String, String, String)>::from_request_parts(parts, state).await;
        let (player, collection, key) = path.map_err(|rejection| bad_id(&rejection.body_text()))?.0;
        Ok(Self(parse(&player)?, parse(&collection)?, parse(&key)?))
    }
}

/// Player and collection in the path.
pub(super) struct PlayerCollectionPath(pub(super) PlayerId, pub(super) CollectionName);

impl<S: Send + Sync> FromRequestParts<S> for PlayerCollectionPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let (player, collection) = path.map_err(|rejection| bad_id(&rejection.body_text()))?.0;
        Ok(Self(parse(&player)?, parse(&collection)?))
    }
}

/// An id or a name.
pub(super) fn parse<T>(text: &str) -> Result<T, Problem>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| bad_id(&error.to_string()))
}

fn bad_id(detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid-id", "Invalid id", detail)
}
