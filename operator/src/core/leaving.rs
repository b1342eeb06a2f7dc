//! What leaves: Fleets of revisions and regions that nobody wants, servers of nodes that are left, servers that stay too long.
//!
//! A Fleet is told first (the annotation that the allocator obeys), then sized to nothing, so that no server of it is ever
//! started again; Agones keeps those that are Reserved or Allocated. It is deleted when nothing of it is left.

use crds::agones::Fleet;
use crds::labels;
use kube::ResourceExt as _;

use super::drain::Drain;
use super::reconcile::{Server, World, Write, version_of};
use super::rollout;

/// Fleets of revisions and regions that nobody wants any more.
pub(super) fn fleets(world: &World<'_>, state: &rollout::State) -> Vec<Write> {
    let why = |fleet: &Fleet| {
        let label = |key| fleet.labels().get(key);
        let revision = label(labels::REVISION);
        let region = label(labels::REGION);
        if revision.is_none() || (revision != state.stable.as_ref() && revision != state.canary.as_ref()) {
            return Some("its revision is replaced");
        }
        let served = world.game_fleet.spec.regions.iter().any(|r| region == Some(&r.name));
        (!served).then_some("its region is no longer served")
    };
    world
        .fleets
        .iter()
        .filter_map(|fleet| Some((fleet, why(fleet)?)))
        .flat_map(|(fleet, why)| empty(world, fleet, why))
        .collect()
}

/// Every Fleet of a GameFleet that was deleted.
pub(super) fn all(world: &World<'_>) -> Vec<Write> {
    world.fleets.iter().flat_map(|fleet| empty(world, fleet, "its GameFleet is deleted")).collect()
}

/// The next writes that empty a Fleet, and then delete it.
fn empty(world: &World<'_>, fleet: &Fleet, why: &str) -> Vec<Write> {
    if fleet.metadata.deletion_timestamp.is_some() {
        return Vec::new();
    }
    let (name, version) = (fleet.name_any(), fleet.resource_version().unwrap_or_default());
    let mut writes = Vec::new();
    if Drain::read(fleet.annotations()).is_none() {
        let drain = Drain::begin(world.now, world.game_fleet.spec.drain.deadline_seconds, why);
        writes.push(Write::DrainFleet { fleet: name.clone(), version: version.clone(), drain: Some(drain) });
    }
    if fleet.spec.replicas.unwrap_or(0) != 0 {
        writes.push(Write::Scale { fleet: name.clone(), version: version_of(fleet, &writes), replicas: 0 });
    }
    let counted = fleet.status.as_ref().map_or(0, |status| status.replicas);
    let servers = world.servers.iter().any(|server| server.fleet == name);
    if writes.is_empty() && counted == 0 && !servers {
        writes.push(Write::DeleteFleet { fleet: name, uid: fleet.uid().unwrap_or_default(), version });
    }
    writes
}

/// Servers of nodes that are left, and servers whose drain is over.
pub(super) fn servers(world: &World<'_>) -> Vec<Write> {
    world.servers.iter().filter(|server| !server.going).filter_map(|server| one(world, server)).collect()
}

fn one(world: &World<'_>, server: &Server) -> Option<Write> {
    let fleet = world.fleets.iter().find(|fleet| fleet.name_any() == server.fleet);
    let of_fleet = fleet.and_then(|fleet| Drain::read(fleet.annotations()));
    let deadlines = [&server.drain, &of_fleet].into_iter().flatten();
    let first = deadlines.clone().map(|drain| drain.deadline).min();
    if deadlines.map(Drain::over).min().is_some_and(|over| world.now >= over) {
        let (uid, version) = (server.uid.clone(), server.version.clone());
        return Some(Write::DeleteServer { server: server.name.clone(), uid, version });
    }
    let leave = server.leave.as_ref()?;
    let times = &world.game_fleet.spec.drain;
    let seconds =
        if leave.notice { times.spot_deadline_seconds.min(times.deadline_seconds) } else { times.deadline_seconds };
    let drain = Drain::begin(world.now, seconds, leave.reason.clone());
    // Once per drain; but a notice is a drain of its own, with the earlier deadline.
    let told = match (&server.drain, leave.notice) {
        (None, _) => false,
        (Some(_), false) => true,
        (Some(_), true) => first.is_some_and(|first| first <= drain.deadline),
    };
    let version = server.version.clone();
    (!told).then(|| Write::DrainServer { server: server.name.clone(), version, drain })
}
