//! The REST API: one file per subject, OpenAPI from the same code.

mod aliases;
pub(crate) mod appeals;
mod auth;
mod boards;
mod checkout;
mod factors;
mod federation;
mod gamemesh;
mod gateway;
mod identities;
mod inventory;
mod kv;
mod leaderboards;
mod live;
mod loadouts;
pub(crate) mod matches;
mod oidc;
mod passkeys;
mod passwords;
mod players;
pub(crate) mod privacy;
mod progression;
mod sessions;
mod shop;
mod social;
mod steam;
mod telemetry;
mod tickets;
mod trades;
pub(crate) mod wallet;

use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router, middleware};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;

pub(crate) use boards::score_number;
pub(crate) use tickets::state_name as ticket_state_name;

use crate::app::App;
use crate::gateway::Roles;
use crate::problem::{Problem, ProblemBody, UsualProblems};
use crate::request;

/// Largest body in bytes, but for a result.
const BODY_BYTES_MAX: usize = 64 * 1024;

const TITLE: &str = "Muster metagame API";
const DESCRIPTION: &str = "Accounts, profiles, ratings, results and tickets of a Muster installation. Ids are hyphenated \
UUIDs, times Unix milliseconds. Every error is application/problem+json with a stable type. Lists are read in pages: \
pass next_cursor back as cursor until it is null.";

fn routes(roles: Roles) -> OpenApiRouter<App> {
    let info = InfoBuilder::new()
        .title(TITLE)
        .version("1")
        .description(Some(DESCRIPTION))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build();
    let mut router = OpenApiRouter::with_openapi(OpenApiBuilder::new().info(info).build());
    if roles.gateway {
        router = router.merge(gateway::routes());
    }
    if roles.api { router.merge(rest()) } else { router }
}

/// The REST API, all but the door of the gateway.
fn rest() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(auth::routes())
        .merge(passwords::routes())
        .merge(steam::routes())
        .merge(oidc::routes())
        .merge(identities::routes())
        .merge(factors::routes())
        .merge(passkeys::routes())
        .merge(sessions::routes())
        .merge(appeals::routes())
        .merge(privacy::routes())
        .merge(players::routes())
        .merge(matches::routes())
        .merge(leaderboards::routes())
        .merge(boards::routes())
        .merge(tickets::routes())
        .merge(social::routes())
        .merge(wallet::routes())
        .merge(shop::routes())
        .merge(checkout::routes())
        .merge(inventory::routes())
        .merge(trades::routes())
        .merge(kv::routes())
        .merge(loadouts::routes())
        .merge(progression::routes())
        .merge(live::routes())
        .merge(telemetry::routes())
        .merge(aliases::routes())
}

/// The OpenAPI 3.1 document of the API.
pub fn openapi() -> OpenApi {
    let mut document = routes(Roles::default()).into_openapi();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("The access_token of a session."))
        .build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("access_token", SecurityScheme::Http(bearer));
    let server = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("A service token for the audience muster-metagame, for the studio's own servers."))
        .build();
    components.add_security_scheme("service_token", SecurityScheme::Http(server));
    let problem = <ProblemBody as utoipa::PartialSchema>::schema();
    components.schemas.insert("ProblemBody".to_owned(), problem);
    components.responses.extend(UsualProblems::components());
    document
}

/// The whole API with everything around it.
pub(crate) fn router(app: App, roles: Roles) -> Router {
    let document = openapi();
    let (mut router, _) = routes(roles).split_for_parts();
    if roles.api && app.gamemesh.is_some() {
        router = router.merge(gamemesh::routes());
    }
    let router = router
        .route("/openapi.json", get(move || async move { Json(document) }))
        .fallback(async || Problem::not_found("unknown-route", "there is nothing at this address"))
        .method_not_allowed_fallback(async || {
            let detail = "this address does not answer this method; the Allow header names those that it does";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail)
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(app.clone(), request::around));
    let router = if app.gamemesh.is_some() { router.layer(middleware::from_fn(gamemesh::errors)) } else { router };
    router.with_state(app)
}

/// Answers with a player's own data must not be kept by anything in between.
fn private<T: IntoResponse>(response: T) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], response)
}
