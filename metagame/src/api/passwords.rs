//! Logging in with an e-mail address and a password: registering, changing, forgetting.
//!
//! No answer tells whether an address has an account: what differs is said by mail, to whoever reads it.

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use protocol::id::PlayerId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::auth::{SessionBody, answer, banned, new_session, strong_answer};
use super::factors::{any_shown, factor_required, wrong_factor};
use super::passkeys::PasskeyAnswerBody;
use super::private;
use crate::app::App;
use crate::auth::{Caller, Strong, require_strong};
use crate::connections::Peer;
use crate::core::code::{CODE_LIFE_MS, Code};
use crate::core::email::Email;
use crate::core::guard::Step;
use crate::core::letter::News;
use crate::core::name::PlayerName;
use crate::core::password::{Checked, Password};
use crate::core::session::RefreshToken;
use crate::extract::Body;
use crate::identity::too_many;
use crate::metrics;
use crate::problem::{Problem, ProblemBody, UsualProblems};
use crate::store::{
    CodeTry, GuardKeys, NewCode, NewMail, PasswordChange, PasswordLoggedIn, PasswordLogin, PasswordRegistration,
    PasswordReset, Registered, Tried,
};
use crate::vault::{AccountKey, BlindIndex};

/// Purposes of codes.
const REGISTER: &str = "register";
const RESET: &str = "reset";
const CONFIRM: &str = "confirm";
/// Purpose of an address sealed under its account's key.
pub(super) const SEALED_EMAIL: &str = "email";

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(login))
        .routes(routes!(register))
        .routes(routes!(verify))
        .routes(routes!(change))
        .routes(routes!(forgot))
        .routes(routes!(reset))
}

/// A login.
#[derive(Deserialize, ToSchema)]
struct PasswordBody {
    #[schema(example = "ada@example.org")]
    email: String,
    password: String,
    /// A second factor, where the account has one: a code of its authenticator app, or one on paper.
    factor: Option<String>,
    /// Or a passkey's answer to the challenge that came with `second-factor-required`.
    passkey: Option<PasskeyAnswerBody>,
    /// Names the code that was sent because this login looked unusual.
    code_id: Option<Uuid>,
    /// That code: eight digits.
    code: Option<String>,
    /// What tells this device from others, if the client knows: a login from a known device looks less unusual.
    device_id: Option<String>,
}

/// A registration.
#[derive(Deserialize, ToSchema)]
struct RegisterBody {
    #[schema(example = "ada@example.org")]
    email: String,
    /// 8 characters to 256 bytes, none of the most used.
    password: String,
    /// Name of the account. At most 32 bytes.
    name: Option<String>,
}

/// A code was sent, if there was somebody to send it to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CodeSentBody {
    /// Send it back together with the code.
    code_id: Uuid,
    /// Unix milliseconds: 10 minutes from now.
    expires_at_ms: u64,
}

/// A code that came by mail.
#[derive(Deserialize, ToSchema)]
pub(super) struct CodeBody {
    pub(super) code_id: Uuid,
    /// Eight digits.
    #[schema(example = "12345678")]
    pub(super) code: String,
}

/// An address.
#[derive(Deserialize, ToSchema)]
struct ForgotBody {
    #[schema(example = "ada@example.org")]
    email: String,
}

/// A new password and the code that allows it.
#[derive(Deserialize, ToSchema)]
struct ResetBody {
    code_id: Uuid,
    /// Eight digits.
    #[schema(example = "12345678")]
    code: String,
    new_password: String,
}

/// A new password and the old one.
#[derive(Deserialize, ToSchema)]
struct ChangeBody {
    current_password: String,
    new_password: String,
}

/// What is to be registered, sealed until the code has come back.
#[derive(Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) email: String,
    pub(super) phc: String,
    pub(super) name: Option<String>,
}

/// Log in with an e-mail address and a password
///
/// 401 `second-factor-required`: send it again with `factor` or `passkey`. 401 `confirmation-required`: the login looks unusual; send it
/// again with `code_id` and the code that came by mail.
#[utoipa::path(post, path = "/v1/auth/password", operation_id = "login_password", tag = "auth", request_body = PasswordBody,
    responses(UsualProblems, (status = 200, body = SessionBody),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "logins-busy")))]
async fn login(
    State(app): State<App>,
    ConnectInfo(Peer(peer, _)): ConnectInfo<Peer>,
    Body(body): Body<PasswordBody>,
) -> Result<impl IntoResponse, Problem> {
    let now_ms = service::clock::unix_ms();
    let password = Password::typed(body.password).map_err(|_| wrong_credentials())?;
    // What is no address is nobody's, and is treated like anybody's.
    let email = body.email.parse::<Email>().ok();
    let account =
        email.as_ref().map_or_else(|| app.identity.vault.blind_index("email", b""), |email| index(&app, email));
    let keys = app.identity.guard_keys(account, peer.ip(), body.device_id.as_deref());
    let stored = app.store.password_of_email(account).await?;
    let step = app.store.signs(keys, stored.as_ref().map(|one| one.player), now_ms).await?.step();
    match step {
        Step::Block => return Err(too_many("guessing")),
        Step::Delay(ms) => app.identity.delay(ms).await?,
        Step::Allow | Step::Confirm => {}
    }
    let checked = app.identity.hashing.check(password.clone(), stored.as_ref().map(|one| one.phc.as_str())).await?;
    let Some((stored, email)) = stored.zip(email).filter(|_| checked != Checked::Wrong) else {
        app.store.tally_failure(keys, now_ms).await?;
        return Err(wrong_credentials());
    };
    let rehashed = match checked {
        Checked::RightAndOld => Some(app.identity.hashing.hash(password).await?),
        _ => None,
    };
    let shown = any_shown(&app, stored.player, body.factor.as_deref(), body.passkey.as_ref(), now_ms).await?;
    let code = match (body.code_id, &body.code) {
        (Some(code_id), Some(code)) => Some(tried(&app, CONFIRM, code_id, code)?),
        _ => None,
    };
    let (token, session) = new_session(&app, "password");
    let marks = keys.device.into_iter().chain([keys.place]).collect();
    let must_confirm = step == Step::Confirm;
    let player = stored.player;
    let login = PasswordLogin { player, checked: stored.phc, rehashed, must_confirm, code, shown, marks, session };
    finish(&app, keys, &email, &token, login).await
}

/// Begins the session, or says what is missing.
async fn finish(
    app: &App,
    keys: GuardKeys,
    email: &Email,
    token: &RefreshToken,
    login: PasswordLogin,
) -> Result<impl IntoResponse + use<>, Problem> {
    let now_ms = login.session.now_ms;
    let player = login.player;
    match app.store.login_password(login).await? {
        PasswordLoggedIn::In(done, strong_by) => {
            app.store.tally_success(keys, now_ms).await?;
            metrics::password_login("right");
            tracing::info!(player_id = %done.player, "login by password");
            let strong = strong_by.map(|by| Strong { by, at_ms: now_ms });
            Ok(strong_answer(app, done.player, token, done.expires_at_ms, strong))
        }
        PasswordLoggedIn::Stale => Err(wrong_credentials()),
        PasswordLoggedIn::Barred(until_ms) => Err(banned(app, player, until_ms).await),
        PasswordLoggedIn::NeedsFactor => Err(factor_required(app, player).await?),
        PasswordLoggedIn::WrongFactor => {
            app.store.tally_failure(keys, now_ms).await?;
            Err(wrong_factor())
        }
        PasswordLoggedIn::NeedsCode => {
            let sealed = app.identity.vault.seal(CONFIRM, &[]);
            let ask = Ask { purpose: CONFIRM, player: Some(player), sealed, to: Some(email), instead: None };
            let sent = keep_code(app, ask, |code| News::Confirm { code }).await?;
            metrics::limited("confirmation");
            let detail = "this login looks unusual: send it again with code_id and the code that came by mail";
            let problem = Problem::unauthenticated("confirmation-required", detail);
            Err(problem.with("code_id", sent.code_id.to_string()).with("expires_at_ms", sent.expires_at_ms))
        }
        PasswordLoggedIn::WrongCode => Err(code_wrong()),
        PasswordLoggedIn::CodeGone => Err(code_gone()),
    }
}

/// Register an e-mail address and a password
///
/// Sends a code to the address; the account is made once the code has come back. The answer is the same where the address
/// has an account: then its owner is told by mail.
#[utoipa::path(post, path = "/v1/auth/password/register", operation_id = "register_password", tag = "auth", request_body = RegisterBody,
    responses(UsualProblems, (status = 202, body = CodeSentBody),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "logins-busy")))]
async fn register(
    State(app): State<App>,
    ConnectInfo(Peer(peer, _)): ConnectInfo<Peer>,
    Body(body): Body<RegisterBody>,
) -> Result<impl IntoResponse, Problem> {
    app.identity.postman()?;
    let email = read_email(&body.email)?;
    let name = body.name.as_deref().map(str::parse::<PlayerName>).transpose();
    let name = name.map_err(|error| Problem::invalid("invalid-name", error.to_string()))?;
    let personal = [email.local(), email.as_str(), name.as_ref().map_or("", PlayerName::as_str)];
    let password = choose(&app, body.password, &personal)?;
    app.identity.allow_code(&app.store, index(&app, &email), peer.ip()).await?;
    let phc = app.identity.hashing.hash(password).await?;
    let owner = app.store.player_of_email(index(&app, &email)).await?;
    let name = name.map(|name| name.as_str().to_owned());
    let sealed = Pending { email: email.as_str().to_owned(), phc, name }.seal(&app, REGISTER);
    let known = owner.map(|_| News::Known);
    let ask = Ask { purpose: REGISTER, player: None, sealed, to: Some(&email), instead: known };
    send_code(&app, ask, |code| News::Verify { code }).await
}

/// Finish a registration with the code that came by mail
#[utoipa::path(post, path = "/v1/auth/password/register/verify", operation_id = "verify_registration", tag = "auth", request_body = CodeBody,
    responses(UsualProblems, (status = 200, body = SessionBody)))]
async fn verify(
    State(app): State<App>,
    ConnectInfo(Peer(peer, _)): ConnectInfo<Peer>,
    Body(body): Body<CodeBody>,
) -> Result<impl IntoResponse, Problem> {
    let code = tried(&app, REGISTER, body.code_id, &body.code)?;
    let found = app.store.code(code.code_id, REGISTER, code.now_ms).await?;
    let (_, sealed) = found.ok_or_else(code_gone)?;
    let pending = Pending::open(&app, REGISTER, &sealed)?;
    let email: Email = pending.email.parse().map_err(|_| code_gone())?;
    let new_player = PlayerId::from_time(code.now_ms, service::random::bytes());
    let (key, wrapped) = app.identity.vault.new_account_key(new_player);
    let (token, session) = new_session(&app, "password");
    // It was checked when the code was asked for.
    let (name, later) = app.name_of_new(pending.name.and_then(|name| name.parse().ok()));
    let registration = PasswordRegistration {
        email: index(&app, &email),
        sealed_email: key.seal(SEALED_EMAIL, email.as_str().as_bytes()),
        phc: pending.phc,
        new_player,
        name,
        key: wrapped,
        vault: app.identity.vault.name().to_owned(),
        marks: vec![app.identity.guard_keys(index(&app, &email), peer.ip(), None).place],
        session,
        code,
    };
    match app.store.register_password(registration).await? {
        Registered::Done(done) => {
            app.name_later(done.player, later).await;
            metrics::login(true);
            tracing::info!(player_id = %done.player, created = true, "registration by password");
            Ok(answer(&app, done.player, true, &token, done.expires_at_ms))
        }
        Registered::WrongCode => Err(code_wrong()),
        Registered::Gone => Err(code_gone()),
        Registered::Taken => Err(Problem::conflict("email-in-use", "this address has an account meanwhile: log in")),
    }
}

/// Change the password
///
/// All other sessions end.
#[utoipa::path(post, path = "/v1/auth/password/change", operation_id = "change_password", tag = "auth", security(("access_token" = [])), request_body = ChangeBody,
    responses(UsualProblems, (status = 204),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "logins-busy")))]
async fn change(State(app): State<App>, caller: Caller, Body(body): Body<ChangeBody>) -> Result<StatusCode, Problem> {
    require_strong(&app, &caller).await?;
    let player = caller.player_id;
    let no_password = || Problem::not_found("no-password", "this account has no password: link an address first");
    let (checked, sealed) = app.store.password_of(player).await?.ok_or_else(no_password)?;
    let current = Password::typed(body.current_password).map_err(|_| wrong_credentials())?;
    if app.identity.hashing.check(current, Some(&checked)).await? == Checked::Wrong {
        return Err(wrong_credentials());
    }
    let now_ms = service::clock::unix_ms();
    let email = open_email(&app, player, sealed, now_ms).await?;
    let personal = email.as_ref().map_or(["", ""], |email| [email.local(), email.as_str()]);
    let password = choose(&app, body.new_password, &personal)?;
    let phc = app.identity.hashing.hash(password).await?;
    let change = PasswordChange {
        player,
        checked,
        phc,
        kept: Some(caller.session),
        mail: tell(&app, player, email.as_ref(), News::PasswordChanged, now_ms),
        now_ms,
    };
    if !app.store.change_password(change).await? {
        return Err(wrong_credentials());
    }
    app.identity.revoked.look(&app.store).await?;
    if let Some(postman) = app.identity.postman_task() {
        postman.call();
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Ask for a new password
///
/// Sends a code to the address, if it has an account. The answer is the same if it has none.
#[utoipa::path(post, path = "/v1/auth/password/forgot", operation_id = "forgot_password", tag = "auth", request_body = ForgotBody,
    responses(UsualProblems, (status = 202, body = CodeSentBody)))]
async fn forgot(
    State(app): State<App>,
    ConnectInfo(Peer(peer, _)): ConnectInfo<Peer>,
    Body(body): Body<ForgotBody>,
) -> Result<impl IntoResponse, Problem> {
    let email = read_email(&body.email)?;
    app.identity.allow_code(&app.store, index(&app, &email), peer.ip()).await?;
    let player = app.store.player_of_email(index(&app, &email)).await?;
    let sealed = app.identity.vault.seal(RESET, email.as_str().as_bytes());
    let ask = Ask { purpose: RESET, player, sealed, to: player.and(Some(&email)), instead: None };
    send_code(&app, ask, |code| News::Reset { code }).await
}

/// Choose a new password with the code that came by mail
///
/// All sessions end.
#[utoipa::path(post, path = "/v1/auth/password/reset", operation_id = "reset_password", tag = "auth", request_body = ResetBody,
    responses(UsualProblems, (status = 204),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "logins-busy")))]
async fn reset(State(app): State<App>, Body(body): Body<ResetBody>) -> Result<StatusCode, Problem> {
    let code = tried(&app, RESET, body.code_id, &body.code)?;
    let found = app.store.code(code.code_id, RESET, code.now_ms).await?;
    let (player, sealed) = found.ok_or_else(code_gone)?;
    let email = app.identity.vault.open(RESET, &sealed).map_err(|_| code_gone())?;
    let email: Email = String::from_utf8_lossy(&email).parse().map_err(|_| code_gone())?;
    let password = choose(&app, body.new_password, &[email.local(), email.as_str()])?;
    let phc = app.identity.hashing.hash(password).await?;
    // A code of nobody was never sent; guessing it is as hopeless as guessing any.
    let player = player.unwrap_or_else(|| PlayerId::from_entropy(code.code_id));
    let mail = tell(&app, player, Some(&email), News::PasswordChanged, code.now_ms);
    match app.store.reset_password(PasswordReset { code, player, phc, mail }).await? {
        Tried::Right { .. } => {
            app.identity.revoked.look(&app.store).await?;
            app.identity.postman()?.call();
            Ok(StatusCode::NO_CONTENT)
        }
        Tried::Wrong => Err(code_wrong()),
        Tried::Gone => Err(code_gone()),
    }
}

impl Pending {
    pub(super) fn seal(&self, app: &App, purpose: &str) -> Vec<u8> {
        let plain = Zeroizing::new(serde_json::to_vec(self).expect("plain data"));
        app.identity.vault.seal(purpose, &plain)
    }

    pub(super) fn open(app: &App, purpose: &str, sealed: &[u8]) -> Result<Self, Problem> {
        let plain = app.identity.vault.open(purpose, sealed).map_err(|_| code_gone())?;
        serde_json::from_slice(&plain).map_err(|_| code_gone())
    }
}

/// A code to send.
pub(super) struct Ask<'a> {
    pub(super) purpose: &'static str,
    pub(super) player: Option<PlayerId>,
    pub(super) sealed: Vec<u8>,
    /// To whom; to nobody where the address is not known.
    pub(super) to: Option<&'a Email>,
    /// What is said instead of the code.
    pub(super) instead: Option<News>,
}

/// Sends a code, and says by which name it is known.
pub(super) async fn send_code(
    app: &App,
    ask: Ask<'_>,
    news: fn(String) -> News,
) -> Result<impl IntoResponse + use<>, Problem> {
    let body = keep_code(app, ask, news).await?;
    Ok(private((StatusCode::ACCEPTED, Json(body))))
}

async fn keep_code(app: &App, ask: Ask<'_>, news: fn(String) -> News) -> Result<CodeSentBody, Problem> {
    let postman = app.identity.postman()?;
    let now_ms = service::clock::unix_ms();
    let code_id = service::random::bytes();
    let code = Code::from_entropy(service::random::u64());
    let news = ask.instead.unwrap_or_else(|| news(code.digits().to_owned()));
    let mail = postman.letter(ask.player, ask.to.map(Email::as_str), news, now_ms);
    let expires_at_ms = now_ms + CODE_LIFE_MS;
    let code_hash = app.identity.code_hash(&code_id, &code);
    let (purpose, player) = (ask.purpose, ask.player);
    let code = NewCode { code_id, purpose, player, code_hash, sealed: ask.sealed, expires_at_ms };
    app.store.send_code(code, mail).await?;
    postman.call();
    Ok(CodeSentBody { code_id: Uuid::from_bytes(code_id), expires_at_ms })
}

/// A code as it was typed.
pub(super) fn tried(app: &App, purpose: &'static str, code_id: Uuid, code: &str) -> Result<CodeTry, Problem> {
    let code: Code = code.parse().map_err(|error| Problem::invalid("invalid-code", format!("{error}")))?;
    let code_id = code_id.into_bytes();
    let code_hash = app.identity.code_hash(&code_id, &code);
    Ok(CodeTry { code_id, purpose, code_hash, now_ms: service::clock::unix_ms() })
}

pub(super) fn code_wrong() -> Problem {
    Problem::forbidden("code-wrong", "this is not the code; after a few wrong tries a new one has to be asked for")
}

pub(super) fn code_gone() -> Problem {
    Problem::gone("code-gone", "this code was used, has expired, or was guessed at too often: ask for a new one")
}

fn wrong_credentials() -> Problem {
    metrics::password_login("wrong");
    let detail = "no account has this address and this password, or the address was not confirmed yet";
    Problem::unauthenticated("invalid-credentials", detail)
}

pub(super) fn index(app: &App, email: &Email) -> BlindIndex {
    app.identity.vault.blind_index("email", email.as_str().as_bytes())
}

pub(super) fn read_email(text: &str) -> Result<Email, Problem> {
    text.parse().map_err(|error| Problem::invalid("invalid-email", format!("{error}")))
}

pub(super) fn choose(app: &App, text: String, personal: &[&str]) -> Result<Password, Problem> {
    Password::chosen(text, &app.identity.refused, personal)
        .map_err(|error| Problem::invalid("invalid-password", error.to_string()))
}

/// A letter to somebody whose address is known.
fn tell(app: &App, player: PlayerId, email: Option<&Email>, news: News, now_ms: u64) -> Option<NewMail> {
    let postman = app.identity.postman_task()?;
    email.map(|email| postman.letter(Some(player), Some(email.as_str()), news, now_ms))
}

/// A player's own address.
async fn open_email(
    app: &App,
    player: PlayerId,
    sealed: Option<Vec<u8>>,
    now_ms: u64,
) -> Result<Option<Email>, Problem> {
    let Some(sealed) = sealed else { return Ok(None) };
    let key: Option<AccountKey> = app.store.account_key(&app.identity.vault, player, now_ms).await?;
    let Some(opened) = key.and_then(|key| key.open(SEALED_EMAIL, &sealed).ok()) else { return Ok(None) };
    Ok(String::from_utf8_lossy(&opened).parse().ok())
}

/// A letter to a player whose address is known, about something that has changed.
pub(super) async fn notice(app: &App, player: PlayerId, news: News, now_ms: u64) -> Result<Option<NewMail>, Problem> {
    let Some((_, sealed)) = app.store.password_of(player).await? else { return Ok(None) };
    let email = open_email(app, player, sealed, now_ms).await?;
    Ok(tell(app, player, email.as_ref(), news, now_ms))
}
