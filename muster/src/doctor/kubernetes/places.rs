//! The game namespaces: whether they are there, what Agones needs in them, and pods that find no node.

use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::Api;
use kube::api::ListParams;

use super::super::finding::Finding;
use super::{Installation, unseen};

/// Account of every game server's pod; Agones' SDK sidecar speaks with it.
const SDK_ACCOUNT: &str = "agones-sdk";
const SECTION: &str = "namespaces";

/// Every namespace of the installation.
pub(super) async fn examine(installation: &Installation) -> Vec<Finding> {
    let mut findings = vec![
        namespace(installation, &installation.namespace, "install the chart there, or name it with --namespace").await,
    ];
    for name in &installation.game_namespaces {
        findings.push(namespace(installation, name, "create it, or name the right ones with --game-namespaces").await);
        findings.push(account(installation, name).await);
        let pods = Api::<Pod>::namespaced(installation.client.clone(), name);
        match pods.list(&ListParams::default().labels("agones.dev/role=gameserver")).await {
            Ok(list) => findings.push(homeless(name, &list.items)),
            Err(error) => findings.push(unseen(format!("pods in {name}"), &error, SECTION)),
        }
    }
    findings
}

async fn namespace(installation: &Installation, name: &str, advice: &str) -> Finding {
    let check = format!("namespace {name}");
    match Api::<Namespace>::all(installation.client.clone()).get_opt(name).await {
        Ok(Some(_)) => Finding::ok(check, "is there"),
        Ok(None) => Finding::fail(check, "is not there", advice).more(SECTION),
        Err(error) => unseen(check, &error, SECTION),
    }
}

async fn account(installation: &Installation, namespace: &str) -> Finding {
    let check = format!("{SDK_ACCOUNT} in {namespace}");
    match Api::<ServiceAccount>::namespaced(installation.client.clone(), namespace).get_opt(SDK_ACCOUNT).await {
        Ok(Some(_)) => Finding::ok(check, "is there"),
        Ok(None) => {
            let advice =
                format!("name {namespace} in gameservers.namespaces of Agones' chart: it makes account and rights");
            Finding::fail(check, "is not there: no game server can start", advice).more(SECTION)
        }
        Err(error) => unseen(check, &error, SECTION),
    }
}

fn homeless(namespace: &str, pods: &[Pod]) -> Finding {
    let check = format!("pods in {namespace}");
    let why = |pod: &Pod| {
        let conditions = pod.status.as_ref()?.conditions.as_ref()?;
        let scheduled = conditions.iter().find(|condition| condition.type_ == "PodScheduled")?;
        (scheduled.status == "False").then(|| scheduled.message.clone().unwrap_or_default())
    };
    let waiting: Vec<String> = pods.iter().filter_map(why).collect();
    match waiting.first() {
        None => Finding::ok(check, format!("{} of game servers, each has a node", pods.len())),
        Some(message) => {
            let found = format!("{} of {} of game servers find no node: {message}", waiting.len(), pods.len());
            Finding::warn(
                check,
                found,
                "add nodes, ask for less in the template's resources, or widen Agones' port range",
            )
            .more(SECTION)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::finding::Status;

    #[test]
    fn a_pod_without_a_node_says_why() {
        let pod = |scheduled: &str| -> Pod {
            serde_json::from_value(json!({ "metadata": { "name": "x" }, "status": { "conditions": [
                { "type": "PodScheduled", "status": scheduled, "message": "0/1 nodes: no free ports" }
            ] } }))
            .expect("a pod")
        };
        let finding = homeless("games", &[pod("True"), pod("False")]);
        assert_eq!(finding.status, Status::Warn);
        assert!(finding.found.starts_with("1 of 2") && finding.found.ends_with("no free ports"), "{finding:?}");
        assert_eq!(homeless("games", &[pod("True")]).status, Status::Ok);
    }
}
