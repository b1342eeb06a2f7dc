//! Events: what use cases have written into the outbox goes out to whoever listens.
//!
//! A use case tells of a fact in its own transaction ([`crate::core::event`], `store/events.rs`), one row for each sink that wants
//! it. Here each sink has a [`Relay`]: it reads rows in order, hands them to the [`Sink`], and removes those that the sink has
//! acknowledged. Of several instances one relays at a time. So every event arrives at least once and, of one subject, in order; a
//! repetition has the id that it had before. A sink that is slow or gone leaves rows where they are and slows nobody.
//!
//! Sinks: webhooks, in this process ([`local`]); and a bus outside, Redis Streams ([`stream`]) or NATS JetStream ([`nats`]).

mod admin;
pub mod local;
pub mod nats;
pub mod relay;
mod settings;
pub mod stream;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use service::Shutdown;
use tokio::task::JoinHandle;

use crate::core::event::{Event, EventType};
use crate::redis::Redis;
use crate::store::{Store, StoreError, Wants};
use crate::webhooks::Webhooks;
use local::ToWebhooks;
use nats::{Nats, NatsError};
use relay::{Relay, RelayTiming};
use stream::RedisStream;

pub(crate) use admin::routes;
pub use settings::{BusName, BusNameError, BusPlace, BusSettings, BusUrlError, NatsAccess, NatsUrl};

/// Name of the sink outside, whichever it is: what waits for one goes to the other if the settings change.
pub const BUS: &str = "bus";
/// Name of the sink that hands events to webhooks.
pub const WEBHOOKS: &str = "webhooks";
/// How often it is asked whether anybody listens, which another instance may have changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Why a sink did not take events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SinkFault {
    /// It is gone, too slow, or was so a moment ago. It may have taken some.
    #[error("it is not there: {0}")]
    Away(String),
    /// It answered that it will not: no room, no right, no such stream.
    #[error("it refuses: {0}")]
    Refused(String),
}

impl SinkFault {
    /// Its name in metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Away(_) => "away",
            Self::Refused(_) => "refused",
        }
    }
}

/// What became of events that a sink was handed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Handed {
    /// Sequences of those that it has acknowledged. Of one subject these are the first ones.
    pub taken: Vec<u64>,
    /// Why not all of them.
    pub fault: Option<SinkFault>,
}

impl Handed {
    /// It has all of them.
    pub fn all(events: &[Event]) -> Self {
        Self { taken: events.iter().map(|event| event.sequence).collect(), fault: None }
    }

    /// It has none of them.
    pub fn none(fault: SinkFault) -> Self {
        Self { taken: Vec::new(), fault: Some(fault) }
    }
}

/// Somebody who takes events.
pub trait Sink: Send + Sync + 'static {
    /// Hands it events, in order; says which of them it has for good. Never acknowledges one while an earlier one of its subject is
    /// not, and is done within [`relay::HAND_MAX`].
    fn hand<'a>(&'a self, events: &'a [Event]) -> BoxFuture<'a, Handed>;
}

/// Why events cannot be relayed.
#[derive(Debug, thiserror::Error)]
pub enum EventsError {
    /// The bus is to be a Redis, and there is none.
    #[error("--events redis needs the address of a Redis: give --redis or --redis-file as well")]
    NoRedis,
    /// The way to NATS cannot be prepared.
    #[error(transparent)]
    Nats(#[from] NatsError),
    /// The database failed.
    #[error("cannot name those who take events in the database: {0}")]
    Store(#[from] StoreError),
}

/// Names those who take events to the store, and starts a relay for each.
///
/// # Errors
/// [`EventsError`].
pub(crate) async fn start(
    bus: Option<&BusSettings>,
    webhooks: &Webhooks,
    store: &Store,
    redis: Option<&Redis>,
    shutdown: &Shutdown,
) -> Result<Vec<JoinHandle<()>>, EventsError> {
    let mut sinks: Vec<(&'static str, Wants, Arc<dyn Sink>)> = Vec::new();
    let wanted: BTreeSet<EventType> =
        webhooks.endpoints.iter().flat_map(|endpoint| &endpoint.others).copied().collect();
    if !wanted.is_empty() {
        sinks.push((WEBHOOKS, Wants::These(wanted), Arc::new(ToWebhooks::new(store.clone()))));
    }
    if let Some(settings) = bus {
        let installation = store.installation(hex::encode(service::random::bytes::<8>())).await?;
        let source = format!("/muster/{installation}");
        sinks.push((BUS, Wants::All, open(settings, source, redis).await?));
        tracing::info!(bus = %settings.place, name = %settings.name, "events go out");
    }
    let wants = sinks.iter().map(|(name, wants, _)| ((*name).to_owned(), wants.clone())).collect();
    store.set_event_sinks(wants).await?;
    let mut tasks = vec![tokio::spawn(look_for_listeners(store.clone(), shutdown.clone()))];
    for (name, _, sink) in sinks {
        let relay = Relay::new(name, sink, store.clone(), RelayTiming::default());
        tasks.push(tokio::spawn(relay.run(shutdown.clone())));
    }
    Ok(tasks)
}

async fn open(settings: &BusSettings, source: String, redis: Option<&Redis>) -> Result<Arc<dyn Sink>, EventsError> {
    Ok(match &settings.place {
        BusPlace::Redis => {
            let redis = redis.ok_or(EventsError::NoRedis)?.clone();
            Arc::new(RedisStream::new(redis, settings.name.clone(), settings.keep, source))
        }
        BusPlace::Nats { url, access } => Arc::new(Nats::open(url, access, &settings.name, source).await?),
    })
}

async fn look_for_listeners(store: Store, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if let Err(error) = store.look_for_listeners().await {
            tracing::debug!(%error, "cannot ask who takes events; trying again");
        }
    }
}
