//! What the operator says of a fleet.

use std::collections::BTreeMap;

use crds::{Conditions, GameFleet, GameFleetStatus, RegionStatus, RevisionPhase, RevisionStatus, labels};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use super::reconcile::{Blind, Server, World};
use super::render::TemplateError;
use super::revision::Revision;
use super::rollout::{Decision, Stands, State};

/// The rollout's state, as the status keeps it.
pub(super) fn state_of(game_fleet: &GameFleet) -> State {
    let Some(status) = &game_fleet.status else { return State::default() };
    State {
        stable: status.stable.clone(),
        canary: status.canary.clone(),
        step: status.step.unwrap_or(0),
        since_s: status.step_since.as_ref().and_then(|at| at.parse::<Timestamp>().ok()).map(|at| at.as_second()),
        failed: status.failed_revision.clone(),
    }
}

/// The status after a look.
pub(super) fn status(
    world: &World<'_>,
    decision: &Decision,
    known: &BTreeMap<String, Revision>,
    desired: &BTreeMap<String, u32>,
    fault: Option<&TemplateError>,
) -> GameFleetStatus {
    let state = &decision.state;
    let mut status = counted(world);
    status.stable = state.stable.clone();
    status.canary = state.canary.clone();
    status.step = state.canary.as_ref().map(|_| state.step);
    status.step_since = state.since_s.and_then(|at| Timestamp::from_second(at).ok()).map(|at| at.to_string());
    status.failed_revision = state.failed.clone();
    status.rollout = rollout_in_words(decision);
    status.revisions = revisions(world, decision, known);
    status.regions =
        world.game_fleet.spec.regions.iter().map(|region| of_region(world, &region.name, desired)).collect();
    let mut conditions = standing(world);
    let mut set = |type_: &str, holds: bool, reason: &str, message: String| {
        let generation = world.game_fleet.metadata.generation.unwrap_or(0);
        conditions.set(world.now, generation, type_, holds.into(), (reason, message));
    };
    let in_pool = world.servers.iter().filter(|server| server.in_pool).count();
    let wanted: u32 = desired.values().sum();
    match fault {
        Some(error) => set("Degraded", true, "InvalidTemplate", format!("{error}; running servers are not touched")),
        None => match &decision.stands {
            Some(Stands::Failed(why)) => {
                let why = why.as_ref().map_or_else(String::new, |fault| format!(": {fault}"));
                let name = state.failed.as_deref().unwrap_or_default();
                set(
                    "Degraded",
                    true,
                    "RolloutFailed",
                    format!("revision {name} failed{why}; change the template, or put the old one back"),
                );
            }
            _ => degraded_by_silence(world, &mut set),
        },
    }
    let progressing = state.canary.is_some() && !matches!(decision.stands, Some(Stands::Failed(_)));
    match &decision.stands {
        Some(Stands::Paused) if !world.game_fleet.spec.rollout.paused => {
            set("Progressing", true, "Waiting", format!("{}; it goes on when all services answer", status.rollout));
        }
        Some(Stands::Paused) => set("Progressing", false, "Paused", "spec.rollout.paused is set".into()),
        _ if progressing => set("Progressing", true, "RollingOut", status.rollout.clone()),
        _ => set("Progressing", false, "Done", String::new()),
    }
    let ready = in_pool > 0 || wanted == 0;
    let reason = if ready { "ServersInPool" } else { "NoServerInPool" };
    let hint = if ready { "" } else { "; kubectl get gameservers shows what they wait for" };
    set("Ready", ready, reason, format!("{in_pool} of {wanted} servers are in the pool{hint}"));
    set("Draining", false, "NotDraining", String::new());
    status.conditions = conditions.into_vec();
    status
}

/// Says that a service does not answer once it lasts. Until then what was said stands.
fn degraded_by_silence(world: &World<'_>, set: &mut impl FnMut(&str, bool, &str, String)) {
    match world.blind {
        Some(Blind { service, lasting: true }) => {
            let message = format!(
                "the {service} does not answer: sizes are held and rollouts wait; look at its pods and their logs"
            );
            set("Degraded", true, reason_of(service), message);
        }
        Some(Blind { lasting: false, .. }) => {
            let before = standing(world);
            match before.get("Degraded") {
                Some(said) => {
                    let holds = before.holds("Degraded");
                    set("Degraded", holds, &said.reason.clone(), said.message.clone());
                }
                None => set("Degraded", false, "AsWished", String::new()),
            }
        }
        None => set("Degraded", false, "AsWished", String::new()),
    }
}

fn reason_of(service: &str) -> &'static str {
    match service {
        "allocator" => "AllocatorUnreachable",
        _ => "MatchmakerUnreachable",
    }
}

/// A status without what changes with each match: counts, and the messages that count.
pub(super) fn without_counts(status: &GameFleetStatus) -> GameFleetStatus {
    let mut plain = status.clone();
    (plain.servers, plain.matches, plain.free_rooms) = (0, 0, 0);
    for revision in &mut plain.revisions {
        (revision.servers, revision.busy) = (0, 0);
    }
    for region in &mut plain.regions {
        (region.servers, region.desired, region.free_rooms) = (0, 0, 0);
    }
    for condition in &mut plain.conditions {
        condition.message.clear();
    }
    plain
}

/// The status of a fleet that was deleted.
pub(super) fn leaving(world: &World<'_>) -> GameFleetStatus {
    let before = world.game_fleet.status.clone().unwrap_or_default();
    let mut status = GameFleetStatus { regions: before.regions, ..counted(world) };
    status.rollout = "leaving".into();
    let busy = world.servers.iter().filter(|server| server.busy).count();
    let mut conditions = standing(world);
    let generation = world.game_fleet.metadata.generation.unwrap_or(0);
    let message = format!("{busy} servers still have matches; the fleet goes when they have ended");
    conditions.set(world.now, generation, "Draining", true.into(), ("Deleted", message));
    conditions.set(world.now, generation, "Ready", false.into(), ("Deleted", "takes no new match".into()));
    status.conditions = conditions.into_vec();
    status
}

/// What is counted.
fn counted(world: &World<'_>) -> GameFleetStatus {
    GameFleetStatus {
        observed_generation: world.game_fleet.metadata.generation.unwrap_or(0),
        servers: world.servers.len() as u32,
        matches: world.servers.iter().map(|server| server.matches).sum(),
        free_rooms: world.servers.iter().filter(|server| server.in_pool).map(|server| server.free_rooms).sum(),
        selector: format!("{}={}", labels::GAME_FLEET, world.game_fleet.name_any()),
        ..GameFleetStatus::default()
    }
}

fn standing(world: &World<'_>) -> Conditions {
    Conditions::new(world.game_fleet.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default())
}

fn rollout_in_words(decision: &Decision) -> String {
    let weight = decision.canary_weight;
    match &decision.stands {
        Some(Stands::Failed(_)) if decision.state.canary.is_none() => "rolled back".into(),
        Some(Stands::Failed(_)) => format!("held at {weight}%"),
        Some(Stands::Paused) => format!("paused at {weight}%"),
        Some(Stands::NoServers | Stands::Waiting) => format!("{weight}%"),
        None => "done".into(),
    }
}

fn revisions(world: &World<'_>, decision: &Decision, known: &BTreeMap<String, Revision>) -> Vec<RevisionStatus> {
    let of = |name: &str| -> Vec<&Server> {
        let fleets =
            world.fleets.iter().filter(|fleet| fleet.labels().get(labels::REVISION).is_some_and(|it| it == name));
        let names: Vec<String> = fleets.map(|fleet| fleet.name_any()).collect();
        world.servers.iter().filter(|server| names.contains(&server.fleet)).collect()
    };
    let state = &decision.state;
    let status = |revision: &Revision| {
        let servers = of(&revision.name);
        let (phase, weight) = match Some(&revision.name) {
            name if name == state.canary.as_ref() => (RevisionPhase::Canary, decision.canary_weight),
            name if name == state.stable.as_ref() => (RevisionPhase::Stable, 100 - decision.canary_weight),
            _ => (RevisionPhase::Draining, 0),
        };
        RevisionStatus {
            name: revision.name.clone(),
            build: revision.build.clone(),
            phase,
            weight,
            servers: servers.len() as u32,
            busy: servers.iter().filter(|server| server.busy).count() as u32,
        }
    };
    let all = known.values().map(status);
    // The failed one is wanted by the template but has nothing: it is told by `failedRevision`.
    all.filter(|revision| revision.phase != RevisionPhase::Draining || revision.servers > 0).collect()
}

fn of_region(world: &World<'_>, region: &str, desired: &BTreeMap<String, u32>) -> RegionStatus {
    let here = world.fleets.iter().filter(|fleet| fleet.labels().get(labels::REGION).is_some_and(|it| it == region));
    let names: Vec<String> = here.map(|fleet| fleet.name_any()).collect();
    let servers: Vec<&Server> = world.servers.iter().filter(|server| names.contains(&server.fleet)).collect();
    RegionStatus {
        name: region.to_owned(),
        servers: servers.len() as u32,
        desired: desired.get(region).copied().unwrap_or(0),
        free_rooms: servers.iter().filter(|server| server.in_pool).map(|server| server.free_rooms).sum(),
    }
}
