//! The tests of single crates that need a cluster: ignored in `cargo test`, run here.

use std::process::Stdio;

use super::images::STANDIN_IMAGE;
use super::report::Report;
use crate::command::cargo;
use crate::run_tests::Counts;

/// Crates that have such tests.
const CRATES: [&str; 6] = ["crds", "cluster", "operator", "allocator", "matchmaker", "muster"];

/// Runs them and adds their counts.
pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    eprintln!("== tests of single crates on the cluster");
    let mut command = cargo();
    // By file: cluster_*.rs in the crate's tests.
    command.args(["test", "--no-fail-fast", "--test", "cluster_*"]).env("MUSTER_STANDIN_IMAGE", STANDIN_IMAGE);
    for name in CRATES {
        command.args(["--package", name]);
    }
    // One after the other: they change the same cluster.
    command.args(["--", "--ignored", "--test-threads=1"]).stderr(Stdio::inherit());
    let output = command.output()?;
    let mut counts = Counts::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        eprintln!("{line}");
        counts.add(line);
    }
    report.crate_tests_passed = counts.passed;
    report.crate_tests_failed = counts.failed + u64::from(!output.status.success() && counts.failed == 0);
    Ok(())
}
