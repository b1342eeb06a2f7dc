//! One look at a GameServerSet: servers made, servers shut down, the status.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::controller::Context;
use super::core::object::{DEV_ADDRESS, Kind, Object, is_deleting, name, number, text};
use super::core::set;
use super::error::StandinError;
use super::work::{Key, Looked};

/// Writes side by side at most, as Agones does.
const SIDE_BY_SIDE_MAX: usize = 16;
/// Until the next batch of new servers, or the next look at servers in state Error.
const AGAIN: Duration = Duration::from_millis(500);

pub(super) async fn look(context: &Context, key: Key) -> Looked {
    let Some(set) = context.cache.get(&key) else { return Ok(None) };
    let servers = context.cache.controlled(Kind::Server, &set);
    let seen: Vec<&Object> = servers.iter().map(AsRef::as_ref).collect();
    let replicas = usize::try_from(number(&set, "/spec/replicas")).unwrap_or(usize::MAX);
    let packed = text(&set, "/spec/scheduling") != "Distributed";
    let now = k8s_openapi::jiff::Timestamp::now().as_second();
    let plan = set::plan(replicas, is_deleting(&set), packed, &seen, now);
    create(context, &set, plan.create).await?;
    shut_down(context, &servers, &plan.shut_down).await?;
    write_status(context, &key, &set).await?;
    Ok(plan.again.then_some(AGAIN))
}

async fn create(context: &Context, set: &Object, count: usize) -> Result<(), StandinError> {
    let api = context.api(Kind::Server, set.metadata.namespace.as_deref().unwrap_or_default());
    let mut wanted: Vec<Object> = (0..count).map(|_| set::new_server(set)).collect();
    if let Some(address) = &context.dev_address {
        let annotate = |server: &mut Object| server.annotations_mut().insert(DEV_ADDRESS.to_owned(), address.clone());
        wanted.iter_mut().for_each(|server| drop(annotate(server)));
    }
    let writes = wanted.into_iter().map(|server| {
        let api = api.clone();
        async move { api.create(&PostParams::default(), &server).await }
    });
    took_all(context, writes, "create a GameServer").await
}

/// By state, so that the server's own way to its end is the same for all.
async fn shut_down(context: &Context, servers: &[Arc<Object>], names: &[String]) -> Result<(), StandinError> {
    let chosen: Vec<Arc<Object>> =
        servers.iter().filter(|server| names.iter().any(|chosen| chosen == name(server))).cloned().collect();
    let Some(first) = chosen.first() else { return Ok(()) };
    let api = context.api(Kind::Server, first.metadata.namespace.as_deref().unwrap_or_default());
    let writes = chosen.into_iter().map(|server| {
        let api = api.clone();
        async move {
            // On the version that was read: one that was allocated since then is left alone.
            let version = &server.metadata.resource_version;
            let patch = json!({"metadata": {"resourceVersion": version}, "status": {"state": "Shutdown"}});
            api.patch(name(&server), &PatchParams::default(), &Patch::Merge(&patch)).await
        }
    });
    took_all(context, writes, "shut a GameServer down").await
}

/// Does all writes, a few side by side, and answers the first failure.
async fn took_all<W>(
    context: &Context,
    writes: impl Iterator<Item = W> + Send,
    step: &'static str,
) -> Result<(), StandinError>
where
    W: Future<Output = kube::Result<Object>> + Send,
{
    let mut written = stream::iter(writes).buffer_unordered(SIDE_BY_SIDE_MAX);
    let mut failed = None;
    while let Some(written) = written.next().await {
        match written {
            Ok(server) => context.took(Kind::Server, server),
            Err(error) => failed = failed.or(Some(StandinError::api(step)(error))),
        }
    }
    failed.map_or(Ok(()), Err)
}

async fn write_status(context: &Context, key: &Key, set: &Object) -> Result<(), StandinError> {
    let servers = context.cache.controlled(Kind::Server, set);
    let status = set::status(&servers.iter().map(AsRef::as_ref).collect::<Vec<_>>());
    if set.data.pointer("/status") == Some(&status) {
        return Ok(());
    }
    let api = context.api(Kind::Set, &key.namespace);
    let patch = json!({ "status": status });
    let written = api.patch_status(&key.name, &PatchParams::default(), &Patch::Merge(&patch)).await;
    context.took(Kind::Set, written.map_err(StandinError::api("write a GameServerSet's status"))?);
    Ok(())
}
