//! `muster up` and `muster bots`: a platform that stays, bots that come and go, a drain that leaves nothing.

mod common;

use std::time::Duration;

use common::{Running, children, free_port_pair, is_alive, muster, run};

fn up(data: &std::path::Path, port: u16, ports: [u16; 2]) -> Running {
    // Short matches: a drain waits for them.
    let queues = data.join("queues.toml");
    let built_in = include_str!("../queues.toml").replace("seconds = 20", "seconds = 5");
    std::fs::write(&queues, built_in).expect("write");
    let mut command = muster();
    command.arg("up").arg("--data").arg(data).arg("--drain-seconds=40").arg("--queues").arg(queues);
    command.arg(format!("--listen=127.0.0.1:{port}"));
    command.arg(format!("--allocator-listen=127.0.0.1:{}", ports[0]));
    command.arg(format!("--matchmaker-listen=127.0.0.1:{}", ports[1]));
    let platform = Running::start(&mut command);
    testkit::wait::until_blocking("the API", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    platform
}

fn bots(port: u16, seed: u64) -> serde_json::Value {
    let url = format!("--url=http://127.0.0.1:{port}");
    let args = ["bots", "--players=8", "--seconds=2", &url, &format!("--seed={seed}"), "-o", "json"];
    let output = run(muster().args(args), Duration::from_secs(150));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object on stdout")
}

/// Accounts that the platform counts; its admin port is the one after the API's.
fn accounts(port: u16) -> u64 {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let stats = runtime.block_on(async {
        let answer = reqwest::get(format!("http://127.0.0.1:{}/stats", port + 1)).await.expect("an answer");
        answer.json::<serde_json::Value>().await.expect("JSON")
    });
    stats["accounts"].as_u64().expect("a count")
}

#[test]
fn bots_play_on_a_platform_that_keeps_its_accounts_over_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let port = free_port_pair();
    let platform = up(folder.path(), port, [free_port_pair(), free_port_pair()]);
    let first = bots(port, 5);
    assert!(first["games_ended"].as_u64() >= Some(8), "{first}");
    assert_eq!((first["join_failures"].as_u64(), first["games_missing"].as_u64()), (Some(0), Some(0)), "{first}");
    assert_eq!(accounts(port), 8);

    let servers = children(platform.id());
    assert!(!servers.is_empty(), "a fleet is running");
    platform.terminate();
    let output = platform.finish(Duration::from_secs(90));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(servers.iter().all(|server| !is_alive(*server)), "a game server outlived the drain");

    let platform = up(folder.path(), port, [free_port_pair(), free_port_pair()]);
    let second = bots(port, 5);
    assert!(second["games_in_history"].as_u64() >= Some(8), "{second}");
    assert_eq!(accounts(port), 8, "the same bots have accounts already");
    platform.terminate();
    assert!(platform.finish(Duration::from_secs(90)).status.success());
}

#[test]
fn bots_without_a_platform_say_so() {
    let url = format!("--url=http://127.0.0.1:{}", free_port_pair());
    let output = run(muster().args(["bots", "--players=1", "--seconds=1", &url]), Duration::from_secs(60));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("muster up"), "{stderr}");
}
