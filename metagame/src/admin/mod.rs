//! What operators ask and order on the admin port: players, bans and mutes, the log of acts.
//!
//! Whoever reads or orders something about a player shows an operator's token ([`operator`]); the log of acts names its
//! bearer. The older calls (`/maintenance`, `/grants`, …) take the same token and do without one, as before: the admin port
//! itself is for operators alone, and what came without a name is logged as `admin-port`.

mod acts;
pub(crate) mod operator;
mod orders;
mod page;
mod players;
mod privacy;
mod sanctions;

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;

pub(crate) use sanctions::leave_queue;

use crate::app::App;
use crate::problem::REQUEST_ID;

/// The routes of the admin port that this module has.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .merge(players::routes())
        .merge(sanctions::routes())
        .merge(acts::routes())
        .merge(privacy::routes())
        .merge(page::routes())
}

/// Gives every request of the admin port an id: the log of acts names it, and so does the program's log.
pub(crate) async fn with_request_id(request: Request, next: Next) -> Response {
    let request_id = hex::encode(service::random::bytes::<16>());
    let mut response = REQUEST_ID.scope(request_id.clone(), next.run(request)).await;
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert("x-request-id", value);
    }
    response
}
