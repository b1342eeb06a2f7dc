//! Puts together what one look at a GameFleet needs, from the watched copies and from what the services say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crds::agones::{Fleet, FleetAutoscaler, GameServer};
use crds::{GameFleet, PoolKind, labels};
use k8s_openapi::api::core::v1::Toleration;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;
use protocol::pb::PoolServer;

use crate::core::demand::asked;
use crate::core::drain::{Drain, Node, leave};
use crate::core::forecast::HoltWinters;
use crate::core::reconcile::Server;
use crate::core::rollout::Score;
use crate::core::scale::Demand;
use crate::picture::Picture;
use crate::watches::{Stores, lock};

/// Label that Agones puts on a game server: its Fleet.
const FLEET_LABEL: &str = "agones.dev/fleet";

/// What a look at one GameFleet needs.
pub(crate) struct Scene {
    pub(crate) game_fleet: Arc<GameFleet>,
    pub(crate) fleets: Vec<Fleet>,
    pub(crate) autoscalers: Vec<FleetAutoscaler>,
    pub(crate) servers: Vec<Server>,
    pub(crate) demand: BTreeMap<String, Demand>,
    pub(crate) scores: BTreeMap<String, Score>,
}

/// Models of the days, by GameFleet and region.
pub(crate) type Forecasts = BTreeMap<(String, String), HoltWinters>;

/// The scene of a GameFleet; `None` if there is no such one.
pub(crate) fn scene(
    stores: &Stores,
    picture: &mut Picture,
    forecasts: &mut Forecasts,
    (namespace, name): (&str, &str),
    (now, elapsed): (Timestamp, Duration),
) -> Option<Scene> {
    let space = stores.namespaces.get(namespace)?;
    let game_fleet = space.game_fleets.get(&ObjectRef::new(name).within(namespace))?;
    let ours = |label: Option<&String>| label.is_some_and(|label| label == name);
    let fleets = space.fleets.state_filter(|fleet| ours(fleet.labels().get(labels::GAME_FLEET)));
    let fleets: Vec<Fleet> = fleets.into_iter().map(|fleet| (*fleet).clone()).collect();
    let autoscalers = space.autoscalers.state_filter(|it| ours(it.labels().get(labels::GAME_FLEET)));
    let autoscalers = autoscalers.into_iter().map(|autoscaler| (*autoscaler).clone()).collect();
    let facts: BTreeMap<String, FleetFacts> = fleets.iter().map(|fleet| (fleet.name_any(), facts(fleet))).collect();
    let nodes = nodes(stores);
    let servers = space.servers.state_filter(|server| ours(server.labels().get(labels::GAME_FLEET)));
    let pool = game_fleet.spec.pool_kind;
    let capacity = game_fleet.spec.capacity;
    let seen: Vec<Seen> = servers
        .iter()
        .map(|server| {
            let pooled = picture.pooled(namespace, &server.name_any()).filter(|_| pool == PoolKind::Muster);
            see(server, pooled, capacity, facts.get(fleet_of(server)), &nodes)
        })
        .collect();
    let demand = demand(&game_fleet, namespace, &seen, picture, forecasts, (now, elapsed));
    let scores = scores(stores, &game_fleet, namespace, &seen, picture);
    let servers = seen.into_iter().map(|seen| seen.server).collect();
    Some(Scene { game_fleet, fleets, autoscalers, servers, demand, scores })
}

/// What a server takes from its Fleet.
struct FleetFacts {
    tolerations: Vec<Toleration>,
    drains: bool,
}

fn facts(fleet: &Fleet) -> FleetFacts {
    let tolerations = &fleet.spec.template.spec.template["spec"]["tolerations"];
    FleetFacts {
        tolerations: serde_json::from_value(tolerations.clone()).unwrap_or_default(),
        drains: Drain::read(fleet.annotations()).is_some(),
    }
}

/// Nodes that may have to be left; most have neither taint nor cordon and are left out.
fn nodes(stores: &Stores) -> BTreeMap<String, Node> {
    let of = |node: &k8s_openapi::api::core::v1::Node| {
        let spec = node.spec.as_ref()?;
        let taints = spec.taints.clone().unwrap_or_default();
        let cordoned = spec.unschedulable.unwrap_or(false);
        (cordoned || !taints.is_empty()).then(|| (node.name_any(), Node { cordoned, taints }))
    };
    stores.nodes.state().iter().filter_map(|node| of(node)).collect()
}

/// A server, and what only this module needs of it.
struct Seen {
    server: Server,
    region: String,
    revision: String,
    /// Rooms without a match on a server that has one, if it takes more.
    free_beside: u32,
}

fn fleet_of(server: &GameServer) -> &str {
    server.labels().get(FLEET_LABEL).map_or("", String::as_str)
}

fn see(
    server: &GameServer,
    pooled: Option<&PoolServer>,
    capacity: u32,
    fleet: Option<&FleetFacts>,
    nodes: &BTreeMap<String, Node>,
) -> Seen {
    let state = server.state();
    let going = server.metadata.deletion_timestamp.is_some() || matches!(state, "Shutdown" | "Unhealthy" | "Error");
    let drain = Drain::read(server.annotations());
    let node = server.status.as_ref().and_then(|status| nodes.get(&status.node_name));
    let tolerations = fleet.map_or(&[][..], |fleet| &fleet.tolerations);
    let leave = node.and_then(|node| leave(node, tolerations));
    let stays = !going && drain.is_none() && leave.is_none() && !fleet.is_some_and(|fleet| fleet.drains);
    let (linked, matches, free) = match pooled {
        Some(pooled) => (pooled.link == "linked", pooled.matches, pooled.capacity.saturating_sub(pooled.matches)),
        // Pool `agones`, or a server that is not registered: Agones alone knows, and knows of one match.
        None if state == "Ready" => (true, 0, capacity),
        None => (false, u32::from(state == "Allocated"), 0),
    };
    let in_pool = linked && stays;
    let busy = matches > 0 || state == "Allocated";
    let label = |key| server.labels().get(key).cloned().unwrap_or_default();
    let server = Server {
        name: server.name_any(),
        uid: server.uid().unwrap_or_default(),
        version: server.resource_version().unwrap_or_default(),
        going,
        drain,
        leave,
        fleet: fleet_of(server).to_owned(),
        busy: busy && !going,
        in_pool,
        free_rooms: if in_pool { free } else { 0 },
        matches,
    };
    let free_beside = if server.busy { server.free_rooms } else { 0 };
    Seen { region: label(labels::REGION), revision: label(labels::REVISION), free_beside, server }
}

fn demand(
    game_fleet: &GameFleet,
    namespace: &str,
    seen: &[Seen],
    picture: &mut Picture,
    forecasts: &mut Forecasts,
    (now, elapsed): (Timestamp, Duration),
) -> BTreeMap<String, Demand> {
    let name = game_fleet.name_any();
    let regions: Vec<&str> = game_fleet.spec.regions.iter().map(|region| region.name.as_str()).collect();
    let queues = picture.loads().to_vec();
    let asked = asked((namespace, &name), &regions, &queues, |queue| picture.rate(elapsed, queue));
    let startup_s = picture.startup_s(namespace, &name);
    let of = |region: &&str| {
        let here = || seen.iter().filter(|seen| seen.region == *region && seen.server.busy);
        let busy_servers = here().count() as u32;
        let asked = asked.get(*region).copied().unwrap_or_default();
        let forecast_busy = game_fleet.spec.scaling.forecast.map_or(0, |forecast| {
            let model = forecasts.entry((format!("{namespace}/{name}"), (*region).to_owned())).or_default();
            model.learn(now.as_second(), f64::from(busy_servers));
            let ahead = now.as_second() + i64::from(forecast.ahead_seconds);
            model.forecast(ahead).map_or(0, |busy| busy.ceil() as u32)
        });
        let demand = Demand {
            busy_servers,
            free_rooms_on_busy: here().map(|seen| seen.free_beside).sum(),
            queued_matches: asked.queued,
            arrivals_per_s: asked.per_second,
            startup_s,
            forecast_busy,
        };
        ((*region).to_owned(), demand)
    };
    regions.iter().map(of).collect()
}

fn scores(
    stores: &Stores,
    game_fleet: &GameFleet,
    namespace: &str,
    seen: &[Seen],
    picture: &Picture,
) -> BTreeMap<String, Score> {
    let Some(status) = &game_fleet.status else { return BTreeMap::new() };
    let name = game_fleet.name_any();
    let revisions: Vec<&str> = [&status.stable, &status.canary].into_iter().flatten().map(String::as_str).collect();
    let since = status.step_since.as_ref().and_then(|at| at.parse::<Timestamp>().ok());
    let mut scores =
        since.map(|since| picture.ends.since(since.as_second(), (namespace, &name), &revisions)).unwrap_or_default();
    let starts = lock(&stores.starts);
    for revision in revisions {
        let score = scores.entry(revision.to_owned()).or_default();
        score.servers = seen.iter().filter(|seen| seen.revision == revision && seen.server.in_pool).count() as u32;
        score.crashes_at_start = starts.of(&format!("{namespace}/{name}"), revision);
    }
    scores
}
