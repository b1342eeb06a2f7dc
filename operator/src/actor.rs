//! The one task that looks: what changed, what is due, what to write. Writes run beside it, one plan per key at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster::lease::Leadership;
use crds::{Conditions, GameFleet, PoolKind};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;
use protocol::pb::PoolServer;
use service::Shutdown;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::apply::Writer;
use crate::autoscale::Sizes;
use crate::core::queue_status;
use crate::core::reconcile::{Memory, Plan, World, Write, reconcile};
use crate::core::rollout::News;
use crate::core::work::{Looked, Work};
use crate::metrics;
use crate::picture::{Name, Picture};
use crate::sight::{self, Forecasts, Scene};
use crate::streams::Said;
use crate::watches::{Key, Marks, Stores, lock};

/// A queue's counts are written at most this often.
const QUEUE_COUNTS_EVERY: Duration = Duration::from_secs(5);
/// What is measured of a GameFleet's conditions.
const CONDITIONS: [&str; 4] = ["Ready", "Progressing", "Degraded", "Draining"];
/// Plans that are carried out at once.
const RUNNING_MAX: usize = 16;

/// What the task owns.
pub(crate) struct Actor {
    pub(crate) stores: Stores,
    pub(crate) marks: Arc<Marks>,
    pub(crate) said: mpsc::Receiver<Said>,
    pub(crate) leadership: Leadership,
    pub(crate) writer: Writer,
    pub(crate) allocator_for_servers: String,
    pub(crate) metagame_for_servers: String,
    /// URL of the answers to Agones, and what they are.
    pub(crate) autoscale: String,
    pub(crate) sizes: Arc<Sizes>,
    pub(crate) state: State,
}

/// What the task remembers. Lost with the process, at no harm.
pub(crate) struct State {
    work: Work<Key>,
    memory: BTreeMap<Key, Memory>,
    forecasts: Forecasts,
    picture: Picture,
    /// When a queue's counts were last written.
    queue_told: BTreeMap<Key, Duration>,
    /// When the growth of a fleet's queues was heard that no size answers yet.
    grew: BTreeMap<Name, Instant>,
    started: Instant,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            work: Work::default(),
            memory: BTreeMap::new(),
            forecasts: Forecasts::new(),
            picture: Picture::new(Duration::ZERO),
            queue_told: BTreeMap::new(),
            grew: BTreeMap::new(),
            started: Instant::now(),
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

type Running = JoinSet<(Key, Looked)>;

impl Actor {
    /// Runs until shutdown. Plans that are under way then are given up between two writes, which is always safe.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let mut running = Running::new();
        let mut leads = false;
        self.mark_everything();
        loop {
            let now_leads = self.leadership.epoch().is_some();
            if now_leads != leads {
                leads = now_leads;
                metrics::leads(leads);
                self.state.work.mark_all(self.state.now());
            }
            if leads {
                self.look_at_what_is_due(&mut running);
            }
            let due = self.state.work.next_at().filter(|_| leads && running.len() < RUNNING_MAX);
            let due = self.state.started + due.unwrap_or(Duration::from_secs(3_600)).max(self.state.now());
            tokio::select! {
                () = shutdown.wait() => break,
                Some(said) = self.said.recv() => self.hear(said),
                () = self.marks.changed() => self.take_marks(),
                _ = self.leadership.changed() => {}
                Some(done) = running.join_next() => self.done(done),
                () = tokio::time::sleep_until(due) => {}
            }
        }
    }

    fn done(&mut self, done: Result<(Key, Looked), tokio::task::JoinError>) {
        match done {
            Ok((key, looked)) => self.state.work.done(&key, self.state.now(), looked, service::random::u64()),
            // A panic in a plan is a bug; its key stays out until the process is replaced, and the log says so.
            Err(error) => tracing::error!(%error, "a plan broke off"),
        }
    }

    fn take_marks(&mut self) {
        let (keys, everything) = self.marks.take();
        let now = self.state.now();
        for key in keys {
            self.state.work.mark(key, now);
        }
        if everything {
            self.mark_everything();
        }
    }

    fn mark_everything(&mut self) {
        let now = self.state.now();
        for key in self.stores.keys() {
            self.state.work.mark(key, now);
        }
    }

    fn hear(&mut self, said: Said) {
        let now = self.state.now();
        let before: BTreeMap<Name, u32> = waiting(&self.state.picture);
        let is_match = matches!(said, Said::Match(_));
        let stores = &self.stores;
        self.state.picture.take(now, said, |server| age(stores, server));
        for server in self.state.picture.pool.values().filter(|server| server.matches > 0) {
            lock(&self.stores.starts).plays(&format!("{}/{}", server.namespace, server.name));
        }
        for (fleet, waits) in waiting(&self.state.picture) {
            if waits > before.get(&fleet).copied().unwrap_or(0) {
                self.state.grew.entry(fleet).or_insert_with(Instant::now);
            }
        }
        for (service, speaks) in self.state.picture.speaks() {
            metrics::stream(service, speaks);
        }
        // A rollout is judged once a second; the end of a single match is no reason to look at every fleet.
        if !is_match {
            self.mark_everything();
        }
    }

    fn look_at_what_is_due(&mut self, running: &mut Running) {
        while running.len() < RUNNING_MAX {
            let Some(key) = self.state.work.next(self.state.now()) else { break };
            match &key {
                Key::Fleet(namespace, name) => self.look_at_fleet(&key, namespace, name, running),
                Key::Queue(namespace, name) => self.look_at_queue(&key, namespace, name, running),
            }
        }
    }

    fn look_at_fleet(&mut self, key: &Key, namespace: &str, name: &str, running: &mut Running) {
        let (now, elapsed, began) = (Timestamp::now(), self.state.now(), Instant::now());
        let State { picture, forecasts, memory, work, grew, .. } = &mut self.state;
        let Some(scene) = sight::scene(&self.stores, picture, forecasts, (namespace, name), (now, elapsed)) else {
            memory.remove(key);
            grew.remove(&(namespace.to_owned(), name.to_owned()));
            self.sizes.forget(namespace, name);
            for type_ in CONDITIONS {
                metrics::condition(namespace, name, type_, None);
            }
            work.forget(key);
            work.done(key, elapsed, Looked::Well(None), 0);
            return;
        };
        let Scene { game_fleet, fleets, autoscalers, servers, demand, scores } = &scene;
        let world = World {
            game_fleet,
            fleets,
            autoscalers,
            servers,
            demand,
            scores,
            blind: picture.blind(elapsed, game_fleet.spec.pool_kind == PoolKind::Muster),
            allocator: &self.allocator_for_servers,
            metagame: &self.metagame_for_servers,
            autoscale: &self.autoscale,
            now,
            elapsed,
        };
        let plan = reconcile(&world, memory.entry(key.clone()).or_default());
        metrics::decided(began.elapsed());
        self.sizes.decided(namespace, name, plan.sizes.clone(), began);
        self.measure(namespace, game_fleet);
        if plan.news == Some(News::Began) {
            let stable = game_fleet.status.as_ref().and_then(|status| status.stable.as_deref());
            lock(&self.stores.starts).keep(&format!("{namespace}/{name}"), stable.as_slice());
        }
        self.carry_out(key, (namespace, name), scene.game_fleet, plan, running);
    }

    fn carry_out(
        &mut self,
        key: &Key,
        (namespace, name): (&str, &str),
        game_fleet: Arc<GameFleet>,
        plan: Plan,
        running: &mut Running,
    ) {
        let elapsed = self.state.now();
        let scales = plan.writes.iter().any(|write| matches!(write, Write::Scale { .. }));
        // Growth that needs no new size is answered by this look.
        let mut take = |namespace: &str| self.state.grew.remove(&(namespace.to_owned(), name.to_owned()));
        // A queue file names no namespace.
        let (here, anywhere) = (take(namespace), take(""));
        let grew = here.or(anywhere).filter(|_| scales);
        if plan.writes.is_empty() {
            metrics::looked("fleet", "nothing");
            self.state.work.done(key, elapsed, Looked::Well(plan.again), 0);
            return;
        }
        let (writer, key) = (self.writer.clone(), key.clone());
        running.spawn(async move {
            let looked = writer.carry_out(&game_fleet, plan, grew).await;
            metrics::looked("fleet", outcome(looked));
            (key, looked)
        });
    }

    fn look_at_queue(&mut self, key: &Key, namespace: &str, name: &str, running: &mut Running) {
        let (now, elapsed) = (Timestamp::now(), self.state.now());
        let state = &mut self.state;
        let space = self.stores.namespaces.get(namespace);
        let queue = space.and_then(|space| space.queues.get(&ObjectRef::new(name).within(namespace)));
        let (Some(space), Some(queue)) = (space, queue) else {
            state.queue_told.remove(key);
            state.work.forget(key);
            state.work.done(key, elapsed, Looked::Well(None), 0);
            return;
        };
        let fleet = space.game_fleets.get(&ObjectRef::new(&queue.spec.fleet).within(namespace));
        let matchmaker = state.picture.matchmaker(elapsed, &format!("{namespace}/{name}"));
        let status = queue_status::status(&queue, fleet.is_some(), matchmaker, now);
        let next = state.queue_told.get(key).map_or(Duration::ZERO, |told| *told + QUEUE_COUNTS_EVERY);
        let urgent = |status| queue_status::is_urgent(queue.status.as_ref(), status);
        match status {
            Some(status) if urgent(&status) || elapsed >= next => {
                state.queue_told.insert(key.clone(), elapsed);
                let (writer, key) = (self.writer.clone(), key.clone());
                running.spawn(async move {
                    let looked = writer.queue_status(&queue, status).await;
                    metrics::looked("queue", outcome(looked));
                    (key, looked)
                });
            }
            Some(_) => state.work.done(key, elapsed, Looked::Well(Some(next)), 0),
            None => {
                metrics::looked("queue", "nothing");
                state.work.done(key, elapsed, Looked::Well(None), 0);
            }
        }
    }

    fn measure(&self, namespace: &str, game_fleet: &GameFleet) {
        for region in game_fleet.status.iter().flat_map(|status| &status.regions) {
            metrics::region(namespace, &game_fleet.name_any(), &region.name, region.desired, region.servers);
        }
        let said = game_fleet.status.as_ref().map(|status| Conditions::new(status.conditions.clone()));
        for type_ in CONDITIONS {
            if let Some(said) = said.as_ref().filter(|said| said.get(type_).is_some()) {
                metrics::condition(namespace, &game_fleet.name_any(), type_, Some(said.holds(type_)));
            }
        }
    }
}

fn outcome(looked: Looked) -> &'static str {
    match looked {
        Looked::Well(_) => "wrote",
        Looked::Stale => "stale",
        Looked::Failed => "failed",
    }
}

/// Players and matches that wait, by GameFleet.
fn waiting(picture: &Picture) -> BTreeMap<Name, u32> {
    let mut waiting = BTreeMap::new();
    for queue in picture.loads() {
        *waiting.entry((queue.namespace.clone(), queue.fleet.clone())).or_insert(0) +=
            queue.waiting_players + queue.placing;
    }
    waiting
}

/// How old a server is by its creation.
fn age(stores: &Stores, server: &PoolServer) -> Option<Duration> {
    let mine = |name: &String| server.namespace.is_empty() || *name == server.namespace;
    stores.namespaces.iter().filter(|(name, _)| mine(name)).find_map(|(name, namespace)| {
        let server = namespace.servers.get(&ObjectRef::new(&server.name).within(name))?;
        let created = server.metadata.creation_timestamp.as_ref()?.0;
        Timestamp::now().duration_since(created).try_into().ok()
    })
}
