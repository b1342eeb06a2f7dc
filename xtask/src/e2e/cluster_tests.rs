//! The tests of single crates that need a cluster: ignored in `cargo test`, run here.
//!
//! They are found by their names: files `cluster_*.rs` in a crate's tests, and modules of a program that begin so. All of
//! the workspace is named to cargo, so that it builds with the features of `cargo test` and finds what that has built.

use std::process::Stdio;

use super::images::STANDIN_IMAGE;
use super::report::Report;
use crate::command::cargo;
use crate::run_tests::Counts;

/// What cargo runs, and the filter of the tests.
const PARTS: [(&[&str], &str); 2] = [(&["--test", "cluster_*"], ""), (&["--bins"], "::cluster_")];

/// Runs them and adds their counts.
pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    eprintln!("== tests of single crates on the cluster");
    for (programs, filter) in PARTS {
        let mut command = cargo();
        command.args(["test", "--workspace", "--no-fail-fast"]).args(programs);
        // One after the other: they change the same cluster.
        command.args(["--", "--ignored", "--test-threads=1", filter]);
        let output = command.env("MUSTER_STANDIN_IMAGE", STANDIN_IMAGE).stderr(Stdio::inherit()).output()?;
        let mut counts = Counts::default();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            eprintln!("{line}");
            counts.add(line);
        }
        report.crate_tests_passed += counts.passed;
        report.crate_tests_failed += counts.failed + u64::from(!output.status.success() && counts.failed == 0);
    }
    Ok(())
}
