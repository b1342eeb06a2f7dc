//! Bad networks and churn: players come back, and no result is missing.

mod common;

use std::time::Duration;

use common::{muster, run};

#[test]
fn players_who_are_cut_off_on_a_bad_network_have_their_seats_again() {
    let mut command = muster();
    command.args(["demo", "--players=16", "--seconds=4", "--match-seconds=5", "--seed=3", "--churn", "-o", "json"]);
    command.args(["--loss=0.05", "--latency=60", "--jitter=15", "--reorder=0.01", "--duplicate=0.01"]);
    let output = run(&mut command, Duration::from_secs(120));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object on stdout");
    let number = |name: &str| report[name].as_f64().unwrap_or_else(|| panic!("{name} is missing in {report}"));
    assert!(number("matches_started") >= 2.0, "{report}");
    // In every match one is killed and resumes from a file, one changes its address, one resumes over the other carrier,
    // and one is relaunched with a fresh token.
    assert_eq!(number("reconnects"), 4.0 * number("matches_started"), "{report}\n{stderr}");
    assert_eq!(number("resumes"), 2.0 * number("matches_started"), "{report}\n{stderr}");
    assert_eq!(number("results_recorded"), number("matches_started"), "{report}\n{stderr}");
    assert_eq!((number("join_failures"), number("disconnects")), (0.0, 0.0), "{report}\n{stderr}");
    assert!(number("rtt_ms_p50") >= 60.0 && number("reconnect_ms_p99") > 60.0, "{report}");
}
