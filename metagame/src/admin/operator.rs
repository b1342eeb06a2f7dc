//! Who orders something on the admin port.
//!
//! An operator's token is a service token for the audience `muster-metagame-admin` whose program is `operator:<name>`. On one
//! machine `muster operator-token` mints it from the installation's service key; on Kubernetes it is the token of a
//! service account that `--callers` names (`ops:ada=operator:ada`), made by `kubectl create token`.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use protocol::id::PlayerId;

use crate::app::App;
use crate::core::act::{NOTE_BYTES_MAX, is_reason};
use crate::problem::{Problem, REQUEST_ID};
use crate::store::Order;

/// Audience of operators' tokens.
pub const OPERATOR_AUDIENCE: &str = "muster-metagame-admin";
/// How the program of an operator's token begins; the name follows.
pub const OPERATOR: &str = "operator:";
/// Where a note of an operator is kept.
const SEALED_NOTE: &str = "operator note";
/// The actor of what came without a name.
const NOBODY: &str = "admin-port";

/// An operator whose token is good.
#[derive(Debug, Clone)]
pub(crate) struct Operator {
    /// `operator:<name>`.
    actor: String,
}

impl FromRequestParts<App> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.strip_prefix("Bearer ")).ok_or_else(|| {
            let detail = "send an operator's token as \"Authorization: Bearer …\": `muster operator-token` makes one";
            Problem::unauthenticated("unauthenticated", detail)
        })?;
        let judge = app.servers.as_ref().ok_or_else(|| {
            Problem::forbidden("no-operators", "this installation knows no service tokens, so it knows no operators")
        })?;
        let proven = judge.judge(token.trim(), OPERATOR_AUDIENCE, service::clock::unix_s());
        let proven = proven.map_err(|error| Problem::unauthenticated("token-invalid", error.to_string()))?;
        if proven.program.strip_prefix(OPERATOR).is_none_or(str::is_empty) {
            let detail = format!("{} is no operator: an operator's program is {OPERATOR}<name>", proven.program);
            return Err(Problem::forbidden("not-an-operator", detail));
        }
        Ok(Self { actor: proven.program })
    }
}

/// For calls that are older than the tokens: without the header nobody is named, with a bad one the call is refused.
impl OptionalFromRequestParts<App> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Option<Self>, Problem> {
        if parts.headers.contains_key(AUTHORIZATION) {
            return <Self as FromRequestParts<App>>::from_request_parts(parts, app).await.map(Some);
        }
        Ok(None)
    }
}

impl Operator {
    /// What this operator orders about a player. The note is sealed under the player's key.
    pub(crate) async fn order(
        &self,
        app: &App,
        player: PlayerId,
        reason: &str,
        note: Option<&str>,
    ) -> Result<Order, Problem> {
        if !is_reason(reason) {
            let detail = "a reason is a code of lower-case letters, digits and dashes, such as \"cheating\"; words go \
                          into the note, which is erased with the player";
            return Err(Problem::invalid("invalid-reason", detail));
        }
        let at_ms = service::clock::unix_ms();
        let note = match note.filter(|note| !note.is_empty()) {
            None => None,
            Some(note) if note.len() > NOTE_BYTES_MAX => {
                return Err(Problem::invalid("invalid-note", format!("a note has at most {NOTE_BYTES_MAX} bytes")));
            }
            Some(note) => seal_note(app, player, note, at_ms).await?,
        };
        Ok(Order { actor: self.actor.clone(), reason: reason.to_owned(), note, request_id: request_id(), at_ms })
    }
}

/// What somebody orders who need not be named and gives no reason: that is in the detail.
pub(crate) fn order_of(operator: Option<&Operator>) -> Order {
    let actor = operator.map_or_else(|| NOBODY.to_owned(), |operator| operator.actor.clone());
    Order { actor, reason: String::new(), note: None, request_id: request_id(), at_ms: service::clock::unix_ms() }
}

/// What a player orders about itself.
pub(crate) fn order_of_player(player: PlayerId) -> Order {
    Order {
        actor: format!("player:{player}"),
        reason: "own-request".to_owned(),
        note: None,
        request_id: request_id(),
        at_ms: service::clock::unix_ms(),
    }
}

/// Words of an operator about a player, as they are kept.
pub(crate) async fn seal_note(
    app: &App,
    player: PlayerId,
    note: &str,
    now_ms: u64,
) -> Result<Option<Vec<u8>>, Problem> {
    let key = app.store.account_key(&app.identity.vault, player, now_ms).await?.ok_or_else(unknown_player)?;
    Ok(Some(key.seal(SEALED_NOTE, note.as_bytes())))
}

/// A note in words, where the player's key still opens it.
pub(crate) async fn read_note(app: &App, player: PlayerId, sealed: Option<&[u8]>) -> Result<Option<String>, Problem> {
    open(app, player, SEALED_NOTE, sealed).await
}

/// Something sealed of a player in words; `None` where there is nothing, or the player was erased.
pub(crate) async fn open(
    app: &App,
    player: PlayerId,
    purpose: &str,
    sealed: Option<&[u8]>,
) -> Result<Option<String>, Problem> {
    let Some(sealed) = sealed else { return Ok(None) };
    let key = app.store.account_key(&app.identity.vault, player, service::clock::unix_ms()).await?;
    let opened = key.and_then(|key| key.open(purpose, sealed).ok());
    Ok(opened.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

pub(crate) fn unknown_player() -> Problem {
    Problem::not_found("unknown-player", "there is no such player")
}

fn request_id() -> String {
    REQUEST_ID.try_with(Clone::clone).unwrap_or_else(|_| hex::encode(service::random::bytes::<16>()))
}
