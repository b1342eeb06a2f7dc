//! Allocator and operator die without a word while bots play, and nobody notices.

use super::kills::kill;
use super::state;
use crate::e2e::manifests::PLAYERS;
use crate::e2e::stage::Stage;

/// Between two kills: the next one hits a program that works again.
const REST: std::time::Duration = std::time::Duration::from_secs(6);

pub(crate) fn run(stage: &mut Stage) -> anyhow::Result<()> {
    let crowd = stage.crowd("failover", PLAYERS * 2, 40);
    crowd.start()?;
    for program in ["allocator", "operator", "allocator", "operator"] {
        state::until("matches", |status| state::number(status, "matches") > 0)?;
        kill(program, 0)?;
        std::thread::sleep(REST);
    }
    stage.played.push(crowd.finish()?);
    state::until_at_rest()?;
    Ok(())
}
