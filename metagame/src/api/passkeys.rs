//! Passkeys and security keys: added, listed, removed, and asked to answer.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use webauthn_rs::prelude::{PublicKeyCredential, RegisterPublicKeyCredential};

use super::passwords::notice;
use super::private;
use crate::app::App;
use crate::auth::{Caller, Strong, require_strong};
use crate::core::factor::{RECOVERY_CODES, StrongBy, recovery_code};
use crate::core::letter::News;
use crate::extract::{Body, Named};
use crate::identity::factors::recovery_hash;
use crate::identity::passkeys::{self, Challenge, Listed};
use crate::problem::{Problem, UsualProblems};
use crate::store::{NewPasskey, PasskeyAdded};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(begin, list))
        .routes(routes!(confirm))
        .routes(routes!(challenge))
        .routes(routes!(remove))
}

/// A challenge for the browser or the platform.
#[derive(Debug, Serialize, ToSchema)]
struct PasskeyChallengeBody {
    /// Send it back with the answer.
    challenge_id: Uuid,
    /// What `navigator.credentials.create` or `.get` takes, as JSON (WebAuthn level 3, parseCreationOptionsFromJSON).
    #[schema(value_type = Object)]
    options: Value,
    /// Unix milliseconds: 5 minutes from now.
    expires_at_ms: u64,
}

/// A new passkey.
#[derive(Deserialize, ToSchema)]
struct NewPasskeyBody {
    challenge_id: Uuid,
    /// What its owner calls it: 1 to 64 bytes.
    #[schema(example = "Ada's phone")]
    name: String,
    /// What `navigator.credentials.create` gave, as `toJSON` writes it.
    #[schema(value_type = Object)]
    credential: Value,
}

/// A passkey's answer to a challenge.
#[derive(Deserialize, ToSchema)]
pub(super) struct PasskeyAnswerBody {
    pub(super) challenge_id: Uuid,
    /// What `navigator.credentials.get` gave, as `toJSON` writes it.
    #[schema(value_type = Object)]
    credential: Value,
}

/// A passkey was added.
#[derive(Debug, Serialize, ToSchema)]
struct PasskeyAddedBody {
    passkey_id: String,
    /// Each works once in place of a second factor; only with the account's first one. They are shown now and never again.
    recovery_codes: Vec<String>,
    /// A JWT that says that a second factor was shown.
    access_token: String,
    /// Unix milliseconds.
    access_expires_at_ms: u64,
}

/// A passkey.
#[derive(Debug, Serialize, ToSchema)]
struct PasskeyBody {
    /// For DELETE.
    passkey_id: String,
    name: String,
    /// Unix milliseconds.
    created_at_ms: u64,
    /// Unix milliseconds of its newest use.
    used_at_ms: Option<u64>,
}

/// The account's passkeys.
#[derive(Debug, Serialize, ToSchema)]
struct PasskeysBody {
    passkeys: Vec<PasskeyBody>,
}

impl PasskeyAnswerBody {
    /// The answer, read.
    pub(super) fn credential(&self) -> Result<PublicKeyCredential, Problem> {
        read(&self.credential)
    }
}

/// A challenge as it stands in a problem.
pub(super) fn challenge_json<T: Serialize>(challenge: &Challenge<T>) -> Value {
    json!(body(challenge))
}

/// Begin to add a passkey
#[utoipa::path(post, path = "/v1/auth/mfa/webauthn", operation_id = "begin_passkey", tag = "auth", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = PasskeyChallengeBody)))]
async fn begin(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    require_strong(&app, &caller).await?;
    app.identity.allow_factor(&app.store, caller.player_id).await?;
    let challenge = passkeys::begin(&app, caller.player_id).await?;
    Ok(private(Json(body(&challenge))))
}

/// Add the passkey that answered
///
/// From now on a login by password asks for a second factor, and so do changes of the account. All other sessions end.
#[utoipa::path(post, path = "/v1/auth/mfa/webauthn/confirm", operation_id = "confirm_passkey", tag = "auth", security(("access_token" = [])), request_body = NewPasskeyBody,
    responses(UsualProblems, (status = 200, body = PasskeyAddedBody)))]
async fn confirm(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<NewPasskeyBody>,
) -> Result<impl IntoResponse, Problem> {
    require_strong(&app, &caller).await?;
    let (player, now_ms) = (caller.player_id, service::clock::unix_ms());
    let credential: RegisterPublicKeyCredential = read(&body.credential)?;
    let registered = passkeys::register(&app, player, body.challenge_id, body.name, &credential).await?;
    let codes: Vec<String> = (0..RECOVERY_CODES).map(|_| recovery_code(service::random::bytes())).collect();
    let new = NewPasskey {
        player,
        passkey_id: registered.passkey_id,
        sealed: registered.sealed,
        recovery: codes.iter().map(|code| recovery_hash(&app, player, code)).collect(),
        session: caller.session,
        mail: notice(&app, player, News::IdentitiesChanged, now_ms).await?,
        now_ms,
    };
    let is_first = match app.store.add_passkey(new).await? {
        PasskeyAdded::Done { is_first } => is_first,
        PasskeyAdded::Taken => {
            return Err(Problem::conflict("passkey-exists", "this passkey belongs to an account already"));
        }
        PasskeyAdded::TooMany => {
            return Err(Problem::conflict("too-many-passkeys", "your account has too many passkeys: remove one first"));
        }
    };
    app.identity.revoked.look(&app.store).await?;
    let strong = Strong { by: StrongBy::Webauthn, at_ms: now_ms };
    let (access_token, access_expires_at_ms) = app.access.mint(player, caller.session, Some(strong), now_ms / 1_000);
    Ok(private(Json(PasskeyAddedBody {
        passkey_id: hex::encode(registered.passkey_id),
        recovery_codes: if is_first { codes } else { Vec::new() },
        access_token,
        access_expires_at_ms,
    })))
}

/// The account's passkeys
#[utoipa::path(get, path = "/v1/auth/mfa/webauthn", operation_id = "list_passkeys", tag = "auth", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = PasskeysBody)))]
async fn list(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    let shown = |one: Listed| PasskeyBody {
        passkey_id: hex::encode(one.stored.passkey_id),
        name: one.name,
        created_at_ms: one.stored.created_at_ms,
        used_at_ms: one.stored.used_at_ms,
    };
    let passkeys = passkeys::list(&app, caller.player_id).await?.into_iter().map(shown).collect();
    Ok(private(Json(PasskeysBody { passkeys })))
}

/// Ask for a challenge for one of the account's passkeys
///
/// Show the answer with POST /v1/auth/mfa.
#[utoipa::path(post, path = "/v1/auth/mfa/webauthn/challenge", operation_id = "challenge_passkey", tag = "auth", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = PasskeyChallengeBody)))]
async fn challenge(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    let challenge = passkeys::challenge(&app, caller.player_id).await?;
    let none = || Problem::not_found("no-passkey", "your account has no passkey, or this installation takes none");
    Ok(private(Json(body(&challenge.ok_or_else(none)?))))
}

/// Remove a passkey
#[utoipa::path(delete, path = "/v1/auth/mfa/webauthn/{id}", operation_id = "remove_passkey", tag = "auth", security(("access_token" = [])), params(("id" = String, Path)),
    responses(UsualProblems, (status = 204)))]
async fn remove(State(app): State<App>, caller: Caller, Named(id): Named<String>) -> Result<StatusCode, Problem> {
    require_strong(&app, &caller).await?;
    let unknown = || Problem::not_found("no-passkey", "your account has no such passkey");
    let passkey_id = hex::decode(&id).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).ok_or_else(unknown)?;
    let now_ms = service::clock::unix_ms();
    let mail = notice(&app, caller.player_id, News::IdentitiesChanged, now_ms).await?;
    if app.store.remove_passkey(caller.player_id, passkey_id, mail, now_ms).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(unknown())
    }
}

fn body<T: Serialize>(challenge: &Challenge<T>) -> PasskeyChallengeBody {
    let options = serde_json::to_value(&challenge.options).expect("plain data");
    PasskeyChallengeBody { challenge_id: challenge.challenge_id, options, expires_at_ms: challenge.expires_at_ms }
}

fn read<T: DeserializeOwned>(credential: &Value) -> Result<T, Problem> {
    let detail = "`credential` must be what the platform gave, as toJSON writes it";
    T::deserialize(credential).map_err(|_| Problem::invalid("invalid-passkey", detail))
}
