//! Agones: its resources in the versions that Muster writes, its controller, and the ports that it hands out.

use std::collections::BTreeMap;

use crds::agones::GameServer;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::ListParams;

use super::super::finding::Finding;
use super::{Installation, unseen};

/// What Muster reads and writes of Agones.
const KINDS: [&str; 2] = ["Fleet", "GameServer"];
/// Ports that Agones hands out if its controller is not told otherwise.
const PORTS: (u32, u32) = (7_000, 8_000);
/// With fewer free ports on a node than this it is a warning.
const FREE_PORTS_MIN: u32 = 20;
const SECTION: &str = "agones";

/// Everything about Agones.
pub(super) async fn examine(installation: &Installation) -> Vec<Finding> {
    let mut findings = vec![kinds(installation).await];
    let controllers = Api::<Deployment>::all(installation.client.clone());
    let named = ListParams::default().fields("metadata.name=agones-controller");
    let range = match controllers.list(&named).await {
        Err(error) => {
            findings.push(unseen("Agones controller", &error, SECTION));
            PORTS
        }
        Ok(list) => {
            findings.push(controller(list.items.first()));
            list.items.first().map_or(PORTS, port_range)
        }
    };
    for namespace in &installation.game_namespaces {
        let servers = Api::<GameServer>::namespaced(installation.client.clone(), namespace);
        match servers.list(&ListParams::default()).await {
            Ok(list) => findings.push(ports(namespace, range, &list.items)),
            // Without Agones' resources there is one finding about them already.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => findings.push(unseen(format!("ports in {namespace}"), &error, SECTION)),
        }
    }
    findings
}

async fn kinds(installation: &Installation) -> Finding {
    let check = "Agones resources";
    match installation.client.list_api_group_resources("agones.dev/v1").await {
        Ok(list) => {
            let served: Vec<&str> = list.resources.iter().map(|resource| resource.kind.as_str()).collect();
            let missing: Vec<&str> = KINDS.into_iter().filter(|kind| !served.contains(kind)).collect();
            if missing.is_empty() {
                return Finding::ok(check, "agones.dev/v1 is served");
            }
            let found = format!("agones.dev/v1 does not serve {}", missing.join(", "));
            Finding::fail(check, found, "install Agones again with its CRDs").more(SECTION)
        }
        Err(kube::Error::Api(status)) if status.code == 404 => {
            Finding::fail(check, "agones.dev/v1 is not served", "install Agones first; game servers run under it")
                .more(SECTION)
        }
        Err(error) => unseen(check, &error, SECTION),
    }
}

fn controller(deployment: Option<&Deployment>) -> Finding {
    let check = "Agones controller";
    let Some(deployment) = deployment else {
        let found = "there is no deployment agones-controller in any namespace";
        return Finding::warn(check, found, "install Agones, or make sure that it runs under another name")
            .more(SECTION);
    };
    let namespace = deployment.metadata.namespace.as_deref().unwrap_or_default();
    let ready = deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
    let image = containers(deployment).next().and_then(|container| container.image.clone()).unwrap_or_default();
    let found = format!("{image} in {namespace}, {ready} ready");
    if ready > 0 {
        Finding::ok(check, found)
    } else {
        let advice = format!("kubectl -n {namespace} describe deployment agones-controller");
        Finding::fail(check, found, advice).more(SECTION)
    }
}

fn containers(deployment: &Deployment) -> impl Iterator<Item = &k8s_openapi::api::core::v1::Container> {
    let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    pod.into_iter().flat_map(|pod| pod.containers.iter())
}

fn port_range(deployment: &Deployment) -> (u32, u32) {
    let variable = |name: &str| {
        let all = containers(deployment).flat_map(|container| container.env.iter().flatten());
        all.filter(|variable| variable.name == name).find_map(|variable| variable.value.as_deref()?.parse().ok())
    };
    (variable("MIN_PORT").unwrap_or(PORTS.0), variable("MAX_PORT").unwrap_or(PORTS.1))
}

/// Room for more servers on the fullest node, as far as this namespace shows.
fn ports(namespace: &str, (low, high): (u32, u32), servers: &[GameServer]) -> Finding {
    let check = format!("ports in {namespace}");
    let mut taken: BTreeMap<&str, u32> = BTreeMap::new();
    for status in servers.iter().filter_map(|server| server.status.as_ref()) {
        let own = status.ports.iter().filter(|port| (low..=high).contains(&u32::from(port.port))).count();
        *taken.entry(&status.node_name).or_default() += own as u32;
    }
    let size = (high + 1).saturating_sub(low);
    let Some((node, taken)) = taken.into_iter().max_by_key(|(_, taken)| *taken) else {
        return Finding::ok(check, format!("{low} to {high}, none taken"));
    };
    let free = size.saturating_sub(taken);
    let found = format!("{taken} of {size} ({low} to {high}) taken on {node}");
    let advice = "widen gameservers.minPort and maxPort of Agones, open them in the firewall, or add nodes";
    match free {
        0 => Finding::fail(check, found, advice).more(SECTION),
        free if free < FREE_PORTS_MIN => Finding::warn(check, found, advice).more(SECTION),
        _ => Finding::ok(check, found),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::finding::Status;

    fn deployment(ready: u32) -> Deployment {
        serde_json::from_value(json!({
            "metadata": { "name": "agones-controller", "namespace": "agones-system" },
            "spec": { "selector": {}, "template": { "spec": { "containers": [{
                "name": "c", "image": "agones-controller:1.61.0",
                "env": [{ "name": "MIN_PORT", "value": "7000" }, { "name": "MAX_PORT", "value": "7009" }]
            }] } } },
            "status": { "readyReplicas": ready }
        }))
        .expect("a deployment")
    }

    fn server(node: &str, port: u16) -> GameServer {
        serde_json::from_value(json!({
            "apiVersion": "agones.dev/v1", "kind": "GameServer", "metadata": { "name": "x" }, "spec": {},
            "status": { "state": "Ready", "nodeName": node, "ports": [{ "name": "game", "port": port }] }
        }))
        .expect("a server")
    }

    #[test]
    fn a_controller_is_judged_by_whether_it_runs() {
        assert_eq!(controller(Some(&deployment(1))).status, Status::Ok);
        assert_eq!(controller(Some(&deployment(0))).status, Status::Fail);
        assert_eq!(controller(None).status, Status::Warn);
        assert_eq!(port_range(&deployment(1)), (7_000, 7_009));
    }

    #[test]
    fn ports_run_out_on_the_fullest_node() {
        let full: Vec<GameServer> = (7_000..7_010).map(|port| server("a", port)).collect();
        assert_eq!(ports("x", (7_000, 7_009), &full).status, Status::Fail);
        assert_eq!(ports("x", (7_000, 7_009), &full[1..]).status, Status::Warn);
        assert_eq!(ports("x", (7_000, 8_000), &full).status, Status::Ok);
        assert_eq!(ports("x", (7_000, 8_000), &[]).found, "7000 to 8000, none taken");
        let elsewhere = [server("a", 9_000), server("b", 7_001)];
        assert!(ports("x", (7_000, 8_000), &elsewhere).found.contains("1 of 1001 (7000 to 8000) taken on b"));
    }
}
