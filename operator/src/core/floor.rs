//! Agones' FleetAutoscalers, which size Fleets while the operator is away (`scaling.crashFloor`).
//!
//! One stands beside each Fleet that is kept, as a chain of two: it asks the operator's webhook, and without an answer keeps
//! a buffer beyond the Allocated servers. The webhook answers the size that the operator has decided and writes itself, so
//! the two never differ; and Agones writes on the version that it has read, so an answer that is late changes nothing.
//! One that nobody wants any more goes before its Fleet is emptied, or it would fill the Fleet again.

use std::collections::{BTreeMap, BTreeSet};

use crds::agones::{
    AutoscalerPolicy, AutoscalerSync, BufferPolicy, ChainEntry, FixedInterval, Fleet, FleetAutoscaler,
    FleetAutoscalerSpec, WebhookPolicy,
};
use crds::{Region, labels};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;

use super::reconcile::{World, Write};
use super::rollout::Decision;

/// How often Agones asks, so how long it takes at most until the floor holds.
const ASKED_EVERY_SECONDS: i64 = 10;

/// The autoscalers that should stand, by the name of their Fleet, which is theirs too.
pub(super) type Wanted = BTreeMap<String, FleetAutoscalerSpec>;

/// Adds the autoscaler of one Fleet, where the fleet has a floor.
pub(super) fn want(
    wanted: &mut Wanted,
    world: &World<'_>,
    region: &Region,
    (fleet, revision): (&str, &str),
    decision: &Decision,
) {
    let spec = &world.game_fleet.spec;
    let maximum = share(region.maximum.unwrap_or(spec.warm_pool.maximum), revision, decision);
    let Some(floor) = spec.scaling.crash_floor.map(|floor| floor.min(maximum)).filter(|floor| *floor > 0) else {
        return;
    };
    // The fewest ever are those of stable; a revision that is tried has its floor alone.
    let is_stable = decision.state.stable.as_deref() == Some(revision);
    let minimum = if is_stable { region.minimum.unwrap_or(spec.warm_pool.minimum) } else { 0 };
    let buffer = BufferPolicy {
        buffer_size: IntOrString::Int(i32::try_from(floor).unwrap_or(i32::MAX)),
        min_replicas: floor.max(minimum).min(maximum).into(),
        max_replicas: maximum.into(),
    };
    let entry = |id: &str, type_: &str| ChainEntry { id: id.into(), type_: type_.into(), ..ChainEntry::default() };
    let webhook = WebhookPolicy { url: Some(world.autoscale.to_owned()) };
    let chain = vec![
        ChainEntry { webhook: Some(webhook), ..entry("operator", "Webhook") },
        ChainEntry { buffer: Some(buffer), ..entry("floor", "Buffer") },
    ];
    let spec = FleetAutoscalerSpec {
        fleet_name: fleet.to_owned(),
        policy: AutoscalerPolicy { type_: "Chain".into(), chain },
        sync: Some(AutoscalerSync {
            type_: "FixedInterval".into(),
            fixed_interval: Some(FixedInterval { seconds: ASKED_EVERY_SECONDS }),
        }),
    };
    wanted.insert(fleet.to_owned(), spec);
}

/// What of a region's maximum a revision may grow to, so that two floors together keep the hard cap.
fn share(maximum: u32, revision: &str, decision: &Decision) -> u32 {
    let Some(canary) = &decision.state.canary else { return maximum };
    let tried = ((u64::from(maximum) * u64::from(decision.canary_weight)).div_ceil(100) as u32).max(1).min(maximum);
    if canary == revision { tried } else { maximum - tried }
}

/// Takes away the autoscalers that nobody wants. These writes come first in a plan.
pub(super) fn gone(world: &World<'_>, wanted: &Wanted) -> Vec<Write> {
    let standing = world.autoscalers.iter().filter(|standing| standing.metadata.deletion_timestamp.is_none());
    let unwanted = standing.filter(|standing| !wanted.contains_key(&standing.name_any()));
    unwanted
        .map(|standing| Write::DeleteAutoscaler {
            name: standing.name_any(),
            uid: standing.uid().unwrap_or_default(),
            version: standing.resource_version().unwrap_or_default(),
        })
        .collect()
}

/// Makes and mends the wanted ones, each once its Fleet stands: it goes with the Fleet that owns it.
pub(super) fn made(world: &World<'_>, wanted: &Wanted) -> Vec<Write> {
    let fleets: BTreeMap<String, &Fleet> = world.fleets.iter().map(|fleet| (fleet.name_any(), fleet)).collect();
    let ready: BTreeSet<&String> = wanted
        .keys()
        .filter(|name| fleets.get(*name).is_some_and(|fleet| fleet.metadata.deletion_timestamp.is_none()))
        .collect();
    ready
        .into_iter()
        .filter_map(|name| {
            let standing = world.autoscalers.iter().find(|standing| standing.name_any() == *name);
            match standing {
                None => Some(Write::CreateAutoscaler(Box::new(autoscaler(fleets[name], &wanted[name])))),
                Some(standing) if standing.metadata.deletion_timestamp.is_some() => None,
                Some(standing) => (standing.spec != wanted[name]).then(|| Write::ChangeAutoscaler {
                    name: name.clone(),
                    version: standing.resource_version().unwrap_or_default(),
                    spec: Box::new(wanted[name].clone()),
                }),
            }
        })
        .collect()
}

fn autoscaler(fleet: &Fleet, spec: &FleetAutoscalerSpec) -> FleetAutoscaler {
    let mut autoscaler = FleetAutoscaler::new(&fleet.name_any(), spec.clone());
    let meta = &mut autoscaler.metadata;
    meta.namespace = fleet.namespace();
    let kept = [labels::GAME_FLEET, labels::REVISION, labels::REGION];
    meta.labels = Some(fleet.labels().iter().filter(|(key, _)| kept.contains(&key.as_str())).map(cloned).collect());
    meta.owner_references = Some(vec![OwnerReference {
        api_version: "agones.dev/v1".into(),
        kind: "Fleet".into(),
        name: fleet.name_any(),
        uid: fleet.uid().unwrap_or_default(),
        controller: None,
        block_owner_deletion: None,
    }]);
    autoscaler
}

fn cloned((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}
