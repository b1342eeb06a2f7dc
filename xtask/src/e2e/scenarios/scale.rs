//! The fleet follows its queue.

use super::state;
use crate::e2e::manifests::PLAYERS;
use crate::e2e::stage::Stage;

pub(crate) fn run(stage: &mut Stage) -> anyhow::Result<()> {
    let before = state::number(&state::fleet()?, "servers");
    let crowd = stage.crowd("scale", PLAYERS * 7, 25);
    crowd.start()?;
    let took = state::until("a larger fleet", |status| state::number(status, "servers") > before + 1)?;
    stage.figure("grown_s", took.as_secs_f64());
    stage.played.push(crowd.finish()?);
    let took = state::until("the smallest fleet again", |status| {
        state::number(status, "matches") == 0 && state::number(status, "servers") <= before
    })?;
    stage.figure("shrunk_s", took.as_secs_f64());
    Ok(())
}
