//! Logging in and linking by the word of others: what Steam's routes and the identity providers' have in common.

use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::auth::{answer, banned, new_session};
use super::identities::linked;
use super::passwords::notice;
use crate::app::App;
use crate::auth::Caller;
use crate::core::letter::News;
use crate::core::name::PlayerName;
use crate::identity::federation::{self, Source, Vouched};
use crate::metrics;
use crate::problem::Problem;
use crate::store::FederatedLoggedIn;

/// From where a login comes, and what it says besides its proof.
#[derive(Clone, Copy)]
pub(super) struct Arrival<'a> {
    pub(super) source: Source<'a>,
    /// Name of the account, if it has to be made.
    pub(super) name: Option<&'a str>,
}

/// Begins a session for somebody for whom another system vouches.
pub(super) async fn enter(
    app: &App,
    vouched: Vouched,
    method: &'static str,
    arrival: Arrival<'_>,
) -> Result<impl IntoResponse + use<>, Problem> {
    let (name, later) = app.name_of_new(read_name(arrival.name)?);
    let (token, session) = new_session(app, method);
    let login = federation::login(app, vouched, name, arrival.source, session).await?;
    let done = match app.store.login_federated(login).await? {
        FederatedLoggedIn::Used => return Err(used()),
        FederatedLoggedIn::In(done) => done,
    };
    if let Some(until_ms) = done.barred_until_ms {
        return Err(banned(app, done.player, until_ms).await);
    }
    if done.created {
        app.name_later(done.player, later).await;
    }
    metrics::login(done.created);
    tracing::info!(player_id = %done.player, created = done.created, method, "login");
    Ok(answer(app, done.player, done.created, &token, done.expires_at_ms))
}

/// Links somebody for whom another system vouches to the caller's account.
pub(super) async fn attach(app: &App, caller: &Caller, vouched: Vouched) -> Result<StatusCode, Problem> {
    let now_ms = service::clock::unix_ms();
    let mail = notice(app, caller.player_id, News::IdentitiesChanged, now_ms).await?;
    let link = federation::link(app, vouched, caller.player_id, mail, now_ms).await?;
    linked(app.store.link_federated(link).await?.ok_or_else(used)?)
}

/// A name is checked before anybody is asked for anything.
pub(super) fn read_name(name: Option<&str>) -> Result<Option<PlayerName>, Problem> {
    let name = name.map(str::parse::<PlayerName>).transpose();
    name.map_err(|error| Problem::invalid("invalid-name", error.to_string()))
}

fn used() -> Problem {
    Problem::unauthenticated("proof-used", "this proof was used before, and works once: get a new one")
}
