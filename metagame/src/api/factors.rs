//! Second factors: an authenticator app, codes on paper, and stepping up with them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use protocol::id::PlayerId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::passkeys::{PasskeyAnswerBody, challenge_json};
use super::passwords::notice;
use super::private;
use crate::app::App;
use crate::auth::{Caller, Strong, require_strong};
use crate::core::factor::{RECOVERY_CODES, StrongBy, TotpSecret, recovery_code};
use crate::core::letter::News;
use crate::extract::Body;
use crate::identity::factors::{SEALED_TOTP, open_secret, recovery_hash, shown};
use crate::identity::passkeys;
use crate::problem::{Problem, ProblemBody, UsualProblems};
use crate::store::{Shown, TotpConfirmation};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(begin_totp))
        .routes(routes!(confirm_totp))
        .routes(routes!(remove_totp))
        .routes(routes!(step_up))
}

/// The secret of an authenticator app.
#[derive(Debug, Serialize, ToSchema)]
struct TotpSecretBody {
    /// In base32, for typing.
    secret: String,
    /// For a QR code: otpauth://…
    url: String,
}

/// A code that the app shows.
#[derive(Deserialize, ToSchema)]
struct TotpCodeBody {
    /// Six digits.
    #[schema(example = "123456")]
    code: String,
}

/// Codes to keep on paper.
#[derive(Debug, Serialize, ToSchema)]
struct RecoveryCodesBody {
    /// Each works once in place of the app's code. They are shown now and never again.
    recovery_codes: Vec<String>,
    /// A JWT that says that a second factor was shown.
    access_token: String,
    /// Unix milliseconds.
    access_expires_at_ms: u64,
}

/// A second factor: one of these.
#[derive(Deserialize, ToSchema)]
struct FactorBody {
    /// The app's code: six digits. Or a code on paper.
    #[schema(example = "123456")]
    code: Option<String>,
    /// A passkey's answer to a challenge.
    passkey: Option<PasskeyAnswerBody>,
}

/// An access token in whose session a second factor was shown.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SteppedUpBody {
    access_token: String,
    /// Unix milliseconds.
    access_expires_at_ms: u64,
}

/// Begin to use an authenticator app
#[utoipa::path(post, path = "/v1/auth/mfa/totp", tag = "auth", security(("access_token" = [])),
    responses(UsualProblems, (status = 200, body = TotpSecretBody)))]
async fn begin_totp(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Problem> {
    require_strong(&app, &caller).await?;
    let now_ms = service::clock::unix_ms();
    let key = app.store.account_key(&app.identity.vault, caller.player_id, now_ms).await?;
    let key = key.ok_or_else(|| Problem::gone("account-erased", "this account was erased"))?;
    let secret = TotpSecret(service::random::bytes());
    let sealed = key.seal(SEALED_TOTP, &secret.0);
    if !app.store.begin_totp(caller.player_id, sealed, now_ms).await? {
        let detail = "your account has an authenticator app: remove it first";
        return Err(Problem::conflict("totp-exists", detail));
    }
    let url = secret.url(app.identity.game(), &caller.player_id.to_string());
    Ok(private(Json(TotpSecretBody { secret: secret.base32(), url })))
}

/// Show the app's first code
///
/// From now on a login by password asks for a code, and so do changes of the account. All other sessions end.
#[utoipa::path(post, path = "/v1/auth/mfa/totp/confirm", tag = "auth", security(("access_token" = [])), request_body = TotpCodeBody,
    responses(UsualProblems, (status = 200, body = RecoveryCodesBody)))]
async fn confirm_totp(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<TotpCodeBody>,
) -> Result<impl IntoResponse, Problem> {
    // Another factor that the account has guards this one.
    require_strong(&app, &caller).await?;
    let (player, now_ms) = (caller.player_id, service::clock::unix_ms());
    let missing = || Problem::not_found("no-totp", "begin with POST /v1/auth/mfa/totp");
    app.identity.allow_factor(&app.store, player).await?;
    let totp = app.store.totp(player).await?.filter(|totp| !totp.is_confirmed).ok_or_else(missing)?;
    let secret = open_secret(&app, player, &totp.sealed, now_ms).await?;
    let step = secret.step_of(&body.code, now_ms / 1_000).ok_or_else(wrong_factor)?;
    let codes: Vec<String> = (0..RECOVERY_CODES).map(|_| recovery_code(service::random::bytes())).collect();
    let confirmation = TotpConfirmation {
        player,
        sealed: totp.sealed,
        step,
        recovery: codes.iter().map(|code| recovery_hash(&app, player, code)).collect(),
        session: caller.session,
        mail: notice(&app, player, News::IdentitiesChanged, now_ms).await?,
        now_ms,
    };
    if !app.store.confirm_totp(confirmation).await? {
        return Err(missing());
    }
    app.identity.revoked.look(&app.store).await?;
    let strong = Strong { by: StrongBy::Totp, at_ms: now_ms };
    let (access_token, access_expires_at_ms) = app.access.mint(player, caller.session, Some(strong), now_ms / 1_000);
    Ok(private(Json(RecoveryCodesBody { recovery_codes: codes, access_token, access_expires_at_ms })))
}

/// Remove the app and the codes on paper
#[utoipa::path(delete, path = "/v1/auth/mfa/totp", tag = "auth", security(("access_token" = [])),
    responses(UsualProblems, (status = 204),
        (status = 401, body = ProblemBody, content_type = "application/problem+json", description = "step-up-required")))]
async fn remove_totp(State(app): State<App>, caller: Caller) -> Result<StatusCode, Problem> {
    require_strong(&app, &caller).await?;
    let now_ms = service::clock::unix_ms();
    let mail = notice(&app, caller.player_id, News::IdentitiesChanged, now_ms).await?;
    if app.store.remove_totp(caller.player_id, mail, now_ms).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("no-totp", "your account has no authenticator app"))
    }
}

/// Show a second factor
///
/// The answer is an access token whose `acr`, `amr` and `auth_time` say so. Each code works once.
#[utoipa::path(post, path = "/v1/auth/mfa", tag = "auth", security(("access_token" = [])), request_body = FactorBody,
    responses(UsualProblems, (status = 200, body = SteppedUpBody)))]
async fn step_up(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<FactorBody>,
) -> Result<impl IntoResponse, Problem> {
    let now_ms = service::clock::unix_ms();
    let shown = any_shown(&app, caller.player_id, body.code.as_deref(), body.passkey.as_ref(), now_ms).await?;
    let shown = shown.ok_or_else(|| Problem::invalid("no-factor", "send `code`, or `passkey`"))?;
    let by = shown.by();
    if !app.store.step_up(caller.player_id, caller.session, shown, now_ms).await? {
        return Err(wrong_factor());
    }
    let strong = Strong { by, at_ms: now_ms };
    let (access_token, access_expires_at_ms) =
        app.access.mint(caller.player_id, caller.session, Some(strong), now_ms / 1_000);
    Ok(private(Json(SteppedUpBody { access_token, access_expires_at_ms })))
}

/// What was shown as a second factor, if anything was.
pub(super) async fn any_shown(
    app: &App,
    player: PlayerId,
    code: Option<&str>,
    passkey: Option<&PasskeyAnswerBody>,
    now_ms: u64,
) -> Result<Option<Shown>, Problem> {
    match (code, passkey) {
        (_, Some(passkey)) => {
            passkeys::shown(app, player, passkey.challenge_id, &passkey.credential()?).await.map(Some)
        }
        (Some(code), None) => shown(app, player, code, now_ms).await?.ok_or_else(wrong_factor).map(Some),
        (None, None) => Ok(None),
    }
}

/// The account asks for a second factor. Where it has passkeys, the problem holds a challenge for them.
pub(super) async fn factor_required(app: &App, player: PlayerId) -> Result<Problem, Problem> {
    let detail = "send this again with `factor`, a code of your authenticator app or one of those on paper; or with \
                  `passkey`, the answer to the challenge";
    let problem = Problem::unauthenticated("second-factor-required", detail);
    Ok(match passkeys::challenge(app, player).await? {
        Some(challenge) => problem.with("challenge", challenge_json(&challenge)),
        None => problem,
    })
}

pub(super) fn wrong_factor() -> Problem {
    let detail = "this is not a code of your authenticator app or on your paper, or it was used before";
    Problem::forbidden("factor-wrong", detail)
}
