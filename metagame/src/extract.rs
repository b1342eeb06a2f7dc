//! Reading requests: axum's extractors with every rejection as a problem.

use std::str::FromStr;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(body_problem(&rejection)),
        }
    }
}

fn body_problem(rejection: &JsonRejection) -> Problem {
    let status = rejection.status();
    let (slug, title) = match status {
        StatusCode::PAYLOAD_TOO_LARGE => ("body-too-large", "Body too large"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ("not-json", "Body is not declared as JSON"),
        StatusCode::UNPROCESSABLE_ENTITY => ("wrong-type", "Body has a wrong shape"),
        _ => ("malformed-json", "Body is not JSON"),
    };
    Problem::new(status, slug, title, rejection.body_text())
}

/// The query string.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query: Result<_, QueryRejection> = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query.map(|query| Self(query.0)).map_err(|rejection| {
            Problem::new(StatusCode::BAD_REQUEST, "invalid-query", "Invalid query", rejection.body_text())
        })
    }
}

/// The one id or name in the path.
#[derive(Debug)]
pub(crate) struct Named<T>(pub(crate) T);

impl<S: Send + Sync, T> FromRequestParts<S> for Named<T>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let fault = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "invalid-id", "Invalid id", detail);
        let path: Result<_, PathRejection> = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        let text = path.map_err(|rejection| fault(rejection.body_text()))?.0;
        text.parse().map(Self).map_err(|error: T::Err| fault(error.to_string()))
    }
}

/// The name of a queue: 1 to 64 letters, digits, `-`, `_` or `.`.
#[derive(Debug, Clone)]
pub(crate) struct QueueName(pub(crate) String);

impl FromStr for QueueName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > 64 || !text.chars().all(plain) {
            return Err("the name of a queue has 1 to 64 letters, digits, '-', '_' or '.'");
        }
        Ok(Self(text.to_owned()))
    }
}
