//! As much of Agones as sizes need: servers come Reserved and registered, idle ones go as the allocator retires them, busy
//! ones never do, and a Fleet takes its servers with it.

use std::collections::{BTreeMap, BTreeSet};

use crds::agones::{Fleet, GameServer};
use crds::labels;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::services::{Services, TICK};

/// Plays until it is aborted. What fails is tried again with the next tick.
pub(crate) async fn play(client: Client, namespace: String, services: Services) {
    let fleets: Api<Fleet> = Api::namespaced(client.clone(), &namespace);
    let servers: Api<GameServer> = Api::namespaced(client, &namespace);
    let mut busy_ever = BTreeSet::new();
    loop {
        if let Err(error) = tick(&fleets, &servers, &services, &mut busy_ever).await {
            eprintln!("agones of the test: {error}");
        }
        tokio::time::sleep(TICK).await;
    }
}

async fn tick(
    fleets: &Api<Fleet>,
    servers: &Api<GameServer>,
    services: &Services,
    busy_ever: &mut BTreeSet<String>,
) -> Result<(), kube::Error> {
    let all = ListParams::default();
    let (standing, mut alive) = (fleets.list(&all).await?.items, servers.list(&all).await?.items);
    alive.retain(|server| server.metadata.deletion_timestamp.is_none());
    let names: BTreeSet<String> = standing.iter().map(kube::ResourceExt::name_any).collect();
    let fleet_of = |server: &GameServer| server.labels().get("agones.dev/fleet").cloned().unwrap_or_default();
    for server in alive.iter().filter(|server| server.is_allocated()) {
        busy_ever.insert(server.name_any());
    }
    for server in alive.iter().filter(|server| !names.contains(&fleet_of(server))) {
        assert!(!server.is_allocated(), "an Allocated server ended with its Fleet: {}", server.name_any());
        servers.delete(&server.name_any(), &DeleteParams::default()).await?;
    }
    for fleet in &standing {
        let name = fleet.name_any();
        let of: Vec<&GameServer> = alive.iter().filter(|server| fleet_of(server) == name).collect();
        let wanted = fleet.spec.replicas.unwrap_or(0) as usize;
        for n in of.len()..wanted {
            servers.create(&PostParams::default(), &server(fleet, n)).await?;
        }
        let idle = of.iter().filter(|server| !server.is_allocated());
        for server in idle.take(of.len().saturating_sub(wanted)) {
            servers.delete(&server.name_any(), &DeleteParams::default()).await?;
        }
        let counted = fleet.status.as_ref().map_or(0, |status| status.replicas);
        if counted as usize != of.len() {
            let status = json!({ "status": { "replicas": of.len(), "readyReplicas": 0, "reservedReplicas": 0, "allocatedReplicas": 0 } });
            fleets.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
        }
    }
    let healthy = alive.iter().filter(|server| !matches!(server.state(), "Unhealthy" | "Error"));
    let label = |server: &GameServer, key| server.labels().get(key).cloned().unwrap_or_default();
    let registered: BTreeMap<String, (String, String)> = healthy
        .map(|server| (server.name_any(), (label(server, labels::GAME_FLEET), label(server, labels::REVISION))))
        .collect();
    services.register(&registered);
    Ok(())
}

fn server(fleet: &Fleet, n: usize) -> GameServer {
    let mut labels = fleet.labels().clone();
    labels.insert("agones.dev/fleet".into(), fleet.name_any());
    let name = format!("{}-{n}-{}", fleet.name_any(), hex::encode(service::random::bytes::<3>()));
    let server = json!({
        "apiVersion": "agones.dev/v1", "kind": "GameServer",
        "metadata": { "name": name, "labels": labels },
        "spec": { "health": { "periodSeconds": 5, "failureThreshold": 3, "initialDelaySeconds": 5 }, "template": { "spec": { "containers": [{ "name": "game", "image": "none:1" }] } } },
        "status": { "state": "Reserved", "nodeName": "node-of-the-test" }
    });
    serde_json::from_value(server).expect("a server")
}
