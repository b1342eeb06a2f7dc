//! Logging in with an identity provider (OpenID Connect): begun here, finished with what the provider gave.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use protocol::id::PlayerId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::SessionBody;
use super::federation::{Arrival, attach, enter, read_name};
use super::private;
use crate::app::App;
use crate::auth::{Caller, require_strong};
use crate::connections::Peer;
use crate::core::oidc::{Flow, redirect_is_allowed};
use crate::extract::{Body, Named};
use crate::identity::federation::{Source, Vouched, proof_id};
use crate::identity::oidc::Provider;
use crate::problem::{Problem, ProblemBody, UsualProblems};
use crate::store::BegunProof;

/// How long a login may take at the provider, in milliseconds.
const FLOW_LIFE_MS: u64 = 10 * 60_000;
/// Purpose of what is kept of a login that was begun.
const SEALED_FLOW: &str = "oidc flow";

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(start))
        .routes(routes!(finish))
        .routes(routes!(start_link))
        .routes(routes!(finish_link))
}

/// How a login with a provider begins.
#[derive(Deserialize, ToSchema)]
struct StartBody {
    /// Where the provider sends the browser back to: one of those that the installation allows; for http://127.0.0.1 with any
    /// port. Without it the client asks the provider itself for an id token, with the nonce of the answer.
    #[schema(example = "http://127.0.0.1:51004/callback")]
    redirect_uri: Option<String>,
}

/// A login that was begun.
#[derive(Debug, Serialize, ToSchema)]
struct FlowBody {
    /// Only whoever began the login has it: keep it, and send it with what the provider gave.
    flow: String,
    /// Where the player logs in, in a browser.
    authorization_url: Option<String>,
    /// What the id token must repeat, where the client asks the provider itself.
    nonce: Option<String>,
    /// Unix milliseconds.
    expires_at_ms: u64,
}

/// What the provider gave.
#[derive(Deserialize, ToSchema)]
struct FinishBody {
    /// Of the answer that began the login.
    flow: String,
    /// An id token that the client got itself, with the nonce.
    id_token: Option<String>,
    /// What came back with the browser.
    code: Option<String>,
    /// What came back with the browser.
    state: Option<String>,
    /// What came back with the browser, if it did.
    iss: Option<String>,
    /// Name of the account, if this login makes it; otherwise it is ignored. At most 32 bytes.
    name: Option<String>,
    /// What tells this device from others, if the client knows.
    device_id: Option<String>,
}

/// Begin to log in with an identity provider
#[utoipa::path(post, path = "/v1/auth/oidc/{provider}/start", operation_id = "start_oidc_login", tag = "auth", params(("provider" = String, Path)), request_body = StartBody,
    responses(UsualProblems, (status = 200, body = FlowBody),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "provider-unavailable")))]
async fn start(
    State(app): State<App>,
    ConnectInfo(Peer(peer, _)): ConnectInfo<Peer>,
    Named(provider): Named<String>,
    Body(body): Body<StartBody>,
) -> Result<impl IntoResponse, Problem> {
    begin(&app, &provider, peer.ip(), None, body).await
}

/// Log in with what an identity provider gave
///
/// Finds the account of whoever the provider names, or makes it, and starts a session. A flow can be finished once.
#[utoipa::path(post, path = "/v1/auth/oidc/{provider}", operation_id = "finish_oidc_login", tag = "auth", params(("provider" = String, Path)), request_body = FinishBody,
    responses(UsualProblems, (status = 200, body = SessionBody),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "provider-unavailable")))]
async fn finish(
    State(app): State<App>,
    ConnectInfo(Peer(peer, _)): ConnectInfo<Peer>,
    Named(provider): Named<String>,
    Body(body): Body<FinishBody>,
) -> Result<impl IntoResponse, Problem> {
    let source = Source { peer: peer.ip(), device: body.device_id.as_deref() };
    let arrival = Arrival { source, name: body.name.as_deref() };
    read_name(arrival.name)?;
    let vouched = vouched(&app, &provider, source, None, &body).await?;
    enter(&app, vouched, "oidc", arrival).await
}

/// Begin to link an account with an identity provider
#[utoipa::path(post, path = "/v1/players/me/identities/oidc/{provider}/start", operation_id = "start_link_oidc", tag = "auth", security(("access_token" = [])),
    params(("provider" = String, Path)), request_body = StartBody,
    responses(UsualProblems, (status = 200, body = FlowBody),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "provider-unavailable")))]
async fn start_link(
    State(app): State<App>,
    ConnectInfo(Peer(peer, _)): ConnectInfo<Peer>,
    caller: Caller,
    Named(provider): Named<String>,
    Body(body): Body<StartBody>,
) -> Result<impl IntoResponse, Problem> {
    require_strong(&app, &caller).await?;
    begin(&app, &provider, peer.ip(), Some(caller.player_id), body).await
}

/// Link an account with an identity provider
#[utoipa::path(post, path = "/v1/players/me/identities/oidc/{provider}", operation_id = "link_oidc", tag = "auth", security(("access_token" = [])),
    params(("provider" = String, Path)), request_body = FinishBody,
    responses(UsualProblems, (status = 204),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "provider-unavailable")))]
async fn finish_link(
    State(app): State<App>,
    ConnectInfo(Peer(peer, _)): ConnectInfo<Peer>,
    caller: Caller,
    Named(provider): Named<String>,
    Body(body): Body<FinishBody>,
) -> Result<StatusCode, Problem> {
    require_strong(&app, &caller).await?;
    let source = Source { peer: peer.ip(), device: body.device_id.as_deref() };
    let vouched = vouched(&app, &provider, source, Some(caller.player_id), &body).await?;
    attach(&app, &caller, vouched).await
}

async fn begin(
    app: &App,
    provider: &str,
    peer: IpAddr,
    player: Option<PlayerId>,
    body: StartBody,
) -> Result<impl IntoResponse + use<>, Problem> {
    let provider = app.identity.vouchers.provider(provider)?;
    let is_allowed = |uri: &String| redirect_is_allowed(&provider.settings().redirect_uris, uri);
    if body.redirect_uri.as_ref().is_some_and(|uri| !is_allowed(uri)) {
        let detail =
            "the provider may not send browsers there: the identity settings name the redirect_uris that it may";
        return Err(Problem::invalid("redirect-not-allowed", detail));
    }
    app.identity.allow_begin(&app.store, peer).await?;
    let now_ms = service::clock::unix_ms();
    let flow = Flow::begin(body.redirect_uri, now_ms / 1_000, service::random::bytes);
    let authorization_url = match &flow.browser {
        Some(_) => Some(provider.authorization_url(&flow).await?),
        None => None,
    };
    let secret = URL_SAFE_NO_PAD.encode(service::random::bytes::<32>());
    let expires_at_ms = now_ms + FLOW_LIFE_MS;
    let sealed = app.identity.vault.seal(SEALED_FLOW, &serde_json::to_vec(&flow).expect("plain data"));
    let (proof_id, purpose) = (proof_id(secret.as_bytes()), purpose(provider));
    app.store.begin_proof(BegunProof { proof_id, purpose, player, sealed, expires_at_ms }).await?;
    let nonce = flow.browser.is_none().then_some(flow.nonce);
    Ok(private(Json(FlowBody { flow: secret, authorization_url, nonce, expires_at_ms })))
}

/// Whom the provider names.
async fn vouched(
    app: &App,
    provider: &str,
    source: Source<'_>,
    player: Option<PlayerId>,
    body: &FinishBody,
) -> Result<Vouched, Problem> {
    let provider = app.identity.vouchers.provider(provider)?;
    app.identity.allow_proof(&app.store, source).await?;
    let now_ms = service::clock::unix_ms();
    let flow = take(app, provider, player, &body.flow, now_ms).await?;
    let named = match named(provider, &flow, body, now_ms / 1_000).await {
        Ok(named) => named,
        Err(problem) => {
            app.identity.count_refusal(&app.store, source, &problem).await?;
            return Err(problem);
        }
    };
    let settings = provider.settings();
    Ok(Vouched {
        provider: settings.name.clone(),
        subject: app.identity.subject(&settings.issuer, &named.subject),
        name: named.email,
        // The flow was taken, and no other flow has its nonce or its code.
        used: None,
    })
}

async fn named(
    provider: &Provider,
    flow: &Flow,
    body: &FinishBody,
    now_s: u64,
) -> Result<crate::core::oidc::Identity, Problem> {
    match (&flow.browser, &body.id_token, &body.code) {
        (None, Some(token), None) => provider.verify(token, flow, now_s).await,
        (Some(browser), None, Some(code)) => {
            let state = body.state.as_deref().unwrap_or_default();
            if !bool::from(subtle::ConstantTimeEq::ct_eq(state.as_bytes(), browser.state.as_bytes())) {
                let detail = "what came back with the browser belongs to another login: begin again";
                return Err(Problem::unauthenticated("state-mismatch", detail));
            }
            provider.redeem(code, body.iss.as_deref(), flow, browser, now_s).await
        }
        _ => {
            let detail = "a flow with redirect_uri ends with code and state, one without it with id_token: begin again";
            Err(Problem::invalid("wrong-flow", detail))
        }
    }
}

/// What was begun; nobody gets it again.
async fn take(
    app: &App,
    provider: &Arc<Provider>,
    player: Option<PlayerId>,
    secret: &str,
    now_ms: u64,
) -> Result<Flow, Problem> {
    let gone = || Problem::gone("flow-gone", "this login was finished, has expired, or was begun for something else");
    let taken = app.store.take_proof(proof_id(secret.as_bytes()), &purpose(provider), player, now_ms).await?;
    let opened = app.identity.vault.open(SEALED_FLOW, &taken.ok_or_else(gone)?).map_err(|_| gone())?;
    serde_json::from_slice(&opened).map_err(|_| gone())
}

fn purpose(provider: &Provider) -> String {
    format!("oidc {}", provider.settings().name)
}
