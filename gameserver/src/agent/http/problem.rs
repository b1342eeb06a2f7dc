//! Errors as the game sees them: RFC 9457 problem details, each kind with a stable URN.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use protocol::wire::Refusal;
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use crate::agent::book::Fault;

/// The body of every error, `application/problem+json`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ProblemBody {
    /// `urn:muster:problem:` and the kind of problem; stable.
    #[serde(rename = "type")]
    #[schema(example = "urn:muster:problem:unknown-match")]
    urn: String,
    /// The kind of problem in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// This problem in words.
    detail: String,
    /// Why a join token is refused, by the number of the wire format; 0 for every other problem.
    #[serde(skip_serializing_if = "is_zero")]
    refusal: u16,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u16) -> bool {
    *number == 0
}

/// A request that failed.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    status: StatusCode,
    slug: &'static str,
    title: &'static str,
    detail: String,
    refusal: Option<Refusal>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, slug: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, slug, title, detail: detail.into(), refusal: None }
    }

    /// A value in the body that is not possible.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-value", "Invalid value", detail)
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let (status, slug, title) = match &fault {
            Fault::UnknownMatch => (StatusCode::NOT_FOUND, "unknown-match", "No such match"),
            Fault::Over(_) => (StatusCode::CONFLICT, "match-over", "The match is over"),
            Fault::NotJoinable => (StatusCode::CONFLICT, "not-joinable", "The match is not joinable"),
            Fault::PastRefusing => (StatusCode::CONFLICT, "past-refusing", "The match runs"),
            Fault::NotOnRoster(_) => (StatusCode::UNPROCESSABLE_ENTITY, "not-on-roster", "Not on the roster"),
            Fault::OtherResult => (StatusCode::CONFLICT, "other-result", "Another result"),
            Fault::Impossible(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid-value", "Invalid value"),
        };
        Self::new(status, slug, title, fault.to_string())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = format!("{}; let the client ask metagame for a new token, or turn it away", refusal.label());
        let status = if refusal == Refusal::Busy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::FORBIDDEN };
        Self { refusal: Some(refusal), ..Self::new(status, "join-refused", "The join token is refused", detail) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemBody {
            urn: format!("urn:muster:problem:{}", self.slug),
            title: self.title,
            status: self.status.as_u16(),
            detail: self.detail,
            refusal: self.refusal.map_or(0, |refusal| refusal as u16),
        };
        let mut response = (self.status, Json(body)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

/// A JSON body, every rejection a problem. It must be declared as JSON: a page in somebody's browser cannot do that
/// without asking first, and nobody answers.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let read: Result<Json<T>, JsonRejection> = Json::from_request(request, state).await;
        read.map(|Json(body)| Self(body)).map_err(|rejection| {
            let (slug, title) = match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => ("body-too-large", "Body too large"),
                StatusCode::UNSUPPORTED_MEDIA_TYPE => ("not-json", "Body is not declared as JSON"),
                StatusCode::UNPROCESSABLE_ENTITY => ("wrong-shape", "Body has a wrong shape"),
                _ => ("malformed-json", "Body is not JSON"),
            };
            Problem::new(rejection.status(), slug, title, rejection.body_text())
        })
    }
}

/// The query string.
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query: Result<_, QueryRejection> = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query.map(|query| Self(query.0)).map_err(|rejection| {
            Problem::new(StatusCode::BAD_REQUEST, "invalid-query", "Invalid query", rejection.body_text())
        })
    }
}
