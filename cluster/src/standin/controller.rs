//! The controller's program: it installs what Agones would have installed, watches, and works until it is stopped.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::cache::{Cache, pod_key};
use super::core::object::{Kind, Object, ROLE, controller};
use super::endpoint::Endpoint;
use super::error::StandinError;
use super::work::{self, Key, News};
use super::{allocation, autoscalers, endpoint, fleets, install, servers, sets, webhook};

/// Changes of servers are gathered for so long before their set is looked at, and those of sets for their fleet: a look
/// at a set is as long as the set is large.
const GATHER: Duration = Duration::from_millis(50);

/// The controller's configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Namespaces of the game servers. Others are left alone, so several stand-ins share a cluster.
    pub namespaces: Vec<String>,
    /// Host ports to hand out.
    pub ports: RangeInclusive<u16>,
    /// Image of the SDK server beside each game server.
    pub sidecar_image: String,
    /// Port of the webhook; 0 lets the system choose.
    pub webhook_port: u16,
    /// Whether it serves the API of `GameServerAllocation`, of which a cluster has only one; its Service stands in the
    /// first namespace.
    pub allocation_api: bool,
    /// Address under which the API server reaches the webhook; by default the one that this process uses towards it.
    pub reach: Option<IpAddr>,
    /// Every new GameServer of a Fleet is a development server at this address: it has no pod, and is Ready at once.
    pub dev_address: Option<String>,
}

/// What every look needs.
pub(super) struct Context {
    pub(super) client: Client,
    pub(super) cache: Cache,
    pub(super) sidecar_image: String,
    /// For the webhooks of autoscalers.
    pub(super) http: reqwest::Client,
    pub(super) dev_address: Option<String>,
    news: mpsc::UnboundedSender<News>,
    ports: RangeInclusive<u16>,
    hand: Mutex<Hand>,
}

/// Host ports between the choice and the write that shows it.
struct Hand {
    /// No cache shows them yet.
    in_flight: BTreeSet<u16>,
    /// Where the next search begins: a port that has just become free is tried last, for what routes it to a pod that is
    /// gone may still be there.
    from: u16,
}

impl Context {
    /// Objects of a kind in a namespace.
    pub(super) fn api(&self, kind: Kind, namespace: &str) -> Api<Object> {
        Api::namespaced_with(self.client.clone(), namespace, &kind.resource())
    }

    /// An object was seen or written: it and what it belongs to are looked at.
    pub(super) fn took(&self, kind: Kind, object: Object) {
        let news = affected(kind, &object);
        // An autoscaler keeps its interval when nothing but its status has changed.
        let before = (kind == Kind::Autoscaler).then(|| self.cache.get(&Key::of(kind, &object))).flatten();
        let same = before.is_some_and(|it| it.metadata.generation == object.metadata.generation);
        if self.cache.put(kind, object) && !same {
            news.into_iter().for_each(|news| self.enqueue(news));
        }
    }

    fn lost(&self, kind: Kind, object: &Object) {
        self.cache.remove(kind, object);
        affected(kind, object).into_iter().for_each(|news| self.enqueue(news));
    }

    fn enqueue(&self, news: News) {
        // Only when the program ends nobody listens.
        let _ = self.news.send(news);
    }

    fn enqueue_owner_of(&self, pod: &Pod) {
        let owner = pod.owner_references().iter().find(|owner| owner.controller == Some(true));
        if let Some(owner) = owner.filter(|owner| owner.kind == Kind::Server.name()) {
            let namespace = pod.namespace().unwrap_or_default();
            self.enqueue((Key { kind: Kind::Server, namespace, name: owner.name.clone() }, Duration::ZERO));
        }
    }

    /// Chooses ports by `choose` among those that nobody has, and keeps them until they are released.
    pub(super) fn reserve_ports(
        &self,
        choose: impl FnOnce(&BTreeSet<u16>, &RangeInclusive<u16>, u16) -> Option<(Vec<Value>, BTreeSet<u16>)>,
    ) -> Result<(Vec<Value>, BTreeSet<u16>), StandinError> {
        let mut hand = self.hand.lock().unwrap_or_else(PoisonError::into_inner);
        let used = &self.cache.host_ports() | &hand.in_flight;
        let (filled, taken) = choose(&used, &self.ports, hand.from)
            .ok_or(StandinError::NoPort(*self.ports.start(), *self.ports.end()))?;
        if let Some(last) = taken.last() {
            hand.from = if last < self.ports.end() { last + 1 } else { *self.ports.start() };
        }
        hand.in_flight.extend(&taken);
        Ok((filled, taken))
    }

    pub(super) fn release_ports(&self, taken: &BTreeSet<u16>) {
        let mut hand = self.hand.lock().unwrap_or_else(PoisonError::into_inner);
        hand.in_flight.retain(|port| !taken.contains(port));
    }
}

/// The object's own key, and a little later that of what controls it.
fn affected(kind: Kind, object: &Object) -> Vec<News> {
    let own = Key::of(kind, object);
    let above = match kind {
        Kind::Server => Some(Kind::Set),
        Kind::Set => Some(Kind::Fleet),
        Kind::Fleet | Kind::Autoscaler => None,
    };
    let owner = above.zip(controller(object)).filter(|(above, owner)| owner.kind == above.name());
    let owner = owner.map(|(kind, owner)| Key { kind, namespace: own.namespace.clone(), name: owner.name.clone() });
    let owner = owner.map(|owner| (owner, GATHER));
    [Some((own, Duration::ZERO)), owner].into_iter().flatten().collect()
}

/// Plays Agones until `stop`; `ready` is called once the webhook stands and everything has been listed.
///
/// # Errors
/// If something cannot be installed or listened on.
///
/// # Panics
/// Without a namespace.
pub async fn run(
    config: Config,
    client: Client,
    stop: CancellationToken,
    ready: impl FnOnce() + Send,
) -> Result<(), StandinError> {
    let first_namespace = config.namespaces.first().expect("there is a namespace to play in").clone();
    for namespace in &config.namespaces {
        install::account(&client, namespace).await?;
    }
    let (endpoint, listener) = Endpoint::open(&config, &first_namespace).await?;
    let (send, news) = mpsc::unbounded_channel();
    let context = Arc::new(Context {
        client: client.clone(),
        cache: Cache::default(),
        sidecar_image: config.sidecar_image.clone(),
        http: reqwest::Client::new(),
        dev_address: config.dev_address.clone(),
        news: send,
        hand: Mutex::new(Hand { in_flight: BTreeSet::new(), from: first_port(&config) }),
        ports: config.ports.clone(),
    });
    let serving = endpoint::serve(listener, webhook::routes().merge(allocation::routes(context.clone())), &stop);
    webhook::register(&client, &config.namespaces, &endpoint).await?;
    if config.allocation_api {
        allocation::register(&client, &first_namespace, endpoint.address(), endpoint.ca_pem()).await?;
    }
    let mut listed = Vec::new();
    for namespace in &config.namespaces {
        for kind in [Kind::Fleet, Kind::Set, Kind::Server, Kind::Autoscaler] {
            listed.push(watch_objects(&context, kind, namespace, &stop));
        }
    }
    listed.push(watch_pods(&context, &stop));
    listed.push(watch_nodes(&context, &stop));
    // Nothing is decided by half a picture: a server whose pod was not listed yet would seem to have lost it.
    let all_listed = async {
        for list in &listed {
            list.cancelled().await;
        }
    };
    if stop.run_until_cancelled(all_listed).await.is_some() {
        ready();
        let look = |key: Key| {
            let context = context.clone();
            async move {
                match key.kind {
                    Kind::Fleet => fleets::look(&context, key).await,
                    Kind::Set => sets::look(&context, key).await,
                    Kind::Server => servers::look(&context, key).await,
                    Kind::Autoscaler => autoscalers::look(&context, key).await,
                }
            }
        };
        work::run(news, stop.clone(), look).await;
    }
    serving.abort();
    webhook::unregister(&client, &config.namespaces).await?;
    if config.allocation_api {
        allocation::unregister(&client, &first_namespace).await?;
    }
    Ok(())
}

/// Where the search for host ports begins: another place for each set of namespaces, so that stand-ins side by side
/// rarely try the same port.
fn first_port(config: &Config) -> u16 {
    let sum = config
        .namespaces
        .iter()
        .flat_map(|name| name.bytes())
        .fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let (start, end) = (u32::from(*config.ports.start()), u32::from(*config.ports.end()));
    u16::try_from(start + sum % (end.saturating_sub(start) + 1)).unwrap_or(*config.ports.start())
}

fn watch_objects(context: &Arc<Context>, kind: Kind, namespace: &str, stop: &CancellationToken) -> CancellationToken {
    let (api, namespace, context) = (context.api(kind, namespace), namespace.to_owned(), context.clone());
    let mut names = BTreeSet::new();
    watch(api, watcher::Config::default(), stop, move |event| match event {
        watcher::Event::Init => names.clear(),
        watcher::Event::InitApply(object) => {
            names.insert(Key::of(kind, &object));
            context.took(kind, object);
        }
        watcher::Event::InitDone => {
            for gone in context.cache.keep_only(kind, &namespace, &names) {
                context.lost(kind, &gone);
            }
        }
        watcher::Event::Apply(object) => context.took(kind, object),
        watcher::Event::Delete(object) => context.lost(kind, &object),
    })
}

/// Game-server pods of the whole cluster: host ports are the node's, whoever handed them out.
fn watch_pods(context: &Arc<Context>, stop: &CancellationToken) -> CancellationToken {
    let (api, context) = (Api::<Pod>::all(context.client.clone()), context.clone());
    let mut names = BTreeSet::new();
    watch(api, watcher::Config::default().labels(&format!("{ROLE}=gameserver")), stop, move |event| match event {
        watcher::Event::Init => names.clear(),
        watcher::Event::InitApply(pod) => {
            names.insert(pod_key(&pod));
            // First what was seen: the look may begin at once.
            context.cache.put_pod(pod.clone());
            context.enqueue_owner_of(&pod);
        }
        watcher::Event::InitDone => {
            for gone in context.cache.keep_only_pods(&names) {
                context.enqueue_owner_of(&gone);
            }
        }
        watcher::Event::Apply(pod) => {
            // First what was seen: the look may begin at once.
            context.cache.put_pod(pod.clone());
            context.enqueue_owner_of(&pod);
        }
        watcher::Event::Delete(pod) => {
            context.cache.remove_pod(&pod);
            context.enqueue_owner_of(&pod);
        }
    })
}

fn watch_nodes(context: &Arc<Context>, stop: &CancellationToken) -> CancellationToken {
    let (api, context) = (Api::<Node>::all(context.client.clone()), context.clone());
    watch(api, watcher::Config::default(), stop, move |event| {
        if let watcher::Event::InitApply(node) | watcher::Event::Apply(node) = event {
            context.cache.put_node(node);
        }
    })
}

/// Hands every event to `handle` until `stop`; the answer is cancelled once the first list is complete.
fn watch<K>(
    api: Api<K>,
    config: watcher::Config,
    stop: &CancellationToken,
    mut handle: impl FnMut(watcher::Event<K>) + Send + 'static,
) -> CancellationToken
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let (listed, stop) = (CancellationToken::new(), stop.clone());
    let answer = listed.clone();
    tokio::spawn(async move {
        let mut events = std::pin::pin!(watcher(api, config).default_backoff());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                event = events.try_next() => match event {
                    Ok(Some(event)) => {
                        let is_done = matches!(event, watcher::Event::InitDone);
                        handle(event);
                        if is_done {
                            listed.cancel();
                        }
                    }
                    Ok(None) => return,
                    Err(error) => tracing::warn!(%error, "a watch failed and begins again"),
                },
            }
        }
    });
    answer
}
