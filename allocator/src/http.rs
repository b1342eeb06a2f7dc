//! The allocator's one HTTP page besides those of every program: its public keys.

use axum::Router;
use axum::http::header;
use axum::routing::get;

/// `GET /.well-known/jwks.json`: the keys that verify join tokens and certificates.
pub(crate) fn routes(jwks: &str) -> Router {
    let page = jwks.to_owned();
    let headers = [(header::CONTENT_TYPE, "application/jwk-set+json"), (header::CACHE_CONTROL, "public, max-age=300")];
    Router::new().route("/.well-known/jwks.json", get(move || async move { (headers, page) }))
}
