//! Calls to others over HTTPS: stores of accounts, identity providers, payment, vendors, webhooks.
//!
//! Each of them is a [`Destination`], which has a name in metrics, at most so many calls under way, and a circuit: one
//! that is slow or gone takes its own calls with it and nobody else's. Redirects are not followed: a redirect would carry
//! secrets to whoever it names. Nothing is sent again by itself; whoever calls knows whether that is safe.
//!
//! No log line, error or `Debug` shows a path, a query, a header or a body: any of them may hold a secret.

mod connect;
mod request;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::Uri;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use rustls::pki_types::CertificateDer;
use tokio::sync::Semaphore;

use self::connect::Client;
use crate::core::circuit::{Circuit, Turn};
use crate::metrics;

pub use self::connect::TlsError;
pub use self::request::AddressFault;
pub(crate) use self::request::{Answer, OutgoingError, Request, origin};

/// Failures in a row after which a destination is taken to be gone, and how long until somebody asks again.
const FAILURES_MAX: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);
/// Calls to one destination under way at once: far fewer than the requests that metagame answers at once, so that those
/// that wait for a slow destination leave room for all others.
const AT_ONCE_MAX: usize = 64;

/// How others are reached.
#[derive(Debug, Clone)]
pub struct OutgoingSettings {
    /// Until a connection stands: name, TCP and TLS.
    pub connect: Duration,
    /// Certificate authorities besides the system's.
    pub authorities: Vec<CertificateDer<'static>>,
}

impl Default for OutgoingSettings {
    fn default() -> Self {
        Self { connect: Duration::from_secs(3), authorities: Vec::new() }
    }
}

/// The way to others; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: OutgoingSettings,
    plain: OnceLock<Result<Client, TlsError>>,
    /// Made when the first address with TLS is met: reading the system's authorities takes a while.
    tls: OnceLock<Result<Client, TlsError>>,
}

impl Outgoing {
    pub(crate) fn new(settings: OutgoingSettings) -> Self {
        Self(Arc::new(Inner { settings, plain: OnceLock::new(), tls: OnceLock::new() }))
    }

    /// Somebody to call, by a name for metrics and logs: one per other, not per address of theirs.
    pub(crate) fn destination(&self, name: impl Into<Arc<str>>) -> Destination {
        Destination {
            outgoing: self.clone(),
            name: name.into(),
            allows_plain: false,
            circuit: Some(Arc::new(Mutex::new(Circuit::new(FAILURES_MAX, PAUSE)))),
            places: Arc::new(Semaphore::new(AT_ONCE_MAX)),
        }
    }

    fn client(&self, is_tls: bool) -> Result<&Client, TlsError> {
        let Inner { settings, plain, tls } = &*self.0;
        let client = if is_tls {
            tls.get_or_init(|| connect::trusting(&settings.authorities, settings.connect))
        } else {
            plain.get_or_init(|| connect::plain(settings.connect))
        };
        client.as_ref().map_err(Clone::clone)
    }
}

/// Somebody to call; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Destination {
    outgoing: Outgoing,
    name: Arc<str>,
    allows_plain: bool,
    circuit: Option<Arc<Mutex<Circuit>>>,
    places: Arc<Semaphore>,
}

impl Destination {
    /// Called by http:// wherever it is: an operator has chosen that.
    pub(crate) fn plain_allowed(self) -> Self {
        Self { allows_plain: true, ..self }
    }

    /// Called however often it failed: whoever calls has a schedule of its own.
    pub(crate) fn without_circuit(self) -> Self {
        Self { circuit: None, ..self }
    }

    /// With room for other than 64 calls at once.
    pub(crate) fn at_once(self, calls: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(calls.clamp(1, Semaphore::MAX_PERMITS))), ..self }
    }

    /// Whether an address can be called at all: for settings, at the start.
    ///
    /// # Errors
    /// [`AddressFault`], which says what to do and does not repeat the address.
    pub(crate) fn check(&self, url: &Uri) -> Result<(), AddressFault> {
        self.client(url).map(drop)
    }

    /// Makes a call. An answer is an answer, whatever its status.
    ///
    /// # Errors
    /// [`OutgoingError`].
    pub(crate) async fn send(&self, request: Request) -> Result<Answer, OutgoingError> {
        let begun = Instant::now();
        let (answer, was_asked) = self.send_once(request, begun).await;
        let outcome = match &answer {
            Ok(answer) => class(answer.status.as_u16()),
            Err(error) => error.outcome(),
        };
        metrics::outgoing_call(&self.name, outcome, was_asked.then(|| begun.elapsed()));
        if was_asked {
            self.note(&answer);
        }
        answer
    }

    async fn send_once(&self, request: Request, now: Instant) -> (Result<Answer, OutgoingError>, bool) {
        let client = match self.client(&request.url) {
            Ok(client) => client,
            Err(fault) => return (Err(fault.into()), false),
        };
        let Ok(_place) = self.places.try_acquire() else { return (Err(OutgoingError::Busy), false) };
        if self.circuit.as_ref().is_some_and(|circuit| lock(circuit).turn(now) == Turn::Refused) {
            return (Err(OutgoingError::Skipped), false);
        }
        let timeout = request.timeout;
        let answer = tokio::time::timeout(timeout, exchange(client, request)).await;
        (answer.unwrap_or_else(|_| Err(OutgoingError::Unanswered(format!("none within {timeout:?}")))), true)
    }

    fn client(&self, url: &Uri) -> Result<&Client, AddressFault> {
        let is_tls = match url.scheme_str() {
            Some("https") => true,
            Some("http") if self.allows_plain || is_loopback(url) => false,
            _ => return Err(AddressFault::Scheme),
        };
        if url.host().is_none_or(str::is_empty) {
            return Err(AddressFault::Host);
        }
        if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(AddressFault::User);
        }
        Ok(self.outgoing.client(is_tls)?)
    }

    /// One line per change, not per failure.
    fn note(&self, answer: &Result<Answer, OutgoingError>) {
        let Some(circuit) = &self.circuit else { return };
        let destination = &*self.name;
        match failure(answer) {
            Some(reason) => {
                let mut circuit = lock(circuit);
                let was_open = circuit.is_open();
                circuit.failed(Instant::now());
                if circuit.is_open() && !was_open {
                    metrics::outgoing_up(destination, false);
                    tracing::warn!(destination, reason, "it does not answer: it is asked once a second until it does");
                }
            }
            None => {
                metrics::outgoing_up(destination, true);
                if lock(circuit).succeeded() {
                    tracing::info!(destination, "it answers again");
                }
            }
        }
    }
}

fn lock(circuit: &Mutex<Circuit>) -> std::sync::MutexGuard<'_, Circuit> {
    circuit.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why an answer says that nobody is there. A gateway in front that misses its server says so by its status.
fn failure(answer: &Result<Answer, OutgoingError>) -> Option<String> {
    match answer {
        Ok(answer) if matches!(answer.status.as_u16(), 502..=504) => Some(format!("it answered {}", answer.status)),
        Ok(_) | Err(OutgoingError::TooLong(_)) => None,
        Err(error) => Some(error.to_string()),
    }
}

fn class(status: u16) -> &'static str {
    match status {
        ..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}

/// Whether what is sent there stays on this machine.
fn is_loopback(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn exchange(client: &Client, request: Request) -> Result<Answer, OutgoingError> {
    let mut whole = axum::http::Request::new(Full::new(request.body));
    *whole.method_mut() = request.method;
    *whole.uri_mut() = request.url;
    *whole.headers_mut() = request.headers;
    let answer = client.request(whole).await.map_err(|error| {
        let told = chain(&error);
        if error.is_connect() { OutgoingError::Unreachable(told) } else { OutgoingError::Unanswered(told) }
    })?;
    let (head, body) = answer.into_parts();
    let most = request.answer_bytes_max;
    // A body that is not read closes its connection, unless it is empty.
    let body = if most == 0 {
        Bytes::new()
    } else {
        let whole = Limited::new(body, most).collect().await;
        whole
            .map_err(|error| match error.is::<LengthLimitError>() {
                true => OutgoingError::TooLong(most),
                false => OutgoingError::Unanswered(chain(&*error)),
            })?
            .to_bytes()
    };
    Ok(Answer { status: head.status, headers: head.headers, body })
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
