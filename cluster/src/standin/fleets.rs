//! One look at a Fleet: its set, the set's size, the status.

use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::controller::Context;
use super::core::fleet;
use super::core::object::{Kind, Object, is_deleting, name, number};
use super::error::StandinError;
use super::work::{Key, Looked};

pub(super) async fn look(context: &Context, key: Key) -> Looked {
    let Some(fleet) = context.cache.get(&key).filter(|fleet| !is_deleting(fleet)) else { return Ok(None) };
    let sets = context.cache.controlled(Kind::Set, &fleet);
    let sets: Vec<&Object> = sets.iter().map(AsRef::as_ref).collect();
    let (active, rest) = fleet::active_and_rest(&fleet, &sets);
    let (wanted, wanted_of_rest) = fleet::sizes(&fleet, &rest);
    for old in &rest {
        retire(context, old, wanted_of_rest).await?;
    }
    match active {
        Some(active) => resize(context, &fleet, active, wanted).await?,
        None => {
            let api = context.api(Kind::Set, &key.namespace);
            let made = api.create(&PostParams::default(), &fleet::new_set(&fleet, wanted)).await;
            context.took(Kind::Set, made.map_err(StandinError::api("create a GameServerSet"))?);
        }
    }
    write_status(context, &key, &fleet, &sets).await?;
    Ok(None)
}

/// An earlier template's set shrinks to its busy servers and goes when they are gone.
async fn retire(context: &Context, set: &Object, wanted: u64) -> Result<(), StandinError> {
    let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
    let api = context.api(Kind::Set, namespace);
    if fleet::is_empty(set) && number(set, "/spec/replicas") == wanted {
        let gone = api.delete(name(set), &DeleteParams::background()).await;
        gone.map_err(StandinError::api("delete an empty GameServerSet"))?;
    } else if number(set, "/spec/replicas") != wanted {
        let patch = json!({"spec": {"replicas": wanted}});
        let written = api.patch(name(set), &PatchParams::default(), &Patch::Merge(&patch)).await;
        context.took(Kind::Set, written.map_err(StandinError::api("shrink a GameServerSet"))?);
    }
    Ok(())
}

async fn resize(context: &Context, fleet: &Object, set: &Object, wanted: u64) -> Result<(), StandinError> {
    let scheduling = fleet.data.pointer("/spec/scheduling");
    if number(set, "/spec/replicas") == wanted && set.data.pointer("/spec/scheduling") == scheduling {
        return Ok(());
    }
    let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
    let patch = json!({"spec": {"replicas": wanted, "scheduling": scheduling}});
    let api = context.api(Kind::Set, namespace);
    let written = api.patch(name(set), &PatchParams::default(), &Patch::Merge(&patch)).await;
    context.took(Kind::Set, written.map_err(StandinError::api("resize a GameServerSet"))?);
    Ok(())
}

async fn write_status(context: &Context, key: &Key, fleet: &Object, sets: &[&Object]) -> Result<(), StandinError> {
    let allocations = context.cache.take_allocations(&key.namespace, &key.name);
    let status = fleet::status(fleet, sets, allocations);
    if fleet.data.pointer("/status") == Some(&status) {
        return Ok(());
    }
    // On the version that was read: the count of allocations is a sum.
    let patch = json!({"metadata": {"resourceVersion": fleet.metadata.resource_version}, "status": status});
    let api = context.api(Kind::Fleet, &key.namespace);
    let written = api.patch_status(&key.name, &PatchParams::default(), &Patch::Merge(&patch)).await;
    match written {
        Ok(fleet) => context.took(Kind::Fleet, fleet),
        Err(error) => {
            context.cache.give_back_allocations(&key.namespace, &key.name, allocations);
            return Err(StandinError::api("write a Fleet's status")(error));
        }
    }
    Ok(())
}
