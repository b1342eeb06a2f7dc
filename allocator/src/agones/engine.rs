//! From a request to a written GameServer: choose, write for one version, and on a conflict the next one.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use service::Shutdown;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot, watch};
use tokio::time::Instant;

use super::cluster::Cluster;
use super::core::book::{Book, WaitId};
use super::core::request::Request;
use super::core::server::{Key, Server};
use super::error::AllocateError;
use super::metrics;
use super::write::Written;

/// Servers that are tried for one request.
const TRIES_MAX: usize = 8;

/// Says whether this process leads, and in which epoch; else who does, if known.
pub type Gate = Arc<dyn Fn() -> Result<u64, Option<String>> + Send + Sync>;

/// How much is done at once.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Writes under way. More than the API server works on at once only wait there instead of here.
    pub writes_max: usize,
    /// Requests that wait for a server.
    pub waiting_max: usize,
    /// Longest time that a request may wait for a server.
    pub wait_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { writes_max: 64, waiting_max: 1_024, wait_max: Duration::from_secs(30) }
    }
}

/// A server that was given out.
#[derive(Debug, Clone)]
pub struct Given {
    /// The server as it was written.
    pub server: Arc<Server>,
    /// Whether an earlier request for the same match had it already.
    pub repeated: bool,
}

type Answer = Result<Given, AllocateError>;
type Answers = watch::Sender<Option<Answer>>;

/// Gives out game servers. Cheap to clone.
#[derive(Clone)]
pub struct Engine(pub(super) Arc<Inner>);

pub(super) struct Inner {
    book: Mutex<Book>,
    waits: Mutex<HashMap<WaitId, oneshot::Sender<Arc<Server>>>>,
    waits_made: AtomicU64,
    /// Requests for a match that are under way, by namespace and match.
    under_way: Mutex<BTreeMap<(String, String), Answers>>,
    pub(super) cluster: Arc<dyn Cluster>,
    writes: Semaphore,
    pub(super) gate: Gate,
    namespaces: Vec<String>,
    limits: Limits,
    synced: watch::Sender<bool>,
    /// The epoch in which every server was read since this process leads.
    taken_over: tokio::sync::Mutex<Option<u64>>,
    pub(super) shutdown: Shutdown,
}

impl Engine {
    /// An engine that knows nothing yet; the watch tells it of `namespaces`.
    pub fn new(
        cluster: Arc<dyn Cluster>,
        gate: Gate,
        namespaces: Vec<String>,
        limits: Limits,
        shutdown: Shutdown,
    ) -> Self {
        metrics::describe();
        Self(Arc::new(Inner {
            book: Mutex::new(Book::new(limits.waiting_max)),
            waits: Mutex::default(),
            waits_made: AtomicU64::new(0),
            under_way: Mutex::default(),
            cluster,
            writes: Semaphore::new(limits.writes_max),
            gate,
            namespaces,
            limits,
            synced: watch::channel(false).0,
            taken_over: tokio::sync::Mutex::new(None),
            shutdown,
        }))
    }

    /// Gives out a server. `wait`: how long the caller is ready to wait for one that fits, at most
    /// [`Limits::wait_max`]. Whoever stops polling gives the request up; a write that is under way ends all the same.
    ///
    /// # Errors
    /// [`AllocateError`].
    pub async fn allocate(&self, request: Request, wait: Duration) -> Answer {
        let began = Instant::now();
        let answer = match self.admit(&request) {
            Ok(()) => self.join(request, wait).await,
            Err(error) => Err(error),
        };
        match &answer {
            Ok(given) if given.repeated => metrics::answered("repeated"),
            Ok(_) => {
                metrics::answered("allocated");
                metrics::took(began.elapsed());
            }
            Err(error) => metrics::answered(error.label()),
        }
        answer
    }

    fn admit(&self, request: &Request) -> Result<(), AllocateError> {
        let inner = &self.0;
        if !inner.namespaces.contains(&request.namespace) {
            let served = inner.namespaces.join(", ");
            return Err(AllocateError::Namespace { asked: request.namespace.clone(), served });
        }
        if let Some(fleet) = self.book(|book| book.fleets.refused(request).map(str::to_owned)) {
            return Err(AllocateError::MusterPool(fleet));
        }
        inner.leads()?;
        match *inner.synced.borrow() {
            true => Ok(()),
            false => Err(AllocateError::NotSynced),
        }
    }

    /// Starts the request, or waits for the one of the same match that is under way.
    async fn join(&self, request: Request, wait: Duration) -> Answer {
        let mut answers = match request.match_id() {
            None => self.start(request, wait, None),
            Some(id) => {
                let mark = (request.namespace.clone(), id.to_owned());
                let mut under_way = lock(&self.0.under_way);
                match under_way.get(&mark) {
                    Some(answers) => answers.subscribe(),
                    None => {
                        let answers = self.start(request, wait, Some(&mut under_way));
                        drop(under_way);
                        answers
                    }
                }
            }
        };
        let answer = answers.wait_for(Option::is_some).await;
        answer.ok().and_then(|answer| answer.clone()).unwrap_or(Err(AllocateError::Stopping))
    }

    fn start(
        &self,
        request: Request,
        wait: Duration,
        under_way: Option<&mut BTreeMap<(String, String), Answers>>,
    ) -> watch::Receiver<Option<Answer>> {
        let (send, receive) = watch::channel(None);
        let mark = request.match_id().map(|id| (request.namespace.clone(), id.to_owned()));
        if let (Some(under_way), Some(mark)) = (under_way, &mark) {
            under_way.insert(mark.clone(), send.clone());
        }
        let engine = self.clone();
        tokio::spawn(async move {
            let answer = engine.run(Arc::new(request), wait, &send).await;
            if answer.is_ok() && send.is_closed() {
                metrics::unclaimed();
            }
            if let Some(mark) = mark {
                lock(&engine.0.under_way).remove(&mark);
            }
            send.send_replace(Some(answer));
        });
        receive
    }

    async fn run(&self, request: Arc<Request>, wait: Duration, caller: &Answers) -> Answer {
        let until = Instant::now() + wait.min(self.0.limits.wait_max);
        let epoch = self.0.leads()?;
        self.take_over(epoch).await?;
        for _ in 0..TRIES_MAX {
            let permit = self.permit(caller).await?;
            if let Some(known) = self.known(&request) {
                return Ok(Given { server: known, repeated: true });
            }
            let (held, _permit) = match self.book(|book| book.hold(&request, service::random::u64())) {
                Some(held) => (held, permit),
                None => {
                    drop(permit);
                    let held = self.wait(&request, until, caller).await?;
                    let permit = self.permit(caller).await;
                    (held.clone(), permit.inspect_err(|_| self.book(|book| book.released(&held.key)))?)
                }
            };
            if let Written::Given(server) = self.write(&request, &held, caller).await? {
                return Ok(Given { server: Arc::from(server), repeated: false });
            }
            metrics::conflict();
        }
        Err(AllocateError::Contention)
    }

    /// Leave to write.
    async fn permit(&self, caller: &Answers) -> Result<SemaphorePermit<'_>, AllocateError> {
        tokio::select! {
            permit = self.0.writes.acquire() => permit.map_err(|_| AllocateError::Stopping),
            () = caller.closed() => Err(AllocateError::Stopping),
            () = self.0.shutdown.wait() => Err(AllocateError::Stopping),
        }
    }

    fn known(&self, request: &Request) -> Option<Arc<Server>> {
        let id = request.match_id()?;
        self.book(|book| book.given_out_for(&request.namespace, id))
    }

    /// Waits until a server that fits is held for this request.
    async fn wait(
        &self,
        request: &Arc<Request>,
        until: Instant,
        caller: &Answers,
    ) -> Result<Arc<Server>, AllocateError> {
        if until <= Instant::now() {
            return Err(AllocateError::NoServer);
        }
        let id = WaitId(self.0.waits_made.fetch_add(1, Ordering::Relaxed));
        let (send, mut granted) = oneshot::channel();
        lock(&self.0.waits).insert(id, send);
        let queued = self.book(|book| book.wait(id, request.clone()));
        let end = match queued {
            Err(full) => AllocateError::QueueFull(full),
            Ok(()) => tokio::select! {
                server = &mut granted => return server.map_err(|_| AllocateError::Stopping),
                () = tokio::time::sleep_until(until) => AllocateError::NoServer,
                () = caller.closed() => AllocateError::Stopping,
                () = self.0.shutdown.wait() => AllocateError::Stopping,
            },
        };
        lock(&self.0.waits).remove(&id);
        self.book(|book| book.stop_waiting(id));
        // Granted at the last moment.
        match granted.try_recv() {
            Ok(server) if end == AllocateError::NoServer => Ok(server),
            Ok(server) => {
                self.book(|book| book.released(&server.key));
                Err(end)
            }
            Err(_) => Err(end),
        }
    }

    /// Reads every server once in each epoch before anything is given out: the watch may lag behind what an earlier
    /// leader wrote, and a retry of its requests must find that.
    pub(super) async fn take_over(&self, epoch: u64) -> Result<(), AllocateError> {
        let mut taken_over = self.0.taken_over.lock().await;
        if *taken_over == Some(epoch) {
            return Ok(());
        }
        for namespace in &self.0.namespaces {
            self.read(namespace).await?;
        }
        tracing::info!(epoch, "every game server has been read: servers of Agones' fleets are given out");
        *taken_over = Some(epoch);
        Ok(())
    }

    /// Reads every server of a namespace as it is now.
    pub(super) async fn read(&self, namespace: &str) -> Result<(), AllocateError> {
        let servers = self.0.cluster.list(namespace).await;
        let servers = servers.map_err(|error| AllocateError::Unavailable(error.to_string()))?;
        self.book(|book| servers.into_iter().for_each(|server| book.observe(server)));
        Ok(())
    }

    /// Reads one server as it is now.
    pub(super) async fn read_one(&self, namespace: &str, name: &str) -> Result<Arc<Server>, AllocateError> {
        let key = Key { namespace: namespace.into(), name: name.into() };
        let server = self.0.cluster.get(&key).await;
        let server = server.map_err(|error| AllocateError::Unavailable(error.to_string()))?;
        self.book(|book| book.observe(server.clone()));
        Ok(Arc::new(server))
    }

    /// The cluster's servers have been read.
    pub(super) fn set_synced(&self) {
        self.0.synced.send_replace(true);
    }

    /// Resolves when the cluster's servers have been read, and once more if this process leads: from then on a request
    /// waits for nothing but its own write.
    ///
    /// # Errors
    /// If the API server does not answer.
    pub async fn ready(&self) -> Result<(), AllocateError> {
        self.0.synced.subscribe().wait_for(|synced| *synced).await.ok();
        match self.0.leads() {
            Ok(epoch) => self.take_over(epoch).await,
            Err(_) => Ok(()),
        }
    }

    /// Does something with the book, and hands out what it granted.
    pub(super) fn book<T>(&self, act: impl FnOnce(&mut Book) -> T) -> T {
        let mut book = lock(&self.0.book);
        let result = act(&mut book);
        loop {
            let grants = book.take_grants();
            if grants.is_empty() {
                return result;
            }
            for (id, server) in grants {
                let waiting = lock(&self.0.waits).remove(&id);
                let unwanted: Option<Key> = match waiting.map(|waiting| waiting.send(server.clone())) {
                    Some(Ok(())) => None,
                    Some(Err(_)) | None => Some(server.key.clone()),
                };
                if let Some(key) = unwanted {
                    book.released(&key);
                }
            }
        }
    }
}

impl Inner {
    /// The epoch in which this process leads.
    pub(super) fn leads(&self) -> Result<u64, AllocateError> {
        (self.gate)().map_err(|leader| AllocateError::NotLeader { leader })
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
