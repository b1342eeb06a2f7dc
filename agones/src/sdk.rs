//! The SDK client: what a game server uses to talk with the SDK server beside it.
//!
//! One actor owns the connection for writes and sends one at a time. State changes are goals: an acknowledgement
//! only says that the SDK server has queued the write, and it can be lost with that server, so the actor repeats the
//! write until the state is seen. A second task follows `WatchGameServer` and opens it again whenever it ends.
//! Nothing here blocks for ever: a dead SDK server costs each call its timeout and then a jittered pause.

mod actor;
mod channel;
mod health;
mod plan;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use channel::ConnectError;
pub use health::{HealthGate, HealthTask};

use crate::observed::{HealthSpec, Observed};
use crate::state::State;
use actor::Command;
use plan::Goal;

/// Writes that may wait for the actor. A game server makes a handful in its life; more than this is a loop.
const COMMANDS_MAX: usize = 32;

/// How long the client waits, and for what.
#[derive(Debug, Clone)]
pub struct Timing {
    /// One call that is not answered within this time has failed.
    pub call_timeout: Duration,
    /// An acknowledged write whose effect does not show within this time is sent again. A real SDK server applies
    /// writes 500 ms after it acknowledged them.
    pub repeat_interval: Duration,
    /// A state that shows sooner than this after a write may still be the one that an earlier, opposite write left
    /// in the SDK server's queue; only then is it waited out.
    pub settle: Duration,
    /// First pause after a failed call or a lost watch; doubles up to `backoff_max`, with full jitter.
    pub backoff_first: Duration,
    /// Longest pause after a failed call or a lost watch.
    pub backoff_max: Duration,
    /// The GameServer is also read at this interval: a real SDK server can miss an update between the first object
    /// of a watch and the registration of its stream.
    pub resync: Duration,
}

impl Timing {
    /// Waits that fit a real SDK server.
    pub fn agones() -> Self {
        Self {
            call_timeout: Duration::from_secs(2),
            repeat_interval: Duration::from_millis(1_500),
            settle: Duration::from_secs(1),
            backoff_first: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
            resync: Duration::from_secs(5),
        }
    }
}

/// Why a request to the SDK did not come about.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SdkError {
    /// A Reserve would have freed a busy server.
    #[error("the GameServer is Allocated: only free() may take it out of this state")]
    Allocated,
    /// The state is final; Shutdown also stands for a server that someone deletes.
    #[error("the GameServer is {0}, which nothing leaves: end the process and let a new one take its place")]
    Final(State),
    /// Another state was asked for before this one was seen.
    #[error("another state was asked for before this one was observed")]
    Superseded,
    /// The SDK server refused the call: it will refuse it again.
    #[error("the SDK server refused {call}: {message}")]
    Refused {
        /// The SDK's method.
        call: &'static str,
        /// The SDK server's words.
        message: String,
    },
    /// The SDK server did not answer. State changes are repeated and never end this way.
    #[error("the SDK server did not answer {call}: {message}; is the SDK server running?")]
    Unavailable {
        /// The SDK's method.
        call: &'static str,
        /// What the connection says.
        message: String,
    },
    /// More writes wait than any game server needs.
    #[error("{COMMANDS_MAX} SDK writes wait already")]
    Busy,
    /// The runtime that carried the client is gone.
    #[error("the SDK client has stopped")]
    Stopped,
}

/// Where to find the SDK server, from the variables that Agones gives every game server: `AGONES_SDK_GRPC_PORT`, and
/// `AGONES_SDK_GRPC_HOST` where it is not `localhost`. `None` when the process does not run under Agones.
pub fn address_from(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let port = variable("AGONES_SDK_GRPC_PORT").filter(|port| !port.is_empty())?;
    let host = variable("AGONES_SDK_GRPC_HOST").filter(|host| !host.is_empty()).unwrap_or_else(|| "localhost".into());
    Some(format!("{host}:{port}"))
}

/// A handle of the SDK client, cheap to clone. The client ends with its last handle.
#[derive(Debug, Clone)]
pub struct Sdk {
    commands: mpsc::Sender<Command>,
    observed: tokio::sync::watch::Receiver<Option<Observed>>,
    /// `None` without Agones: nobody judges health then.
    health: Option<channel::Client>,
    _end: Arc<DropGuard>,
}

impl Sdk {
    /// A client of the SDK server at `address` (`host:port`, see [`address_from`]). Returns at once, whether or not
    /// the SDK server is up: the connection is made when it is needed and made again when it is lost.
    ///
    /// # Errors
    /// If `address` is not `host:port`.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect(address: &str) -> Result<Self, ConnectError> {
        Self::connect_with(address, Timing::agones())
    }

    /// Like [`connect`](Self::connect), with other waits.
    ///
    /// # Errors
    /// If `address` is not `host:port`.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect_with(address: &str, timing: Timing) -> Result<Self, ConnectError> {
        let client = channel::client(address)?;
        let end = CancellationToken::new();
        let (observed_sender, observed) = tokio::sync::watch::channel(None);
        let (commands, command_receiver) = mpsc::channel(COMMANDS_MAX);
        tokio::spawn(end.clone().run_until_cancelled_owned(watch::follow(
            client.clone(),
            timing.clone(),
            observed_sender,
        )));
        tokio::spawn(end.clone().run_until_cancelled_owned(actor::run(
            client.clone(),
            timing,
            command_receiver,
            observed.clone(),
        )));
        Ok(Self { commands, observed, health: Some(client), _end: Arc::new(end.drop_guard()) })
    }

    /// A client without an SDK server, for a game server that runs outside Agones: it starts Scheduled and every
    /// write shows at once, by the same rules.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn alone(name: &str) -> Self {
        let end = CancellationToken::new();
        let server = Observed {
            state: State::Scheduled,
            name: name.to_owned(),
            namespace: String::new(),
            uid: String::new(),
            resource_version: String::new(),
            address: String::new(),
            ports: Vec::new(),
            labels: std::collections::BTreeMap::new(),
            annotations: std::collections::BTreeMap::new(),
            deleting: false,
            health: HealthSpec::disabled(),
        };
        let (observed_sender, observed) = tokio::sync::watch::channel(Some(server));
        let (commands, command_receiver) = mpsc::channel(COMMANDS_MAX);
        tokio::spawn(end.clone().run_until_cancelled_owned(actor::run_alone(command_receiver, observed_sender)));
        Self { commands, observed, health: None, _end: Arc::new(end.drop_guard()) }
    }

    /// Whether there is no SDK server: see [`alone`](Self::alone).
    pub fn is_alone(&self) -> bool {
        self.health.is_none()
    }

    /// The GameServer as last seen; `None` until the SDK server has answered for the first time.
    pub fn observed(&self) -> tokio::sync::watch::Receiver<Option<Observed>> {
        self.observed.clone()
    }

    /// Offers the server to every allocator, and leaves Muster's pool for good. Repeated until seen; seen Allocated
    /// counts, for an allocator may take it at once.
    ///
    /// # Errors
    /// [`SdkError::Allocated`], [`SdkError::Final`], [`SdkError::Superseded`].
    pub async fn ready(&self) -> Result<(), SdkError> {
        self.reach(Goal::Ready).await
    }

    /// Puts the idle server into Muster's pool: state Reserved, seen. After `seconds` it becomes Ready by itself; 0
    /// means never. Dropping the future does not take the request back: it stands until it is reached or replaced.
    ///
    /// # Errors
    /// [`SdkError::Allocated`] (a Reserve would silently free a busy server: see [`free`](Self::free)),
    /// [`SdkError::Final`], [`SdkError::Superseded`].
    pub async fn reserve_until_observed(&self, seconds: u32) -> Result<(), SdkError> {
        self.reach(Goal::Reserve { seconds }).await
    }

    /// Marks the server busy: state Allocated, seen. From then on nothing ends it but itself. Dropping the future
    /// does not take the request back.
    ///
    /// # Errors
    /// [`SdkError::Final`], [`SdkError::Superseded`].
    pub async fn allocate_until_observed(&self) -> Result<(), SdkError> {
        self.reach(Goal::Allocate).await
    }

    /// Takes the server out of Allocated, back into Muster's pool: state Reserved, seen. Only for a server whose last
    /// match has ended.
    ///
    /// # Errors
    /// [`SdkError::Final`], [`SdkError::Superseded`].
    pub async fn free(&self) -> Result<(), SdkError> {
        self.reach(Goal::Free).await
    }

    /// Asks for the end of this server: state Shutdown, seen. SIGTERM follows. A server that is in a final state, or
    /// that someone deletes, needs no more.
    ///
    /// # Errors
    /// [`SdkError::Superseded`], [`SdkError::Stopped`].
    pub async fn shutdown(&self) -> Result<(), SdkError> {
        self.reach(Goal::Shutdown).await
    }

    /// Sets the label `agones.dev/sdk-<key>`. Acknowledged, not observed.
    ///
    /// # Errors
    /// [`SdkError::Refused`] for a key or value that is no label, [`SdkError::Unavailable`].
    pub async fn set_label(&self, key: &str, value: &str) -> Result<(), SdkError> {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.ask(|reply| Command::Label { key, value, reply }).await
    }

    /// Sets the annotation `agones.dev/sdk-<key>`. Acknowledged, not observed.
    ///
    /// # Errors
    /// [`SdkError::Refused`] for a key that is no annotation's, [`SdkError::Unavailable`].
    pub async fn set_annotation(&self, key: &str, value: &str) -> Result<(), SdkError> {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.ask(|reply| Command::Annotation { key, value, reply }).await
    }

    /// Sends a health ping every `period` for as long as `gate` says that the server lives. Ends with the returned
    /// task handle. Choose at most half of [`Observed::health`]'s period.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start_health(&self, period: Duration, gate: HealthGate) -> HealthTask {
        HealthTask::start(self.health.clone(), period, gate)
    }

    async fn reach(&self, goal: Goal) -> Result<(), SdkError> {
        self.ask(|reply| Command::Reach { goal, reply }).await
    }

    async fn ask(&self, command: impl FnOnce(Reply) -> Command) -> Result<(), SdkError> {
        let (reply, answer) = oneshot::channel();
        self.commands.try_send(command(reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SdkError::Busy,
            mpsc::error::TrySendError::Closed(_) => SdkError::Stopped,
        })?;
        answer.await.unwrap_or(Err(SdkError::Stopped))
    }
}

type Reply = oneshot::Sender<Result<(), SdkError>>;

#[cfg(test)]
mod tests {
    use super::address_from;

    #[test]
    fn the_address_comes_from_the_variables_of_agones() {
        let with = |pairs: &'static [(&str, &str)]| {
            address_from(|name| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned()))
        };
        assert_eq!(with(&[]), None);
        assert_eq!(with(&[("AGONES_SDK_GRPC_HOST", "sidecar")]), None);
        assert_eq!(with(&[("AGONES_SDK_GRPC_PORT", "")]), None);
        assert_eq!(with(&[("AGONES_SDK_GRPC_PORT", "9357")]).as_deref(), Some("localhost:9357"));
        let both = with(&[("AGONES_SDK_GRPC_PORT", "9"), ("AGONES_SDK_GRPC_HOST", "127.0.0.1")]);
        assert_eq!(both.as_deref(), Some("127.0.0.1:9"));
    }
}
