//! Webhooks: endpoints of the operator's choice are told of events of matches, and of others that they name.
//!
//! The store writes an event and its deliveries in the transaction that makes the event true. Here one worker per
//! endpoint reads what is due for it, sends it and notes what became of it; nothing that has to be remembered is kept
//! in memory alone. Workers share nothing, so an endpoint that is slow or dead delays no other.

mod admin;
mod sender;
mod settings;
mod worker;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use service::Shutdown;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::core::health::Condition;
use crate::core::webhook::Schedule;
use crate::outgoing::AddressFault;
use crate::store::{Order, Store, StoreError, Subscription};
use sender::Sender;
use worker::Worker;

pub use settings::{Endpoint, EndpointSettings, WebhookFaults, endpoints, read_endpoints};

pub(crate) use admin::routes;
pub(crate) use settings::{is_name, secret, url};

/// What metagame tells, whom, and with how much patience.
#[derive(Debug, Clone, Default)]
pub struct Webhooks {
    /// Whom.
    pub endpoints: Vec<Endpoint>,
    /// How long it waits.
    pub timing: WebhookTiming,
}

/// How long deliveries wait.
#[derive(Debug, Clone, Copy)]
pub struct WebhookTiming {
    /// Until a connection stands: name, TCP and TLS.
    pub connect: Duration,
    /// Until the answer's head is there, the connection included.
    pub answer: Duration,
    /// Between tries.
    pub schedule: Schedule,
    /// For what is due or under way at shutdown.
    pub farewell: Duration,
}

impl Default for WebhookTiming {
    /// Three days outlast a weekend at which nobody looks. The farewell is shorter than a service manager's patience.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            answer: Duration::from_secs(10),
            schedule: Schedule {
                first: Duration::from_secs(2),
                max: Duration::from_secs(60 * 60),
                give_up: Duration::from_secs(3 * 24 * 60 * 60),
            },
            farewell: Duration::from_secs(5),
        }
    }
}

/// What an operator and a worker know of an endpoint.
#[derive(Debug)]
struct Desk {
    name: String,
    /// Scheme, host and port: paths and queries of webhooks often are secrets.
    origin: String,
    condition: Mutex<Condition>,
    /// Told when an operator has something sent again.
    revived: Notify,
}

/// The endpoints that are told of events.
#[derive(Debug, Clone)]
pub(crate) struct Desks {
    store: Store,
    desks: Arc<[Arc<Desk>]>,
}

/// An endpoint as operators see it.
#[derive(Debug, Serialize)]
pub(crate) struct EndpointStatus {
    name: String,
    /// Empty for an endpoint that the settings do not name any more.
    origin: String,
    /// `null` for an endpoint that the settings do not name any more.
    condition: Option<Condition>,
    delivered: u64,
    failures: u64,
    pending: u64,
    oldest_pending_age_ms: Option<u64>,
    dead: u64,
}

impl Desks {
    /// Names the endpoints to the store and starts a worker for each.
    ///
    /// # Errors
    /// [`StartFault`].
    pub(crate) async fn start(
        config: &Webhooks,
        store: Store,
        shutdown: &Shutdown,
    ) -> Result<(Self, Vec<JoinHandle<()>>), StartFault> {
        let sender = Sender::new(&config.endpoints, &config.timing)?;
        let subscription = |endpoint: &Endpoint| Subscription {
            endpoint: endpoint.name.clone(),
            kinds: endpoint.events.clone(),
            others: endpoint.others.clone(),
        };
        store.set_subscriptions(config.endpoints.iter().map(subscription).collect()).await?;
        let (mut desks, mut workers) = (Vec::new(), Vec::new());
        for endpoint in &config.endpoints {
            let desk = Arc::new(Desk {
                name: endpoint.name.clone(),
                origin: endpoint.origin(),
                condition: Mutex::new(Condition::Working),
                revived: Notify::new(),
            });
            let worker = Worker::new(endpoint.clone(), Arc::clone(&desk), store.clone(), sender.clone(), config.timing);
            workers.push(tokio::spawn(worker.run(shutdown.clone())));
            desks.push(desk);
        }
        Ok((Self { store, desks: desks.into() }, workers))
    }

    /// Every endpoint that there is or was, with its counts at `now_ms`.
    pub(crate) async fn status(&self, now_ms: u64) -> Result<Vec<EndpointStatus>, StoreError> {
        let desk = |name: &str| self.desks.iter().find(|desk| desk.name == name);
        let backlogs = self.store.backlogs().await?;
        Ok(backlogs
            .into_iter()
            .map(|backlog| EndpointStatus {
                origin: desk(&backlog.endpoint).map(|desk| desk.origin.clone()).unwrap_or_default(),
                condition: desk(&backlog.endpoint).map(|desk| desk.condition()),
                name: backlog.endpoint,
                delivered: backlog.delivered,
                failures: backlog.failures,
                pending: backlog.pending,
                oldest_pending_age_ms: backlog.oldest_pending_at_ms.map(|at_ms| now_ms.saturating_sub(at_ms)),
                dead: backlog.dead,
            })
            .collect())
    }

    /// Has an endpoint told again of its dead letters, or of one event; an endpoint that was disabled works again.
    /// Says of how many events; `None` if the settings name no such endpoint.
    pub(crate) async fn resend(
        &self,
        endpoint: &str,
        event_id: Option<String>,
        order: Order,
    ) -> Result<Option<u64>, StoreError> {
        let count = self.store.resend(endpoint.to_owned(), event_id, order).await?;
        if let Some(desk) = self.desks.iter().find(|desk| desk.name == endpoint).filter(|_| count.is_some()) {
            desk.revived.notify_one();
        }
        Ok(count)
    }
}

impl Desk {
    fn condition(&self) -> Condition {
        *self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_condition(&self, condition: Condition) {
        *self.condition.lock().unwrap_or_else(PoisonError::into_inner) = condition;
    }
}

/// Why webhooks cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// An endpoint's address is not called.
    #[error("the address of a webhook: {0}")]
    Address(#[from] AddressFault),
    /// The database failed.
    #[error("cannot name the webhook endpoints in the database: {0}")]
    Store(#[from] StoreError),
}
