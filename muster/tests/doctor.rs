//! `muster doctor` on a fresh machine, beside a platform that runs, and on an installation that is ill.

mod common;

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use common::{Running, free_port_pair, muster, run};

fn doctor(data: &Path, ports: [u16; 3]) -> (Output, serde_json::Value) {
    let mut command = muster();
    command.args(["doctor", "-o", "json"]).arg("--data").arg(data);
    for (flag, port) in ["--listen", "--allocator-listen", "--matchmaker-listen"].iter().zip(ports) {
        command.arg(format!("{flag}=127.0.0.1:{port}"));
    }
    let output = run(&mut command, Duration::from_secs(60));
    let report = serde_json::from_slice(&output.stdout).expect("one JSON object on stdout");
    (output, report)
}

fn status<'a>(report: &'a serde_json::Value, check: &str) -> Option<&'a str> {
    let checks = report["checks"].as_array().expect("a list of checks");
    checks.iter().find(|found| found["check"] == check)?["status"].as_str()
}

fn ports() -> [u16; 3] {
    std::array::from_fn(|_| free_port_pair())
}

#[test]
fn nothing_is_wrong_with_a_machine_on_which_nothing_runs_yet() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (output, report) = doctor(&folder.path().join("none"), ports());
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert_eq!((report["healthy"].as_bool(), status(&report, "data folder")), (Some(true), Some("warn")), "{report}");
    assert_eq!(status(&report, "fleet"), None, "{report}");
}

#[test]
fn a_running_platform_is_healthy_and_its_ports_are_its_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ports = ports();
    let mut command = muster();
    command.arg("up").arg("--data").arg(folder.path());
    for (flag, port) in ["--listen", "--allocator-listen", "--matchmaker-listen"].iter().zip(ports) {
        command.arg(format!("{flag}=127.0.0.1:{port}"));
    }
    let platform = Running::start(&mut command);
    // Game servers register a moment after the services answer.
    let report = testkit::wait::until_blocking("a healthy platform with a fleet", || {
        let (output, report) = doctor(folder.path(), ports);
        (output.status.code() == Some(0) && status(&report, "fleet") == Some("ok")).then_some(report)
    });
    for check in ["metagame", "allocator", "matchmaker", "database", "service.key"] {
        assert_eq!(status(&report, check), Some("ok"), "{check} in {report}");
    }
    assert_eq!(status(&report, &format!("port {}", ports[0])), Some("ok"), "{report}");
    platform.terminate();
    assert!(platform.finish(Duration::from_secs(90)).status.success());
}

#[test]
fn a_damaged_database_and_a_taken_port_are_found() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("metagame.db"), "this is no database".repeat(1_000)).expect("write");
    let ports = ports();
    let taken = std::net::TcpListener::bind(("127.0.0.1", ports[0])).expect("it was free a moment ago");
    let (output, report) = doctor(folder.path(), ports);
    assert_eq!(output.status.code(), Some(3), "{report}");
    assert_eq!(status(&report, "database"), Some("fail"), "{report}");
    assert_eq!(status(&report, &format!("port {}", ports[0])), Some("fail"), "{report}");
    drop(taken);
}
