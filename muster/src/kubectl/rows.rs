//! What is known of fleets, queues and servers from their resources alone.

use crds::agones::GameServer;
use crds::{Condition, ConditionStatus, GameFleet, MatchQueue, labels};
use kube::ResourceExt as _;
use serde::Serialize;

use super::options::TableOrJson;
use super::table::{Row, or_dash, print};
use super::{Cluster, list};
use crate::exit::Failure;

/// A GameFleet.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FleetRow {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) build: String,
    /// `True`, `False`, `Unknown`; empty: the operator has not looked at it.
    pub(crate) ready: String,
    pub(crate) servers: u32,
    pub(crate) matches: u32,
    pub(crate) free_rooms: u32,
    pub(crate) rollout: String,
    /// Sentences of the conditions that want somebody's attention.
    pub(crate) concerns: Vec<String>,
}

/// A MatchQueue.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QueueRow {
    pub(crate) namespace: String,
    pub(crate) queue: String,
    pub(crate) fleet: String,
    pub(crate) teams: u32,
    pub(crate) players_per_team: u32,
    pub(crate) ready: String,
    pub(crate) waiting_players: u32,
    pub(crate) waiting_tickets: u32,
    pub(crate) placing: u32,
    pub(crate) wait_seconds_p50: u32,
    pub(crate) wait_seconds_p95: u32,
    pub(crate) concerns: Vec<String>,
}

/// A game server.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServerRow {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) fleet: String,
    pub(super) revision: String,
    pub(super) region: String,
    pub(super) pool: String,
    pub(super) state: String,
    pub(super) node: String,
    pub(super) address: String,
    /// Until when its matches may run, if it drains.
    pub(super) drain_deadline: String,
}

impl From<&GameFleet> for FleetRow {
    fn from(fleet: &GameFleet) -> Self {
        let status = fleet.status.clone().unwrap_or_default();
        Self {
            namespace: fleet.namespace().unwrap_or_default(),
            name: fleet.name_any(),
            build: fleet.spec.build.clone(),
            ready: ready(&status.conditions),
            servers: status.servers,
            matches: status.matches,
            free_rooms: status.free_rooms,
            rollout: status.rollout,
            concerns: concerns(&status.conditions),
        }
    }
}

impl From<&MatchQueue> for QueueRow {
    fn from(queue: &MatchQueue) -> Self {
        let status = queue.status.clone().unwrap_or_default();
        Self {
            namespace: queue.namespace().unwrap_or_default(),
            queue: queue.queue_name().to_owned(),
            fleet: queue.spec.fleet.clone(),
            teams: queue.spec.teams,
            players_per_team: queue.spec.players_per_team,
            ready: ready(&status.conditions),
            waiting_players: status.waiting_players,
            waiting_tickets: status.waiting_tickets,
            placing: status.placing,
            wait_seconds_p50: status.wait_seconds_p50,
            wait_seconds_p95: status.wait_seconds_p95,
            concerns: concerns(&status.conditions),
        }
    }
}

impl From<&GameServer> for ServerRow {
    fn from(server: &GameServer) -> Self {
        let label = |name: &str| server.labels().get(name).cloned().unwrap_or_default();
        let status = server.status.clone().unwrap_or_default();
        let port = status.ports.first().map_or(0, |port| port.port);
        Self {
            namespace: server.namespace().unwrap_or_default(),
            name: server.name_any(),
            fleet: label(labels::GAME_FLEET),
            revision: label(labels::REVISION),
            region: label(labels::REGION),
            pool: label(labels::POOL),
            address: if status.address.is_empty() { String::new() } else { format!("{}:{port}", status.address) },
            state: status.state,
            node: status.node_name,
            drain_deadline: server.annotations().get(labels::DRAIN_DEADLINE).cloned().unwrap_or_default(),
        }
    }
}

fn ready(conditions: &[Condition]) -> String {
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
    ready.map(|condition| format!("{:?}", condition.status)).unwrap_or_default()
}

/// Not ready, or degraded.
fn concerns(conditions: &[Condition]) -> Vec<String> {
    let concerns = conditions.iter().filter(|condition| match condition.type_.as_str() {
        "Ready" => condition.status != ConditionStatus::True,
        "Degraded" => condition.status == ConditionStatus::True,
        _ => false,
    });
    concerns.map(|condition| format!("{}: {}", condition.reason, condition.message)).collect()
}

impl Row for FleetRow {
    const HEADS: &'static [&'static str] =
        &["NAMESPACE", "FLEET", "BUILD", "READY", "SERVERS", "MATCHES", "FREE ROOMS", "ROLLOUT"];

    fn cells(&self) -> Vec<String> {
        let figures = [self.servers, self.matches, self.free_rooms].map(|figure| figure.to_string());
        let [servers, matches, free_rooms] = figures;
        let (namespace, name, build) = (self.namespace.clone(), self.name.clone(), self.build.clone());
        vec![namespace, name, build, or_dash(&self.ready), servers, matches, free_rooms, or_dash(&self.rollout)]
    }
}

impl Row for QueueRow {
    const HEADS: &'static [&'static str] =
        &["NAMESPACE", "QUEUE", "FLEET", "TEAMS", "READY", "WAITING", "PLACING", "WAIT P50", "WAIT P95"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.namespace.clone(),
            self.queue.clone(),
            self.fleet.clone(),
            format!("{} of {}", self.teams, self.players_per_team),
            or_dash(&self.ready),
            self.waiting_players.to_string(),
            self.placing.to_string(),
            format!("{} s", self.wait_seconds_p50),
            format!("{} s", self.wait_seconds_p95),
        ]
    }
}

impl Row for ServerRow {
    const HEADS: &'static [&'static str] =
        &["NAMESPACE", "SERVER", "FLEET", "REVISION", "REGION", "STATE", "NODE", "ADDRESS", "DRAINS UNTIL"];

    fn cells(&self) -> Vec<String> {
        let rest = [&self.fleet, &self.revision, &self.region, &self.state, &self.node, &self.address];
        let mut cells = vec![self.namespace.clone(), self.name.clone()];
        cells.extend(rest.into_iter().chain([&self.drain_deadline]).map(|text| or_dash(text)));
        cells
    }
}

/// `kubectl muster fleets`.
pub(super) async fn fleets(cluster: &Cluster, output: TableOrJson) -> Result<(), Failure> {
    let fleets: Vec<FleetRow> = fleet_rows(cluster).await?;
    print(&fleets, "There is no GameFleet.", output)
}

/// `kubectl muster queues`.
pub(super) async fn queues(cluster: &Cluster, output: TableOrJson) -> Result<(), Failure> {
    let queues: Vec<QueueRow> = queue_rows(cluster).await?;
    print(&queues, "There is no MatchQueue.", output)
}

/// `kubectl muster servers`.
pub(super) async fn servers(cluster: &Cluster, fleet: Option<&str>, output: TableOrJson) -> Result<(), Failure> {
    let servers: Vec<ServerRow> = game_servers(cluster, fleet).await?.iter().map(ServerRow::from).collect();
    print(&servers, "There is no game server of Muster.", output)
}

pub(super) async fn fleet_rows(cluster: &Cluster) -> Result<Vec<FleetRow>, Failure> {
    Ok(list::<GameFleet>(&cluster.all(), "GameFleets", None).await?.iter().map(FleetRow::from).collect())
}

pub(super) async fn queue_rows(cluster: &Cluster) -> Result<Vec<QueueRow>, Failure> {
    Ok(list::<MatchQueue>(&cluster.all(), "MatchQueues", None).await?.iter().map(QueueRow::from).collect())
}

/// The game servers of all GameFleets, or of one.
pub(super) async fn game_servers(cluster: &Cluster, fleet: Option<&str>) -> Result<Vec<GameServer>, Failure> {
    let selector =
        fleet.map_or_else(|| labels::GAME_FLEET.to_owned(), |fleet| format!("{}={fleet}", labels::GAME_FLEET));
    list::<GameServer>(&cluster.all(), "GameServers", Some(&selector)).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fleet_shows_what_its_status_says_and_what_worries() {
        let fleet: GameFleet = serde_json::from_value(json!({
            "apiVersion": "muster.dev/v1alpha1", "kind": "GameFleet",
            "metadata": { "name": "arena", "namespace": "games" },
            "spec": { "build": "1.4.0", "template": { "image": "arena:1" } },
            "status": { "servers": 4, "matches": 3, "freeRooms": 5, "rollout": "50%", "conditions": [
                { "type": "Ready", "status": "False", "reason": "NoServers", "message": "none is up",
                  "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1 },
                { "type": "Degraded", "status": "False", "reason": "AsExpected", "message": "",
                  "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1 }
            ] }
        }))
        .expect("a fleet by its types");
        let row = FleetRow::from(&fleet);
        assert_eq!(row.cells(), ["games", "arena", "1.4.0", "False", "4", "3", "5", "50%"]);
        assert_eq!(row.concerns, ["NoServers: none is up"]);
        assert_eq!(FleetRow::HEADS.len(), row.cells().len());
    }

    #[test]
    fn a_queue_and_a_server_have_a_cell_for_each_head() {
        let queue: MatchQueue = serde_json::from_value(json!({
            "apiVersion": "muster.dev/v1alpha1", "kind": "MatchQueue",
            "metadata": { "name": "ranked", "namespace": "games" },
            "spec": { "teams": 2, "playersPerTeam": 4, "fleet": "arena" }
        }))
        .expect("a queue by its types");
        let row = QueueRow::from(&queue);
        assert_eq!(row.cells(), ["games", "ranked", "arena", "2 of 4", "-", "0", "0", "0 s", "0 s"]);
        assert_eq!(QueueRow::HEADS.len(), row.cells().len());

        let server: GameServer = serde_json::from_value(json!({
            "apiVersion": "agones.dev/v1", "kind": "GameServer",
            "metadata": { "name": "arena-x", "namespace": "games", "labels": { "muster.dev/game-fleet": "arena" },
                "annotations": { "muster.dev/drain-deadline": "2026-01-01T00:00:00Z" } },
            "spec": {},
            "status": { "state": "Allocated", "address": "10.0.0.1", "nodeName": "n1",
                "ports": [{ "name": "game", "port": 7001 }] }
        }))
        .expect("a server by its types");
        let row = ServerRow::from(&server);
        assert_eq!(
            row.cells(),
            ["games", "arena-x", "arena", "-", "-", "Allocated", "n1", "10.0.0.1:7001", "2026-01-01T00:00:00Z"]
        );
        assert_eq!(ServerRow::HEADS.len(), row.cells().len());
    }
}
