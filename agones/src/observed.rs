//! A GameServer as the SDK shows it, in plain types.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::pb;
use crate::state::State;

/// A named port of a GameServer. Clients reach the first one.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Port {
    /// The name that the GameServer gives it.
    pub name: String,
    /// The port at which clients reach it.
    pub port: u16,
}

/// How health is judged: a server whose pings stay away becomes Unhealthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthSpec {
    /// No judgement at all.
    pub disabled: bool,
    /// From the start of the server to the first look; Agones' default is 5 s.
    pub initial_delay: Duration,
    /// Between two looks, and the age at which the last ping counts as missing; Agones' default is 5 s.
    pub period: Duration,
    /// After this many looks in a row without a ping the server is Unhealthy; Agones' default is 3.
    pub failure_threshold: u32,
}

impl HealthSpec {
    /// The values that Agones uses when a GameServer names none.
    pub fn agones_default() -> Self {
        Self {
            disabled: false,
            initial_delay: Duration::from_secs(5),
            period: Duration::from_secs(5),
            failure_threshold: 3,
        }
    }

    /// No health judgement: for servers that never ping.
    pub fn disabled() -> Self {
        Self { disabled: true, ..Self::agones_default() }
    }
}

/// A GameServer at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// What it is doing.
    pub state: State,
    /// Its name, unique in its namespace.
    pub name: String,
    /// The Kubernetes namespace; `default` for local servers.
    pub namespace: String,
    /// Unique for ever, also among servers that had the same name.
    pub uid: String,
    /// Changes with every change of the GameServer.
    pub resource_version: String,
    /// Host name or IP at which clients reach it; empty before it is known.
    pub address: String,
    /// Its ports, in the order in which the GameServer names them.
    pub ports: Vec<Port>,
    /// Labels, those set through the SDK with their prefix `agones.dev/sdk-`.
    pub labels: BTreeMap<String, String>,
    /// Annotations, those set through the SDK with their prefix `agones.dev/sdk-`.
    pub annotations: BTreeMap<String, String>,
    /// Whether someone deletes it: SIGTERM comes or has come, and its state does not change any more.
    pub deleting: bool,
    /// How its health is judged.
    pub health: HealthSpec,
}

impl Observed {
    /// Whether nothing changes its state any more.
    pub fn is_over(&self) -> bool {
        self.deleting || self.state.is_final()
    }
}

impl From<pb::GameServer> for Observed {
    fn from(server: pb::GameServer) -> Self {
        let meta = server.object_meta.unwrap_or_default();
        let status = server.status.unwrap_or_default();
        let health = server.spec.and_then(|spec| spec.health).unwrap_or_default();
        let port = |port: pb::game_server::status::Port| Port {
            name: port.name,
            // A port outside 1..=65535 reaches nobody; 0 says so.
            port: u16::try_from(port.port).unwrap_or(0),
        };
        let seconds = |seconds: i32| Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        Self {
            state: State::parse(&status.state),
            name: meta.name,
            namespace: meta.namespace,
            uid: meta.uid,
            resource_version: meta.resource_version,
            address: status.address,
            ports: status.ports.into_iter().map(port).collect(),
            labels: meta.labels,
            annotations: meta.annotations,
            deleting: meta.deletion_timestamp != 0,
            health: HealthSpec {
                disabled: health.disabled,
                initial_delay: seconds(health.initial_delay_seconds),
                period: seconds(health.period_seconds),
                failure_threshold: u32::try_from(health.failure_threshold).unwrap_or(0),
            },
        }
    }
}

impl From<&Observed> for pb::GameServer {
    fn from(server: &Observed) -> Self {
        use pb::game_server::{ObjectMeta, Spec, Status, spec, status};
        // Agones counts whole seconds; a shorter period of a test shows as one.
        let seconds = |time: Duration| i32::try_from(time.as_secs().max(1)).unwrap_or(i32::MAX);
        let port = |port: &Port| status::Port { name: port.name.clone(), port: i32::from(port.port) };
        pb::GameServer {
            object_meta: Some(ObjectMeta {
                name: server.name.clone(),
                namespace: server.namespace.clone(),
                uid: server.uid.clone(),
                resource_version: server.resource_version.clone(),
                annotations: server.annotations.clone(),
                labels: server.labels.clone(),
                deletion_timestamp: i64::from(server.deleting),
                ..ObjectMeta::default()
            }),
            spec: Some(Spec {
                health: Some(spec::Health {
                    disabled: server.health.disabled,
                    period_seconds: seconds(server.health.period),
                    failure_threshold: i32::try_from(server.health.failure_threshold).unwrap_or(i32::MAX),
                    initial_delay_seconds: seconds(server.health.initial_delay),
                }),
            }),
            status: Some(Status {
                state: server.state.as_str().to_owned(),
                address: server.address.clone(),
                ports: server.ports.iter().map(port).collect(),
                ..Status::default()
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_survives_the_way_through_the_wire_types() {
        let server = Observed {
            state: State::Reserved,
            name: "arena-x7k2p".into(),
            namespace: "default".into(),
            uid: "u-1".into(),
            resource_version: "7".into(),
            address: "127.0.0.1".into(),
            ports: vec![Port { name: "default".into(), port: 7777 }],
            labels: BTreeMap::from([("agones.dev/sdk-a".into(), "b".into())]),
            annotations: BTreeMap::from([("agones.dev/sdk-c".into(), "d".into())]),
            deleting: true,
            health: HealthSpec::agones_default(),
        };
        assert_eq!(Observed::from(pb::GameServer::from(&server)), server);
    }

    #[test]
    fn an_empty_object_is_a_server_in_an_unknown_state() {
        let server = Observed::from(pb::GameServer::default());
        assert_eq!(server.state, State::Unknown);
        assert!(server.ports.is_empty() && !server.deleting);
    }
}
