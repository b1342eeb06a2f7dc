//! Broken platforms: what chaos leaves behind, and what a killed platform finds again.

mod common;

use std::path::Path;
use std::time::Duration;

use common::{Running, children, free_port_pair, is_alive, muster, run};

#[test]
fn a_demo_in_chaos_has_a_history_that_makes_sense() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("history.jsonl");
    let mut command = muster();
    let seconds = "--seconds=16";
    command.args([
        "demo",
        "--players=16",
        seconds,
        "--match-seconds=5",
        "--seed=5",
        "--chaos=5",
        "--patience=4",
        "-o",
        "json",
    ]);
    let output = run(command.arg("--history").arg(&file), Duration::from_secs(240));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object on stdout");
    for figure in ["told_ms_max", "told_after_outage_ms_max", "fleet_whole_ms_max", "platform_back_ms_max"] {
        assert!(report["chaos"][figure].is_u64(), "{figure} in {report}\n{stderr}");
    }
    let history = std::fs::read_to_string(&file).expect("a history");
    let stopped = |service: &str| format!("\"stopped\",\"service\":\"{service}\"");
    let (allocator, metagame) = (stopped("allocator"), stopped("metagame"));
    for event in ["server_killed", "room_panicked", "\"lost\"", "stands still", "platform_back", &allocator, &metagame]
    {
        assert!(history.contains(event), "no {event} in the history\n{stderr}");
    }
    let check = |file: &Path| run(muster().args(["check-history", "--patience=4"]).arg(file), Duration::from_secs(30));
    assert!(check(&file).status.success());
    // The same history, had nobody killed the server.
    let innocent: Vec<_> = history.lines().filter(|line| !line.contains("server_killed")).collect();
    std::fs::write(&file, innocent.join("\n")).expect("write");
    let refused = check(&file);
    assert_eq!(refused.status.code(), Some(1), "{}", String::from_utf8_lossy(&refused.stdout));
}

fn up(data: &Path, port: u16, more: [u16; 2]) -> Running {
    let queues = data.join("queues.toml");
    let built_in = include_str!("../queues.toml").replace("seconds = 20", "seconds = 8");
    std::fs::write(&queues, built_in).expect("write");
    let mut command = muster();
    command.arg("up").arg("--data").arg(data).arg("--drain-seconds=30").arg("--queues").arg(queues);
    command.arg(format!("--listen=127.0.0.1:{port}"));
    command.arg(format!("--allocator-listen=127.0.0.1:{}", more[0]));
    command.arg(format!("--matchmaker-listen=127.0.0.1:{}", more[1]));
    let platform = Running::start(&mut command);
    for (what, port) in [("the API", port), ("metagame's admin port", port + 1)] {
        testkit::wait::until_blocking(what, || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    }
    platform
}

/// What metagame counts; its admin port is the one after the API's.
fn stats(port: u16) -> serde_json::Value {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let answer = reqwest::get(format!("http://127.0.0.1:{}/stats", port + 1)).await.expect("an answer");
        answer.json().await.expect("JSON")
    })
}

fn spooled(data: &Path) -> usize {
    let files = std::fs::read_dir(data.join("spool")).into_iter().flatten().flatten();
    files.filter(|file| file.path().extension().is_some_and(|kind| kind == "json")).count()
}

#[test]
fn a_platform_that_was_killed_has_no_orphans_and_finds_its_accounts_and_results_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, port) = (folder.path(), free_port_pair());
    let platform = up(data, port, [free_port_pair(), free_port_pair()]);
    let url = format!("--url=http://127.0.0.1:{port}");
    let bots = Running::start(muster().args(["bots", "--players=8", "--seconds=60", "--seed=5", &url]));
    let recorded = |at_least: u64| {
        let stats = stats(port);
        (stats["results_recorded"].as_u64() >= Some(at_least)).then_some(stats)
    };
    testkit::wait::until_blocking("the first result", || recorded(1));
    // In the middle of the next match.
    std::thread::sleep(Duration::from_secs(4));
    let servers = children(platform.id());
    let before = stats(port);
    platform.kill();
    let gone = || servers.iter().all(|server| !is_alive(*server)).then_some(());
    testkit::wait::until_blocking("the game servers' end", gone);
    drop(bots);
    // What ran was ended by its orphaned servers, and its result lies in the spool.
    let waiting = spooled(data) as u64;
    let results = before["results_recorded"].as_u64().expect("a count") + waiting;
    assert!(waiting >= 1, "no result was spooled");

    let platform = up(data, port, [free_port_pair(), free_port_pair()]);
    let after = testkit::wait::until_blocking("the spooled results", || recorded(results));
    assert_eq!(after["results_recorded"].as_u64(), Some(results));
    assert_eq!((&after["accounts"], after["accounts"].as_u64()), (&before["accounts"], Some(8)));
    testkit::wait::until_blocking("an empty spool", || (spooled(data) == 0).then_some(()));
    platform.terminate();
    assert!(platform.finish(Duration::from_secs(90)).status.success());
}
