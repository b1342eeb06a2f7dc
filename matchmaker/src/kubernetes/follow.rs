//! Watches the `MatchQueue`s of the game namespaces and hands the actor the queues to serve, after each change.
//! While the API server is away the queues stay as they were.

use std::collections::BTreeMap;
use std::time::Duration;

use crds::MatchQueue;
use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, SelectAll};
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt as _};
use service::Shutdown;
use service::admin::Ready;

use super::served::{Served, Watched};
use crate::actor::Handle;

/// How long one watch call lasts, in seconds: a connection that died silently is noticed 5 s later.
const WATCH_S: u32 = 60;
/// How long to wait before the actor, which was busy, is told again.
const BUSY_AGAIN: Duration = Duration::from_millis(200);

type Seen = Result<Event<DeserializeGuard<MatchQueue>>, watcher::Error>;

/// What is known of one namespace.
#[derive(Debug, Default)]
struct Namespace {
    standing: BTreeMap<String, Watched>,
    /// A list that is coming in.
    coming: BTreeMap<String, Watched>,
    listed: bool,
}

impl Namespace {
    /// Takes an event in; true if what stands may have changed.
    fn take(&mut self, event: Event<DeserializeGuard<MatchQueue>>) -> bool {
        match event {
            Event::Init => self.coming.clear(),
            Event::InitApply(object) => {
                self.coming.insert(object.name_any(), object.0.map_err(Box::new));
            }
            Event::InitDone => {
                self.standing = std::mem::take(&mut self.coming);
                self.listed = true;
                return true;
            }
            Event::Apply(object) => {
                self.standing.insert(object.name_any(), object.0.map_err(Box::new));
                return self.listed;
            }
            Event::Delete(object) => {
                self.standing.remove(&object.name_any());
                return self.listed;
            }
        }
        false
    }
}

/// Follows the `MatchQueue`s until the shutdown signal. `ready` is set when the first lists of all namespaces are in.
pub(crate) async fn follow(client: Client, namespaces: Vec<String>, actor: Handle, ready: Ready, shutdown: Shutdown) {
    let mut events: SelectAll<BoxStream<'static, (String, Seen)>> = SelectAll::new();
    let mut known: BTreeMap<String, Namespace> = BTreeMap::new();
    for namespace in namespaces {
        let api: Api<DeserializeGuard<MatchQueue>> = Api::namespaced(client.clone(), &namespace);
        let watch = watcher::watcher(api, watcher::Config::default().timeout(WATCH_S)).default_backoff();
        known.insert(namespace.clone(), Namespace::default());
        events.push(watch.map(move |seen| (namespace.clone(), seen)).boxed());
    }
    let mut served = Served::default();
    loop {
        let (namespace, seen) = tokio::select! {
            () = shutdown.wait() => return,
            Some(next) = events.next() => next,
        };
        let event = match seen {
            Ok(event) => event,
            Err(error) => {
                tracing::warn!(namespace, %error, "MatchQueues cannot be watched now: the queues stay as they are");
                continue;
            }
        };
        let changed = known.get_mut(&namespace).is_some_and(|known| known.take(event));
        if !changed || !known.values().all(|namespace| namespace.listed) {
            continue;
        }
        let (queues, faults) = served.look(known.values().flat_map(|namespace| namespace.standing.values()));
        while actor.reconfigure(queues.clone(), faults.clone()).await.is_err() {
            if tokio::time::timeout(BUSY_AGAIN, shutdown.wait()).await.is_ok() {
                return;
            }
        }
        if !ready.is_set() && !shutdown.is_triggered() {
            tracing::info!(queues = queues.as_slice().len(), faults = faults.len(), "the first MatchQueues are in");
            ready.set(true);
        }
    }
}
