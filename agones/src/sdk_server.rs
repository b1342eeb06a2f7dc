//! An SDK server inside this process, one per game server, that behaves as the real one.
//!
//! The state machine is pure and lives in [`state`]; this module gives it a clock and a socket, and [`service`] the
//! SDK's methods, which serve other keepers of a GameServer as well. It differs from the real one on purpose in one
//! point: there is no controller beside it, so RequestReady becomes Ready in the same step.

mod backend;
pub mod service;
pub mod state;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::observed::{HealthSpec, Observed, Port};
use crate::pb::sdk_server::SdkServer as SdkGrpc;
use crate::state::State;
use state::Machine;

/// Agones puts this in front of every label and annotation that a game server sets through the SDK.
pub const METADATA_PREFIX: &str = "agones.dev/sdk-";

/// Open streams get this long to take their last message when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// What an SDK server serves, and how.
#[derive(Debug, Clone)]
pub struct SdkServerConfig {
    /// Name of the GameServer.
    pub name: String,
    /// Address at which clients reach it.
    pub address: String,
    /// Its ports; 0 where the game server chooses one when it starts.
    pub ports: Vec<Port>,
    /// Labels that it has from the start, without the SDK's prefix.
    pub labels: BTreeMap<String, String>,
    /// How its health is judged.
    pub health: HealthSpec,
    /// From the acknowledgement of a write to its effect. 500 ms on a real cluster; zero applies at once.
    pub write_lag: Duration,
    /// Open watches get the object again at this interval, changed or not.
    pub resync: Duration,
    /// Where to listen; port 0 lets the system choose.
    pub listen: SocketAddr,
}

impl SdkServerConfig {
    /// A server on a loopback port of the system's choice, with Agones' health defaults and no write lag.
    pub fn local(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            address: "127.0.0.1".to_owned(),
            ports: Vec::new(),
            labels: BTreeMap::new(),
            health: HealthSpec::agones_default(),
            write_lag: Duration::ZERO,
            resync: Duration::from_secs(30),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        }
    }
}

/// The SDK server could not start.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen on {address} for the SDK server of {name}: {source}")]
pub struct StartError {
    /// Name of the GameServer.
    pub name: String,
    /// The address that was asked for.
    pub address: SocketAddr,
    /// What the system says.
    pub source: std::io::Error,
}

/// A running SDK server. It stops when this is dropped.
#[derive(Debug)]
pub struct SdkServer {
    shared: Arc<Shared>,
    local_addr: SocketAddr,
    serving: JoinHandle<()>,
    _stop: DropGuard,
}

impl SdkServer {
    /// Binds and starts serving.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn start(config: SdkServerConfig) -> Result<Self, StartError> {
        let failed = |source| StartError { name: config.name.clone(), address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared::new(&config));
        let stop = shared.stop.clone();
        tokio::spawn(stop.clone().run_until_cancelled_owned(keep_time(shared.clone())));
        let service = SdkGrpc::new(service::SdkService::new(shared.clone()));
        let serve = tonic::transport::Server::builder().tcp_nodelay(true).add_service(service);
        let name = config.name;
        let stopped = stop.clone().cancelled_owned();
        let serving = tokio::spawn(async move {
            if let Err(error) = serve.serve_with_incoming_shutdown(TcpListenerStream::new(listener), stopped).await {
                tracing::error!(server = name, %error, "the SDK server failed");
            }
        });
        Ok(Self { shared, local_addr, serving, _stop: stop.drop_guard() })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The GameServer, now and at each change.
    pub fn observed(&self) -> watch::Receiver<Observed> {
        self.shared.object.subscribe()
    }

    /// The GameServer's state now.
    pub fn state(&self) -> State {
        self.shared.object.borrow().state
    }

    /// Changes the state from outside, as an allocator or the platform does: at once, past the write queue. Final
    /// states stay.
    pub fn set_state(&self, state: State) {
        self.shared.with(|machine, now| machine.set_state(now, state));
    }

    /// Someone deletes the GameServer, as a scale-down or a node drain does: SIGTERM is up to the caller, and from now
    /// on its state stays as it is.
    pub fn delete(&self) {
        self.shared.with(|machine, now| machine.delete(now));
    }

    /// A fault for tests: the next write is acknowledged and forgotten, as when the SDK server dies before its queue
    /// is written.
    pub fn drop_next_write(&self) {
        self.shared.with(|machine, _| machine.drop_next_write());
    }

    /// A fault for tests: every open watch and health stream ends with UNAVAILABLE.
    pub fn kill_streams(&self) {
        self.shared.streams.send_modify(|generation| *generation += 1);
    }

    /// Stops serving and waits until the port is free.
    pub async fn stop(mut self) {
        self.shared.stop.cancel();
        // A client that does not read its last messages must not hold this up.
        if tokio::time::timeout(STOP_TIMEOUT, &mut self.serving).await.is_err() {
            self.serving.abort();
        }
    }
}

/// The machine, its clock, and who is told about changes.
#[derive(Debug)]
struct Shared {
    machine: Mutex<Machine>,
    started: Instant,
    object: watch::Sender<Observed>,
    /// Wakes the time keeper when the next deadline may have moved.
    deadline_moved: Notify,
    /// Streams that were opened under an older generation end.
    streams: watch::Sender<u64>,
    /// Open watches get the object again at this interval.
    resync: Duration,
    stop: CancellationToken,
}

impl Shared {
    fn new(config: &SdkServerConfig) -> Self {
        let machine = Machine::new(config);
        Self {
            object: watch::Sender::new(machine.object().clone()),
            machine: Mutex::new(machine),
            started: Instant::now(),
            deadline_moved: Notify::new(),
            streams: watch::Sender::new(0),
            resync: config.resync,
            stop: CancellationToken::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        // The machine is consistent after every method, whoever panicked elsewhere.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one event through the machine and publishes what changed, in the order in which it changed.
    fn with<T>(&self, event: impl FnOnce(&mut Machine, Duration) -> T) -> T {
        let mut machine = self.lock();
        let result = event(&mut machine, self.started.elapsed());
        self.object.send_if_modified(|last| {
            let changed = last.resource_version != machine.object().resource_version;
            if changed {
                last.clone_from(machine.object());
            }
            changed
        });
        drop(machine);
        self.deadline_moved.notify_one();
        result
    }
}

/// Applies what falls due: queued writes, health looks, the end of a reservation.
async fn keep_time(shared: Arc<Shared>) {
    loop {
        let deadline = shared.lock().next_deadline();
        match deadline {
            Some(at) => tokio::select! {
                () = tokio::time::sleep_until(shared.started + at) => shared.with(Machine::advance),
                () = shared.deadline_moved.notified() => {}
            },
            None => shared.deadline_moved.notified().await,
        }
    }
}
