//! The ways into the player's account: listed, linked and unlinked.

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::passwords::{
    Ask, CodeBody, CodeSentBody, Pending, SEALED_EMAIL, choose, code_gone, code_wrong, index, notice, read_email,
    send_code, tried,
};
use super::private;
use crate::app::App;
use crate::auth::{Caller, require_strong};
use crate::connections::Peer;
use crate::core::device::device_hash;
use crate::core::email::Email;
use crate::core::letter::News;
use crate::extract::{Body, Named};
use crate::identity::federation::SEALED_NAME;
use crate::problem::{Problem, UsualProblems};
use crate::store::{EMAIL, Linked, ListedIdentity, NewLink, PasswordLink, Unlinked};

/// Purpose of codes.
const LINK: &str = "link";

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(link_device))
        .routes(routes!(link_password))
        .routes(routes!(verify_password))
        .routes(routes!(unlink))
}

/// A way into the account.
#[derive(Debug, Serialize, ToSchema)]
struct IdentityBody {
    /// For DELETE.
    identity_id: String,
    /// device, email, steam, or the name of an identity provider.
    provider: String,
    /// What it is, where that is not a secret: an address, a Steam id.
    name: Option<String>,
    /// Unix milliseconds, if it is known.
    linked_at_ms: Option<u64>,
}

/// All ways into the account.
#[derive(Debug, Serialize, ToSchema)]
struct IdentitiesBody {
    identities: Vec<IdentityBody>,
}

/// A device to link.
#[derive(Deserialize, ToSchema)]
struct LinkDeviceBody {
    /// 32 hex digits: 128 random bits that the device makes once and keeps secret.
    device_id: String,
}

/// An address and a password to link.
#[derive(Deserialize, ToSchema)]
struct LinkPasswordBody {
    #[schema(example = "ada@example.org")]
    email: String,
    password: String,
}

/// The ways into the account
#[utoipa::path(get, path = "/v1/players/me/identities", operation_id = "list_identities", tag = "auth", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = IdentitiesBody)))]
async fn list(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    let key = app.store.account_key(&app.identity.vault, caller.player_id, service::clock::unix_ms()).await?;
    let body = |one: ListedIdentity| {
        let purpose = if one.provider == EMAIL { SEALED_EMAIL } else { SEALED_NAME };
        let opened = one.sealed.as_ref().zip(key.as_ref()).and_then(|(sealed, key)| key.open(purpose, sealed).ok());
        IdentityBody {
            identity_id: name_of(&app, &one),
            name: opened.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            provider: one.provider,
            linked_at_ms: one.linked_at_ms,
        }
    };
    let identities = app.store.identities(caller.player_id).await?.into_iter().map(body).collect();
    Ok(private(Json(IdentitiesBody { identities })))
}

/// Link a device
#[utoipa::path(post, path = "/v1/players/me/identities/device", tag = "auth", security(("access_token" = [])), request_body = LinkDeviceBody,
    responses(UsualProblems, (status = 204)))]
async fn link_device(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<LinkDeviceBody>,
) -> Result<StatusCode, Problem> {
    require_strong(&app, &caller).await?;
    let device =
        device_hash(&body.device_id).map_err(|error| Problem::invalid("invalid-device-id", error.to_string()))?;
    let now_ms = service::clock::unix_ms();
    let link = NewLink {
        player: caller.player_id,
        provider: "device".to_owned(),
        subject: device.0.to_vec(),
        sealed: None,
        mail: notice(&app, caller.player_id, News::IdentitiesChanged, now_ms).await?,
        now_ms,
    };
    linked(app.store.link(link).await?)
}

/// Link an address and a password
///
/// Sends a code to the address. The answer is the same where the address has an account: it cannot be linked then, and its
/// owner is told by mail.
#[utoipa::path(post, path = "/v1/players/me/identities/password", tag = "auth", security(("access_token" = [])), request_body = LinkPasswordBody,
    responses(UsualProblems, (status = 202, body = CodeSentBody)))]
async fn link_password(
    State(app): State<App>,
    ConnectInfo(Peer(peer, _)): ConnectInfo<Peer>,
    caller: Caller,
    Body(body): Body<LinkPasswordBody>,
) -> Result<impl IntoResponse, Problem> {
    require_strong(&app, &caller).await?;
    let email = read_email(&body.email)?;
    app.identity.allow_code(&app.store, index(&app, &email), peer.ip()).await?;
    let password = choose(&app, body.password, &[email.local(), email.as_str()])?;
    let phc = app.identity.hashing.hash(password).await?;
    let owner = app.store.player_of_email(index(&app, &email)).await?;
    let sealed = Pending { email: email.as_str().to_owned(), phc, name: None }.seal(&app, LINK);
    let known = owner.map(|_| News::Known);
    let ask = Ask { purpose: LINK, player: Some(caller.player_id), sealed, to: Some(&email), instead: known };
    send_code(&app, ask, |code| News::Verify { code }).await
}

/// Finish linking an address with the code that came by mail
#[utoipa::path(post, path = "/v1/players/me/identities/password/verify", operation_id = "verify_link_password", tag = "auth", security(("access_token" = [])), request_body = CodeBody,
    responses(UsualProblems, (status = 204)))]
async fn verify_password(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<CodeBody>,
) -> Result<StatusCode, Problem> {
    let code = tried(&app, LINK, body.code_id, &body.code)?;
    let (player, sealed) = app.store.code(code.code_id, LINK, code.now_ms).await?.ok_or_else(code_gone)?;
    if player != Some(caller.player_id) {
        return Err(code_gone());
    }
    let pending = Pending::open(&app, LINK, &sealed)?;
    let email: Email = pending.email.parse().map_err(|_| code_gone())?;
    let now_ms = code.now_ms;
    let key = app.store.account_key(&app.identity.vault, caller.player_id, now_ms).await?.ok_or_else(code_gone)?;
    let link = NewLink {
        player: caller.player_id,
        provider: EMAIL.to_owned(),
        subject: index(&app, &email).0.to_vec(),
        sealed: Some(key.seal(SEALED_EMAIL, email.as_str().as_bytes())),
        mail: None,
        now_ms,
    };
    linked(app.store.link_password(PasswordLink { code, link, phc: pending.phc }).await?)
}

/// Remove a way into the account
///
/// Never the last one. All other sessions end.
#[utoipa::path(delete, path = "/v1/players/me/identities/{id}", operation_id = "unlink_identity", tag = "auth", security(("access_token" = [])), params(("id" = String, Path)),
    responses(UsualProblems, (status = 204)))]
async fn unlink(State(app): State<App>, caller: Caller, Named(id): Named<String>) -> Result<StatusCode, Problem> {
    require_strong(&app, &caller).await?;
    let unknown = || Problem::not_found("unknown-identity", "no such way leads to your account");
    let all = app.store.identities(caller.player_id).await?;
    let one = all.into_iter().find(|one| name_of(&app, one) == id).ok_or_else(unknown)?;
    let now_ms = service::clock::unix_ms();
    let gone = NewLink {
        player: caller.player_id,
        provider: one.provider,
        subject: one.subject,
        sealed: None,
        mail: notice(&app, caller.player_id, News::IdentitiesChanged, now_ms).await?,
        now_ms,
    };
    match app.store.unlink(gone, caller.session).await? {
        Unlinked::Done => {
            app.identity.revoked.look(&app.store).await?;
            Ok(StatusCode::NO_CONTENT)
        }
        Unlinked::Unknown => Err(unknown()),
        Unlinked::Last => {
            let detail = "this is the only way into your account: link another one first";
            Err(Problem::conflict("last-identity", detail))
        }
    }
}

fn name_of(app: &App, one: &ListedIdentity) -> String {
    let text = [one.provider.as_bytes(), &[0], &one.subject].concat();
    hex::encode(&app.identity.vault.blind_index("identity", &text).0[..16])
}

/// What became of a link.
pub(super) fn linked(linked: Linked) -> Result<StatusCode, Problem> {
    match linked {
        Linked::Done => Ok(StatusCode::NO_CONTENT),
        Linked::InUse => {
            let detail = "this leads to another account already, and two accounts are not made one";
            Err(Problem::conflict("identity-in-use", detail))
        }
        Linked::TooMany => {
            let detail = "your account has an address already, or too many ways into it: remove one first";
            Err(Problem::conflict("too-many-identities", detail))
        }
        Linked::WrongCode => Err(code_wrong()),
        Linked::CodeGone => Err(code_gone()),
    }
}
