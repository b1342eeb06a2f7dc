//! What the SDK server beside a game server has been asked for and not yet written.
//!
//! Every write waits 500 ms in a queue with one entry per kind; when its time comes, the newest wish of that kind is
//! written. So an acknowledgement promises nothing, two wishes within one wait become one write, and what waits dies
//! with the sidecar. Times are durations since the sidecar's start.

use std::collections::BTreeMap;
use std::time::Duration;

use agones::sdk_server::METADATA_PREFIX;
use agones::sdk_server::state::{Refused, Write};
use agones::{HealthSpec, State};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::object::{LAST_ALLOCATED, Object, is_leaving, state, text};

/// From a wish to its write, and from a failed write to the next try: Agones' constant rate limit.
pub const WRITE_LAG: Duration = Duration::from_millis(500);
/// A longer reservation is as good as this one: ten years, which no clock overflows.
const RESERVE_SECONDS_MAX: u64 = 10 * 365 * 86_400;

/// One kind of write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// `status.state`.
    State,
    /// Labels with the SDK's prefix.
    Labels,
    /// Annotations with the SDK's prefix.
    Annotations,
}

/// Wishes, timers and health of one game server.
#[derive(Debug)]
pub struct Queue {
    wanted: Option<State>,
    reserve_for: Option<Duration>,
    reserved_until: Option<Duration>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    due: BTreeMap<Operation, Duration>,
    health: HealthSpec,
    last_ping: Duration,
    missed_pings: u32,
    next_look: Option<Duration>,
}

impl Queue {
    /// A queue for a server with this health; a reservation that an earlier sidecar wrote ends after `reserved_for`.
    pub fn new(health: HealthSpec, reserved_for: Option<Duration>) -> Self {
        Self {
            wanted: None,
            reserve_for: None,
            reserved_until: reserved_for,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            due: BTreeMap::new(),
            next_look: (!health.disabled).then_some(health.initial_delay),
            health,
            last_ping: Duration::ZERO,
            missed_pings: 0,
        }
    }

    /// Takes a wish.
    ///
    /// # Errors
    /// If it can never be written.
    pub fn write(&mut self, now: Duration, write: Write) -> Result<(), Refused> {
        write.check()?;
        match write {
            // The controller makes Ready of it.
            Write::Ready => self.want(now, State::RequestReady, None),
            Write::Allocate => self.want(now, State::Allocated, None),
            Write::Shutdown => self.want(now, State::Shutdown, None),
            Write::Reserve { seconds } => {
                let time = Duration::from_secs(seconds.min(RESERVE_SECONDS_MAX));
                self.want(now, State::Reserved, Some(time).filter(|time| !time.is_zero()));
            }
            Write::Label { key, value } => {
                self.labels.insert(key, value);
                self.enqueue(now, Operation::Labels);
            }
            Write::Annotation { key, value } => {
                self.annotations.insert(key, value);
                self.enqueue(now, Operation::Annotations);
            }
        }
        Ok(())
    }

    /// A health ping arrived.
    pub fn ping(&mut self, now: Duration) {
        self.last_ping = now;
        self.missed_pings = 0;
    }

    /// Whether the node may go on with the game server's container.
    pub fn is_healthy(&self) -> bool {
        self.health.disabled || self.missed_pings < self.health.failure_threshold
    }

    /// When [`advance`](Self::advance) has something to do next.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.due.values().copied().chain(self.reserved_until).chain(self.next_look).min()
    }

    /// Looks at health and reservation, and names the writes that are due. Each named one must be followed by
    /// [`written`](Self::written) or [`failed`](Self::failed).
    pub fn advance(&mut self, now: Duration) -> Vec<Operation> {
        while let Some(at) = self.next_look.filter(|at| *at <= now) {
            self.look(at);
        }
        if self.reserved_until.is_some_and(|at| at <= now) {
            self.want(now, State::RequestReady, None);
        }
        let due: Vec<Operation> =
            self.due.iter().filter(|(_, at)| **at <= now).map(|(operation, _)| *operation).collect();
        self.due.retain(|operation, _| !due.contains(operation));
        due
    }

    /// The JSON patch of a due write, or `None` if the server's state allows it no more.
    pub fn patch(&self, operation: Operation, server: &Object, at: Timestamp) -> Option<Vec<Value>> {
        let version = server.metadata.resource_version.as_deref().unwrap_or_default();
        let mut patch = vec![json!({"op": "test", "path": "/metadata/resourceVersion", "value": version})];
        match operation {
            Operation::State => patch.extend(self.state_patch(server, at)?),
            Operation::Labels => patch.extend(metadata_patch("labels", server.metadata.labels.is_some(), &self.labels)),
            Operation::Annotations => {
                patch.extend(metadata_patch("annotations", server.metadata.annotations.is_some(), &self.annotations));
            }
        }
        Some(patch)
    }

    /// A write reached the API server: now, not at the wish, a reservation begins to run.
    pub fn written(&mut self, now: Duration, operation: Operation) {
        if operation == Operation::State && self.wanted == Some(State::Reserved) {
            self.reserved_until = self.reserve_for.map(|time| now.saturating_add(time));
        }
    }

    /// A write failed: it is tried again, with the newest wish.
    pub fn failed(&mut self, now: Duration, operation: Operation) {
        self.enqueue(now, operation);
    }

    fn want(&mut self, now: Duration, state: State, reserve_for: Option<Duration>) {
        self.reserved_until = None;
        self.reserve_for = reserve_for;
        if self.wanted != Some(State::Unhealthy) {
            self.wanted = Some(state);
        }
        self.enqueue(now, Operation::State);
    }

    fn enqueue(&mut self, now: Duration, operation: Operation) {
        self.due.entry(operation).or_insert(now + WRITE_LAG);
    }

    fn look(&mut self, at: Duration) {
        let HealthSpec { period, failure_threshold, .. } = self.health;
        if self.last_ping + period < at {
            self.missed_pings += 1;
        }
        self.next_look = Some(at + period.max(Duration::from_millis(1)));
        if self.missed_pings >= failure_threshold {
            self.next_look = None;
            self.want(at, State::Unhealthy, None);
        }
    }

    fn state_patch(&self, server: &Object, at: Timestamp) -> Option<Vec<Value>> {
        let wanted = self.wanted?;
        if is_leaving(server) || state(server) == State::Unhealthy {
            return None;
        }
        let mut patch = vec![json!({"op": "add", "path": "/status/state", "value": wanted.as_str()})];
        if wanted == State::Reserved
            && let Some(time) = self.reserve_for
        {
            let until = at.checked_add(k8s_openapi::jiff::SignedDuration::try_from(time).ok()?).ok()?;
            patch.push(json!({"op": "add", "path": "/status/reservedUntil", "value": seconds_only(until)}));
        } else if !text(server, "/status/reservedUntil").is_empty() {
            patch.push(json!({"op": "add", "path": "/status/reservedUntil", "value": null}));
        }
        if wanted == State::Allocated {
            let has_annotations = server.metadata.annotations.is_some();
            let when = BTreeMap::from([(LAST_ALLOCATED.to_owned(), at.to_string())]);
            patch.extend(entries_patch("annotations", has_annotations, &when));
        }
        Some(patch)
    }
}

/// Kubernetes' own times have no fractions.
fn seconds_only(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).map_or_else(|_| time.to_string(), |time| time.to_string())
}

fn metadata_patch(field: &str, is_there: bool, wanted: &BTreeMap<String, String>) -> Vec<Value> {
    let prefixed = wanted.iter().map(|(key, value)| (format!("{METADATA_PREFIX}{key}"), value.clone())).collect();
    entries_patch(field, is_there, &prefixed)
}

fn entries_patch(field: &str, is_there: bool, entries: &BTreeMap<String, String>) -> Vec<Value> {
    let folder = (!is_there).then(|| json!({"op": "add", "path": format!("/metadata/{field}"), "value": {}}));
    let entry = |(key, value): (&String, &String)| {
        let key = key.replace('~', "~0").replace('/', "~1");
        json!({"op": "add", "path": format!("/metadata/{field}/{key}"), "value": value})
    };
    folder.into_iter().chain(entries.iter().map(entry)).collect()
}

#[cfg(test)]
#[path = "sdk_tests.rs"]
mod tests;
