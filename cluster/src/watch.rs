//! Watches that keep a trimmed copy of what they see.

use std::fmt::Debug;
use std::hash::Hash;
use std::pin::pin;

use futures_util::StreamExt as _;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

/// What a watch saw.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen<'a, K> {
    /// An object was added or changed.
    Applied(&'a K),
    /// An object is gone; as it was last.
    Gone(&'a K),
    /// The whole list was read, at first or again: whatever is not in the store is gone too.
    All,
}

// By hand: the derived ones would ask that objects can be copied, and these are references.
impl<K> Clone for Seen<'_, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Seen<'_, K> {}

/// Watches until `shutdown`, keeps each object as `trim` leaves it, and tells of each change after the store has it.
///
/// A watch that breaks off is taken up again with growing, jittered waits; the store keeps what it had until then.
pub fn watch<K>(
    api: Api<K>,
    config: watcher::Config,
    trim: fn(&mut K),
    mut tell: impl FnMut(Seen<'_, K>) + Send + 'static,
    shutdown: CancellationToken,
) -> Store<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    K::DynamicType: Default + Eq + Hash + Clone + Send + Sync,
{
    let (store, writer) = reflector::store();
    let events = watcher(api, config).map(move |event| event.map(|event| event.modify(trim)));
    let events = reflector::reflector(writer, events).default_backoff();
    let watching = async move {
        let mut events = pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Apply(object)) => tell(Seen::Applied(&object)),
                Ok(watcher::Event::Delete(object)) => tell(Seen::Gone(&object)),
                Ok(watcher::Event::InitDone) => tell(Seen::All),
                Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
                Err(error) => {
                    let kind = K::kind(&K::DynamicType::default()).into_owned();
                    tracing::warn!(kind, %error, "a watch broke off; it is taken up again");
                }
            }
        }
    };
    tokio::spawn(async move {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = watching => {}
        }
    });
    store
}
