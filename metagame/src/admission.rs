//! Maintenance and minimum builds: kept in the database, decided on the admin port, asked for every new ticket. Each
//! instance looks every two seconds for what another has been told.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::Deserialize;
use service::Shutdown;

use crate::admin::operator::{Operator, order_of};
use crate::app::App;
use crate::core::admission::{Admission, Maintenance, Refusal};
use crate::extract::Body;
use crate::metrics;
use crate::problem::Problem;
use crate::store::{Store, StoreError};

/// Under which name the store keeps it.
const SETTING: &str = "admission";
/// How long another instance's decision may be unknown here.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Operators who decide at the same moment.
const CHANGES_AT_ONCE_MAX: usize = 16;

/// What operators have decided, as every ticket asks for it.
pub(crate) struct Gate {
    store: Store,
    now: RwLock<Admission>,
}

impl Gate {
    /// As it was decided before the restart.
    pub(crate) async fn load(store: Store) -> Result<Self, StoreError> {
        let now = read(store.setting(SETTING).await?.as_deref())?;
        metrics::maintenance(now.maintenance.is_some());
        Ok(Self { store, now: RwLock::new(now) })
    }

    /// Learns what other instances were told, until shutdown.
    pub(crate) async fn follow(self: Arc<Self>, shutdown: Shutdown) {
        while tokio::time::timeout(LOOK_EVERY, shutdown.wait()).await.is_err() {
            match self.store.setting(SETTING).await.and_then(|kept| read(kept.as_deref())) {
                Ok(kept) => self.take(kept),
                Err(error) => tracing::warn!(%error, "cannot read what operators have decided; what was known holds"),
            }
        }
    }

    fn take(&self, kept: Admission) {
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        if *now != kept {
            tracing::info!(admission = ?kept, "admission changed");
            metrics::maintenance(kept.maintenance.is_some());
            *now = kept;
        }
    }

    /// What is decided.
    pub(crate) fn now(&self) -> Admission {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Refuses a ticket that may not be made.
    pub(crate) fn check(&self, queue: &str, build: &str) -> Result<(), Problem> {
        let verdict = self.now.read().unwrap_or_else(PoisonError::into_inner).check(queue, build);
        verdict.map_err(|refusal| match refusal {
            Refusal::Maintenance(Maintenance { message, retry_after_s }) => {
                metrics::ticket("maintenance");
                Problem::unavailable("maintenance", message, retry_after_s)
            }
            Refusal::TooOld { minimum } => {
                metrics::ticket("client_too_old");
                let detail = format!("this client is too old for the queue: update it to build {minimum} or newer");
                Problem::new(StatusCode::UPGRADE_REQUIRED, "client-too-old", "Client too old", detail)
                    .with("minimum_build", minimum)
            }
        })
    }

    /// Changes what is decided: first in the database, then here.
    async fn change(
        &self,
        (operator, act): (Option<Operator>, &'static str),
        change: impl Fn(&mut Admission),
    ) -> Result<Admission, Problem> {
        let order = order_of(operator.as_ref());
        for _ in 0..CHANGES_AT_ONCE_MAX {
            let before = self.store.setting(SETTING).await?;
            let mut next = read(before.as_deref())?;
            change(&mut next);
            next.validate().map_err(|fault| Problem::invalid("impossible-admission", fault.to_string()))?;
            let text = serde_json::to_string(&next).expect("an admission is plain data");
            if self.store.swap_setting(SETTING, before, text, (order.clone(), act)).await? {
                self.take(next.clone());
                return Ok(next);
            }
        }
        Err(Problem::unavailable("busy", "others decide at the same time: say it again".to_owned(), 1))
    }
}

fn read(kept: Option<&str>) -> Result<Admission, StoreError> {
    let Some(text) = kept else { return Ok(Admission::default()) };
    serde_json::from_str(text).map_err(|error| StoreError::Unreadable(format!("the admission: {error}")))
}

/// A minimum build, for one queue or for all.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MinimumBody {
    build: String,
    #[serde(default)]
    queue: Option<String>,
}

/// Which minimum build is meant.
#[derive(Debug, Deserialize)]
struct MinimumQuery {
    queue: Option<String>,
}

/// The routes of the admin port.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/admission", get(show))
        .route("/maintenance", put(begin).delete(end))
        .route("/minimum-build", put(set_minimum).delete(clear_minimum))
}

async fn show(State(app): State<App>) -> Json<Admission> {
    Json(app.gate.now())
}

async fn begin(
    State(app): State<App>,
    operator: Option<Operator>,
    Body(body): Body<Maintenance>,
) -> Result<Json<Admission>, Problem> {
    Ok(Json(app.gate.change((operator, "maintenance"), |admission| admission.maintenance = Some(body.clone())).await?))
}

async fn end(State(app): State<App>, operator: Option<Operator>) -> Result<Json<Admission>, Problem> {
    Ok(Json(app.gate.change((operator, "end-maintenance"), |admission| admission.maintenance = None).await?))
}

async fn set_minimum(
    State(app): State<App>,
    operator: Option<Operator>,
    Body(body): Body<MinimumBody>,
) -> Result<Json<Admission>, Problem> {
    let changed = app.gate.change((operator, "minimum-build"), |admission| match &body.queue {
        None => admission.minimum_build = Some(body.build.clone()),
        Some(queue) => {
            admission.minimum_build_by_queue.insert(queue.clone(), body.build.clone());
        }
    });
    Ok(Json(changed.await?))
}

async fn clear_minimum(
    State(app): State<App>,
    operator: Option<Operator>,
    Query(query): Query<MinimumQuery>,
) -> Result<Json<Admission>, Problem> {
    let changed = app.gate.change((operator, "clear-minimum-build"), |admission| match &query.queue {
        None => admission.minimum_build = None,
        Some(queue) => {
            admission.minimum_build_by_queue.remove(queue);
        }
    });
    Ok(Json(changed.await?))
}
