//! Copies of what the API server has, trimmed to what is needed, and marks for what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cluster::watch::{Seen, watch};
use crds::agones::{Fleet, FleetAutoscaler, GameServer, GameServerSpec};
use crds::{GameFleet, MatchQueue, labels};
use k8s_openapi::api::core::v1::Node;
use kube::runtime::reflector::Store;
use kube::runtime::watcher::Config;
use kube::{Api, Client, Resource, ResourceExt as _};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::core::tally::Starts;

/// Server-side page of a list: bounds what is in flight when everything is read anew.
const PAGE: u32 = 500;

/// What is looked at by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// A GameFleet, by namespace and name.
    Fleet(String, String),
    /// A MatchQueue, by namespace and name.
    Queue(String, String),
}

/// Keys that changed since they were last taken. Holds no more than there are objects.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    changed: Mutex<BTreeSet<Key>>,
    everything: std::sync::atomic::AtomicBool,
    notify: Notify,
}

impl Marks {
    pub(crate) fn mark(&self, key: Key) {
        lock(&self.changed).insert(key);
        self.notify.notify_one();
    }

    /// Something changed that may concern every key.
    pub(crate) fn mark_everything(&self) {
        self.everything.store(true, std::sync::atomic::Ordering::Release);
        self.notify.notify_one();
    }

    /// Returns when there is something to take.
    pub(crate) async fn changed(&self) {
        self.notify.notified().await;
    }

    /// Takes what changed; `true`: everything may have.
    pub(crate) fn take(&self) -> (BTreeSet<Key>, bool) {
        let everything = self.everything.swap(false, std::sync::atomic::Ordering::AcqRel);
        (std::mem::take(&mut lock(&self.changed)), everything)
    }
}

/// What is kept of one namespace.
pub(crate) struct Namespace {
    pub(crate) game_fleets: Store<GameFleet>,
    pub(crate) queues: Store<MatchQueue>,
    pub(crate) fleets: Store<Fleet>,
    pub(crate) autoscalers: Store<FleetAutoscaler>,
    pub(crate) servers: Store<GameServer>,
}

/// What is kept of the cluster.
pub(crate) struct Stores {
    pub(crate) namespaces: BTreeMap<String, Namespace>,
    pub(crate) nodes: Store<Node>,
    /// Servers that end before their first match, as the watches see them.
    pub(crate) starts: Arc<Mutex<Starts>>,
}

impl Stores {
    /// Begins to watch.
    pub(crate) fn watch(client: &Client, namespaces: &[String], marks: &Arc<Marks>, end: &CancellationToken) -> Self {
        let starts = Arc::new(Mutex::new(Starts::default()));
        let of = |namespace: &String| (namespace.clone(), watch_namespace(client, namespace, marks, &starts, end));
        let told = marks.clone();
        let nodes = watch(
            Api::all(client.clone()),
            Config::default().page_size(PAGE),
            trim_node,
            // Nodes report often and change seldom; a look costs nothing.
            move |_| told.mark_everything(),
            end.clone(),
        );
        Self { namespaces: namespaces.iter().map(of).collect(), nodes, starts }
    }

    /// Returns when every list was read once.
    pub(crate) async fn synced(&self) {
        // An error says that the watch has ended, which happens at shutdown alone.
        let _ = self.nodes.wait_until_ready().await;
        for namespace in self.namespaces.values() {
            let _ = namespace.game_fleets.wait_until_ready().await;
            let _ = namespace.queues.wait_until_ready().await;
            let _ = namespace.fleets.wait_until_ready().await;
            let _ = namespace.autoscalers.wait_until_ready().await;
            let _ = namespace.servers.wait_until_ready().await;
        }
    }

    /// Every key that there is.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let mut keys = Vec::new();
        for (name, namespace) in &self.namespaces {
            keys.extend(namespace.game_fleets.state().iter().map(|it| Key::Fleet(name.clone(), it.name_any())));
            keys.extend(namespace.queues.state().iter().map(|it| Key::Queue(name.clone(), it.name_any())));
        }
        keys
    }
}

fn watch_namespace(
    client: &Client,
    namespace: &str,
    marks: &Arc<Marks>,
    starts: &Arc<Mutex<Starts>>,
    end: &CancellationToken,
) -> Namespace {
    let plain = || Config::default().page_size(PAGE);
    let ours = || plain().labels(labels::GAME_FLEET);
    let fleets = watch(api(client, namespace), ours(), trim, tell(marks, of_game_fleet(namespace)), end.clone());
    let autoscalers = watch(api(client, namespace), ours(), trim, tell(marks, of_game_fleet(namespace)), end.clone());
    let (starts, space, told) = (starts.clone(), namespace.to_owned(), tell(marks, of_game_fleet(namespace)));
    let follow = move |seen: Seen<'_, GameServer>| {
        follow(&starts, &space, seen);
        told(seen);
    };
    let servers = watch(api(client, namespace), ours(), trim_server, follow, end.clone());
    let (space, queue_space) = (namespace.to_owned(), namespace.to_owned());
    let of_itself = move |it: &GameFleet| Some(Key::Fleet(space.clone(), it.name_any()));
    let game_fleets = watch(api(client, namespace), plain(), trim, tell(marks, of_itself), end.clone());
    let of_itself = move |it: &MatchQueue| Some(Key::Queue(queue_space.clone(), it.name_any()));
    let queues = watch(api(client, namespace), plain(), trim, tell(marks, of_itself), end.clone());
    Namespace { game_fleets, queues, fleets, autoscalers, servers }
}

fn api<K>(client: &Client, namespace: &str) -> Api<K>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
{
    Api::namespaced(client.clone(), namespace)
}

/// The GameFleet that an object is labelled with.
fn label<K: Resource>(object: &K) -> Option<String> {
    object.meta().labels.as_ref()?.get(labels::GAME_FLEET).cloned()
}

fn of_game_fleet<K: Resource>(namespace: &str) -> impl Fn(&K) -> Option<Key> + Send + 'static {
    let namespace = namespace.to_owned();
    move |object| Some(Key::Fleet(namespace.clone(), label(object)?))
}

/// Marks the key of what was seen.
fn tell<K>(
    marks: &Arc<Marks>,
    key: impl Fn(&K) -> Option<Key> + Send + 'static,
) -> impl Fn(Seen<'_, K>) + Send + 'static {
    let marks = marks.clone();
    move |seen| match seen {
        Seen::Applied(object) | Seen::Gone(object) => {
            if let Some(key) = key(object) {
                marks.mark(key);
            }
        }
        Seen::All => marks.mark_everything(),
    }
}

/// Remembers which servers have played, and which failed before.
fn follow(starts: &Mutex<Starts>, namespace: &str, seen: Seen<'_, GameServer>) {
    let (Seen::Applied(server) | Seen::Gone(server)) = seen else { return };
    let (name, mut starts) = (format!("{namespace}/{}", server.name_any()), lock(starts));
    match server.state() {
        "Allocated" => starts.plays(&name),
        "Unhealthy" | "Error" => {
            if let (Some(fleet), Some(revision)) = (label(server), server.labels().get(labels::REVISION)) {
                starts.failed(&format!("{namespace}/{fleet}"), revision, &name);
            }
        }
        _ => {}
    }
    if matches!(seen, Seen::Gone(_)) {
        starts.gone(&name);
    }
}

fn trim<K: Resource>(object: &mut K) {
    object.meta_mut().managed_fields = None;
}

/// A server without its template, which its Fleet has too: 10,000 of them fit in some 10 MB.
fn trim_server(server: &mut GameServer) {
    trim(server);
    server.spec = GameServerSpec::default();
    server.metadata.owner_references = None;
    server.metadata.finalizers = None;
    server.annotations_mut().retain(|key, _| key == labels::DRAIN_DEADLINE || key == labels::DRAIN_REASON);
    if let Some(status) = &mut server.status {
        status.ports = Vec::new();
        status.address = String::new();
    }
}

fn trim_node(node: &mut Node) {
    trim(node);
    node.metadata.annotations = None;
    node.metadata.labels = None;
    node.status = None;
}

/// Nothing between two lines of this module that hold a lock can leave half a state.
pub(crate) fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
