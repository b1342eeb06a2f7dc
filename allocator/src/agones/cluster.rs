//! The two things that giving out a server asks of the cluster, and the real API behind them.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::{Api, Client, Resource};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::core::server::{Counter, Key, List, Server, State};

/// Why a server could not be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// It is no longer the version that the write names.
    #[error("another writer was faster")]
    Conflict,
    /// It is no more.
    #[error("the game server is gone")]
    Gone,
    /// The API server will never take this.
    #[error("{0}")]
    Invalid(String),
    /// This program may not do it.
    #[error("{0}")]
    Forbidden(String),
    /// It may have happened or not.
    #[error("{0}")]
    Unknown(String),
}

/// What giving out a server asks of the cluster.
#[tonic::async_trait]
pub trait Cluster: Send + Sync + 'static {
    /// Applies a merge patch.
    ///
    /// # Errors
    /// [`ClusterError`].
    async fn patch(&self, key: &Key, patch: &Value) -> Result<Server, ClusterError>;

    /// A server as it is now.
    ///
    /// # Errors
    /// [`ClusterError`].
    async fn get(&self, key: &Key) -> Result<Server, ClusterError>;

    /// Every server of a namespace that is not of Muster's pool, as they are now.
    ///
    /// # Errors
    /// [`ClusterError`].
    async fn list(&self, namespace: &str) -> Result<Vec<Server>, ClusterError>;
}

/// Name under which writes show in `managedFields`.
const FIELD_MANAGER: &str = "muster-allocator";
/// Game servers per page of a list.
const PAGE: u32 = 500;

/// The API server.
#[derive(Clone)]
pub struct ApiCluster(pub Client);

impl ApiCluster {
    fn api(&self, namespace: &str) -> Api<GameServer> {
        Api::namespaced(self.0.clone(), namespace)
    }
}

#[tonic::async_trait]
impl Cluster for ApiCluster {
    async fn patch(&self, key: &Key, patch: &Value) -> Result<Server, ClusterError> {
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let patched = self.api(&key.namespace).patch(&key.name, &params, &Patch::Merge(patch)).await;
        patched.map(GameServer::trimmed).map_err(|error| fault(&error))
    }

    async fn get(&self, key: &Key) -> Result<Server, ClusterError> {
        self.api(&key.namespace).get(&key.name).await.map(GameServer::trimmed).map_err(|error| fault(&error))
    }

    async fn list(&self, namespace: &str) -> Result<Vec<Server>, ClusterError> {
        let mut params = kube::api::ListParams::default().labels(NOT_MUSTERS).limit(PAGE);
        let mut servers = Vec::new();
        loop {
            let page = self.api(namespace).list(&params).await.map_err(|error| fault(&error))?;
            servers.extend(page.items.into_iter().map(GameServer::trimmed));
            match page.metadata.continue_.filter(|more| !more.is_empty()) {
                Some(more) => params = params.continue_token(&more),
                None => return Ok(servers),
            }
        }
    }
}

/// Game servers that Muster's control link does not reach.
pub(super) const NOT_MUSTERS: &str = "muster.dev/pool!=muster";

fn fault(error: &kube::Error) -> ClusterError {
    let kube::Error::Api(status) = error else { return ClusterError::Unknown(error.to_string()) };
    let text = status.message.clone();
    match status.code {
        409 => ClusterError::Conflict,
        404 => ClusterError::Gone,
        400 | 422 => ClusterError::Invalid(text),
        401 | 403 => ClusterError::Forbidden(text),
        _ => ClusterError::Unknown(text),
    }
}

/// As much of a GameServer as allocation needs. The pod's template and `managedFields` are skipped while reading: they
/// are most of the object.
#[derive(Debug, Clone, Resource, Deserialize)]
#[resource(inherit = crds::agones::GameServer)]
pub(super) struct GameServer {
    #[serde(deserialize_with = "slim")]
    metadata: ObjectMeta,
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    state: String,
    address: String,
    addresses: Option<Vec<Address>>,
    node_name: String,
    ports: Option<Vec<Port>>,
    counters: Option<std::collections::BTreeMap<String, StatusCounter>>,
    lists: Option<std::collections::BTreeMap<String, StatusList>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Address {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Port {
    #[serde(default)]
    name: String,
    port: u16,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct StatusCounter {
    count: i64,
    capacity: i64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct StatusList {
    values: Option<Vec<String>>,
    capacity: i64,
}

/// Metadata without what grows.
fn slim<'de, D: Deserializer<'de>>(from: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Slim {
        name: Option<String>,
        namespace: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
        labels: Option<std::collections::BTreeMap<String, String>>,
        annotations: Option<std::collections::BTreeMap<String, String>>,
        deletion_timestamp: Option<serde::de::IgnoredAny>,
    }
    let slim = Slim::deserialize(from)?;
    let deletion = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH);
    Ok(ObjectMeta {
        name: slim.name,
        namespace: slim.namespace,
        uid: slim.uid,
        resource_version: slim.resource_version,
        labels: slim.labels,
        annotations: slim.annotations,
        // Whether, not when.
        deletion_timestamp: slim.deletion_timestamp.map(|_| deletion),
        ..ObjectMeta::default()
    })
}

impl GameServer {
    /// In the core's words.
    pub(super) fn trimmed(self) -> Server {
        let (meta, status) = (self.metadata, self.status.unwrap_or_default());
        let counter = |c: StatusCounter| Counter { count: c.count, capacity: c.capacity };
        let list = |l: StatusList| List { values: l.values.unwrap_or_default(), capacity: l.capacity };
        Server {
            key: Key {
                namespace: meta.namespace.unwrap_or_default().into(),
                name: meta.name.unwrap_or_default().into(),
            },
            uid: meta.uid.unwrap_or_default(),
            resource_version: meta.resource_version.unwrap_or_default(),
            labels: Arc::new(meta.labels.unwrap_or_default()),
            annotations: meta.annotations.unwrap_or_default(),
            state: State::from_agones(&status.state),
            deleting: meta.deletion_timestamp.is_some(),
            node: status.node_name.into(),
            address: status.address,
            addresses: status.addresses.into_iter().flatten().map(|a| (a.kind, a.address)).collect(),
            ports: status.ports.into_iter().flatten().map(|p| (p.name, p.port)).collect(),
            counters: status.counters.into_iter().flatten().map(|(name, c)| (name, counter(c))).collect(),
            lists: status.lists.into_iter().flatten().map(|(name, l)| (name, list(l))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_game_server_is_trimmed_and_agones_nulls_are_empty() {
        let object = json!({
            "apiVersion": "agones.dev/v1", "kind": "GameServer",
            "metadata": { "name": "a-1", "namespace": "games", "uid": "u", "resourceVersion": "9", "labels": { "x": "y" },
                "deletionTimestamp": "2026-01-01T00:00:00Z", "managedFields": [{ "manager": "agones" }] },
            "spec": { "template": { "spec": { "containers": [] } } },
            "status": { "state": "Allocated", "address": "10.1.1.1", "nodeName": "n1", "addresses": null, "ports": null,
                "counters": { "rooms": { "count": 1, "capacity": 4 } }, "lists": { "players": { "capacity": 2, "values": null } } },
        });
        let server = serde_json::from_value::<GameServer>(object).expect("a game server").trimmed();
        assert_eq!(
            (server.key.to_string().as_str(), server.state, server.deleting),
            ("games/a-1", State::Allocated, true)
        );
        assert_eq!((&*server.node, server.address.as_str(), server.ports.len()), ("n1", "10.1.1.1", 0));
        assert_eq!(server.counters["rooms"], Counter { count: 1, capacity: 4 });
        assert_eq!(server.lists["players"], List { values: vec![], capacity: 2 });
        let bare = serde_json::from_value::<GameServer>(json!({ "metadata": { "name": "b" } })).expect("no status yet");
        assert_eq!(bare.trimmed().state, State::Other);
    }
}
