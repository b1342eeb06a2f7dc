//! The objects as last seen, by watch or in the answer to an own write, whichever is newer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt as _;

use super::core::object::{FLEET, Kind, Object, dev_address, is_controlled_by, name, state};
use super::work::Key;

/// Everything that the controller knows.
#[derive(Debug, Default)]
pub(super) struct Cache {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    objects: BTreeMap<Key, Arc<Object>>,
    pods: BTreeMap<(String, String), Arc<Pod>>,
    nodes: BTreeMap<String, Arc<Node>>,
    /// Uids of objects that are gone: an answer that comes late must not bring one back.
    gone: BTreeSet<String>,
    /// Allocations seen and not yet in the status of their Fleet, by namespace and Fleet.
    allocations: BTreeMap<(String, String), u64>,
}

impl Cache {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Each method leaves the maps whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an object unless it is older than the known one or gone. Says whether it was taken.
    pub(super) fn put(&self, kind: Kind, object: Object) -> bool {
        let key = Key::of(kind, &object);
        let mut inner = self.lock();
        if object.metadata.uid.as_ref().is_some_and(|uid| inner.gone.contains(uid)) {
            return false;
        }
        let known = inner.objects.get(&key);
        if known.is_some_and(|known| version(known) >= version(&object) && known.metadata.uid == object.metadata.uid) {
            return false;
        }
        if kind == Kind::Server && state(&object) == agones::State::Allocated {
            let was = known.is_some_and(|known| state(known) == agones::State::Allocated);
            let fleet = object.labels().get(FLEET).filter(|fleet| !was && !fleet.is_empty()).cloned();
            if let Some(fleet) = fleet {
                *inner.allocations.entry((key.namespace.clone(), fleet)).or_default() += 1;
            }
        }
        inner.objects.insert(key, Arc::new(object));
        true
    }

    /// Forgets an object for good.
    pub(super) fn remove(&self, kind: Kind, object: &Object) {
        let mut inner = self.lock();
        inner.objects.remove(&Key::of(kind, object));
        inner.gone.extend(object.metadata.uid.clone());
    }

    /// After a new list: forgets the objects of this kind and namespace that it does not have, and names them.
    pub(super) fn keep_only(&self, kind: Kind, namespace: &str, listed: &BTreeSet<Key>) -> Vec<Arc<Object>> {
        let mut inner = self.lock();
        let missing = |key: &&Key| key.kind == kind && key.namespace == namespace && !listed.contains(*key);
        let missing: Vec<Key> = inner.objects.keys().filter(missing).cloned().collect();
        missing.iter().filter_map(|key| inner.objects.remove(key)).collect()
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.lock().objects.get(key).cloned()
    }

    /// The objects of this kind that `owner` controls.
    pub(super) fn controlled(&self, kind: Kind, owner: &Object) -> Vec<Arc<Object>> {
        let namespace = owner.metadata.namespace.as_deref().unwrap_or_default();
        let mut objects = self.all(kind, namespace);
        objects.retain(|object| is_controlled_by(object, owner));
        objects
    }

    /// The objects of this kind in a namespace.
    pub(super) fn all(&self, kind: Kind, namespace: &str) -> Vec<Arc<Object>> {
        let inner = self.lock();
        let of_kind = inner
            .objects
            .range(Key::first(kind, namespace)..)
            .take_while(|(key, _)| key.kind == kind && key.namespace == namespace);
        of_kind.map(|(_, object)| object.clone()).collect()
    }

    pub(super) fn put_pod(&self, pod: Pod) {
        self.lock().pods.insert(pod_key(&pod), Arc::new(pod));
    }

    pub(super) fn remove_pod(&self, pod: &Pod) {
        self.lock().pods.remove(&pod_key(pod));
    }

    /// After a new list of pods: forgets the others, and names them.
    pub(super) fn keep_only_pods(&self, listed: &BTreeSet<(String, String)>) -> Vec<Arc<Pod>> {
        let mut inner = self.lock();
        let missing: Vec<_> = inner.pods.keys().filter(|key| !listed.contains(*key)).cloned().collect();
        missing.iter().filter_map(|key| inner.pods.remove(key)).collect()
    }

    /// The pod of a GameServer: named like it, and controlled by it.
    pub(super) fn pod_of(&self, server: &Object) -> Option<Arc<Pod>> {
        let key = (server.metadata.namespace.clone().unwrap_or_default(), name(server).to_owned());
        let pod = self.lock().pods.get(&key)?.clone();
        let owner = pod.owner_references().iter().find(|owner| owner.controller == Some(true))?;
        (Some(&owner.uid) == server.metadata.uid.as_ref()).then_some(pod)
    }

    pub(super) fn put_node(&self, node: Node) {
        self.lock().nodes.insert(node.name_any(), Arc::new(node));
    }

    pub(super) fn node_of(&self, pod: &Pod) -> Option<Arc<Node>> {
        self.lock().nodes.get(pod.spec.as_ref()?.node_name.as_ref()?).cloned()
    }

    /// Host ports of all game servers with pods here, and of all game-server pods of the cluster.
    pub(super) fn host_ports(&self) -> BTreeSet<u16> {
        let inner = self.lock();
        let of_server = |object: &Arc<Object>| -> Vec<u16> {
            let ports = object.data.pointer("/spec/ports").and_then(serde_json::Value::as_array);
            ports.into_iter().flatten().filter_map(|port| u16::try_from(port["hostPort"].as_u64()?).ok()).collect()
        };
        let servers =
            inner.objects.iter().filter(|(key, server)| key.kind == Kind::Server && dev_address(server).is_none());
        let containers = inner.pods.values().filter_map(|pod| pod.spec.as_ref()).flat_map(|spec| &spec.containers);
        let of_pods = containers.flat_map(|container| container.ports.iter().flatten());
        let of_pods = of_pods.filter_map(|port| u16::try_from(port.host_port?).ok());
        servers.flat_map(|(_, server)| of_server(server)).chain(of_pods).collect()
    }

    /// Takes the allocations counted for a Fleet.
    pub(super) fn take_allocations(&self, namespace: &str, fleet: &str) -> u64 {
        self.lock().allocations.remove(&(namespace.to_owned(), fleet.to_owned())).unwrap_or(0)
    }

    /// Gives allocations back whose status could not be written.
    pub(super) fn give_back_allocations(&self, namespace: &str, fleet: &str, count: u64) {
        *self.lock().allocations.entry((namespace.to_owned(), fleet.to_owned())).or_default() += count;
    }
}

/// Namespace and name.
pub(super) fn pod_key(pod: &Pod) -> (String, String) {
    (pod.namespace().unwrap_or_default(), pod.name_any())
}

/// The API server's count of changes, which grows from version to version of one object.
fn version(object: &Object) -> u64 {
    object.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server(version: u64, state: &str) -> Object {
        serde_json::from_value(json!({"apiVersion": "agones.dev/v1", "kind": "GameServer", "metadata": {"name": "a",
            "namespace": "n", "uid": "u", "resourceVersion": version.to_string(), "labels": {FLEET: "f"}},
            "status": {"state": state}}))
        .unwrap()
    }

    #[test]
    fn an_older_version_never_replaces_a_newer_one_and_the_gone_stay_gone() {
        let cache = Cache::default();
        assert!(cache.put(Kind::Server, server(5, "Ready")));
        assert!(!cache.put(Kind::Server, server(4, "Scheduled")));
        let key = Key::of(Kind::Server, &server(0, ""));
        assert_eq!(state(&cache.get(&key).unwrap()), agones::State::Ready);
        cache.remove(Kind::Server, &server(6, "Ready"));
        assert!(!cache.put(Kind::Server, server(7, "Ready")), "the answer to the last write came late");
        assert!(cache.get(&key).is_none());
    }

    #[test]
    fn each_step_to_allocated_counts_once() {
        let cache = Cache::default();
        for (version, state) in [(1, "Ready"), (2, "Allocated"), (3, "Allocated"), (4, "Ready"), (5, "Allocated")] {
            cache.put(Kind::Server, server(version, state));
        }
        assert_eq!(cache.take_allocations("n", "f"), 2);
        assert_eq!(cache.take_allocations("n", "f"), 0);
    }
}
