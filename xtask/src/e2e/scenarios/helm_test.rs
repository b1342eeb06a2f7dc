//! `helm test`, as whoever has just installed the chart runs it.

use anyhow::ensure;

use super::state;
use crate::e2e::kubectl::{kubectl, output};
use crate::e2e::manifests::QUEUE;
use crate::e2e::stage::{RELEASE, SYSTEM, Stage};

/// The pod that plays.
const POD: &str = "muster-test";

pub(crate) fn run(stage: &mut Stage) -> anyhow::Result<()> {
    // Bots that wait in vain in the test's time: there is no such queue.
    stage.helm(&["--set", "test.queue=nobody-plays-this", "--set", "test.seconds=5"])?;
    ensure!(test().is_err(), "`helm test` passes where no match can be played:\n{}", words()?);
    stage.helm(&["--set", &format!("test.queue={QUEUE}"), "--set", "test.seconds=10"])?;
    test()?;
    let said = words()?;
    ensure!(said.contains("bots") && said.contains("games in"), "the pod says what it played:\n{said}");
    kubectl(&["-n", SYSTEM, "delete", "pod", POD])?;
    stage.helm(&[])?;
    state::until_at_rest()?;
    Ok(())
}

/// Fails with what `helm` says.
fn test() -> anyhow::Result<()> {
    let helm = crate::helm::tool::helm()?.display().to_string();
    output(&helm, &["test", RELEASE, "--namespace", SYSTEM, "--timeout", "120s"]).map(drop)
}

fn words() -> anyhow::Result<String> {
    kubectl(&["-n", SYSTEM, "logs", POD, "--tail=20"])
}
