//! `muster up` and `muster bots`: a platform that stays, bots that come and go, a drain that leaves nothing.

mod common;

use std::process::Command;
use std::time::Duration;

use common::{Running, children, free_port_pair, is_alive, muster, run};

fn up(data: &std::path::Path, port: u16, ports: [u16; 2]) -> Running {
    // Short matches: a drain waits for them.
    up_with(data, port, ports, 5, |command| command.arg("--drain-seconds=40"))
}

/// A platform with matches of this length, and what `adjust` adds.
fn up_with(
    data: &std::path::Path,
    port: u16,
    ports: [u16; 2],
    match_seconds: u32,
    adjust: impl FnOnce(&mut Command) -> &mut Command,
) -> Running {
    let queues = data.join("queues.toml");
    let built_in = include_str!("../queues.toml").replace("seconds = 20", &format!("seconds = {match_seconds}"));
    std::fs::write(&queues, built_in).expect("write");
    let mut command = muster();
    command.arg("up").arg("--data").arg(data).arg("--queues").arg(queues);
    command.arg(format!("--listen=127.0.0.1:{port}"));
    command.arg(format!("--allocator-listen=127.0.0.1:{}", ports[0]));
    command.arg(format!("--matchmaker-listen=127.0.0.1:{}", ports[1]));
    let platform = Running::start(adjust(&mut command));
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

/// Something that the platform counts; its admin port is the one after the API's.
fn stat(port: u16, name: &str) -> u64 {
    let stats: serde_json::Value = serde_json::from_str(&admin(port, "stats")).expect("JSON");
    stats[name].as_u64().expect("a count")
}

fn admin(port: u16, path: &str) -> String {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let answer = reqwest::get(format!("http://127.0.0.1:{}/{path}", port + 1)).await.expect("an answer");
        answer.text().await.expect("text")
    })
}

#[test]
fn bots_play_on_a_platform_that_keeps_its_accounts_over_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let port = free_port_pair();
    let platform = up(folder.path(), port, [free_port_pair(), free_port_pair()]);
    let first = bots(port, 5);
    assert!(first["games_ended"].as_u64() >= Some(8), "{first}");
    assert_eq!((first["join_failures"].as_u64(), first["games_missing"].as_u64()), (Some(0), Some(0)), "{first}");
    assert_eq!(stat(port, "accounts"), 8);

    let servers = children(platform.id());
    assert!(!servers.is_empty(), "a fleet is running");
    platform.terminate();
    let output = platform.finish(Duration::from_secs(90));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(servers.iter().all(|server| !is_alive(*server)), "a game server outlived the drain");

    let platform = up(folder.path(), port, [free_port_pair(), free_port_pair()]);
    let second = bots(port, 5);
    assert!(second["games_in_history"].as_u64() >= Some(8), "{second}");
    assert_eq!(stat(port, "accounts"), 8, "the same bots have accounts already");
    platform.terminate();
    assert!(platform.finish(Duration::from_secs(90)).status.success());
}

#[test]
fn matches_that_outlast_the_drain_still_end_with_a_result() {
    // Either the patience runs out, or the operator's: a second signal.
    for (patience, is_signalled_again) in [("--drain-seconds=1", false), ("--drain-seconds=300", true)] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port_pair();
        let ports = [free_port_pair(), free_port_pair()];
        let platform = up_with(folder.path(), port, ports, 600, |command| command.arg(patience));
        let url = format!("--url=http://127.0.0.1:{port}");
        let bots = Running::start(muster().args(["bots", "--players=8", &url]));
        let playing = || (stat(port, "matches_live") == 1).then_some(());
        testkit::wait::until_blocking("a match", playing);
        testkit::wait::until_blocking("its first tick", || {
            admin(port, "metrics").contains("kind=\"MATCH_EVENT_KIND_PLAYING\"} 1").then_some(())
        });
        platform.terminate();
        if is_signalled_again {
            testkit::wait::until_blocking("a drain", || {
                std::net::TcpStream::connect(("127.0.0.1", ports[1])).is_err().then_some(())
            });
            platform.terminate();
        }
        let output = platform.finish(Duration::from_secs(60));
        assert!(output.status.success(), "{patience}: {}", String::from_utf8_lossy(&output.stderr));
        bots.kill();

        let platform = up(folder.path(), port, [free_port_pair(), free_port_pair()]);
        assert_eq!(stat(port, "results_recorded"), 1, "{patience}");
        platform.terminate();
        assert!(platform.finish(Duration::from_secs(60)).status.success());
    }
}

#[test]
fn a_platforms_own_variables_do_not_reach_its_game_servers() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = folder.path().join("up.toml");
    std::fs::write(&settings, "drain-seconds = 5\n").expect("write");
    let port = free_port_pair();
    let platform = up_with(folder.path(), port, [free_port_pair(), free_port_pair()], 5, |command| {
        command.env("MUSTER_CONFIG", &settings).env("MUSTER_ADVERTISE", "127.0.0.1")
    });
    testkit::wait::until_blocking("a game server", || {
        admin(port, "metrics").contains("muster_allocator_servers{link=\"linked\"} 1").then_some(())
    });
    platform.terminate();
    let output = platform.finish(Duration::from_secs(60));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn players_are_sent_to_the_address_that_is_advertised() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (port, console) = (free_port_pair(), free_port_pair());
    // An address that this machine does not have, as behind a router: the servers listen at all of its own.
    let platform = up_with(folder.path(), port, [free_port_pair(), free_port_pair()], 5, |command| {
        let listen = format!("--console-listen=127.0.0.1:{console}");
        command.args(["--advertise=198.51.100.7", "--drain-seconds=5"]).arg(listen)
    });
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let address = testkit::wait::until_blocking("a game server", || {
        let asked = reqwest::get(format!("http://127.0.0.1:{console}/api/overview"));
        let overview: serde_json::Value = runtime.block_on(async { asked.await.ok()?.json().await.ok() })?;
        overview["servers"][0]["address"].as_str().map(str::to_owned)
    });
    let port = address.strip_prefix("198.51.100.7:").and_then(|port| port.parse::<u16>().ok());
    assert!(port.is_some_and(|port| port > 0), "{address}");
    platform.terminate();
    let output = platform.finish(Duration::from_secs(60));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn two_allocators_never_share_a_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let port = free_port_pair();
    let _platform = up(folder.path(), port, [free_port_pair(), free_port_pair()]);
    let (listen, admin) = (free_port_pair(), free_port_pair());
    let (listen, admin) = (format!("--listen=127.0.0.1:{listen}"), format!("--admin=127.0.0.1:{admin}"));
    let mut second = muster();
    second.args(["allocator", &listen, &admin, "--data"]).arg(folder.path());
    let output = run(&mut second, Duration::from_secs(60));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("another allocator"), "{stderr}");
}

#[test]
fn bots_that_cannot_play_say_why() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let port = free_port_pair();
    let _platform = up(folder.path(), port, [free_port_pair(), free_port_pair()]);
    let (api, admin) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{}", port + 1));
    for (url, more, status, why) in [
        (api.as_str(), "--queue=chess", 2, "arena-4v4"),
        (api.as_str(), "--players=3", 1, "enough for the queue"),
        (admin.as_str(), "--players=8", 2, "no metagame API"),
        ("127.0.0.1:7100", "--players=8", 2, "http://host:port"),
    ] {
        let mut bots = muster();
        bots.args(["bots", "--seconds=1", "--url", url, more]);
        let output = run(&mut bots, Duration::from_secs(60));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{url} {more}: {stderr}");
        assert!(stderr.contains(why), "{url} {more}: {stderr}");
    }
}

#[test]
fn bots_without_a_platform_say_so() {
    let url = format!("--url=http://127.0.0.1:{}", free_port_pair());
    let output = run(muster().args(["bots", "--players=1", "--seconds=1", &url]), Duration::from_secs(60));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("muster up"), "{stderr}");
}
