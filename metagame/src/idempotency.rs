//! `Idempotency-Key`: a request that is sent again has happened once, and is answered as it was the first time.
//!
//! A handler takes the key with `IdempotencyKey`, makes a [`Keyed`] request of it and runs its use case by
//! `App::once`. Within the transaction the use case begins with [`claim`] and ends with [`settle`], so key and
//! effect are written together or not at all. Refusals are answers too: a late copy of a request that was refused must not
//! succeed when nobody expects it any more. A fault of the server is no answer; the same key may be tried again.
//!
//! | | |
//! |---|---|
//! | no key | 400 `idempotency-key-missing` |
//! | the same key while the first request is under way | 409 `request-in-flight` |
//! | the same key with another request | 422 `idempotency-key-reused` |
//! | the same key with the same request | the first answer, with `Idempotency-Replayed: true` |
//!
//! After `draft-ietf-httpapi-idempotency-key-header-07`. Keys of money and goods are kept for ever.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::id::PlayerId;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::app::App;
use crate::args;
use crate::db::{StoreError, Tx};
use crate::problem::{Problem, replayed};

/// Longest key in bytes.
pub const KEY_BYTES_MAX: usize = 255;

/// What was answered: an HTTP status and a JSON body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 200 to 599.
    pub status: u16,
    /// JSON; of a refusal a problem without its `request_id`.
    pub body: String,
}

impl Answer {
    /// An answer of success.
    pub fn json(status: u16, body: &impl Serialize) -> Self {
        Self { status, body: serde_json::to_string(body).expect("an answer is plain data") }
    }
}

/// A request with its key.
#[derive(Debug)]
pub struct Keyed<O> {
    /// Whose key it is.
    pub account: PlayerId,
    /// The key; one account may use it once.
    pub key: String,
    /// SHA-256 of the request.
    pub request_hash: [u8; 32],
    /// Unix milliseconds at which the key may be forgotten; `None` for money and goods.
    pub expires_at_ms: Option<u64>,
    /// Unix milliseconds.
    pub now_ms: u64,
    /// What an outcome is answered with.
    pub render: fn(&O) -> Answer,
}

impl<O> Clone for Keyed<O> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), ..*self }
    }
}

impl<O> Keyed<O> {
    /// A request of money or goods: its key is kept for ever. `route` tells requests with equal bodies apart.
    pub fn economic(
        account: PlayerId,
        key: String,
        route: &str,
        body: &impl Serialize,
        now_ms: u64,
        render: fn(&O) -> Answer,
    ) -> Self {
        let body = serde_json::to_vec(body).expect("a request is plain data");
        let mut hash = Sha256::new();
        hash.update((route.len() as u64).to_be_bytes());
        hash.update(route);
        hash.update(body);
        Self { account, key, request_hash: hash.finalize().into(), expires_at_ms: None, now_ms, render }
    }
}

/// What a keyed request is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It happened now.
    New(Answer),
    /// It had happened before.
    Again(Answer),
    /// The key belongs to another request.
    OtherRequest,
}

/// Claims the key, at the begin of a use case. `Some`: it has been used, and this is all there is to say.
///
/// # Errors
/// [`StoreError`].
pub async fn claim<O>(tx: &mut Tx, keyed: &Keyed<O>) -> Result<Option<Reply>, StoreError> {
    // Written before anything is read: one of two at the same time waits here for the other.
    let sql = "INSERT INTO idempotency (account, idempotency_key, request_hash, status, body, at_ms, expires_at_ms)
               VALUES ($1, $2, $3, 0, '', $4, $5) ON CONFLICT (account, idempotency_key) DO NOTHING";
    let args = args![keyed.account, keyed.key, keyed.request_hash, keyed.now_ms, keyed.expires_at_ms];
    if tx.execute(sql, args).await? == 1 {
        return Ok(None);
    }
    let sql = "SELECT request_hash, status, body FROM idempotency WHERE account = $1 AND idempotency_key = $2";
    let (hash, status, body): ([u8; 32], u32, String) = tx.one(sql, args![keyed.account, keyed.key]).await?;
    if hash != keyed.request_hash {
        return Ok(Some(Reply::OtherRequest));
    }
    let status = u16::try_from(status).map_err(|_| StoreError::Unreadable(format!("status {status}")))?;
    Ok(Some(Reply::Again(Answer { status, body })))
}

/// Notes the answer, at the end of a use case that has claimed its key.
///
/// # Errors
/// [`StoreError`].
pub async fn settle<O>(tx: &mut Tx, keyed: &Keyed<O>, outcome: &O) -> Result<Reply, StoreError> {
    let answer = (keyed.render)(outcome);
    let sql = "UPDATE idempotency SET status = $1, body = $2 WHERE account = $3 AND idempotency_key = $4";
    tx.execute(sql, args![u32::from(answer.status), answer.body, keyed.account, keyed.key]).await?;
    Ok(Reply::New(answer))
}

/// Forgets keys whose time is over.
pub(crate) async fn prune(tx: &mut Tx, now_ms: u64) -> Result<(), StoreError> {
    tx.execute("DELETE FROM idempotency WHERE expires_at_ms <= $1", args![now_ms]).await.map(drop)
}

/// The header of a request that must have one.
#[derive(Debug)]
pub(crate) struct IdempotencyKey(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let bad = |slug, detail: &str| Problem::new(StatusCode::BAD_REQUEST, slug, "No idempotency key", detail);
        let mut values = parts.headers.get_all("idempotency-key").iter();
        let Some(value) = values.next() else {
            let detail = "send a header Idempotency-Key: a fresh random value for each purchase or other act, and the \
                          same one when you send it again";
            return Err(bad("idempotency-key-missing", detail));
        };
        let text = value.to_str().unwrap_or_default();
        // The draft writes keys as quoted strings; most clients send them bare. Both are one key.
        let key = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        let is_visible = key.bytes().all(|byte| byte.is_ascii_graphic());
        if values.next().is_some() || key.is_empty() || key.len() > KEY_BYTES_MAX || !is_visible {
            let detail = "one Idempotency-Key of 1 to 255 visible ASCII characters is right, such as a UUID";
            return Err(bad("idempotency-key-invalid", detail));
        }
        Ok(Self(key.to_owned()))
    }
}

/// Keys whose requests this instance is working on.
#[derive(Debug, Clone, Default)]
pub(crate) struct InFlight(Arc<Mutex<HashSet<(PlayerId, String)>>>);

/// Holds a key while its request is under way.
struct Entered {
    keys: InFlight,
    key: (PlayerId, String),
}

impl InFlight {
    fn enter(&self, account: PlayerId, key: &str) -> Option<Entered> {
        let key = (account, key.to_owned());
        let entered = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        entered.then(|| Entered { keys: self.clone(), key })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.keys.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl App {
    /// Runs a use case under its key and answers for it. Two requests of one key on two instances wait for each other in the
    /// database, so both get the one answer; on one instance the second is told 409 at once.
    pub(crate) async fn once<O, F>(&self, keyed: Keyed<O>, run: impl FnOnce(Keyed<O>) -> F) -> Result<Response, Problem>
    where
        F: Future<Output = Result<Reply, StoreError>>,
    {
        let Some(_entered) = self.in_flight.enter(keyed.account, &keyed.key) else {
            let detail =
                "a request with this Idempotency-Key is under way: wait for its answer, or send it again in a moment";
            return Err(Problem::conflict("request-in-flight", detail).retry_after(1));
        };
        match run(keyed).await? {
            Reply::New(answer) => Ok(response(&answer, false)),
            Reply::Again(answer) => Ok(response(&answer, true)),
            Reply::OtherRequest => Err(Problem::invalid(
                "idempotency-key-reused",
                "this Idempotency-Key was used for another request: use a fresh one for each act",
            )),
        }
    }
}

fn response(answer: &Answer, again: bool) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = if status.is_success() {
        let json = HeaderValue::from_static("application/json");
        (status, [(header::CONTENT_TYPE, json)], answer.body.clone()).into_response()
    } else {
        replayed(status, &answer.body)
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if again {
        headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyed(route: &str, body: &str) -> Keyed<()> {
        let render = |(): &()| Answer { status: 200, body: String::new() };
        Keyed::economic(PlayerId::from_entropy([1; 16]), "k".into(), route, &body, 0, render)
    }

    #[test]
    fn another_route_or_body_is_another_request() {
        assert_eq!(keyed("/a", "x").request_hash, keyed("/a", "x").request_hash);
        assert_ne!(keyed("/a", "x").request_hash, keyed("/a", "y").request_hash);
        assert_ne!(keyed("/a", "x").request_hash, keyed("/b", "x").request_hash);
    }

    #[test]
    fn a_key_is_held_until_its_request_is_over() {
        let (keys, player) = (InFlight::default(), PlayerId::from_entropy([1; 16]));
        let first = keys.enter(player, "k");
        assert!(first.is_some() && keys.enter(player, "k").is_none() && keys.enter(player, "other").is_some());
        drop(first);
        assert!(keys.enter(player, "k").is_some());
    }

    async fn header_of(values: &[&str]) -> Result<String, Problem> {
        let mut request = axum::http::Request::new(());
        for value in values {
            request.headers_mut().append("idempotency-key", HeaderValue::from_str(value).expect("a header"));
        }
        let (mut parts, ()) = request.into_parts();
        IdempotencyKey::from_request_parts(&mut parts, &()).await.map(|key| key.0)
    }

    #[tokio::test]
    async fn one_visible_key_is_taken_quoted_or_not() {
        assert_eq!(header_of(&["\"abc\""]).await.expect("a key"), "abc");
        assert_eq!(header_of(&["abc"]).await.expect("a key"), "abc");
        for bad in [&[][..], &[""], &["\"\""], &["a b"], &["a", "b"], &["ä"], &[&"x".repeat(256)]] {
            assert!(header_of(bad).await.is_err(), "{bad:?}");
        }
    }
}
