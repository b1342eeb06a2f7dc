//! Tells the book of what the cluster has: game servers, Muster's Fleets and GameFleets.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crds::{GameFleet, PoolKind, RevisionStatus};
use futures_util::StreamExt as _;
use kube::api::{ObjectMeta, PartialObjectMeta};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use service::Shutdown;
use tokio::task::JoinHandle;

use super::cluster::{GameServer, NOT_MUSTERS};
use super::core::fleets::{self, Fleet, POOL_LABEL, POOL_MUSTER};
use super::core::server::DRAIN_DEADLINE;
use super::engine::Engine;
use crate::core::cluster::FleetRules;
use crate::kubernetes::read;

type FleetMeta = PartialObjectMeta<crds::agones::Fleet>;

/// As much of a GameFleet as matters here.
#[derive(Debug, Clone, Resource, Deserialize)]
#[resource(inherit = GameFleet)]
struct Pool {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: PoolSpec,
    status: Option<PoolStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct PoolStatus {
    #[serde(default)]
    revisions: Vec<RevisionStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PoolSpec {
    pool_kind: PoolKind,
}

/// Follows the cluster until shutdown; the engine is synced once the game servers of every namespace have been read.
pub(super) fn follow(
    engine: &Engine,
    client: &Client,
    namespaces: &[String],
    shutdown: &Shutdown,
) -> Vec<JoinHandle<()>> {
    let unread = Arc::new(AtomicUsize::new(namespaces.len()));
    let mut tasks = Vec::new();
    for namespace in namespaces {
        let servers =
            Servers { engine: engine.clone(), namespace: namespace.clone(), unread: unread.clone(), read: false };
        let events = watcher(Api::<GameServer>::namespaced(client.clone(), namespace), labelled(NOT_MUSTERS));
        tasks.push(spawn("GameServers", events, servers, shutdown.clone()));

        let fleets = FleetsOf { engine: engine.clone(), namespace: namespace.clone() };
        let events = watcher(Api::<FleetMeta>::namespaced(client.clone(), namespace), labelled(POOL_LABEL));
        tasks.push(spawn("Fleets", events, fleets, shutdown.clone()));

        let pools = PoolsOf { engine: engine.clone(), namespace: namespace.clone() };
        let events = watcher(Api::<Pool>::namespaced(client.clone(), namespace), watcher::Config::default());
        tasks.push(spawn("GameFleets", events, pools, shutdown.clone()));
    }
    tasks
}

fn labelled(selector: &str) -> watcher::Config {
    watcher::Config::default().labels(selector)
}

/// Takes what a watch says.
trait Sink<K>: Send + 'static {
    fn apply(&mut self, object: K);
    fn delete(&mut self, object: K);
    /// The namespace has exactly these.
    fn retain(&mut self, names: &BTreeSet<String>);
}

fn spawn<K>(
    kind: &'static str,
    events: impl futures_util::Stream<Item = watcher::Result<watcher::Event<K>>> + Send + 'static,
    mut sink: impl Sink<K>,
    shutdown: Shutdown,
) -> JoinHandle<()>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Debug + Clone + Send + 'static,
{
    tokio::spawn(async move {
        let mut events = pin!(events.default_backoff());
        let mut listed = BTreeSet::new();
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = shutdown.wait() => return,
            };
            match event {
                Some(Ok(watcher::Event::Init)) => listed.clear(),
                Some(Ok(watcher::Event::InitApply(object))) => {
                    listed.insert(object.name_any());
                    sink.apply(object);
                }
                Some(Ok(watcher::Event::InitDone)) => sink.retain(&std::mem::take(&mut listed)),
                Some(Ok(watcher::Event::Apply(object))) => sink.apply(object),
                Some(Ok(watcher::Event::Delete(object))) => sink.delete(object),
                Some(Err(error)) => tracing::warn!(kind, %error, "the watch broke; it is begun again"),
                None => return,
            }
        }
    })
}

struct Servers {
    engine: Engine,
    namespace: String,
    unread: Arc<AtomicUsize>,
    read: bool,
}

impl Sink<GameServer> for Servers {
    fn apply(&mut self, object: GameServer) {
        self.engine.book(|book| book.observe(object.trimmed()));
    }

    fn delete(&mut self, object: GameServer) {
        self.engine.book(|book| book.remove(&object.trimmed().key));
    }

    fn retain(&mut self, names: &BTreeSet<String>) {
        let names = names.iter().map(|name| name.as_str().into()).collect();
        self.engine.book(|book| book.retain(&self.namespace, &names));
        if !self.read {
            self.read = true;
            if self.unread.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.engine.set_synced();
            }
        }
    }
}

struct FleetsOf {
    engine: Engine,
    namespace: String,
}

impl Sink<FleetMeta> for FleetsOf {
    fn apply(&mut self, object: FleetMeta) {
        let fleet = Fleet {
            is_muster_pool: object.labels().get(POOL_LABEL).is_some_and(|pool| pool == POOL_MUSTER),
            is_draining: object.annotations().contains_key(DRAIN_DEADLINE),
        };
        self.engine.book(|book| book.fleets.set_fleet(&self.namespace, &object.name_any(), Some(fleet)));
    }

    fn delete(&mut self, object: FleetMeta) {
        self.engine.book(|book| book.fleets.set_fleet(&self.namespace, &object.name_any(), None));
    }

    fn retain(&mut self, names: &BTreeSet<String>) {
        self.engine.book(|book| book.fleets.retain_fleets(&self.namespace, names));
    }
}

struct PoolsOf {
    engine: Engine,
    namespace: String,
}

impl Sink<Pool> for PoolsOf {
    fn apply(&mut self, object: Pool) {
        let revisions = read::revisions(object.status.iter().flat_map(|status| &status.revisions));
        let known = fleets::GameFleet {
            is_ours: object.spec.pool_kind == PoolKind::Agones,
            rules: FleetRules { distributed: false, revisions },
        };
        self.engine.book(|book| book.fleets.set_game_fleet(&self.namespace, &object.name_any(), Some(known)));
    }

    fn delete(&mut self, object: Pool) {
        self.engine.book(|book| book.fleets.set_game_fleet(&self.namespace, &object.name_any(), None));
    }

    fn retain(&mut self, names: &BTreeSet<String>) {
        self.engine.book(|book| book.fleets.retain_game_fleets(&self.namespace, names));
    }
}
