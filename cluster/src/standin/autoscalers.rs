//! One look at a FleetAutoscaler: the size by the first policy that answers, the Fleet's size, the status.

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::controller::Context;
use super::core::autoscaler::{self, Sized};
use super::core::object::{Kind, Object, is_deleting, name, number, text};
use super::error::StandinError;
use super::work::{Key, Looked};

/// As long as Agones waits for a webhook.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

pub(super) async fn look(context: &Context, key: Key) -> Looked {
    let Some(autoscaler) = context.cache.get(&key).filter(|it| !is_deleting(it)) else { return Ok(None) };
    let again = Some(autoscaler::interval(&autoscaler));
    let of = Key { kind: Kind::Fleet, name: text(&autoscaler, "/spec/fleetName").to_owned(), ..key.clone() };
    let Some(fleet) = context.cache.get(&of) else {
        write_status(context, &key, &autoscaler, autoscaler::unable(&autoscaler)).await?;
        return Ok(again);
    };
    if is_deleting(&fleet) {
        return Ok(again);
    }
    let Some((sized, policy)) = size(context, &autoscaler, &fleet).await else {
        write_status(context, &key, &autoscaler, autoscaler::unable(&autoscaler)).await?;
        return Ok(again);
    };
    let scaled = number(&fleet, "/spec/replicas") != sized.replicas;
    if scaled {
        // On the version that was read before the webhook was asked: an answer that is late changes nothing.
        let version = &fleet.metadata.resource_version;
        let patch = json!({"metadata": {"resourceVersion": version}, "spec": {"replicas": sized.replicas}});
        let api = context.api(Kind::Fleet, &key.namespace);
        let written = api.patch(&of.name, &PatchParams::default(), &Patch::Merge(&patch)).await;
        context.took(Kind::Fleet, written.map_err(StandinError::api("scale a Fleet for its autoscaler"))?);
        tracing::info!(fleet = of.name, replicas = sized.replicas, policy, "an autoscaler scaled a Fleet");
    }
    let at = scaled.then(|| k8s_openapi::jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let status = autoscaler::status(&autoscaler, &fleet, sized, &policy, at);
    write_status(context, &key, &autoscaler, status).await?;
    Ok(again)
}

/// The answer of the first policy that has one, and its type.
async fn size(context: &Context, autoscaler: &Object, fleet: &Object) -> Option<(Sized, String)> {
    for entry in autoscaler::entries(autoscaler) {
        let policy = entry["type"].as_str().unwrap_or_default().to_owned();
        let sized = match policy.as_str() {
            "Webhook" => match ask(context, &entry["webhook"], fleet).await {
                Ok(review) => autoscaler::answered(&review, fleet),
                Err(error) => {
                    tracing::info!(autoscaler = name(autoscaler), error, "a webhook does not answer");
                    None
                }
            },
            "Buffer" => autoscaler::buffer(&entry["buffer"], fleet),
            _ => None,
        };
        if let Some(sized) = sized {
            return Some((sized, policy));
        }
    }
    None
}

async fn ask(context: &Context, webhook: &Value, fleet: &Object) -> Result<Value, String> {
    let url = webhook["url"].as_str().ok_or("only webhooks with a URL are played")?;
    let question = json!({"request": {
        "uid": format!("{}-{}", name(fleet), fleet.metadata.resource_version.as_deref().unwrap_or_default()),
        "name": name(fleet), "namespace": fleet.metadata.namespace, "status": fleet.data["status"],
        "labels": fleet.metadata.labels, "annotations": fleet.metadata.annotations,
    }, "response": null});
    let url = reachable(context, url).await?;
    let asked = context.http.post(url).timeout(ANSWER_WITHIN).json(&question).send().await;
    let answer = asked.map_err(|error| error.to_string())?;
    if answer.status() != reqwest::StatusCode::OK {
        return Err(format!("it answers {}", answer.status()));
    }
    answer.json().await.map_err(|error| error.to_string())
}

/// The URL with the address of a Service in the place of its name, which only pods can resolve.
async fn reachable(context: &Context, url: &str) -> Result<String, String> {
    let (scheme, rest) = url.split_once("://").ok_or("the URL has no scheme")?;
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    let Some((service, namespace)) = host.strip_suffix(".svc").and_then(|host| host.split_once('.')) else {
        return Ok(url.to_owned());
    };
    let found = Api::<Service>::namespaced(context.client.clone(), namespace).get(service).await;
    let spec = found.map_err(|error| error.to_string())?.spec.unwrap_or_default();
    let address = spec.cluster_ip.filter(|address| address != "None").ok_or("the Service has no address")?;
    Ok(format!("{scheme}://{address}{}", &rest[host.len()..]))
}

async fn write_status(context: &Context, key: &Key, autoscaler: &Object, status: Value) -> Result<(), StandinError> {
    if autoscaler.data.pointer("/status") == Some(&status) {
        return Ok(());
    }
    let api = context.api(Kind::Autoscaler, &key.namespace);
    let patch = json!({ "status": status });
    let written = api.patch_status(&key.name, &PatchParams::default(), &Patch::Merge(&patch)).await;
    context.took(Kind::Autoscaler, written.map_err(StandinError::api("write a FleetAutoscaler's status"))?);
    Ok(())
}
