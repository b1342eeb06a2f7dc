//! The state machine of one GameServer, as the Agones SDK server runs it, without clock or socket.
//!
//! A write sets what is wanted and falls due one lag later; when it falls due, the newest wanted value is applied, so
//! two writes within one lag become one change. That is how the real server's queue works, with one entry per kind of
//! write. Times are durations since the start of the server.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{METADATA_PREFIX, SdkServerConfig};
use crate::observed::{HealthSpec, Observed};
use crate::state::State;

/// All labels and annotations together; Kubernetes refuses more.
const METADATA_BYTES_MAX: usize = 256 * 1024;
/// The name part of a Kubernetes label or annotation key, and a label's value.
const NAME_BYTES_MAX: usize = 63;
/// A longer reservation is as good as this one: ten years, which no clock overflows.
const RESERVE_SECONDS_MAX: u64 = 10 * 365 * 86_400;

/// What a game server may write through the SDK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Idle, for every allocator.
    Ready,
    /// Busy.
    Allocate,
    /// Idle, for nobody; Ready after so many seconds, 0 for never.
    Reserve {
        /// Seconds until it becomes Ready.
        seconds: u64,
    },
    /// The end.
    Shutdown,
    /// A label, without the SDK's prefix.
    Label {
        /// Key without prefix.
        key: String,
        /// Value.
        value: String,
    },
    /// An annotation, without the SDK's prefix.
    Annotation {
        /// Key without prefix.
        key: String,
        /// Value.
        value: String,
    },
}

impl Write {
    /// Whether its key and value are such as Kubernetes takes.
    ///
    /// # Errors
    /// If they are not.
    pub fn check(&self) -> Result<(), Refused> {
        let key = match self {
            Self::Label { value, .. } if !value.is_empty() && !is_name(value) => return Err(Refused::Value),
            Self::Label { key, .. } | Self::Annotation { key, .. } => key,
            Self::Ready | Self::Allocate | Self::Reserve { .. } | Self::Shutdown => return Ok(()),
        };
        // The part of the prefix behind the slash counts as part of the name.
        if !is_name(key) || key.len() + "sdk-".len() > NAME_BYTES_MAX {
            return Err(Refused::Key(key.chars().take(NAME_BYTES_MAX).collect()));
        }
        Ok(())
    }
}

/// A write that can never be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The key is not the name of a Kubernetes label or annotation.
    #[error("\"{0}\" is no key: up to 59 letters, digits, '-', '_' and '.', with a letter or digit first and last")]
    Key(String),
    /// The value is not a Kubernetes label's.
    #[error(
        "the value is no label's: up to 63 letters, digits, '-', '_' and '.', with a letter or digit first and last"
    )]
    Value,
    /// Labels and annotations would take more than 256 KiB.
    #[error("labels and annotations would take more than 256 KiB together")]
    TooMuch,
}

/// The state machine of one GameServer.
#[derive(Debug)]
pub struct Machine {
    object: Observed,
    version: u64,
    write_lag: Duration,
    /// The state that was last asked for; Unhealthy stays.
    wanted: Option<State>,
    /// How long the wanted Reserved lasts; `None` for ever.
    reserve_for: Option<Duration>,
    reserved_until: Option<Duration>,
    wanted_labels: BTreeMap<String, String>,
    wanted_annotations: BTreeMap<String, String>,
    state_due: Option<Duration>,
    metadata_due: Option<Duration>,
    last_ping: Duration,
    next_look: Option<Duration>,
    missed_pings: u32,
    writes_to_drop: u32,
}

impl Machine {
    /// A GameServer whose process has just been started: Scheduled.
    pub fn new(config: &SdkServerConfig) -> Self {
        let object = Observed {
            state: State::Scheduled,
            name: config.name.clone(),
            namespace: "default".to_owned(),
            uid: format!("local-{}", config.name),
            resource_version: "1".to_owned(),
            address: config.address.clone(),
            ports: config.ports.clone(),
            labels: config.labels.clone(),
            annotations: BTreeMap::new(),
            deleting: false,
            health: config.health.clone(),
        };
        Self {
            next_look: (!config.health.disabled).then_some(config.health.initial_delay),
            object,
            version: 1,
            write_lag: config.write_lag,
            wanted: None,
            reserve_for: None,
            reserved_until: None,
            wanted_labels: BTreeMap::new(),
            wanted_annotations: BTreeMap::new(),
            state_due: None,
            metadata_due: None,
            last_ping: Duration::ZERO,
            missed_pings: 0,
            writes_to_drop: 0,
        }
    }

    /// The GameServer as it is.
    pub fn object(&self) -> &Observed {
        &self.object
    }

    /// Takes a write into the queue. Success acknowledges it, which is not yet its effect.
    ///
    /// # Errors
    /// If it can never be applied.
    pub fn write(&mut self, now: Duration, write: Write) -> Result<(), Refused> {
        self.check(&write)?;
        if self.writes_to_drop > 0 {
            self.writes_to_drop -= 1;
            return Ok(());
        }
        match write {
            Write::Ready => self.want(now, State::Ready, None),
            Write::Allocate => self.want(now, State::Allocated, None),
            Write::Shutdown => self.want(now, State::Shutdown, None),
            Write::Reserve { seconds } => {
                self.want(
                    now,
                    State::Reserved,
                    (seconds > 0).then(|| Duration::from_secs(seconds.min(RESERVE_SECONDS_MAX))),
                );
            }
            Write::Label { key, value } => {
                self.wanted_labels.insert(format!("{METADATA_PREFIX}{key}"), value);
                self.metadata_due.get_or_insert(now + self.write_lag);
            }
            Write::Annotation { key, value } => {
                self.wanted_annotations.insert(format!("{METADATA_PREFIX}{key}"), value);
                self.metadata_due.get_or_insert(now + self.write_lag);
            }
        }
        self.advance(now);
        Ok(())
    }

    /// A health ping arrived.
    pub fn ping(&mut self, now: Duration) {
        self.last_ping = now;
        self.missed_pings = 0;
    }

    /// The platform changes the state past the queue: an allocator, or the end of the process. Final states stay.
    pub fn set_state(&mut self, now: Duration, state: State) {
        self.advance(now);
        if !self.object.is_over() && self.object.state != state {
            self.reserved_until = None;
            self.object.state = state;
            self.changed();
        }
    }

    /// Someone deletes the GameServer: its state stays as it is, labels and annotations still change.
    pub fn delete(&mut self, now: Duration) {
        self.advance(now);
        if !self.object.deleting {
            self.reserved_until = None;
            self.next_look = None;
            self.object.deleting = true;
            self.changed();
        }
    }

    /// The next write will be acknowledged and forgotten.
    pub fn drop_next_write(&mut self) {
        self.writes_to_drop += 1;
    }

    /// When [`advance`](Self::advance) has something to do next.
    pub fn next_deadline(&self) -> Option<Duration> {
        [self.state_due, self.metadata_due, self.reserved_until, self.next_look].into_iter().flatten().min()
    }

    /// Does everything that is due at `now`, in the order in which it fell due. Calling it too often does no harm.
    pub fn advance(&mut self, now: Duration) {
        while let Some(at) = self.next_deadline().filter(|at| *at <= now) {
            if self.state_due == Some(at) {
                self.state_due = None;
                self.apply_state(at);
            } else if self.metadata_due == Some(at) {
                self.metadata_due = None;
                self.apply_metadata();
            } else if self.reserved_until == Some(at) {
                self.reserved_until = None;
                self.want(at, State::Ready, None);
            } else {
                self.look(at);
            }
        }
    }

    fn want(&mut self, now: Duration, state: State, reserve_for: Option<Duration>) {
        // Any state call ends a running reservation, before its effect shows.
        self.reserved_until = None;
        self.reserve_for = reserve_for;
        if self.wanted != Some(State::Unhealthy) {
            self.wanted = Some(state);
        }
        self.state_due.get_or_insert(now + self.write_lag);
    }

    fn apply_state(&mut self, at: Duration) {
        let Some(wanted) = self.wanted.filter(|_| !self.object.is_over()) else { return };
        if wanted.is_final() {
            self.next_look = None;
        }
        self.reserved_until =
            self.reserve_for.filter(|_| wanted == State::Reserved).map(|time| at.saturating_add(time));
        if self.object.state != wanted {
            self.object.state = wanted;
            self.changed();
        }
    }

    fn apply_metadata(&mut self) {
        self.object.labels.append(&mut self.wanted_labels);
        self.object.annotations.append(&mut self.wanted_annotations);
        self.changed();
    }

    /// One look at the health of the server.
    fn look(&mut self, at: Duration) {
        let HealthSpec { period, failure_threshold, .. } = self.object.health;
        if self.last_ping + period < at {
            self.missed_pings += 1;
        }
        // A period of zero would be looked at for ever.
        self.next_look = Some(at + period.max(Duration::from_millis(1)));
        if self.missed_pings >= failure_threshold {
            self.next_look = None;
            self.want(at, State::Unhealthy, None);
        }
    }

    fn changed(&mut self) {
        self.version += 1;
        self.object.resource_version = self.version.to_string();
    }

    fn check(&self, write: &Write) -> Result<(), Refused> {
        write.check()?;
        let (Write::Label { key, value } | Write::Annotation { key, value }) = write else { return Ok(()) };
        let maps = [&self.object.labels, &self.object.annotations, &self.wanted_labels, &self.wanted_annotations];
        let used: usize = maps.into_iter().flatten().map(|(key, value)| key.len() + value.len()).sum();
        if used + METADATA_PREFIX.len() + key.len() + value.len() > METADATA_BYTES_MAX {
            return Err(Refused::TooMuch);
        }
        Ok(())
    }
}

/// Whether Kubernetes takes this as the name of a label, or as its value.
fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    text.len() <= NAME_BYTES_MAX
        && ends.into_iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
