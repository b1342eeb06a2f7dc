//! A cluster in memory whose API server fails on order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use service::Shutdown;

use super::cluster::{Cluster, ClusterError};
use super::core::server::{Key, Server, State};
use super::engine::{Engine, Gate, Limits, lock};

/// What the next write does instead of being done.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// Somebody else writes the server first.
    Conflict,
    /// It is done, and the answer is lost.
    AnswerLost,
    /// It is not done, and nobody says so.
    Lost,
}

#[derive(Default)]
struct Held {
    servers: BTreeMap<Key, Server>,
    version: u64,
    faults: VecDeque<Fault>,
    writes: Vec<Key>,
}

#[derive(Default)]
pub(super) struct FakeCluster(Mutex<Held>);

impl FakeCluster {
    pub(super) fn put(&self, mut server: Server) -> Server {
        let mut held = lock(&self.0);
        held.version += 1;
        server.resource_version = held.version.to_string();
        held.servers.insert(server.key.clone(), server.clone());
        server
    }

    pub(super) fn fail(&self, faults: &[Fault]) {
        lock(&self.0).faults.extend(faults);
    }

    /// Servers that writes were sent to.
    pub(super) fn writes(&self) -> Vec<String> {
        lock(&self.0).writes.iter().map(|key| key.name.to_string()).collect()
    }

    pub(super) fn allocated(&self) -> Vec<String> {
        let held = lock(&self.0);
        let allocated = held.servers.values().filter(|server| server.state == State::Allocated);
        allocated.map(|server| server.key.name.to_string()).collect()
    }
}

fn apply(server: &mut Server, patch: &Value) {
    server.state = State::from_agones(patch["status"]["state"].as_str().unwrap_or(""));
    for (name, value) in patch["metadata"]["annotations"].as_object().into_iter().flatten() {
        match value.as_str() {
            Some(value) => server.annotations.insert(name.clone(), value.to_owned()),
            None => server.annotations.remove(name),
        };
    }
}

#[tonic::async_trait]
impl Cluster for FakeCluster {
    async fn patch(&self, key: &Key, patch: &Value) -> Result<Server, ClusterError> {
        let mut held = lock(&self.0);
        held.writes.push(key.clone());
        held.version += 1;
        let version = held.version.to_string();
        let fault = held.faults.pop_front();
        let lost = || ClusterError::Unknown("connection reset".to_owned());
        let Some(server) = held.servers.get_mut(key) else { return Err(ClusterError::Gone) };
        match fault {
            Some(Fault::Lost) => return Err(lost()),
            Some(Fault::Conflict) => server.resource_version = version.clone(),
            Some(Fault::AnswerLost) | None => {}
        }
        if patch["metadata"]["resourceVersion"] != *server.resource_version {
            return Err(ClusterError::Conflict);
        }
        apply(server, patch);
        server.resource_version = version;
        if fault.is_some() { Err(lost()) } else { Ok(server.clone()) }
    }

    async fn get(&self, key: &Key) -> Result<Server, ClusterError> {
        lock(&self.0).servers.get(key).cloned().ok_or(ClusterError::Gone)
    }

    async fn list(&self, _: &str) -> Result<Vec<Server>, ClusterError> {
        Ok(lock(&self.0).servers.values().cloned().collect())
    }
}

/// An engine over this cluster that serves the namespace `games`.
pub(super) fn engine(cluster: &Arc<FakeCluster>, gate: Gate, shutdown: &Shutdown) -> Engine {
    let limits = Limits { writes_max: 4, waiting_max: 4, wait_max: Duration::from_secs(600) };
    let engine = Engine::new(cluster.clone(), gate, vec!["games".to_owned()], limits, shutdown.clone());
    engine.set_synced();
    engine
}

/// This process leads.
pub(super) fn leads() -> Gate {
    Arc::new(|| Ok(1))
}
