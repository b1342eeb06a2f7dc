//! The GameFleet is deleted while matches run on it.

use anyhow::ensure;

use super::state;
use crate::e2e::kubectl::{get, items, kubectl, wait};
use crate::e2e::manifests::{FLEET, PLAYERS};
use crate::e2e::stage::{GAMES, PATIENCE, Stage};

pub(crate) fn run(stage: &mut Stage) -> anyhow::Result<()> {
    // Bots that queue only once: there is no fleet for a second match.
    let crowd = stage.crowd("delete", PLAYERS, 2);
    crowd.start()?;
    state::until("a match", |status| state::number(status, "matches") > 0)?;
    let busy = || {
        let allocated = state::servers("Allocated")?;
        Ok(if allocated.is_empty() { Err("none".to_owned()) } else { Ok(()) })
    };
    wait("an Allocated server", PATIENCE, busy)?;
    // Foreground: the garbage collector would end whatever belongs to it.
    kubectl(&["-n", GAMES, "delete", "gamefleet", FLEET, "--cascade=foreground", "--wait=false"])?;
    let there = get(&["-n", GAMES, "gamefleet", FLEET])?;
    ensure!(!there["metadata"]["deletionTimestamp"].is_null(), "the GameFleet waits for its match: {there}");
    stage.played.push(crowd.finish()?);
    let gone = || {
        let left = kubectl(&["-n", GAMES, "get", "gamefleets,fleets,gameservers", "-o", "name"])?;
        Ok(if left.trim().is_empty() { Ok(()) } else { Err(left.replace('\n', " ")) })
    };
    let ((), took) = wait("the end of everything of the fleet", PATIENCE, gone)?;
    stage.figure("gone_s", took.as_secs_f64());
    let pods = items(&["-n", GAMES, "pods", "-l", "agones.dev/role=gameserver"])?;
    ensure!(pods.is_empty(), "pods are left");
    Ok(())
}
