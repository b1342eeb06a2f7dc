//! Errors as clients see them: RFC 9457 problem details, each kind with a stable URN.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::response::{Response as Described, ResponseBuilder};
use utoipa::openapi::{Content, Object, Ref, RefOr, Type};
use utoipa::{IntoResponses, ToSchema};

use crate::idempotency::Answer;
use crate::store::StoreError;

tokio::task_local! {
    /// Id of the request that this task answers.
    pub(crate) static REQUEST_ID: String;
}

/// The body of every error, `application/problem+json`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ProblemBody {
    /// `urn:muster:problem:` and the kind of problem; stable.
    #[serde(rename = "type")]
    #[schema(example = "urn:muster:problem:in-match")]
    urn: String,
    /// The kind of problem in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// This problem in words.
    detail: String,
    /// Names the request in the server's logs.
    request_id: String,
    /// What some kinds of problem add (`ticket_id`, `match_id`, …).
    #[serde(flatten)]
    extras: Map<String, Value>,
}

/// The problems that every request may be answered with, for the document: each operation lists them, and beside them those of
/// its own that a client decides by.
pub(crate) struct UsualProblems;

/// Status, name in the document's components, and when.
const USUAL: [(&str, &str, &str); 5] = [
    ("401", "NotAuthenticated", "A token is missing, invalid or expired, or a second factor has to be shown"),
    ("429", "TooManyRequests", "Too many requests: come back after Retry-After"),
    ("4XX", "Refused", "Something is wrong with the request, or it contradicts what is"),
    ("500", "Failed", "A fault of the server's own"),
    ("503", "NotNow", "Not now, and nothing has happened: send it again after Retry-After"),
];

impl IntoResponses for UsualProblems {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        let refer = |name: &str| RefOr::Ref(Ref::from_response_name(name));
        USUAL.iter().map(|(status, name, _)| ((*status).to_owned(), refer(name))).collect()
    }
}

impl UsualProblems {
    /// What the operations refer to, by name.
    pub(crate) fn components() -> impl Iterator<Item = (String, RefOr<Described>)> {
        USUAL.iter().map(|(status, name, when)| ((*name).to_owned(), describe(status, when).into()))
    }
}

fn describe(status: &str, when: &str) -> Described {
    // The builder has no word for `required`: what it takes for extensions is written as it is.
    let required = || Some(Extensions::from_iter([("required", true)]));
    let header = |kind: Type, text: &str| -> Header {
        let schema = Object::with_type(kind);
        HeaderBuilder::new().schema(Some(schema)).description(Some(text)).extensions(required()).build()
    };
    let body = Content::new(Some(Ref::from_schema_name("ProblemBody")));
    let described = ResponseBuilder::new()
        .description(when)
        .content("application/problem+json", body)
        .header("x-request-id", header(Type::String, "As in the body, and in the server's log"));
    match status {
        "401" => described.header("WWW-Authenticate", header(Type::String, "Which kind of token is missing")),
        "429" | "503" => described.header("Retry-After", header(Type::Integer, "Seconds")),
        _ => described,
    }
    .build()
}

/// A request that failed.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    status: StatusCode,
    slug: &'static str,
    title: &'static str,
    detail: String,
    extras: Map<String, Value>,
    retry_after_s: Option<u64>,
}

impl Problem {
    /// A problem of the kind `slug`.
    pub(crate) fn new(status: StatusCode, slug: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, slug, title, detail: detail.into(), extras: Map::new(), retry_after_s: None }
    }

    /// Whether it is of this kind.
    pub(crate) fn is(&self, slug: &str) -> bool {
        self.slug == slug
    }

    /// Adds a member to the body.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extras.insert(name.to_owned(), value.into());
        self
    }

    /// Says when to come back.
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The request lacks a good access token.
    pub(crate) fn unauthenticated(slug: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, slug, "Not authenticated", detail)
    }

    /// Whether something that should prove who calls does not.
    pub(crate) fn is_unauthenticated(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    /// The caller is known and may not.
    pub(crate) fn forbidden(slug: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, slug, "Not allowed", detail)
    }

    /// There is no such thing.
    pub(crate) fn not_found(slug: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, slug, "Not found", detail)
    }

    /// It was there and is over.
    pub(crate) fn gone(slug: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, slug, "Over", detail)
    }

    /// It contradicts what is.
    pub(crate) fn conflict(slug: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, slug, "Conflict", detail)
    }

    /// The request was read and a value in it is not possible.
    pub(crate) fn invalid(slug: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, slug, "Invalid value", detail)
    }

    /// Not now.
    pub(crate) fn unavailable(slug: &'static str, detail: impl Into<String>, retry_after_s: u64) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, slug, "Not available now", detail).retry_after(retry_after_s)
    }

    /// A fault of metagame's own; the cause is in the log.
    pub(crate) fn internal() -> Self {
        let detail = "the server failed; its log has the cause under this request_id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail)
    }
}

impl Problem {
    fn into_body(self, request_id: String) -> ProblemBody {
        ProblemBody {
            urn: format!("urn:muster:problem:{}", self.slug),
            title: self.title,
            status: self.status.as_u16(),
            detail: self.detail,
            request_id,
            extras: self.extras,
        }
    }

    /// The problem as the answer that is kept for its request's idempotency key: it gets the id of each request that it
    /// answers by [`replayed`].
    pub(crate) fn into_answer(self) -> Answer {
        let status = self.status.as_u16();
        Answer::json(status, &self.into_body(String::new()))
    }
}

/// A problem that [`Problem::into_answer`] kept, as the answer of this request.
pub(crate) fn replayed(status: StatusCode, body: &str) -> Response {
    let request_id = REQUEST_ID.try_with(Clone::clone).unwrap_or_default();
    let mut body: Map<String, Value> = serde_json::from_str(body).unwrap_or_default();
    body.insert("request_id".to_owned(), request_id.into());
    let problem = HeaderValue::from_static("application/problem+json");
    (status, [(CONTENT_TYPE, problem)], Value::Object(body).to_string()).into_response()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let request_id = REQUEST_ID.try_with(Clone::clone).unwrap_or_default();
        let (status, retry_after_s) = (self.status, self.retry_after_s);
        let body = self.into_body(request_id);
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"muster\""));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let request_id = REQUEST_ID.try_with(Clone::clone).unwrap_or_default();
        tracing::error!(%request_id, %error, "a database use case failed");
        crate::metrics::database_error(error.kind());
        match error {
            StoreError::Unreadable(_) => Self::internal(),
            StoreError::Unknown => Self::unavailable(
                "outcome-unknown",
                "the database was cut off while this was written: look whether it has happened, or send it again",
                1,
            ),
            _ => Self::unavailable("storage-unavailable", "the database cannot be used now; try again", 1),
        }
    }
}
