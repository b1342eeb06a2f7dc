//! A node is taken out of service while matches run on it.

use std::time::Duration;

use super::state;
use crate::e2e::kubectl::{items, kubectl, wait};
use crate::e2e::manifests::PLAYERS;
use crate::e2e::stage::{GAMES, PATIENCE, Stage};

pub(crate) fn run(stage: &mut Stage) -> anyhow::Result<()> {
    let crowd = stage.crowd("drain", PLAYERS * 2, 20);
    crowd.start()?;
    state::until("matches", |status| state::number(status, "matches") > 0)?;
    let before = names()?;
    let node = node_with_a_match()?;
    kubectl(&["cordon", &node])?;
    let told = cordoned(stage, &before);
    // Whatever came of it, the next scenario needs the node.
    kubectl(&["uncordon", &node])?;
    told?;
    let played = crowd.finish()?;
    stage.played.push(played);
    state::until_at_rest()?;
    Ok(())
}

/// What Agones shows comes half a second after the match.
fn node_with_a_match() -> anyhow::Result<String> {
    let look = || {
        let servers = items(&["-n", GAMES, "gameservers.agones.dev"])?;
        let busy = servers.iter().find(|server| server["status"]["state"] == "Allocated");
        let node = busy.and_then(|server| server["status"]["nodeName"].as_str());
        Ok(node.map(str::to_owned).ok_or_else(|| format!("{} servers, none Allocated", servers.len())))
    };
    wait("an Allocated server", PATIENCE, look).map(|(node, _)| node)
}

/// Every server of the node is told, and leaves when its matches have ended.
fn cordoned(stage: &mut Stage, before: &[String]) -> anyhow::Result<()> {
    let told = || {
        let servers = items(&["-n", GAMES, "gameservers.agones.dev"])?;
        let silent: Vec<&str> = servers
            .iter()
            .filter(|server| server["status"]["state"] == "Allocated")
            .filter(|server| server["metadata"]["annotations"]["muster.dev/drain-deadline"].is_null())
            .filter_map(|server| server["metadata"]["name"].as_str())
            .collect();
        Ok(if silent.is_empty() { Ok(()) } else { Err(format!("not told: {silent:?}")) })
    };
    let ((), took) = wait("drain orders", Duration::from_secs(10), told)?;
    stage.figure("told_s", took.as_secs_f64());
    let gone = || {
        let left: Vec<String> = names()?.into_iter().filter(|name| before.contains(name)).collect();
        Ok(if left.is_empty() { Ok(()) } else { Err(format!("still there: {left:?}")) })
    };
    let ((), took) = wait("the drained servers' end", PATIENCE, gone)?;
    stage.figure("drained_s", took.as_secs_f64());
    Ok(())
}

fn names() -> anyhow::Result<Vec<String>> {
    let servers = items(&["-n", GAMES, "gameservers.agones.dev"])?;
    // Who has no node yet is not on this one.
    let placed =
        servers.iter().filter(|server| server["status"]["nodeName"].as_str().is_some_and(|node| !node.is_empty()));
    Ok(placed.filter_map(|server| server["metadata"]["name"].as_str().map(str::to_owned)).collect())
}
