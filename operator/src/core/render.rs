//! Fleets of Agones, from a frozen revision.

mod agent;

use std::collections::BTreeMap;

use crds::agones::{
    Eviction, Fleet, FleetSpec, GameServerHealth, GameServerPort, GameServerSpec, GameServerTemplateSpec,
    SERVICE_ACCOUNT, TemplateMeta,
};
use crds::{
    GamePort, GameServerTemplate, Placement, PoolKind, PortPolicy, PortProtocol, Preserved, Region, Resources, labels,
};
use k8s_openapi::api::core::v1::{
    Affinity, Container, EmptyDirVolumeSource, EnvVar, PodSecurityContext, PodSpec, PodTemplateSpec,
    ProjectedVolumeSource, ResourceRequirements, SecurityContext, ServiceAccountTokenProjection, Volume, VolumeMount,
    VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::revision::Revision;

/// Name of the game's container in its pod.
const CONTAINER: &str = "game";
/// Volume with the token that proves the pod to the allocator.
const TOKEN_VOLUME: &str = "muster-token";
/// Where that volume is mounted.
const TOKEN_FOLDER: &str = "/var/run/secrets/muster.dev";
/// Audience of that token.
const TOKEN_AUDIENCE: &str = "muster-allocator";
/// How long such a token is good; the kubelet renews it at 80 %.
const TOKEN_SECONDS: i64 = 3_600;
/// Volume where results wait that metagame has not taken; gone with the pod, not with its container.
const SPOOL_VOLUME: &str = "muster-spool";
/// Where that volume is mounted.
const SPOOL_FOLDER: &str = "/var/lib/muster/spool";
/// Where a game server in a pod serves health and metrics.
const ADMIN: &str = "0.0.0.0:7778";
/// Seconds that a server is granted after its drain deadline, for the result and the goodbye.
pub const GRACE_MARGIN_SECONDS: u32 = 30;

/// What a Fleet is rendered for.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Name of the GameFleet.
    pub game_fleet: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// One of its regions.
    pub region: &'a Region,
    /// Who allocates.
    pub pool: PoolKind,
    /// How Agones packs.
    pub placement: Placement,
    /// URL of the allocator, as game servers reach it.
    pub allocator: &'a str,
    /// URL of metagame, as game servers reach it.
    pub metagame: &'a str,
}

/// A part of the template that the API server kept as it was, and that is not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("spec.template.{field} is no {what}: {fault}")]
pub struct TemplateError {
    /// Field of the template.
    pub field: String,
    /// What it should be.
    pub what: &'static str,
    /// Why it is not.
    pub fault: String,
}

/// Name of the Fleet of a revision in a region.
pub fn fleet_name(game_fleet: &str, region: &str, revision: &str) -> String {
    format!("{game_fleet}-{region}-{revision}")
}

/// The Fleet of a revision in a region. `replicas` is set for the POST that creates it and never again.
///
/// # Errors
/// [`TemplateError`], naming the field.
pub fn fleet(revision: &Revision, place: Place<'_>, replicas: Option<u32>) -> Result<Fleet, TemplateError> {
    let labels = labels_of(revision, place);
    let pod = pod(revision, place, &labels)?;
    let template = &revision.template;
    let spec = GameServerSpec {
        container: Some(CONTAINER.into()),
        ports: template.ports.iter().map(port).collect(),
        health: GameServerHealth {
            disabled: false,
            period_seconds: template.health.period_seconds,
            failure_threshold: template.health.failure_threshold,
            initial_delay_seconds: template.health.initial_delay_seconds,
        },
        // Agones then keeps the cluster's autoscaler and upgrades from evicting a running match; drain is Muster's.
        eviction: Some(Eviction { safe: "Never".into() }),
        template: pod,
    };
    let mut fleet = Fleet::new(
        &fleet_name(place.game_fleet, &place.region.name, &revision.name),
        FleetSpec {
            replicas,
            scheduling: Some(match place.placement {
                Placement::Packed => "Packed".into(),
                Placement::Distributed => "Distributed".into(),
            }),
            template: GameServerTemplateSpec {
                metadata: TemplateMeta { labels: labels.clone(), annotations: BTreeMap::new() },
                spec,
            },
        },
    );
    fleet.metadata.namespace = Some(place.namespace.to_owned());
    fleet.metadata.labels = Some(labels);
    fleet.metadata.annotations = Some(BTreeMap::from([(labels::FROZEN.to_owned(), revision.freeze())]));
    Ok(fleet)
}

fn labels_of(revision: &Revision, place: Place<'_>) -> BTreeMap<String, String> {
    [
        (labels::GAME_FLEET, place.game_fleet),
        (labels::REVISION, &revision.name),
        (labels::REGION, &place.region.name),
        (labels::BUILD, &revision.build),
        (labels::POOL, place.pool.label()),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

fn port(port: &GamePort) -> GameServerPort {
    GameServerPort {
        name: Some(port.name.clone()),
        port_policy: Some(
            match port.port_policy {
                PortPolicy::Dynamic => "Dynamic",
                PortPolicy::Passthrough => "Passthrough",
                PortPolicy::Static => "Static",
                PortPolicy::None => "None",
            }
            .into(),
        ),
        container: Some(CONTAINER.into()),
        container_port: port.container_port,
        host_port: port.host_port,
        protocol: Some(
            match port.protocol {
                PortProtocol::UDP => "UDP",
                PortProtocol::TCP => "TCP",
                PortProtocol::TCPUDP => "TCPUDP",
            }
            .into(),
        ),
    }
}

/// The pod as JSON: what the template only passes on goes in untouched, so that no field that this program does not know
/// is lost.
fn pod(revision: &Revision, place: Place<'_>, labels: &BTreeMap<String, String>) -> Result<Value, TemplateError> {
    let template = &revision.template;
    let mut node_selector = template.node_selector.clone();
    node_selector.extend(place.region.node_selector.clone());
    let tolerations = [&template.tolerations[..], &place.region.tolerations[..]].concat();
    let mut pod_labels = template.labels.clone();
    pod_labels.extend(labels.clone());
    let typed = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(pod_labels),
            annotations: (!template.annotations.is_empty()).then(|| template.annotations.clone()),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            containers: vec![game(revision, place)],
            volumes: Some(vec![token_volume(), spool_volume()]),
            node_selector: (!node_selector.is_empty()).then_some(node_selector),
            tolerations: (!tolerations.is_empty()).then_some(tolerations),
            image_pull_secrets: (!template.image_pull_secrets.is_empty()).then(|| template.image_pull_secrets.clone()),
            priority_class_name: template.priority_class_name.clone(),
            runtime_class_name: template.runtime_class_name.clone(),
            service_account_name: Some(SERVICE_ACCOUNT.into()),
            termination_grace_period_seconds: Some(i64::from(revision.grace_seconds + GRACE_MARGIN_SECONDS)),
            ..PodSpec::default()
        }),
    };
    let mut pod = serde_json::to_value(typed).expect("a pod is plain data");
    pass_on(template, &mut pod["spec"])?;
    Ok(pod)
}

/// Puts the kept parts of the template into the pod, after a look at what they are.
fn pass_on(template: &GameServerTemplate, pod: &mut Value) -> Result<(), TemplateError> {
    for (n, sidecar) in template.sidecars.iter().enumerate() {
        push(&mut pod["containers"], named::<Container>(sidecar, &format!("sidecars[{n}]"), "container")?);
    }
    agent::lend(pod);
    for (n, volume) in template.volumes.iter().enumerate() {
        push(&mut pod["volumes"], named::<Volume>(volume, &format!("volumes[{n}]"), "volume")?);
    }
    if let Some(kept) = &template.affinity {
        pod["affinity"] = sound::<Affinity>(kept, "affinity", "affinity")?;
    }
    if let Some(kept) = &template.pod_security_context {
        pod["securityContext"] = sound::<PodSecurityContext>(kept, "podSecurityContext", "security context of a pod")?;
    }
    if let Some(kept) = &template.security_context {
        pod["containers"][0]["securityContext"] =
            sound::<SecurityContext>(kept, "securityContext", "security context of a container")?;
    }
    Ok(())
}

fn push(list: &mut Value, item: Value) {
    list.as_array_mut().expect("rendered as a list").push(item);
}

/// The part as it is, if it reads as what it should be.
fn sound<T: DeserializeOwned>(kept: &Preserved, field: &str, what: &'static str) -> Result<Value, TemplateError> {
    match kept.read::<T>() {
        Ok(_) => Ok(Value::Object(kept.0.clone())),
        Err(error) => Err(TemplateError { field: field.to_owned(), what, fault: error.to_string() }),
    }
}

/// The same, for what needs a name.
fn named<T: DeserializeOwned>(kept: &Preserved, field: &str, what: &'static str) -> Result<Value, TemplateError> {
    if kept.0.get("name").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(TemplateError { field: field.to_owned(), what, fault: "it has no name".into() });
    }
    sound::<T>(kept, field, what)
}

fn game(revision: &Revision, place: Place<'_>) -> Container {
    let template = &revision.template;
    let mut env = settings(revision, place);
    // The user's own win: Kubernetes takes the last of two with one name.
    env.extend(template.env.clone());
    let mount = |name: &str, path: &str, read_only| VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only,
        ..VolumeMount::default()
    };
    let mut mounts = vec![mount(TOKEN_VOLUME, TOKEN_FOLDER, Some(true)), mount(SPOOL_VOLUME, SPOOL_FOLDER, None)];
    mounts.extend(template.volume_mounts.clone());
    Container {
        name: CONTAINER.into(),
        image: Some(template.image.clone()),
        image_pull_policy: template.image_pull_policy.clone(),
        command: (!template.command.is_empty()).then(|| template.command.clone()),
        args: (!template.args.is_empty()).then(|| template.args.clone()),
        env: Some(env),
        env_from: (!template.env_from.is_empty()).then(|| template.env_from.clone()),
        resources: resources(&template.resources),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

/// What a game server of Muster reads from its environment.
fn settings(revision: &Revision, place: Place<'_>) -> Vec<EnvVar> {
    let plain = |name: &str, value: String| EnvVar { name: name.into(), value: Some(value), value_from: None };
    let mut settings = vec![
        plain("MUSTER_FLEET", place.game_fleet.into()),
        plain("MUSTER_BUILD", revision.build.clone()),
        plain("MUSTER_REGION", place.region.name.clone()),
        plain("MUSTER_CAPACITY", revision.capacity.to_string()),
        plain("MUSTER_POOL", place.pool.label().into()),
        plain("MUSTER_REVISION", revision.name.clone()),
        plain("MUSTER_ALLOCATOR", place.allocator.into()),
        plain("MUSTER_METAGAME", place.metagame.into()),
        plain("MUSTER_POD_TOKEN", format!("{TOKEN_FOLDER}/token")),
        plain("MUSTER_DRAIN_DEADLINE", format!("{}s", revision.grace_seconds)),
        plain("MUSTER_ADMIN", ADMIN.into()),
        plain("MUSTER_SPOOL", SPOOL_FOLDER.into()),
    ];
    // With portPolicy Passthrough Agones chooses the number later, and the server asks its SDK for it.
    if let Some(port) = revision.template.ports.first().and_then(|port| port.container_port) {
        settings.push(plain("MUSTER_BIND", format!("0.0.0.0:{port}")));
    }
    settings
}

fn spool_volume() -> Volume {
    Volume { name: SPOOL_VOLUME.into(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() }
}

fn token_volume() -> Volume {
    let token = ServiceAccountTokenProjection {
        audience: Some(TOKEN_AUDIENCE.into()),
        expiration_seconds: Some(TOKEN_SECONDS),
        path: "token".into(),
    };
    Volume {
        name: TOKEN_VOLUME.into(),
        projected: Some(ProjectedVolumeSource {
            sources: Some(vec![VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() }]),
            ..ProjectedVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn resources(resources: &Resources) -> Option<ResourceRequirements> {
    let quantities = |of: &BTreeMap<String, IntOrString>| {
        let each = of.iter().map(|(name, amount)| {
            let amount = match amount {
                IntOrString::Int(number) => number.to_string(),
                IntOrString::String(text) => text.clone(),
            };
            (name.clone(), Quantity(amount))
        });
        (!of.is_empty()).then(|| each.collect())
    };
    let (requests, limits) = (quantities(&resources.requests), quantities(&resources.limits));
    (requests.is_some() || limits.is_some()).then_some(ResourceRequirements { requests, limits, claims: None })
}

#[cfg(test)]
mod tests;
