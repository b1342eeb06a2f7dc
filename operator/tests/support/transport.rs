//! Transports that count writes, end after so many of them, and hold watches back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use cluster::client::Transport;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response};
use kube::client::{Body, DynBody};
use tokio::sync::Notify;
use tower::util::BoxService;
use tower::{BoxError, Service};

/// What a transport does; shared with the test.
#[derive(Default)]
pub(crate) struct Script {
    /// Writes that were sent.
    pub(crate) writes: AtomicUsize,
    /// No write is sent after so many; 0: no limit.
    pub(crate) last_write: AtomicUsize,
    /// Told when that many were sent and answered.
    pub(crate) spent: Notify,
    /// While set, a watch that is opened says nothing.
    pub(crate) frozen: AtomicBool,
    thaw: Notify,
}

impl Script {
    /// Wraps a transport.
    pub(crate) fn wrap(self: &Arc<Self>, inner: Transport) -> Transport {
        BoxService::new(Scripted { inner, script: self.clone() })
    }

    pub(crate) fn writes(&self) -> usize {
        self.writes.load(Ordering::SeqCst)
    }

    /// Lets watches speak from now on.
    pub(crate) fn thaw(&self) {
        self.frozen.store(false, Ordering::SeqCst);
        self.thaw.notify_waiters();
    }
}

struct Scripted {
    inner: Transport,
    script: Arc<Script>,
}

impl Service<Request<Body>> for Scripted {
    type Response = Response<Box<DynBody>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let script = self.script.clone();
        let writes = *request.method() != Method::GET;
        let watches = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        let sent = self.inner.call(request);
        async move {
            if watches && script.frozen.load(Ordering::SeqCst) {
                script.thaw.notified().await;
            }
            if !writes {
                return sent.await;
            }
            let (nth, last) =
                (script.writes.fetch_add(1, Ordering::SeqCst) + 1, script.last_write.load(Ordering::SeqCst));
            if last > 0 && nth > last {
                script.spent.notify_one();
                std::future::pending::<()>().await;
            }
            let answer = sent.await;
            if nth == last {
                script.spent.notify_one();
                // The process ends before it hears the answer.
                std::future::pending::<()>().await;
            }
            answer
        }
        .boxed()
    }
}
