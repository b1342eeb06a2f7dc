//! How the servers of a region are divided between the stable revision and the one that is being tried.

use crds::Region;

use super::reconcile::{World, bounds, wanted};
use super::render::fleet_name;
use super::rollout::Decision;
use kube::ResourceExt as _;

/// Servers of a revision in a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Size {
    /// The revision.
    pub(super) revision: String,
    /// Servers that it should have.
    pub(super) servers: u32,
}

/// Stable gets what demand asks for less the canary's share, the canary its share and at least one server, as long as the
/// hard cap leaves room for one beside what stable is playing on. A canary at 100 % leaves stable its busy servers and the
/// buffer, so that a rollback finds servers.
pub(super) fn split(world: &World<'_>, region: &Region, decision: &Decision) -> Vec<Size> {
    let total = wanted(world, region);
    let bounds = bounds(world, region);
    let Some(stable) = decision.state.stable.clone() else { return Vec::new() };
    let Some(canary) = decision.state.canary.clone() else {
        return vec![Size { revision: stable, servers: total }];
    };
    let busy = |revision: &str| {
        let fleet = fleet_name(&world.game_fleet.name_any(), &region.name, revision);
        world.servers.iter().filter(|server| server.fleet == fleet && server.busy).count() as u32
    };
    let busy_stable = busy(&stable);
    let share = (u64::from(total) * u64::from(decision.canary_weight)).div_ceil(100) as u32;
    let room = bounds.maximum.saturating_sub(busy_stable);
    let tried = share.max(1).max(busy(&canary)).min(room.max(busy(&canary)));
    let kept =
        (total - share.min(total)).max(busy_stable + bounds.buffer.min(1)).min(bounds.maximum.saturating_sub(tried));
    vec![Size { revision: stable, servers: kept.max(busy_stable) }, Size { revision: canary, servers: tried }]
}
