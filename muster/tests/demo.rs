//! The whole way, from ticket to result, with the real program and real processes.

mod common;

use std::time::Duration;

use common::{Running, children, is_alive, muster, run};

#[test]
fn a_demo_plays_every_match_to_a_booked_result() {
    let args = ["demo", "--players=16", "--seconds=8", "--match-seconds=5", "--seed=7", "-o", "json"];
    // A proxy for the world outside, which has no way to services on this machine.
    let output = run(muster().args(args).env("http_proxy", "http://127.0.0.1:9"), Duration::from_secs(180));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    // Each service's streams end with the service before it: that is the order of a drain and no trouble.
    let is_trouble = |line: &&str| line.contains("watch stream") && (line.contains("WARN") || line.contains("ERROR"));
    assert_eq!(stderr.lines().find(is_trouble), None, "{stderr}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object on stdout");
    let number = |name: &str| report[name].as_f64().unwrap_or_else(|| panic!("{name} is missing in {report}"));
    assert!(number("matches_started") >= 2.0, "{report}");
    for (name, expected) in [
        ("players", 16.0),
        ("matches_completed", number("matches_started")),
        ("results_recorded", number("matches_started")),
        ("matches_lost", 0.0),
        ("join_failures", 0.0),
        ("disconnects", 0.0),
        ("udp_clients", 16.0),
        ("games_in_history", number("matches_started") * 8.0),
    ] {
        assert_eq!(number(name), expected, "{name} in {report}\n{stderr}");
    }
    assert!(number("snapshot_bytes_per_client_s") > 100.0 && number("tick_ms_p99") > 0.0, "{report}");
}

#[test]
fn a_demo_whose_remarks_nobody_reads_plays_to_its_end() {
    let args = ["demo", "--players=8", "--seconds=2", "--match-seconds=5", "-o", "json"];
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = muster().args(args).stderr(writer).output().expect("muster runs");
    assert!(output.status.success(), "{}", output.status);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object on stdout");
    assert_eq!(report["matches_lost"].as_u64(), Some(0), "{report}");
}

#[test]
fn no_game_server_outlives_a_platform_that_is_killed() {
    // At once, while they register, and while they are idle.
    for delay_ms in [0, 300, 1_500] {
        let platform = Running::start(muster().args(["demo", "--players=8", "--seconds=60"]));
        let pid = platform.id();
        let servers = testkit::wait::until_blocking("game servers", || Some(children(pid)).filter(|c| !c.is_empty()));
        std::thread::sleep(Duration::from_millis(delay_ms));
        platform.kill();
        let gone = || servers.iter().all(|server| !is_alive(*server)).then_some(());
        testkit::wait::until_blocking("the game servers' end", gone);
    }
}
