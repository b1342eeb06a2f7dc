//! Clients, and the gate that the writes of a program pass that leads.

use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response};
use kube::client::{Body, ClientBuilder, DynBody};
use kube::{Client, Config};
use tower::layer::layer_fn;
use tower::util::BoxService;
use tower::{BoxError, Service};

use crate::lease::Leadership;

/// What carries requests to the API server.
pub type Transport = BoxService<Request<Body>, Response<Box<DynBody>>, BoxError>;

/// A client whose transport is wrapped once more: by a [`Gate`], or by a test. It does not repeat requests by itself, as
/// kube's does: whoever writes decides again before it writes again.
///
/// # Errors
/// If the configuration cannot be used, such as a certificate that cannot be read.
pub fn connect(mut config: Config, wrap: impl Fn(Transport) -> Transport) -> Result<Client, kube::Error> {
    config.default_retry = false;
    Ok(ClientBuilder::try_from(config)?.with_layer(&layer_fn(wrap)).build())
}

/// Lets writes through while this process leads, and none before [`Gate::open_with`]. Reads always pass.
///
/// The question is asked right before a request goes out, because a process may have been stopped for any time since it
/// decided to write.
#[derive(Clone, Default)]
pub struct Gate(Arc<OnceLock<Leadership>>);

impl Gate {
    /// From now on writes pass while this leadership lasts.
    pub fn open_with(&self, leadership: Leadership) {
        // A second leadership would be a second campaign of one program, which nobody starts.
        let _ = self.0.set(leadership);
    }

    /// Whether a write would pass at this very moment.
    pub fn is_open(&self) -> bool {
        self.0.get().is_some_and(|leadership| leadership.epoch().is_some())
    }

    /// Puts the gate before a transport.
    pub fn wrap(&self, inner: Transport) -> Transport {
        BoxService::new(Gated { inner, gate: self.clone() })
    }
}

/// A write was not sent, because this process does not lead.
#[derive(Debug, thiserror::Error)]
#[error("not sent: this process does not lead (any more)")]
pub struct NotLeading;

impl NotLeading {
    /// Whether a request failed at the gate.
    pub fn is_cause_of(error: &kube::Error) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(error) = cause {
            if error.is::<Self>() {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

struct Gated {
    inner: Transport,
    gate: Gate,
}

impl Service<Request<Body>> for Gated {
    type Response = Response<Box<DynBody>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let writes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        let (sent, gate) = (self.inner.call(request), self.gate.clone());
        // In the future, not here: it is polled when the request goes out, and this call may lie a while before.
        async move { if writes && !gate.is_open() { Err(NotLeading.into()) } else { sent.await } }.boxed()
    }
}
