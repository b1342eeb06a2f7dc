//! The relay of one sink: from the outbox to the sink, in order, and out of the outbox once the sink has it.

use std::sync::Arc;
use std::time::Duration;

use service::Shutdown;
use tokio::time::{Instant, timeout};

use super::{Handed, Sink, SinkFault};
use crate::metrics;
use crate::store::{Store, StoreError};

/// Most events that a sink is handed at once: what is read, sent and removed together.
pub const BATCH: u32 = 100;
/// Longest that a sink may take for them. Shorter than what is left of a hold, so that no other instance has begun meanwhile.
pub const HAND_MAX: Duration = Duration::from_secs(5);
/// Pause after the database refused something.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// Pause after the first failure of a sink; it doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long a relay waits.
#[derive(Debug, Clone, Copy)]
pub struct RelayTiming {
    /// Between two looks into an outbox that was empty.
    pub look: Duration,
    /// How long a sink is held at a time; so late at most another instance goes on after one that was killed. Longer than
    /// [`HAND_MAX`] and [`hold_again`](Self::hold_again) together.
    pub hold: Duration,
    /// When it is held anew.
    pub hold_again: Duration,
    /// How often the counts are read for metrics.
    pub measure: Duration,
}

impl Default for RelayTiming {
    fn default() -> Self {
        Self {
            look: Duration::from_millis(100),
            hold: Duration::from_secs(15),
            hold_again: Duration::from_secs(5),
            measure: Duration::from_secs(5),
        }
    }
}

/// Relays to one sink.
pub struct Relay {
    name: &'static str,
    sink: Arc<dyn Sink>,
    store: Store,
    timing: RelayTiming,
    /// This instance.
    holder: String,
    /// When it was last asked for the right to relay, and whether it has it.
    asked_at: Option<Instant>,
    holds: bool,
    measured_at: Option<Instant>,
    /// Events that the sink has and the database does not know of yet.
    unsettled: Vec<u64>,
    /// Failures in a row.
    failures: u32,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Relay").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Relay {
    /// A relay from `store` to the sink of this name, which [`Store::set_event_sinks`] has named.
    pub fn new(name: &'static str, sink: Arc<dyn Sink>, store: Store, timing: RelayTiming) -> Self {
        Self {
            name,
            sink,
            holder: store.holder(),
            store,
            timing,
            asked_at: None,
            holds: false,
            measured_at: None,
            unsettled: Vec::new(),
            failures: 0,
        }
    }

    /// Relays until shutdown. What is in the outbox then waits there for the next start, or for another instance.
    pub async fn run(mut self, shutdown: Shutdown) {
        metrics::event_sink(self.name);
        loop {
            let wait = match self.turn().await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::warn!(sink = self.name, %error, "cannot read or remove events; trying again");
                    STORE_PAUSE
                }
            };
            tokio::select! {
                () = shutdown.wait() => return self.part().await,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Hands over what is next; how long there is nothing to do.
    async fn turn(&mut self) -> Result<Duration, StoreError> {
        self.settle().await?;
        let now_ms = service::clock::unix_ms();
        self.measure(now_ms).await?;
        if !self.hold(now_ms).await? {
            return Ok(self.timing.hold_again);
        }
        let events = self.store.pending_events(self.name, BATCH).await?;
        if events.is_empty() {
            return Ok(self.timing.look);
        }
        let left = self.asked_at.map(|at| self.timing.hold.saturating_sub(at.elapsed()));
        if left.is_none_or(|left| left < HAND_MAX) {
            // The database was slow: asked again before anything goes out, another may have begun.
            self.asked_at = None;
            return Ok(Duration::ZERO);
        }
        let begun = Instant::now();
        let late = || Handed::none(SinkFault::Away(format!("no answer within {} s", HAND_MAX.as_secs())));
        let handed = timeout(HAND_MAX, self.sink.hand(&events)).await.unwrap_or_else(|_| late());
        metrics::events_handed(self.name, &handed, begun.elapsed());
        self.unsettled.clone_from(&handed.taken);
        let wait = self.judge(handed.fault);
        self.settle().await?;
        let is_more = events.len() >= BATCH as usize;
        Ok(wait.unwrap_or(if is_more { Duration::ZERO } else { self.timing.look }))
    }

    /// Removes what the sink has.
    async fn settle(&mut self) -> Result<(), StoreError> {
        if self.unsettled.is_empty() {
            return Ok(());
        }
        self.store.settle_events(self.name, self.unsettled.clone()).await?;
        self.unsettled.clear();
        Ok(())
    }

    /// Whether this instance is the one that relays.
    async fn hold(&mut self, now_ms: u64) -> Result<bool, StoreError> {
        if self.asked_at.is_some_and(|at| at.elapsed() < self.timing.hold_again) {
            return Ok(self.holds);
        }
        // Before the answer: the hold is over when the database says so, not later.
        let asked_at = Instant::now();
        let until_ms = now_ms.saturating_add(u64::try_from(self.timing.hold.as_millis()).unwrap_or(u64::MAX));
        self.holds = self.store.hold_event_sink(self.name, &self.holder, now_ms, until_ms).await?;
        self.asked_at = Some(asked_at);
        Ok(self.holds)
    }

    /// Counts, also where another instance relays.
    async fn measure(&mut self, now_ms: u64) -> Result<(), StoreError> {
        if self.measured_at.is_some_and(|at| at.elapsed() < self.timing.measure) {
            return Ok(());
        }
        self.measured_at = Some(Instant::now());
        let backlogs = self.store.event_backlogs().await?;
        if let Some(backlog) = backlogs.iter().find(|backlog| backlog.sink == self.name) {
            metrics::event_backlog(self.name, backlog, now_ms);
        }
        Ok(())
    }

    /// How long a sink that did not take all is left alone. One line per change, not per failure.
    fn judge(&mut self, fault: Option<SinkFault>) -> Option<Duration> {
        let Some(fault) = fault else {
            if self.failures > 0 {
                tracing::info!(sink = self.name, "events are taken again");
            }
            self.failures = 0;
            return None;
        };
        if self.failures == 0 {
            tracing::warn!(sink = self.name, %fault, "events are not taken; they wait in the outbox");
        }
        self.failures = self.failures.saturating_add(1);
        Some(PAUSE.saturating_mul(1 << (self.failures - 1).min(10)).min(PAUSE_MAX))
    }

    async fn part(mut self) {
        let left = async {
            self.settle().await?;
            self.store.leave_event_sink(self.name, &self.holder).await
        };
        if let Err(error) = left.await {
            tracing::warn!(sink = self.name, %error, "another instance relays only when the hold is over");
        }
    }
}
