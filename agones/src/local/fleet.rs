//! The actor that keeps a fleet at its size, and the handle to it.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::desired::{self, CrashLoop, Member, Size};
use super::server::{self, Ended, How, Job};
use super::{FleetConfig, FleetError, Ports, ServerStatus};
use crate::backoff::entropy;
use crate::metrics;
use crate::state::State;

/// The fleet looks at itself at least this often; every change makes it look at once.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// An idle server that was asked to leave and has not is asked again after this time.
const RETIRE_AGAIN: Duration = Duration::from_secs(10);
/// Early crashes in a row from which on the log speaks of a crash loop.
const CRASH_LOOP: u32 = 3;

/// How a drain went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drained {
    /// Servers that were there when it began.
    pub servers: usize,
    /// Those of them that had to be killed at the deadline.
    pub killed: usize,
}

/// A running fleet. Dropping it kills every server at once; [`drain`](Self::drain) lets them end.
#[derive(Debug)]
pub struct LocalFleet {
    servers: watch::Receiver<Vec<ServerStatus>>,
    orders: mpsc::Sender<Order>,
    actor: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Order {
    deadline: Duration,
    reply: oneshot::Sender<Drained>,
}

impl LocalFleet {
    /// Starts keeping a fleet. When `shutdown` resolves, the fleet drains with the deadline of its configuration.
    ///
    /// # Errors
    /// If the configuration contradicts itself. A command that cannot be run is no error here: it is tried again with
    /// growing pauses, and the log says why.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(config: FleetConfig, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<Self, FleetError> {
        config.check()?;
        let (servers_sender, servers) = watch::channel(Vec::new());
        let (orders, order_receiver) = mpsc::channel(4);
        let actor = Actor::new(config, servers_sender);
        let actor = AbortOnDropHandle::new(tokio::spawn(actor.run(order_receiver, shutdown)));
        Ok(Self { servers, orders, actor })
    }

    /// The servers now, by name.
    pub fn servers(&self) -> Vec<ServerStatus> {
        self.servers.borrow().clone()
    }

    /// The servers, now and at each change.
    pub fn watch(&self) -> watch::Receiver<Vec<ServerStatus>> {
        self.servers.clone()
    }

    /// Ends the fleet: no new server, SIGTERM to all, SIGKILL after `deadline` to those that remain. Resolves when
    /// none is left. A second drain can bring the deadline forward; servers that are ending already get a second SIGTERM
    /// then, and should end at once.
    pub async fn drain(&self, deadline: Duration) -> Drained {
        let (reply, drained) = oneshot::channel();
        // The actor ends only when no server is left.
        if self.orders.send(Order { deadline, reply }).await.is_err() {
            return Drained::default();
        }
        drained.await.unwrap_or_default()
    }

    /// Resolves when the fleet has ended: after `shutdown`, or a drain, and the end of the last server.
    pub async fn wait(self) {
        // Its only failure is a panic, and then no server is left either.
        drop(self.actor.await);
    }
}

struct Entry {
    status: ServerStatus,
    started: Instant,
    task: Id,
    end_by: watch::Sender<Option<Instant>>,
    retire_asked: Option<Instant>,
}

struct Drain {
    began_with: usize,
    killed: usize,
    replies: Vec<oneshot::Sender<Drained>>,
}

struct Actor {
    config: Arc<FleetConfig>,
    began: Instant,
    entries: BTreeMap<String, Entry>,
    tasks: JoinSet<Ended>,
    crash_loop: CrashLoop,
    surplus_since: Option<Instant>,
    draining: Option<Drain>,
    changes_sender: mpsc::Sender<ServerStatus>,
    changes: mpsc::Receiver<ServerStatus>,
    servers: watch::Sender<Vec<ServerStatus>>,
}

impl Actor {
    fn new(config: FleetConfig, servers: watch::Sender<Vec<ServerStatus>>) -> Self {
        let (changes_sender, changes) = mpsc::channel(64);
        Self {
            crash_loop: CrashLoop::new(config.stable_after),
            config: Arc::new(config),
            began: Instant::now(),
            entries: BTreeMap::new(),
            tasks: JoinSet::new(),
            surplus_since: None,
            draining: None,
            changes_sender,
            changes,
            servers,
        }
    }

    async fn run(mut self, mut orders: mpsc::Receiver<Order>, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        let mut shut_down = false;
        loop {
            if self.draining.is_none() {
                self.keep_size();
            }
            self.publish();
            if self.entries.is_empty() && self.draining.is_some() {
                self.drained();
                return;
            }
            let look_again = self.look_again();
            tokio::select! {
                () = &mut shutdown, if !shut_down => {
                    shut_down = true;
                    self.drain(self.config.drain_deadline, None);
                }
                Some(order) = orders.recv() => self.drain(order.deadline, Some(order.reply)),
                Some(status) = self.changes.recv() => self.changed(status),
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended),
                () = sleep(look_again) => {}
            }
        }
    }

    /// Until the next look: at once when a crash loop's pause is over.
    fn look_again(&self) -> Duration {
        let pause = self.crash_loop.not_before().saturating_sub(self.began.elapsed());
        if pause.is_zero() { LOOK_AGAIN } else { pause.min(LOOK_AGAIN) }
    }

    fn keep_size(&mut self) {
        let size = Size { minimum: self.config.minimum, maximum: self.config.maximum, buffer: self.config.buffer };
        let member = |entry: &Entry| Member {
            state: entry.status.state,
            ending: entry.status.ending,
            started: entry.started.duration_since(self.began),
        };
        let members = self.entries.iter().map(|(name, entry)| (name.clone(), member(entry))).collect();
        let plan = desired::plan(size, &members);
        metrics::local_desired(&self.config.name, plan.desired);
        if self.began.elapsed() >= self.crash_loop.not_before() {
            for _ in 0..plan.start {
                self.start();
            }
        }
        self.let_go(&plan.surplus);
    }

    fn start(&mut self) {
        let name = self.free_name();
        let Some(port) = self.free_port() else {
            tracing::error!(fleet = self.config.name, "no UDP port is free for another game server");
            self.crash_loop.crashed(self.began.elapsed(), Duration::ZERO);
            return;
        };
        let started_unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64);
        let status = ServerStatus {
            name: name.clone(),
            pid: None,
            state: State::Scheduled,
            sdk_port: 0,
            port,
            started_unix_ms,
            ending: false,
        };
        let (end_by, end_by_receiver) = watch::channel(None);
        // Before it runs: an allocator that starts in this moment must wait for its word too.
        self.list(Some(&name));
        let task = self.tasks.spawn(server::run(Job {
            config: self.config.clone(),
            status: status.clone(),
            end_by: end_by_receiver,
            changes: self.changes_sender.clone(),
        }));
        metrics::local_start(&self.config.name);
        let entry = Entry { status, started: Instant::now(), task: task.id(), end_by, retire_asked: None };
        self.entries.insert(name, entry);
    }

    /// Has the servers written down, and the one that is about to start.
    fn list(&self, next: Option<&String>) {
        if let Some(list) = &self.config.list {
            list(&self.entries.keys().chain(next).cloned().collect());
        }
    }

    fn free_name(&self) -> String {
        // Without vowels and look-alikes, as Kubernetes does it: no words, nothing to misread.
        const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
        loop {
            let random = entropy();
            let letter = |place: u32| char::from(LETTERS[(random >> (place * 8)) as usize % LETTERS.len()]);
            let name = format!("{}-{}", self.config.name, (0..5).map(letter).collect::<String>());
            if !self.entries.contains_key(&name) {
                return name;
            }
        }
    }

    fn free_port(&self) -> Option<u16> {
        let Ports::From(first) = self.config.ports else { return Some(0) };
        let taken = |port: u16| self.entries.values().any(|entry| entry.status.port == port);
        let is_free = |port: &u16| !taken(*port) && UdpSocket::bind(("0.0.0.0", *port)).is_ok();
        (first..=u16::MAX).find(is_free)
    }

    /// Lets surplus servers go once the surplus has lasted.
    fn let_go(&mut self, surplus: &[String]) {
        if surplus.is_empty() {
            self.surplus_since = None;
            return;
        }
        let now = Instant::now();
        if now.duration_since(*self.surplus_since.get_or_insert(now)) < self.config.scale_down_delay {
            return;
        }
        for name in surplus {
            let Some(entry) = self.entries.get_mut(name) else { continue };
            if entry.status.state == State::Ready {
                // As a Fleet does with a Ready server.
                tracing::info!(server_id = name, "game server is not needed any more; ending it");
                entry.status.ending = true;
                entry.end_by.send_replace(Some(now + self.config.shutdown_grace));
            } else if let Some(retire) = &self.config.retire
                && entry.retire_asked.is_none_or(|asked| now.duration_since(asked) >= RETIRE_AGAIN)
            {
                tracing::info!(server_id = name, "game server is not needed any more; asking it to leave");
                entry.retire_asked = Some(now);
                retire(name);
            }
        }
    }

    fn changed(&mut self, status: ServerStatus) {
        if let Some(entry) = self.entries.get_mut(&status.name) {
            // An order to end may be on its way to the server.
            let ending = entry.status.ending || status.ending;
            entry.status = ServerStatus { ending, ..status };
        }
    }

    fn ended(&mut self, ended: Result<(Id, Ended), JoinError>) {
        let (task, ended) = match ended {
            Ok((task, ended)) => (task, ended),
            Err(error) => {
                let lived = Duration::ZERO;
                (error.id(), Ended { how: How::Crashed, detail: error.to_string(), lived, killed: true })
            }
        };
        let name = self.entries.iter().find(|(_, entry)| entry.task == task).map(|(name, _)| name.clone());
        let Some(name) = name else { return };
        self.entries.remove(&name);
        self.list(None);
        metrics::local_exit(&self.config.name, ended.how.as_str());
        if let Some(drain) = &mut self.draining {
            drain.killed += usize::from(ended.killed);
        }
        if ended.how == How::Left || self.draining.is_some() {
            tracing::info!(server_id = name, status = ended.detail, "game server ended");
            return;
        }
        let pause = self.crash_loop.crashed(self.began.elapsed(), ended.lived);
        let (how, status, lived_ms) = (ended.how.as_str(), ended.detail, ended.lived.as_millis() as u64);
        let pause_ms = pause.as_millis() as u64;
        if self.crash_loop.crashes() >= CRASH_LOOP {
            let crashes = self.crash_loop.crashes();
            tracing::error!(
                server_id = name,
                how,
                status,
                lived_ms,
                crashes,
                pause_ms,
                "game servers crash as soon as they start; see their output, correct the command or its settings"
            );
        } else {
            tracing::warn!(server_id = name, how, status, lived_ms, pause_ms, "game server ended unexpectedly");
        }
    }

    fn drain(&mut self, deadline: Duration, reply: Option<oneshot::Sender<Drained>>) {
        let began_with = self.entries.len();
        let drain = self.draining.get_or_insert_with(|| {
            tracing::info!(servers = began_with, ?deadline, "draining the fleet");
            Drain { began_with, killed: 0, replies: Vec::new() }
        });
        drain.replies.extend(reply);
        let by = Instant::now() + deadline;
        for entry in self.entries.values_mut() {
            entry.status.ending = true;
            entry.end_by.send_if_modified(|end| {
                let earlier = end.is_none_or(|end| by < end);
                if earlier {
                    *end = Some(by);
                }
                earlier
            });
        }
    }

    fn drained(&mut self) {
        if let Some(drain) = self.draining.take() {
            let drained = Drained { servers: drain.began_with, killed: drain.killed };
            tracing::info!(servers = drained.servers, killed = drained.killed, "the fleet has ended");
            for reply in drain.replies {
                // Whoever asked may have stopped waiting.
                let _ = reply.send(drained);
            }
        }
    }

    fn publish(&self) {
        let servers: Vec<_> = self.entries.values().map(|entry| entry.status.clone()).collect();
        for state in
            [State::Scheduled, State::Ready, State::Reserved, State::Allocated, State::Shutdown, State::Unhealthy]
        {
            let count = servers.iter().filter(|server| server.state == state).count();
            metrics::local_servers(&self.config.name, state, count);
        }
        self.servers.send_if_modified(|last| {
            let changed = *last != servers;
            if changed {
                *last = servers;
            }
            changed
        });
    }
}
