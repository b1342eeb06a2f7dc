//! One look at a GameFleet: what is wished, what is there, and what to write.
//!
//! The answer is a list of writes in an order in which each may be the last: whoever starts again after any of them finds
//! the rest still to do. A second look at a settled fleet writes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use crds::agones::{Fleet, FleetAutoscaler, FleetAutoscalerSpec};
use crds::{GameFleet, GameFleetStatus, Region, labels};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use super::drain::{Drain, Leave};
use super::floor;
use super::leaving;
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
    /// Agones FleetAutoscalers with that label.
    pub autoscalers: &'a [FleetAutoscaler],
    /// Their game servers.
    pub servers: &'a [Server],
    /// What is asked of each region; a region that is absent has no demand.
    pub demand: &'a BTreeMap<String, Demand>,
    /// What was seen of each revision since its step began.
    pub scores: &'a BTreeMap<String, Score>,
    /// A service that cannot be asked, so that demand and scores are not known: nothing shrinks and no rollout goes on.
    pub blind: Option<Blind>,
    /// How game servers reach the allocator.
    pub allocator: &'a str,
    /// How game servers reach metagame.
    pub metagame: &'a str,
    /// Where Agones asks this program for the size of a Fleet.
    pub autoscale: &'a str,
    /// Wall clock.
    pub now: Timestamp,
    /// Monotonic clock.
    pub elapsed: Duration,
}

/// A service that does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blind {
    /// Which.
    pub service: &'static str,
    /// Long enough that people should be told.
    pub lasting: bool,
}

/// A game server, as far as sizes and drains need it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub version: String,
    /// Is being deleted, or has shut itself down.
    pub going: bool,
    /// The drain that its annotations tell of.
    pub drain: Option<Drain>,
    /// Its node is to be left.
    pub leave: Option<Leave>,
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
    /// When a status was last written.
    told: Option<Duration>,
}

/// Counts in a status may be this old; everything else in it is written at once.
const COUNTS_AGE: Duration = Duration::from_secs(2);
/// How often a rollout is judged.
const JUDGE_EVERY: Duration = Duration::from_secs(1);

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
        /// resourceVersion on which it was decided; `None` where an earlier write of the same plan changes it.
        version: Option<String>,
        /// Its new size.
        replicas: u32,
    },
    /// Annotates a Fleet: its servers drain. `None`: it is wanted again, and servers that come anew do not.
    DrainFleet {
        /// Its name.
        fleet: String,
        /// resourceVersion on which it was decided.
        version: String,
        /// Until when and why.
        drain: Option<Drain>,
    },
    /// Annotates a GameServer: it drains.
    DrainServer {
        /// Its name.
        server: String,
        /// resourceVersion on which it was decided.
        version: String,
        /// Until when and why.
        drain: Drain,
    },
    /// Deletes a GameServer that is still there although its drain is over, naming uid and resourceVersion.
    DeleteServer {
        /// Its name.
        server: String,
        /// Precondition.
        uid: String,
        /// Precondition.
        version: String,
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
    /// POSTs a FleetAutoscaler.
    CreateAutoscaler(Box<FleetAutoscaler>),
    /// Replaces the wish of a FleetAutoscaler.
    ChangeAutoscaler {
        /// Its name.
        name: String,
        /// resourceVersion on which it was decided.
        version: String,
        /// The wish.
        spec: Box<FleetAutoscalerSpec>,
    },
    /// Deletes a FleetAutoscaler.
    DeleteAutoscaler {
        /// Its name.
        name: String,
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
    /// The size of each Fleet as it is after these writes, which is the answer to Agones' question for it.
    pub sizes: BTreeMap<String, u32>,
}

impl Plan {
    fn only(writes: Vec<Write>) -> Self {
        Self { writes, news: None, again: None, sizes: BTreeMap::new() }
    }
}

/// One look.
pub fn reconcile(world: &World<'_>, memory: &mut Memory) -> Plan {
    if world.game_fleet.metadata.deletion_timestamp.is_some() {
        return leave(world, memory);
    }
    if !world.game_fleet.finalizers().iter().any(|name| name == labels::FINALIZER) {
        return Plan::only(vec![Write::AddFinalizer]);
    }
    let wanted = Revision::of(&world.game_fleet.spec);
    let known = revisions(world, &wanted);
    let state = status::state_of(world.game_fleet);
    let score = |name: Option<&String>| name.and_then(|name| world.scores.get(name)).copied().unwrap_or_default();
    let mut rules = world.game_fleet.spec.rollout.clone();
    rules.paused |= world.blind.is_some();
    let decision = rollout::decide(
        &rules,
        &wanted.name,
        &state,
        &score(state.stable.as_ref()),
        &score(state.canary.as_ref()),
        world.now.as_second(),
    );
    let mut plan = Plan { news: decision.news.clone(), ..Plan::only(Vec::new()) };
    let mut fault = None;
    let (mut desired, mut floors) = (BTreeMap::new(), floor::Wanted::new());
    for region in &world.game_fleet.spec.regions {
        let sizes = sizes::split(world, region, &decision);
        desired.insert(region.name.clone(), sizes.iter().map(|size| size.servers).sum());
        for size in sizes {
            let Some(revision) = known.get(&size.revision) else { continue };
            let fleet = render::fleet_name(&world.game_fleet.name_any(), &region.name, &revision.name);
            floor::want(&mut floors, world, region, (&fleet, &revision.name), &decision);
            if let Err(error) = build(world, memory, (&fleet, revision), region, size.servers, &mut plan) {
                fault = Some(error);
            }
        }
    }
    plan.writes.splice(..0, floor::gone(world, &floors));
    plan.writes.extend(floor::made(world, &floors));
    plan.writes.extend(leaving::fleets(world, &decision.state));
    plan.writes.extend(leaving::servers(world));
    if decision.state.canary.is_some() {
        plan.again = soonest(plan.again, Some(world.elapsed + JUDGE_EVERY));
    }
    tell(world, memory, &mut plan, status::status(world, &decision, &known, &desired, fault.as_ref()));
    plan
}

/// Plans the write of a status that says something new. Counts alone wait until the last write is [`COUNTS_AGE`] old.
fn tell(world: &World<'_>, memory: &mut Memory, plan: &mut Plan, status: GameFleetStatus) {
    let standing = world.game_fleet.status.as_ref();
    if standing == Some(&status) {
        return;
    }
    let counts_alone =
        standing.is_some_and(|standing| status::without_counts(standing) == status::without_counts(&status));
    let due = memory.told.map(|told| told + COUNTS_AGE).filter(|due| counts_alone && world.elapsed < *due);
    if let Some(due) = due {
        plan.again = soonest(plan.again, Some(due));
        return;
    }
    memory.told = Some(world.elapsed);
    plan.writes.push(Write::Status(Box::new(status)));
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
    (name, revision): (&str, &Revision),
    region: &Region,
    servers: u32,
    plan: &mut Plan,
) -> Result<(), TemplateError> {
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
        plan.writes.push(Write::CreateFleet(Box::new(fleet)));
        plan.sizes.insert(name.to_owned(), servers);
        return Ok(());
    };
    if standing.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let mut writes = Vec::new();
    if standing.annotations().contains_key(labels::DRAIN_DEADLINE) {
        let version = standing.resource_version().unwrap_or_default();
        writes.push(Write::DrainFleet { fleet: name.to_owned(), version, drain: None });
    }
    let delay = Duration::from_secs(u64::from(world.game_fleet.spec.scaling.scale_down_delay_seconds));
    let now = standing.spec.replicas.unwrap_or(0);
    let shrinking = memory.shrinking.entry(name.to_owned()).or_insert_with(|| {
        // A size that stands was somebody's wish until now.
        let mut shrinking = ScaleDown::default();
        shrinking.settle(world.elapsed, now, delay);
        shrinking
    });
    let servers = if world.blind.is_some() { servers.max(now) } else { servers };
    let size = shrinking.settle(world.elapsed, servers, delay);
    if size != now {
        writes.push(Write::Scale { fleet: name.to_owned(), version: version_of(standing, &writes), replicas: size });
    }
    plan.again = soonest(plan.again, shrinking.next(delay));
    plan.sizes.insert(name.to_owned(), size);
    plan.writes.extend(writes);
    Ok(())
}

/// A GameFleet that was deleted: its servers drain, its Fleets go, then it does.
fn leave(world: &World<'_>, memory: &mut Memory) -> Plan {
    let ours = world.game_fleet.finalizers().iter().any(|name| name == labels::FINALIZER);
    let mut plan = Plan::only(floor::gone(world, &floor::Wanted::new()));
    if world.fleets.is_empty() {
        plan.writes.extend(ours.then_some(Write::RemoveFinalizer));
        return plan;
    }
    plan.writes.extend(leaving::all(world));
    plan.writes.extend(leaving::servers(world));
    tell(world, memory, &mut plan, status::leaving(world));
    plan
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

/// The version that a write must name, unless the plan changes the Fleet before.
pub(super) fn version_of(fleet: &Fleet, before: &[Write]) -> Option<String> {
    if before.is_empty() { fleet.resource_version() } else { None }
}

fn soonest(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests;
