//! Watches of every game namespace, put together into whole pictures for the core.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use cluster::watch::{Seen, watch};
use crds::agones::{Fleet, GameServer};
use crds::{GameFleet, labels};
use kube::runtime::reflector::Store;
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt as _};
use tokio::sync::{Notify, watch as value};
use tokio_util::sync::CancellationToken;

use super::pods::{PodBook, PodMeta};
use super::read;
use crate::core::cluster::ClusterPicture;

/// Changes that come closer together than this make one picture.
const GATHER: Duration = Duration::from_millis(50);

/// What the cluster shows, kept up to date. Watches go on whether this replica leads or not, so that a new leader knows
/// everything at once.
pub(super) struct View {
    complete: value::Receiver<bool>,
    pictures: value::Receiver<Arc<ClusterPicture>>,
    pods: PodBook,
}

struct Stores {
    servers: Vec<Store<GameServer>>,
    fleets: Vec<Store<Fleet>>,
    game_fleets: Vec<Store<GameFleet>>,
}

impl View {
    /// Starts every watch; they end with `end`.
    pub(super) fn start(client: &Client, namespaces: &[String], end: &CancellationToken) -> Self {
        let changed = Arc::new(Notify::new());
        let pool = watcher::Config::default().labels(&format!("{}=muster", labels::POOL));
        let (mut stores, mut pods) = (Stores { servers: vec![], fleets: vec![], game_fleets: vec![] }, Vec::new());
        for namespace in namespaces {
            let trim_server = |server: &mut GameServer| {
                lighten(server);
                server.spec = Default::default();
            };
            let trim_fleet = |fleet: &mut Fleet| {
                lighten(fleet);
                fleet.spec.template = Default::default();
            };
            let api = Api::namespaced(client.clone(), namespace);
            stores.servers.push(watch(api, pool.clone(), trim_server, waker(&changed), end.clone()));
            let api = Api::namespaced(client.clone(), namespace);
            stores.fleets.push(watch(api, pool.clone(), trim_fleet, waker(&changed), end.clone()));
            let api = Api::namespaced(client.clone(), namespace);
            let all = watcher::Config::default();
            stores.game_fleets.push(watch(api, all, lighten, waker(&changed), end.clone()));
            let api = Api::namespaced(client.clone(), namespace);
            pods.push(watch(api, pool.clone(), lighten::<PodMeta>, |_| {}, end.clone()));
        }
        let pods = PodBook(pods.into());
        let (now_complete, complete) = value::channel(false);
        let (send, pictures) = value::channel(Arc::default());
        let (gathering, known) = (gather(stores, pods.clone(), changed, now_complete, send), end.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = gathering => {}
                () = known.cancelled() => {}
            }
        });
        Self { complete, pictures, pods }
    }

    /// Which pod is which server.
    pub(super) fn pods(&self) -> PodBook {
        self.pods.clone()
    }

    /// Resolves once every watch has been read to its end for the first time.
    pub(super) async fn complete(&mut self) {
        if self.complete.wait_for(|complete| *complete).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The picture as it is, and as it becomes; of meaning once [`complete`](Self::complete).
    pub(super) fn pictures(&self) -> value::Receiver<Arc<ClusterPicture>> {
        self.pictures.clone()
    }
}

/// Drops what is large and read by nobody here.
fn lighten<K: Resource>(object: &mut K) {
    object.managed_fields_mut().clear();
}

fn waker<K>(changed: &Arc<Notify>) -> impl FnMut(Seen<'_, K>) + Send + 'static {
    let changed = changed.clone();
    move |_| changed.notify_one()
}

async fn gather(
    stores: Stores,
    pods: PodBook,
    changed: Arc<Notify>,
    complete: value::Sender<bool>,
    pictures: value::Sender<Arc<ClusterPicture>>,
) {
    // An error means that the watch has ended, and then this task ends too.
    all_ready(&stores.servers).await;
    all_ready(&stores.fleets).await;
    all_ready(&stores.game_fleets).await;
    all_ready(&pods.0).await;
    loop {
        let picture = Arc::new(stores.picture());
        tracing::debug!(servers = picture.servers.len(), fleets = picture.fleets.len(), "the cluster as it is");
        pictures.send_if_modified(|shown| {
            let news = *shown != picture;
            if news {
                *shown = picture.clone();
            }
            news
        });
        complete.send_if_modified(|complete| !std::mem::replace(complete, true));
        changed.notified().await;
        tokio::time::sleep(GATHER).await;
    }
}

async fn all_ready<K>(stores: &[Store<K>])
where
    K: Resource + Clone + Debug + 'static,
    K::DynamicType: Clone + Debug + Eq + std::hash::Hash + Default,
{
    for store in stores {
        store.wait_until_ready().await.ok();
    }
}

impl Stores {
    fn picture(&self) -> ClusterPicture {
        let servers: Vec<_> = self.servers.iter().flat_map(Store::state).collect();
        let fleets: Vec<_> = self.fleets.iter().flat_map(Store::state).collect();
        let game_fleets: Vec<_> = self.game_fleets.iter().flat_map(Store::state).collect();
        read::picture(
            servers.iter().map(AsRef::as_ref),
            fleets.iter().map(AsRef::as_ref),
            game_fleets.iter().map(AsRef::as_ref),
        )
    }
}
