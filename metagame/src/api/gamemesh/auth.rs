//! Registering, logging in, logging out.

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use protocol::id::PlayerId;
use serde::Deserialize;
use serde_json::json;

use super::Player;
use super::players::{PlayerBody, player_body};
use crate::api::auth::{barred, new_session};
use crate::api::factors::wrong_factor;
use crate::api::passwords::{SEALED_EMAIL, index, read_email};
use crate::api::private;
use crate::app::App;
use crate::connections::Peer;
use crate::core::email::Email;
use crate::core::gamemesh::{PASSWORD_BYTES_MAX, Username};
use crate::core::guard::Step;
use crate::core::live::rule::Act;
use crate::core::password::{CHARACTERS_MIN, Checked, Password};
use crate::extract::Body;
use crate::identity::factors::shown;
use crate::identity::too_many;
use crate::metrics;
use crate::problem::Problem;
use crate::rules::name_facts;
use crate::store::gamemesh::{EMAIL_UNCONFIRMED, GAMEMESH, Named, NamedRegistration, USERNAME};
use crate::store::{EMAIL, PasswordLoggedIn, PasswordLogin, StoredPassword};
use crate::vault::BlindIndex;

#[derive(Deserialize)]
pub(super) struct RegisterBody {
    username: String,
    email: String,
    password: String,
}

#[derive(Deserialize)]
pub(super) struct LoginBody {
    /// A username or an address.
    identifier: String,
    password: String,
    /// A second factor, where the account has one: not known to their clients, but to whoever serves both.
    #[serde(default)]
    factor: Option<String>,
}

/// Where a username is found again.
pub(super) fn username_index(app: &App, username: &Username) -> BlindIndex {
    app.identity.vault.blind_index("username", username.key().as_bytes())
}

pub(super) fn read_username(text: &str) -> Result<Username, Problem> {
    text.parse().map_err(|error| Problem::invalid("invalid-username", format!("invalid request: {error}")))
}

pub(super) fn taken() -> Problem {
    Problem::conflict("taken", "username or email already taken")
}

/// Their rules of passwords: of the most used ones their own load scripts use one.
fn choose(text: String) -> Result<Password, Problem> {
    let is_good = text.chars().count() >= CHARACTERS_MIN && text.len() <= PASSWORD_BYTES_MAX;
    let detail = "invalid request: a password has 8 characters to 72 bytes";
    let refused = || Problem::invalid("invalid-password", detail);
    if is_good { Password::typed(text).map_err(|_| refused()) } else { Err(refused()) }
}

pub(super) async fn register(
    State(app): State<App>,
    ConnectInfo(Peer(peer, _)): ConnectInfo<Peer>,
    Body(body): Body<RegisterBody>,
) -> Result<impl IntoResponse, Problem> {
    let username = read_username(&body.username)?;
    let email = read_email(&body.email)?;
    let password = choose(body.password)?;
    let now_ms = service::clock::unix_ms();
    let player = PlayerId::from_time(now_ms, service::random::bytes());
    let (key, wrapped) = app.identity.vault.new_account_key(player);
    let email_index = index(&app, &email);
    let name = username.as_str().parse().expect("letters and digits are a name");
    if app.has_rules(Act::Name) {
        // Their names are unique and cannot be given later: the account is made with it or not at all.
        app.permit(Act::Name, None, name_facts(&name)).await?;
    }
    let registration = NamedRegistration {
        new_player: player,
        name,
        username: username_index(&app, &username),
        email: email_index,
        sealed_email: key.seal(SEALED_EMAIL, email.as_str().as_bytes()),
        phc: app.identity.hashing.hash(password).await?,
        key: wrapped,
        vault: app.identity.vault.name().to_owned(),
        marks: vec![app.identity.guard_keys(email_index, peer.ip(), None).place],
        now_ms,
    };
    match app.store.register_named(registration).await? {
        Named::Done => {
            metrics::login(true);
            tracing::info!(player_id = %player, created = true, "registration by username");
            Ok(private((StatusCode::CREATED, Json(player_body(&app, player, true).await?))))
        }
        Named::Taken | Named::Unknown => Err(taken()),
    }
}

fn wrong_credentials() -> Problem {
    metrics::password_login("wrong");
    Problem::unauthenticated("invalid-credentials", "invalid credentials")
}

/// The password of whoever this name or address means, and what its failures count against. An address that somebody has
/// shown to read goes before one that somebody has only written down.
async fn find(app: &App, identifier: &str) -> Result<(BlindIndex, Option<StoredPassword>), Problem> {
    if let Ok(email) = identifier.parse::<Email>() {
        let email = index(app, &email);
        let confirmed = app.store.password_of_identity(EMAIL, email).await?;
        return Ok(match confirmed {
            Some(stored) => (email, Some(stored)),
            None => (email, app.store.password_of_identity(EMAIL_UNCONFIRMED, email).await?),
        });
    }
    match identifier.parse::<Username>() {
        Ok(username) => {
            let username = username_index(app, &username);
            Ok((username, app.store.password_of_identity(USERNAME, username).await?))
        }
        // What is no name is nobody's, and is treated like anybody's.
        Err(_) => Ok((app.identity.vault.blind_index("username", b""), None)),
    }
}

pub(super) async fn login(
    State(app): State<App>,
    ConnectInfo(Peer(peer, _)): ConnectInfo<Peer>,
    Body(body): Body<LoginBody>,
) -> Result<impl IntoResponse, Problem> {
    let now_ms = service::clock::unix_ms();
    let password = Password::typed(body.password).map_err(|_| wrong_credentials())?;
    let (account, stored) = find(&app, &body.identifier).await?;
    let keys = app.identity.guard_keys(account, peer.ip(), None);
    let step = app.store.signs(keys, stored.as_ref().map(|one| one.player), now_ms).await?.step();
    match step {
        Step::Block => return Err(too_many("guessing")),
        Step::Delay(ms) => app.identity.delay(ms).await?,
        Step::Allow | Step::Confirm => {}
    }
    let checked = app.identity.hashing.check(password.clone(), stored.as_ref().map(|one| one.phc.as_str())).await?;
    let Some(stored) = stored.filter(|_| checked != Checked::Wrong) else {
        app.store.tally_failure(keys, now_ms).await?;
        return Err(wrong_credentials());
    };
    let rehashed = match checked {
        Checked::RightAndOld => Some(app.identity.hashing.hash(password).await?),
        _ => None,
    };
    let player = stored.player;
    let shown = match &body.factor {
        Some(factor) => Some(shown(&app, player, factor, now_ms).await?.ok_or_else(wrong_factor)?),
        None => None,
    };
    let (token, session) = new_session(&app, GAMEMESH);
    let must_confirm = step == Step::Confirm;
    let (checked, marks) = (stored.phc, vec![keys.place]);
    let login = PasswordLogin { player, checked, rehashed, must_confirm, code: None, shown, marks, session };
    match app.store.login_password(login).await? {
        PasswordLoggedIn::In(..) => {
            app.store.tally_success(keys, now_ms).await?;
            metrics::password_login("right");
            tracing::info!(player_id = %player, "login by username");
            let player: PlayerBody = player_body(&app, player, true).await?;
            Ok(private(Json(json!({ "token": app.refresh.text(&token), "player": player }))))
        }
        PasswordLoggedIn::Stale => Err(wrong_credentials()),
        PasswordLoggedIn::Barred(until_ms) => Err(barred(until_ms)),
        PasswordLoggedIn::NeedsFactor => Err(Problem::unauthenticated(
            "second-factor-required",
            "send this again with factor: a code of your authenticator app, or one of those on paper",
        )),
        PasswordLoggedIn::WrongFactor => {
            app.store.tally_failure(keys, now_ms).await?;
            Err(wrong_factor())
        }
        PasswordLoggedIn::NeedsCode | PasswordLoggedIn::WrongCode | PasswordLoggedIn::CodeGone => {
            metrics::limited("confirmation");
            // Their clients have no way to confirm a login; the failures that make it look so are forgotten after a while.
            Err(too_many("guessing"))
        }
    }
}

pub(super) async fn logout(State(app): State<App>, player: Player) -> Result<impl IntoResponse, Problem> {
    app.store.end_session(player.id, player.session, service::clock::unix_ms()).await?;
    app.identity.revoked.look(&app.store).await?;
    Ok(Json(json!({ "status": "logged out" })))
}
