//! `kubectl muster drain`: writes the wish that Muster's allocator obeys. A server that drains takes no new match, its
//! matches go on until the deadline, then it leaves and its fleet starts another. Nothing undoes a drain.

use crds::agones::GameServer;
use crds::{GameFleet, labels};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::options::{DrainOrder, Drained, TableOrJson};
use super::rows::game_servers;
use super::table::done;
use super::{Cluster, refusal};
use crate::exit::Failure;

/// Drains a server, the servers of a fleet, or a node.
pub(super) async fn run(
    cluster: &Cluster,
    what: Drained,
    name: &str,
    order: &DrainOrder,
    output: TableOrJson,
) -> Result<(), Failure> {
    match what {
        Drained::Server => server(cluster, name, order, output).await,
        Drained::Fleet => fleet(cluster, name, order, output).await,
        Drained::Node => node(cluster, name, order, output).await,
    }
}

async fn server(cluster: &Cluster, name: &str, order: &DrainOrder, output: TableOrJson) -> Result<(), Failure> {
    let servers: Api<GameServer> = cluster.of()?;
    let found = servers.get(name).await;
    let server = found.map_err(|error| refusal(&format!("GameServer {name} cannot be read"), &error))?;
    let Some(fleet) = server.labels().get(labels::GAME_FLEET) else {
        return Err(Failure::setup(format!("GameServer {name} belongs to no GameFleet: nobody would drain it"))
            .help("delete it with kubectl, or let its own allocator end it"));
    };
    let deadline = deadline(cluster, fleet, order).await?;
    let (until, is_new) = annotate(&servers, &server, deadline, &order.reason).await?;
    let sentence = if is_new {
        format!("GameServer {name} takes no new match; those that run may go on until {until}.")
    } else {
        format!("GameServer {name} drains already, until {until}.")
    };
    done(&sentence, &json!({ "servers": [{ "name": name, "deadline": until, "drained": is_new }] }), output)
}

async fn fleet(cluster: &Cluster, name: &str, order: &DrainOrder, output: TableOrJson) -> Result<(), Failure> {
    let servers: Api<GameServer> = cluster.of()?;
    let deadline = deadline(cluster, name, order).await?;
    let mut drained = Vec::new();
    for server in game_servers(cluster, Some(name)).await? {
        let (until, is_new) = annotate(&servers, &server, deadline, &order.reason).await?;
        drained.push(json!({ "name": server.name_any(), "deadline": until, "drained": is_new }));
    }
    let sentence = format!(
        "{} servers of GameFleet {name} take no new match; those that run may go on until {}. New servers take their \
         place. To take the fleet out for good, delete it: its matches are played to their end first.",
        drained.len(),
        written(deadline)
    );
    done(&sentence, &json!({ "servers": drained }), output)
}

async fn node(cluster: &Cluster, name: &str, order: &DrainOrder, output: TableOrJson) -> Result<(), Failure> {
    if order.deadline_seconds.is_some() {
        return Err(Failure::setup("a node's servers have as long as their fleets say")
            .help("leave --deadline-seconds out, or drain its servers one by one: kubectl muster drain server"));
    }
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let cordon = json!({ "spec": { "unschedulable": true } });
    let cordoned = nodes.patch(name, &PatchParams::default(), &Patch::Merge(&cordon)).await;
    cordoned.map_err(|error| refusal(&format!("node {name} cannot be cordoned"), &error))?;
    let sentence = format!(
        "Node {name} is cordoned; the operator drains its game servers now. Look with `kubectl muster servers -A`, and \
         take the node out when none is left on it. Uncordoning it does not undo their drain."
    );
    done(&sentence, &json!({ "node": name, "cordoned": true }), output)
}

/// When a server of this fleet has to be gone.
async fn deadline(cluster: &Cluster, fleet: &str, order: &DrainOrder) -> Result<Timestamp, Failure> {
    let seconds = match order.deadline_seconds {
        Some(seconds) => seconds,
        None => {
            let found = cluster.of::<GameFleet>()?.get(fleet).await;
            found
                .map_err(|error| refusal(&format!("GameFleet {fleet} cannot be read"), &error))?
                .spec
                .drain
                .deadline_seconds
        }
    };
    Ok(Timestamp::now() + SignedDuration::from_secs(i64::from(seconds)))
}

/// Writes the drain on a server unless it has one; its deadline, and whether it is new. The first one counts: matches
/// were told of it.
async fn annotate(
    servers: &Api<GameServer>,
    server: &GameServer,
    deadline: Timestamp,
    reason: &str,
) -> Result<(String, bool), Failure> {
    if let Some(standing) = server.annotations().get(labels::DRAIN_DEADLINE) {
        return Ok((standing.clone(), false));
    }
    let until = written(deadline);
    let annotations = json!({ labels::DRAIN_DEADLINE: until, labels::DRAIN_REASON: reason });
    // The version makes sure that a drain which came meanwhile is not overwritten.
    let patch = json!({ "metadata": { "annotations": annotations, "resourceVersion": server.resource_version() } });
    let patched = servers.patch(&server.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await;
    patched.map_err(|error| refusal(&format!("GameServer {} cannot be drained", server.name_any()), &error))?;
    Ok((until, true))
}

fn written(deadline: Timestamp) -> String {
    deadline.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
