//! What is asked of others, and what they answer.

use std::fmt;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::TlsError;
use crate::core::form::form_urlencode;

/// Longest that a call takes where nothing else is said: connecting, and the whole answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer in bytes where nothing else is said.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// A call to make. Shown, it says where to and nothing that may be secret: no path, no query, no headers, no body.
#[derive(Clone)]
pub(crate) struct Request {
    pub(super) method: Method,
    pub(super) url: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) timeout: Duration,
    pub(super) answer_bytes_max: usize,
}

impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.method, origin(&self.url))
    }
}

impl Request {
    /// A call by any method.
    pub(crate) fn new(method: Method, url: Uri) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("muster/", env!("CARGO_PKG_VERSION"))));
        let (timeout, answer_bytes_max) = (TIMEOUT, ANSWER_BYTES_MAX);
        Self { method, url, headers, body: Bytes::new(), timeout, answer_bytes_max }
    }

    /// A GET.
    pub(crate) fn get(url: Uri) -> Self {
        Self::new(Method::GET, url)
    }

    /// A POST of a body of this type.
    pub(crate) fn post(url: Uri, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut request =
            Self::new(Method::POST, url).header(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        request.body = body.into();
        request
    }

    /// A POST of a form: names and values, encoded as HTML's forms are.
    pub(crate) fn form(url: Uri, fields: &[(&str, &str)]) -> Self {
        Self::post(url, "application/x-www-form-urlencoded", form_urlencode(fields))
    }

    /// With one more header; it replaces one of the same name.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// With these headers too; they replace those of the same names.
    pub(crate) fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers.extend(headers);
        self
    }

    /// With `Authorization: Bearer`.
    ///
    /// # Panics
    /// If the token has characters that no header can have: settings are checked for that when they are read.
    pub(crate) fn bearer(self, token: &str) -> Self {
        let text = Zeroizing::new(format!("Bearer {token}"));
        self.authorization(&text)
    }

    /// With `Authorization: Basic`.
    pub(crate) fn basic(self, user: &str, password: &str) -> Self {
        let pair = Zeroizing::new(format!("{user}:{password}"));
        let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
        self.authorization(&text)
    }

    fn authorization(self, text: &str) -> Self {
        let mut value = HeaderValue::from_str(text).expect("visible ASCII");
        value.set_sensitive(true);
        self.header(header::AUTHORIZATION, value)
    }

    /// With another longest time, for connecting and the whole answer.
    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// With another longest answer, in bytes. With 0 the answer's body is not read at all.
    pub(crate) fn answer_max(mut self, bytes: usize) -> Self {
        self.answer_bytes_max = bytes;
        self
    }
}

/// Scheme, host and port: what may be shown of an address.
pub(crate) fn origin(url: &Uri) -> String {
    let authority = url.authority().map_or("", |authority| authority.as_str());
    format!("{}://{authority}", url.scheme_str().unwrap_or_default())
}

/// What came back, whatever its status.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Bodies may hold secrets.
impl fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} with {} bytes", self.status, self.body.len())
    }
}

impl Answer {
    /// The body as JSON. What is wrong with it is told without its content.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, NotJson> {
        serde_json::from_slice(&self.body).map_err(|error| NotJson { line: error.line(), column: error.column() })
    }
}

/// An answer's body is not the JSON that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not the JSON that was expected (line {line}, column {column})")]
pub(crate) struct NotJson {
    line: usize,
    column: usize,
}

/// An address that is not called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressFault {
    /// Neither https, nor http where that is allowed.
    #[error("it must begin with https://; http:// is for this machine alone (127.0.0.1, [::1], localhost)")]
    Scheme,
    /// No host.
    #[error("it names no host")]
    Host,
    /// A user name, which would be sent to nobody and shown in logs.
    #[error("it holds a user name: leave it out")]
    User,
    /// No certificate can be checked.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OutgoingError {
    /// The address is not called.
    #[error("the address is not called: {0}")]
    Address(#[from] AddressFault),
    /// It did not answer a moment ago, and is asked again in a moment.
    #[error("it did not answer a moment ago")]
    Skipped,
    /// So many calls to it are under way that this one is not made.
    #[error("too many calls to it are under way")]
    Busy,
    /// No connection: nothing was sent.
    #[error("cannot connect: {0}")]
    Unreachable(String),
    /// The request may have been received; there is no whole answer.
    #[error("no whole answer: {0}")]
    Unanswered(String),
    /// The answer is longer than the bytes allowed.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

impl OutgoingError {
    /// In metrics.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Address(_) => "refused",
            Self::Skipped => "skipped",
            Self::Busy => "busy",
            Self::Unreachable(_) => "unreachable",
            Self::Unanswered(_) => "unanswered",
            Self::TooLong(_) => "too_long",
        }
    }
}
