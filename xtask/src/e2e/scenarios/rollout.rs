//! A new revision, good or bad.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::state;
use crate::e2e::kubectl::apply;
use crate::e2e::manifests::{Fleet, PLAYERS};
use crate::e2e::stage::Stage;

/// Longest rollout: enough matches must end on the new revision.
const LONGEST: Duration = Duration::from_secs(240);

/// 10, 50, 100 %, while bots play; the old revision drains to zero.
pub(crate) fn canary(stage: &mut Stage) -> anyhow::Result<()> {
    let before = state::fleet()?["stable"].as_str().context("a stable revision")?.to_owned();
    let crowd = stage.crowd("canary", PLAYERS * 3, 100);
    crowd.start()?;
    apply(&Fleet { edition: 2, maximum: 8, ..Fleet::default() }.yaml())?;
    let weights = std::cell::RefCell::new(BTreeSet::new());
    let took = state::until_within("the rollout's end", LONGEST, |status| {
        weights.borrow_mut().extend(canary_weight(status));
        status["stable"].as_str().is_some_and(|stable| stable != before) && status["canary"].is_null()
    })?;
    stage.edition = 2;
    stage.figure("rollout_s", took.as_secs_f64());
    let weights = weights.into_inner();
    ensure!(weights.contains(&10) && weights.contains(&50), "10 % and 50 % were passed: {weights:?}");
    stage.played.push(crowd.finish()?);
    let took = state::until("the old revision gone", |status| {
        status["revisions"].as_array().is_some_and(|all| all.len() == 1 && all[0]["name"] != before.as_str())
    })?;
    stage.figure("old_gone_s", took.as_secs_f64());
    state::until_at_rest()?;
    Ok(())
}

/// A build whose server ends at its start: no match ever reaches it, stable goes on.
pub(crate) fn rollback(stage: &mut Stage) -> anyhow::Result<()> {
    let before = state::fleet()?["stable"].as_str().context("a stable revision")?.to_owned();
    let crowd = stage.crowd("rollback", PLAYERS * 2, 40);
    crowd.start()?;
    apply(&Fleet { edition: 3, args: ", --tick-rate=1", maximum: 8, ..Fleet::default() }.yaml())?;
    let strayed = AtomicBool::new(false);
    let took = state::until("the rollback", |status| {
        if status["stable"].as_str() != Some(before.as_str()) {
            strayed.store(true, Ordering::Relaxed);
        }
        status["failedRevision"].is_string() && status["canary"].is_null()
    })?;
    ensure!(!strayed.into_inner(), "the stable revision stays what it was");
    stage.figure("rollback_s", took.as_secs_f64());
    stage.played.push(crowd.finish()?);
    // The good template again, as whoever reads the event would apply it.
    apply(&Fleet { edition: stage.edition, maximum: 8, ..Fleet::default() }.yaml())?;
    state::until_at_rest()?;
    Ok(())
}

fn canary_weight(status: &Value) -> Option<u64> {
    let canary = status["canary"].as_str()?;
    let revisions = status["revisions"].as_array()?;
    revisions.iter().find(|revision| revision["name"] == canary)?["weight"].as_u64()
}
