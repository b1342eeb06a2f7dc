//! The worker of one endpoint: reads what is due, sends it, notes what became of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use service::Shutdown;
use tokio::time::Instant;

use super::sender::Sender;
use super::settings::Endpoint;
use super::{Desk, WebhookTiming};
use crate::core::health::{Condition, Health};
use crate::core::webhook::{Next, Verdict, millis, signatures};
use crate::metrics;
use crate::store::{Delivery, Settled, Settlement, Store, StoreError};

/// Longest time between two looks, so that the age of the oldest event is never much older than its metric.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often the counts are read for metrics.
const MEASURE_EVERY: Duration = Duration::from_secs(1);
/// How long an endpoint is held at a time; so late at most another instance goes on after one that was killed.
const HOLD: Duration = Duration::from_secs(15);
/// When it is held anew.
const HOLD_AGAIN: Duration = Duration::from_secs(5);
/// Pause after the database refused something.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// A try under way.
type Try = BoxFuture<'static, (Delivery, Verdict)>;

pub(super) struct Worker {
    endpoint: Arc<Endpoint>,
    desk: Arc<Desk>,
    store: Store,
    sender: Sender,
    timing: WebhookTiming,
    health: Health,
    /// Unix milliseconds until which the endpoint asked to be left alone.
    paused_until_ms: u64,
    measured_at: Option<Instant>,
    hold: Hold,
    under_way: FuturesUnordered<Try>,
    /// Outcomes that are not in the database yet.
    unsettled: Vec<Settled>,
    /// Whose try is under way or unsettled.
    busy: BTreeSet<u64>,
}

impl Worker {
    pub(super) fn new(
        endpoint: Endpoint,
        desk: Arc<Desk>,
        store: Store,
        sender: Sender,
        timing: WebhookTiming,
    ) -> Self {
        let hold = Hold::new(store.holder());
        Self {
            endpoint: Arc::new(endpoint),
            desk,
            store,
            sender,
            timing,
            health: Health::default(),
            paused_until_ms: 0,
            measured_at: None,
            hold,
            under_way: FuturesUnordered::new(),
            unsettled: Vec::new(),
            busy: BTreeSet::new(),
        }
    }

    /// Delivers until shutdown; what is due then has the farewell's time.
    pub(super) async fn run(mut self, shutdown: Shutdown) {
        let desk = Arc::clone(&self.desk);
        let mut news = self.store.news();
        let mut farewell: Option<Instant> = None;
        loop {
            // Before the look: what comes during it is looked at again.
            news.borrow_and_update();
            let wait = match self.look().await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::warn!(webhook = desk.name, %error, "cannot read or note deliveries; trying again");
                    STORE_PAUSE
                }
            };
            if shutdown.is_triggered() {
                let until = *farewell.get_or_insert_with(|| Instant::now() + self.timing.farewell);
                if Instant::now() >= until || (self.under_way.is_empty() && self.unsettled.is_empty()) {
                    return self.part().await;
                }
            }
            let until = farewell.unwrap_or_else(|| Instant::now() + wait);
            tokio::select! {
                Some((delivery, verdict)) = self.under_way.next(), if !self.under_way.is_empty() => {
                    self.take(&delivery, &verdict);
                }
                Ok(()) = news.changed() => {}
                () = desk.revived.notified() => self.revive(),
                () = shutdown.wait(), if farewell.is_none() => {}
                () = tokio::time::sleep_until(until.min(Instant::now() + wait.max(Duration::from_millis(1)))) => {}
            }
            while let Some(Some((delivery, verdict))) = futures_util::FutureExt::now_or_never(self.under_way.next()) {
                self.take(&delivery, &verdict);
            }
        }
    }

    /// Notes outcomes, starts tries; how long there is nothing else to do.
    async fn look(&mut self) -> Result<Duration, StoreError> {
        if !self.unsettled.is_empty() {
            self.store.settle_deliveries(self.desk.name.clone(), self.unsettled.clone()).await?;
            for settled in self.unsettled.drain(..) {
                self.busy.remove(&settled.sequence);
            }
        }
        let now_ms = service::clock::unix_ms();
        if self.health.condition() != self.desk.condition() {
            self.desk.set_condition(self.health.condition());
            if self.health.condition() == Condition::Working {
                // It is back: what waits for its next try need not wait any longer.
                self.store.hasten_deliveries(self.desk.name.clone(), now_ms).await?;
            }
        }
        self.measure(now_ms).await?;
        if !self.hold().await? {
            return Ok(HOLD_AGAIN);
        }
        let free = self.health.at_once().saturating_sub(self.under_way.len());
        if free == 0 {
            return Ok(LOOK_EVERY);
        }
        if now_ms < self.paused_until_ms {
            return Ok(LOOK_EVERY.min(Duration::from_millis(self.paused_until_ms - now_ms)));
        }
        let limit = u32::try_from(free + self.busy.len()).unwrap_or(u32::MAX);
        let found = self.store.due_deliveries(self.desk.name.clone(), now_ms, limit).await?;
        let fresh = found.due.into_iter().filter(|delivery| !self.busy.contains(&delivery.sequence)).take(free);
        for delivery in fresh.collect::<Vec<_>>() {
            self.busy.insert(delivery.sequence);
            self.under_way.push(Box::pin(attempt(self.sender.clone(), Arc::clone(&self.endpoint), delivery)));
        }
        let next = found.next_at_ms.map(|at_ms| Duration::from_millis(at_ms.saturating_sub(now_ms)));
        Ok(next.map_or(LOOK_EVERY, |next| next.min(LOOK_EVERY)))
    }

    /// Whether this instance is the one that sends.
    async fn hold(&mut self) -> Result<bool, StoreError> {
        if self.hold.asked_at.is_some_and(|at| at.elapsed() < HOLD_AGAIN) {
            return Ok(self.hold.revivals.is_some());
        }
        let (endpoint, holder) = (self.desk.name.clone(), self.hold.holder.clone());
        let asked_at = Instant::now();
        let revivals = self.store.hold_endpoint(endpoint, holder, millis(HOLD)).await?;
        self.hold.asked_at = Some(asked_at);
        let before = std::mem::replace(&mut self.hold.revivals, revivals);
        // An operator may have asked another instance to send something again.
        if before.is_some() && revivals > before {
            self.revive();
        }
        Ok(revivals.is_some())
    }

    async fn measure(&mut self, now_ms: u64) -> Result<(), StoreError> {
        if self.measured_at.is_some_and(|at| at.elapsed() < MEASURE_EVERY) {
            return Ok(());
        }
        self.measured_at = Some(Instant::now());
        let backlogs = self.store.backlogs().await?;
        if let Some(backlog) = backlogs.iter().find(|backlog| backlog.endpoint == self.desk.name) {
            metrics::webhook_backlog(backlog, now_ms);
        }
        Ok(())
    }

    /// Takes the outcome of a try.
    fn take(&mut self, delivery: &Delivery, verdict: &Verdict) {
        let now_ms = service::clock::unix_ms();
        metrics::webhook_try(&self.desk.name, verdict);
        if let Some(condition) = self.health.note(verdict) {
            self.say(condition, verdict);
        }
        let (reason, pause) = match verdict {
            Verdict::Delivered => (String::new(), None),
            Verdict::Failed { reason, pause } => (reason.clone(), *pause),
            Verdict::Gone => ("it answered 410".to_owned(), None),
        };
        if let Some(pause) = pause {
            self.paused_until_ms = self.paused_until_ms.max(now_ms.saturating_add(millis(pause)));
        }
        let failures = delivery.attempts.saturating_add(1);
        let entropy = service::random::u64();
        let outcome = match self.timing.schedule.next(failures, delivery.since_ms, now_ms, pause, entropy) {
            _ if *verdict == Verdict::Delivered => Settlement::Delivered,
            Next::Again(at_ms) => {
                tracing::debug!(webhook = self.desk.name, event_id = delivery.event_id, reason, "not delivered");
                Settlement::Again { at_ms, reason }
            }
            Next::GiveUp => {
                let (webhook, event_id) = (&self.desk.name, &delivery.event_id);
                tracing::error!(
                    webhook,
                    event_id,
                    reason,
                    tries = failures,
                    "an event is given up; `muster webhooks resend` sends it again"
                );
                Settlement::Dead { reason }
            }
        };
        self.unsettled.push(Settled { sequence: delivery.sequence, outcome });
    }

    /// One line per change, not per failure.
    fn say(&self, condition: Condition, verdict: &Verdict) {
        let (webhook, origin) = (&self.desk.name, &self.desk.origin);
        match (condition, verdict) {
            (Condition::Working, _) => tracing::info!(webhook, origin, "the webhook takes events again"),
            (Condition::Failing, Verdict::Failed { reason, .. }) => {
                tracing::warn!(webhook, origin, reason, "the webhook takes no events; they are kept and tried again");
            }
            (Condition::Failing | Condition::Disabled, _) => tracing::warn!(
                webhook,
                origin,
                "the webhook answered 410 Gone: it is told nothing more until a restart or `muster webhooks resend`"
            ),
        }
    }

    /// An operator had something sent again: the endpoint gets another chance at once.
    fn revive(&mut self) {
        self.health = Health::default();
        self.paused_until_ms = 0;
    }

    /// The end: says what is left for the next start.
    async fn part(self) {
        let (endpoint, holder) = (self.desk.name.clone(), self.hold.holder.clone());
        if let Err(error) = self.store.leave_endpoint(endpoint, holder).await {
            tracing::warn!(webhook = self.desk.name, %error, "another instance sends these events only when the hold is over");
        }
        let backlogs = self.store.backlogs().await.unwrap_or_default();
        if let Some(left) = backlogs.iter().find(|one| one.endpoint == self.desk.name && one.pending > 0) {
            tracing::warn!(
                webhook = left.endpoint,
                events = left.pending,
                "undelivered events are kept for the next start"
            );
        }
    }
}

/// The right to send an endpoint's events.
struct Hold {
    /// This instance.
    holder: String,
    /// When it was last asked for.
    asked_at: Option<Instant>,
    /// How often an operator has had something sent again; `None` while another instance sends.
    revivals: Option<u64>,
}

impl Hold {
    fn new(holder: String) -> Self {
        Self { holder, asked_at: None, revivals: None }
    }
}

/// One try.
async fn attempt(sender: Sender, endpoint: Arc<Endpoint>, delivery: Delivery) -> (Delivery, Verdict) {
    let headers = headers(&endpoint, &delivery, service::clock::unix_s());
    let verdict = sender.post(&endpoint.url, headers, delivery.body.clone()).await;
    (delivery, verdict)
}

fn headers(endpoint: &Endpoint, delivery: &Delivery, now_s: u64) -> HeaderMap {
    let text = |text: String| HeaderValue::try_from(text).expect("ids, numbers and base64 are visible ASCII");
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", text(delivery.event_id.clone()));
    headers.insert("webhook-timestamp", text(now_s.to_string()));
    let signed = signatures(&endpoint.secrets, &delivery.event_id, now_s, &delivery.body);
    headers.insert("webhook-signature", text(signed));
    headers
}
