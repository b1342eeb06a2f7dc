//! Bots play.

use anyhow::ensure;

use super::state;
use crate::e2e::manifests::PLAYERS;
use crate::e2e::stage::Stage;

pub(crate) fn run(stage: &mut Stage) -> anyhow::Result<()> {
    let crowd = stage.crowd("play", PLAYERS * 2, 25);
    crowd.start()?;
    let played = crowd.finish()?;
    ensure!(played.udp_clients > 0 && played.quic_clients > 0, "both carriers are played: {played:?}");
    stage.figure("time_to_match_ms_p95", played.time_to_match_ms_p95);
    stage.played.push(played);
    state::until_at_rest()?;
    Ok(())
}
