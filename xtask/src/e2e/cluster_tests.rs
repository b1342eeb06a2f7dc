//! The tests of single crates that need a cluster: ignored in `cargo test`, run here.
//!
//! They are the files `cluster_*.rs` of a crate's tests, and the ignored units of programs. The programs are named to cargo
//! for one reason more: without xtask among them, the crates that procedural macros are made of are built another way, and
//! every third-party crate above them anew.

use std::process::Stdio;

use super::images::STANDIN_IMAGE;
use super::report::Report;
use crate::command::cargo;
use crate::run_tests::Counts;

/// Runs them and adds their counts.
pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    eprintln!("== tests of single crates on the cluster");
    let mut command = cargo();
    command.args(["test", "--workspace", "--no-fail-fast", "--bins", "--test", "cluster_*"]);
    // One after the other: they change the same cluster.
    command.args(["--", "--ignored", "--test-threads=1"]);
    let output = command.env("MUSTER_STANDIN_IMAGE", STANDIN_IMAGE).stderr(Stdio::inherit()).output()?;
    let mut counts = Counts::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        eprintln!("{line}");
        counts.add(line);
    }
    report.crate_tests_passed = counts.passed;
    report.crate_tests_failed = counts.failed + u64::from(!output.status.success() && counts.failed == 0);
    Ok(())
}
