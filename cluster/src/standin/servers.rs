//! One look at a GameServer: the next step of its life.

use agones::State;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::controller::Context;
use super::core::object::{ERRORED_AT, FINALIZER, Kind, Object, name};
use super::core::server::{self, Step};
use super::core::{pod, ports};
use super::error::StandinError;
use super::work::{Key, Looked};

pub(super) async fn look(context: &Context, key: Key) -> Looked {
    let Some(server) = context.cache.get(&key) else { return Ok(None) };
    let pod = context.cache.pod_of(&server);
    let node = pod.as_ref().and_then(|pod| context.cache.node_of(pod));
    match server::next(&server, pod.as_deref(), node.as_deref()) {
        Step::Wait => {}
        Step::DeletePod => {
            let gone = pods(context, &key).delete(&key.name, &DeleteParams::default()).await;
            gone.map_err(StandinError::api("delete a pod"))?;
        }
        Step::Release => release(context, &key, &server).await?,
        Step::AllocatePorts => allocate_ports(context, &key, &server).await?,
        Step::CreatePod => create_pod(context, &key, &server).await?,
        Step::Become(state, status) => become_state(context, &key, &server, state, status).await?,
        Step::Delete => {
            let api = context.api(Kind::Server, &key.namespace);
            let gone = api.delete(&key.name, &DeleteParams::background()).await;
            gone.map_err(StandinError::api("delete a GameServer"))?;
        }
    }
    Ok(None)
}

fn pods(context: &Context, key: &Key) -> Api<Pod> {
    Api::namespaced(context.client.clone(), &key.namespace)
}

/// Writes into the server on the version that was read.
async fn write(context: &Context, key: &Key, server: &Object, mut patch: Value) -> Result<(), StandinError> {
    patch["metadata"]["resourceVersion"] = json!(server.metadata.resource_version);
    let api = context.api(Kind::Server, &key.namespace);
    let written = api.patch(name(server), &PatchParams::default(), &Patch::Merge(&patch)).await;
    context.took(Kind::Server, written.map_err(StandinError::api("write a GameServer"))?);
    Ok(())
}

async fn become_state(
    context: &Context,
    key: &Key,
    server: &Object,
    state: State,
    mut status: Value,
) -> Result<(), StandinError> {
    status["state"] = json!(state.as_str());
    write(context, key, server, json!({ "status": status })).await
}

async fn release(context: &Context, key: &Key, server: &Object) -> Result<(), StandinError> {
    let finalizers = server.metadata.finalizers.clone().unwrap_or_default();
    let left: Vec<&String> = finalizers.iter().filter(|finalizer| *finalizer != FINALIZER).collect();
    if left.len() == finalizers.len() {
        return Ok(());
    }
    write(context, key, server, json!({"metadata": {"finalizers": left}})).await
}

async fn allocate_ports(context: &Context, key: &Key, server: &Object) -> Result<(), StandinError> {
    let wanted = server.data.pointer("/spec/ports").and_then(Value::as_array).cloned().unwrap_or_default();
    let (filled, taken) = context.reserve_ports(|used, range, from| ports::allocate(&wanted, used, range, from))?;
    let patch = json!({"spec": {"ports": filled}, "status": {"state": "Creating"}});
    let written = write(context, key, server, patch).await;
    // From here on the cache has them, or the next try takes others.
    context.release_ports(&taken);
    written
}

async fn create_pod(context: &Context, key: &Key, server: &Object) -> Result<(), StandinError> {
    let wanted = pod::pod(server, &context.sidecar_image);
    let refused = match serde_json::from_value::<Pod>(wanted) {
        Ok(wanted) => match pods(context, key).create(&PostParams::default(), &wanted).await {
            Ok(made) => {
                context.cache.put_pod(made);
                None
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => None,
            Err(kube::Error::Api(status)) if status.is_invalid() || status.is_forbidden() => Some(status.message),
            Err(error) => return Err(StandinError::api("create a pod")(error)),
        },
        Err(error) => Some(error.to_string()),
    };
    let Some(reason) = refused else {
        return become_state(context, key, server, State::Starting, json!({})).await;
    };
    tracing::warn!(namespace = key.namespace, server = key.name, reason, "its pod was refused");
    let errored_at = Timestamp::now().to_string();
    let patch = json!({"metadata": {"annotations": {ERRORED_AT: errored_at}}, "status": {"state": "Error"}});
    write(context, key, server, patch).await
}
