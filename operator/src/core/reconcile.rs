//! One look at a GameFleet: what is wished, what is there, and what to write.
//!
//! The answer is a list of writes in an order in which each may be the last: whoever starts again after any of them finds
//! the rest still to do. A second look at a settled fleet writes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use crds::agones::Fleet;
use crds::{GameFleet, GameFleetStatus, Region, labels};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use super::render::{self, Place, TemplateError};
use super::revision::Revision;
use super::rollout::{self, News, Score};
use super::scale::{self, Bounds, Demand, ScaleDown};
use super::{schedule, sizes, status};

/// What is there.
#[derive(Debug, Clone)]
pub struct World<'a> {
    /// The wish.
    pub game_fleet: &'a GameFleet,
    /// Agones Fleets with the label of this GameFleet.
    pub fleets: &'a [Fleet],
    /// Their game servers.
    pub servers: &'a [Server],
    /// What is asked of each region; a region that is absent has no demand.
    pub demand: &'a BTreeMap<String, Demand>,
    /// What was seen of each revision since its step began.
    pub scores: &'a BTreeMap<String, Score>,
    /// How game servers reach the allocator.
    pub allocator: &'a str,
    /// How game servers reach metagame.
    pub metagame: &'a str,
    /// Wall clock.
    pub now: Timestamp,
    /// Monotonic clock.
    pub elapsed: Duration,
}

/// A game server, as far as sizes need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its Agones Fleet.
    pub fleet: String,
    /// Has a match, or may have: Agones shows Allocated, or the allocator knows of one.
    pub busy: bool,
    /// Is in the pool: registered with the allocator, or Ready in a pool of Agones.
    pub in_pool: bool,
    /// Rooms without a match.
    pub free_rooms: u32,
    /// Its matches.
    pub matches: u32,
}

/// What an operator remembers between two looks. Lost with its process, at no harm: shrinking waits anew.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    shrinking: BTreeMap<String, ScaleDown>,
}

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Adds the finalizer, before anything exists that it protects.
    AddFinalizer,
    /// POSTs a Fleet with its first size.
    CreateFleet(Box<Fleet>),
    /// Writes `/scale` of a Fleet.
    Scale {
        /// Its name.
        fleet: String,
        /// Its new size.
        replicas: u32,
    },
    /// Deletes a Fleet, naming the uid and the resourceVersion on which it was decided.
    DeleteFleet {
        /// Its name.
        fleet: String,
        /// Precondition.
        uid: String,
        /// Precondition.
        version: String,
    },
    /// Writes the status.
    Status(Box<GameFleetStatus>),
    /// Lets the GameFleet go.
    RemoveFinalizer,
}

/// What to write, and what to tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// In this order.
    pub writes: Vec<Write>,
    /// For an event.
    pub news: Option<News>,
    /// Look again then, even if nothing changes.
    pub again: Option<Duration>,
}

/// One look.
pub fn reconcile(world: &World<'_>, memory: &mut Memory) -> Plan {
    if world.game_fleet.metadata.deletion_timestamp.is_some() {
        return leave(world);
    }
    if !world.game_fleet.finalizers().iter().any(|name| name == labels::FINALIZER) {
        return Plan { writes: vec![Write::AddFinalizer], news: None, again: None };
    }
    let wanted = Revision::of(&world.game_fleet.spec);
    let known = revisions(world, &wanted);
    let state = status::state_of(world.game_fleet);
    let score = |name: Option<&String>| name.and_then(|name| world.scores.get(name)).copied().unwrap_or_default();
    let decision = rollout::decide(
        &world.game_fleet.spec.rollout,
        &wanted.name,
        &state,
        &score(state.stable.as_ref()),
        &score(state.canary.as_ref()),
        world.now.as_second(),
    );
    let mut plan = Plan { writes: Vec::new(), news: decision.news.clone(), again: None };
    let mut fault = None;
    let mut desired = BTreeMap::new();
    for region in &world.game_fleet.spec.regions {
        let sizes = sizes::split(world, region, &decision);
        desired.insert(region.name.clone(), sizes.iter().map(|size| size.servers).sum());
        for size in sizes {
            let Some(revision) = known.get(&size.revision) else { continue };
            match build(world, memory, revision, region, size.servers) {
                Ok((write, again)) => {
                    plan.writes.extend(write);
                    plan.again = soonest(plan.again, again);
                }
                Err(error) => fault = Some(error),
            }
        }
    }
    plan.writes.extend(drain(world, &decision.state));
    let status = status::status(world, &decision, &known, &desired, fault.as_ref());
    if world.game_fleet.status.as_ref() != Some(&status) {
        plan.writes.push(Write::Status(Box::new(status)));
    }
    plan
}

/// Every revision that a Fleet was made from, as it was frozen, and the one that is wanted now.
fn revisions(world: &World<'_>, wanted: &Revision) -> BTreeMap<String, Revision> {
    let frozen = world.fleets.iter().filter_map(|fleet| Revision::thaw(fleet.annotations().get(labels::FROZEN)?).ok());
    let mut known: BTreeMap<String, Revision> = frozen.map(|revision| (revision.name.clone(), revision)).collect();
    known.entry(wanted.name.clone()).or_insert_with(|| wanted.clone());
    known
}

/// The Fleet of a revision in a region: created, or brought to its size.
fn build(
    world: &World<'_>,
    memory: &mut Memory,
    revision: &Revision,
    region: &Region,
    servers: u32,
) -> Result<(Option<Write>, Option<Duration>), TemplateError> {
    let name = render::fleet_name(&world.game_fleet.name_any(), &region.name, &revision.name);
    let Some(standing) = world.fleets.iter().find(|fleet| fleet.name_any() == name) else {
        let namespace = world.game_fleet.namespace().unwrap_or_default();
        let game_fleet = world.game_fleet.name_any();
        let place = Place {
            game_fleet: &game_fleet,
            namespace: &namespace,
            region,
            pool: world.game_fleet.spec.pool_kind,
            placement: world.game_fleet.spec.allocation.strategy,
            allocator: world.allocator,
            metagame: world.metagame,
        };
        let fleet = render::fleet(revision, place, Some(servers))?;
        return Ok((Some(Write::CreateFleet(Box::new(fleet))), None));
    };
    if standing.metadata.deletion_timestamp.is_some() {
        return Ok((None, None));
    }
    let delay = Duration::from_secs(u64::from(world.game_fleet.spec.scaling.scale_down_delay_seconds));
    let now = standing.spec.replicas.unwrap_or(0);
    let shrinking = memory.shrinking.entry(name.clone()).or_insert_with(|| {
        // A size that stands was somebody's wish until now.
        let mut shrinking = ScaleDown::default();
        shrinking.settle(world.elapsed, now, delay);
        shrinking
    });
    let size = shrinking.settle(world.elapsed, servers, delay);
    let write = (size != now).then_some(Write::Scale { fleet: name, replicas: size });
    Ok((write, shrinking.next(delay)))
}

/// Fleets of revisions and regions that nobody wants any more: down to their busy servers, at once, and gone when empty.
fn drain(world: &World<'_>, state: &rollout::State) -> Vec<Write> {
    let wanted = |fleet: &&Fleet| {
        let label = |key| fleet.labels().get(key);
        let revision = label(labels::REVISION);
        let kept = revision.is_some() && (revision == state.stable.as_ref() || revision == state.canary.as_ref());
        let region = label(labels::REGION);
        kept && world.game_fleet.spec.regions.iter().any(|r| region == Some(&r.name))
    };
    world.fleets.iter().filter(|fleet| !wanted(fleet)).filter_map(|fleet| empty(world, fleet)).collect()
}

/// The next write that empties a Fleet, and then deletes it.
fn empty(world: &World<'_>, fleet: &Fleet) -> Option<Write> {
    if fleet.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let name = fleet.name_any();
    let servers: Vec<&Server> = world.servers.iter().filter(|server| server.fleet == name).collect();
    let busy = servers.iter().filter(|server| server.busy).count() as u32;
    if fleet.spec.replicas.unwrap_or(0) != busy {
        return Some(Write::Scale { fleet: name, replicas: busy });
    }
    let counted = fleet.status.as_ref().map_or(0, |status| status.replicas);
    (servers.is_empty() && counted == 0).then(|| Write::DeleteFleet {
        fleet: name,
        uid: fleet.uid().unwrap_or_default(),
        version: fleet.resource_version().unwrap_or_default(),
    })
}

/// A GameFleet that was deleted: its servers drain, its Fleets go, then it does.
fn leave(world: &World<'_>) -> Plan {
    let mut writes: Vec<Write> = world.fleets.iter().filter_map(|fleet| empty(world, fleet)).collect();
    let status = status::leaving(world);
    if world.game_fleet.status.as_ref() != Some(&status) {
        writes.push(Write::Status(Box::new(status)));
    }
    let ours = world.game_fleet.finalizers().iter().any(|name| name == labels::FINALIZER);
    if world.fleets.is_empty() && ours {
        writes = vec![Write::RemoveFinalizer];
    }
    Plan { writes, news: None, again: None }
}

/// What the user allows a region now.
pub fn bounds(world: &World<'_>, region: &Region) -> Bounds {
    let spec = &world.game_fleet.spec;
    let scheduled = schedule::minimum(&spec.scaling.schedule, world.now.as_second());
    Bounds {
        capacity: spec.capacity.max(1),
        minimum: region.minimum.unwrap_or(spec.warm_pool.minimum).max(scheduled),
        maximum: region.maximum.unwrap_or(spec.warm_pool.maximum),
        buffer: spec.warm_pool.buffer,
        forecast_extra: spec.scaling.forecast.map_or(0, |forecast| forecast.maximum_extra),
    }
}

/// Servers that demand asks of a region.
pub fn wanted(world: &World<'_>, region: &Region) -> u32 {
    scale::wanted(&world.demand.get(&region.name).copied().unwrap_or_default(), &bounds(world, region))
}

fn soonest(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests;
