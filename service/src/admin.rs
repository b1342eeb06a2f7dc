//! The admin port of every program: `/healthz`, `/readyz`, `/metrics`.
//!
//! One recorder serves the whole process: programs that share a process share `/metrics`.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::{Listener, Shutdown, clock};

/// Buckets of every `…_seconds` histogram: from a tenth of a tick to a minute, with one at 80 % of a 60 Hz budget, where
/// operators want an alarm.
const SECONDS: [f64; 17] =
    [0.000_1, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.013_3, 0.016_7, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];

const INFO: &str = "muster_service_info";
const READY: &str = "muster_service_ready";
const STARTED: &str = "muster_service_start_time_seconds";
const CLOCK: &str = "muster_service_clock_seconds";

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Installs the process's metrics recorder, once; later calls return the same.
///
/// # Panics
/// If another recorder than this one was installed before.
pub fn recorder() -> &'static PrometheusHandle {
    RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
            .expect("the buckets are not empty");
        builder.install_recorder().expect("no other metrics recorder is installed")
    })
}

/// Whether a program is ready for work.
#[derive(Debug, Clone, Default)]
pub struct Ready(Arc<AtomicBool>);

impl Ready {
    /// Says whether the program is ready.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    /// Whether the program is ready.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// An admin port in the making.
#[derive(Debug)]
pub struct Admin {
    name: &'static str,
    ready: Ready,
    extra: Router,
}

impl Admin {
    /// The admin port of the program `name`; not ready yet. Installs the metrics recorder.
    pub fn new(name: &'static str) -> Self {
        recorder();
        describe_gauge!(INFO, "Always 1; says which program this is and its version");
        describe_gauge!(READY, "Whether /readyz says so");
        describe_gauge!(STARTED, "When the program started, as Unix time");
        describe_gauge!(CLOCK, "The program's clock when it was asked, as Unix time");
        gauge!(INFO, "program" => name, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        gauge!(STARTED, "program" => name).set(clock::unix_ms() as f64 / 1_000.0);
        Self { name, ready: Ready::default(), extra: Router::new() }
    }

    /// The switch behind `/readyz`.
    pub fn ready_flag(&self) -> Ready {
        self.ready.clone()
    }

    /// Adds routes.
    #[must_use]
    pub fn route(mut self, routes: Router) -> Self {
        self.extra = self.extra.merge(routes);
        self
    }

    /// Serves until shutdown.
    ///
    /// # Errors
    /// If the listener fails.
    pub fn serve(self, listener: Listener, shutdown: Shutdown) -> impl Future<Output = std::io::Result<()>> + Send {
        let (name, ready) = (self.name, self.ready);
        let page = ready.clone();
        let readyz = move || async move {
            if ready.is_set() { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") }
        };
        let app = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(move || metrics_page(name, page)))
            .merge(self.extra);
        async move {
            tracing::debug!(program = name, address = %listener.local_addr(), "admin port");
            let upkeep = shutdown.clone();
            tokio::spawn(async move {
                while tokio::time::timeout(Duration::from_secs(5), upkeep.wait()).await.is_err() {
                    recorder().run_upkeep();
                }
            });
            axum::serve(listener.into_tokio(), app).with_graceful_shutdown(shutdown.wait_owned()).await
        }
    }
}

async fn metrics_page(program: &'static str, ready: Ready) -> impl IntoResponse {
    gauge!(READY, "program" => program).set(f64::from(u8::from(ready.is_set())));
    // Beside the time at which Prometheus asked, this shows a clock that is wrong.
    gauge!(CLOCK).set(clock::unix_ms() as f64 / 1_000.0);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], recorder().render())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ready_health_and_metrics_are_served() {
        let admin = Admin::new("test").route(Router::new().route("/extra", get(|| async { "more" })));
        let ready = admin.ready_flag();
        let listener = Listener::bind("127.0.0.1:0".parse().expect("address"), "admin").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr());
        let shutdown = Shutdown::new();
        let server = tokio::spawn(admin.serve(listener, shutdown.clone()));
        let get = |path: &str| reqwest::get(format!("{base}{path}"));
        assert_eq!(get("/healthz").await.expect("answer").status(), 200);
        assert_eq!(get("/readyz").await.expect("answer").status(), 503);
        ready.set(true);
        assert_eq!(get("/readyz").await.expect("answer").status(), 200);
        metrics::counter!("muster_service_test_total").increment(3);
        let page = get("/metrics").await.expect("answer").text().await.expect("text");
        assert!(page.contains("muster_service_test_total 3"), "{page}");
        assert!(page.contains("muster_service_ready{program=\"test\"} 1"), "{page}");
        assert!(page.contains("muster_service_info{program=\"test\",version="), "{page}");
        let clock = page.lines().find_map(|line| line.strip_prefix("muster_service_clock_seconds "));
        let clock: f64 = clock.and_then(|value| value.parse().ok()).expect("a time");
        assert!(clock > 1.0e9 && clock <= clock::unix_ms() as f64 / 1_000.0, "{clock}");
        assert_eq!(get("/extra").await.expect("answer").text().await.expect("text"), "more");
        shutdown.trigger();
        server.await.expect("no panic").expect("a clean end");
    }
}
