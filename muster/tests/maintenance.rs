//! Maintenance and minimum builds by the command line, on a metagame that runs.

mod common;

use std::process::Output;
use std::time::Duration;

use common::{Running, free_port_pair, muster, run};

fn decide(port: u16, args: &[&str]) -> Output {
    run(muster().args(args).arg(format!("--admin=http://127.0.0.1:{}", port + 1)), Duration::from_secs(30))
}

fn said(port: u16, args: &[&str]) -> String {
    let output = decide(port, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn operators_decide_about_new_tickets() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let port = free_port_pair();
    let metagame = Running::start(
        muster()
            .args(["metagame", &format!("--listen=127.0.0.1:{port}"), &format!("--admin=127.0.0.1:{}", port + 1)])
            .arg("--data")
            .arg(folder.path()),
    );
    testkit::wait::until_blocking("the admin port", || std::net::TcpStream::connect(("127.0.0.1", port + 1)).ok());
    assert!(said(port, &["maintenance", "show"]).contains("off"));
    let on = said(port, &["maintenance", "on", "--message", "Back at noon.", "--retry-after", "60"]);
    assert!(on.contains("Back at noon.") && on.contains("60 s"), "{on}");
    let both = said(port, &["minimum-build", "1.4.0", "--queue", "duel"]);
    assert!(both.contains("on: ") && both.contains("1.4.0 for duel"), "{both}");
    assert!(!said(port, &["minimum-build", "--clear", "--queue=duel"]).contains("duel"));
    assert!(said(port, &["maintenance", "off"]).contains("maintenance    off"));

    let refused = decide(port, &["minimum-build", "dev"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is not a build"), "{refused:?}");
    metagame.terminate();
    assert!(metagame.finish(Duration::from_secs(60)).status.success());
    let away = decide(port, &["maintenance", "show"]);
    assert_eq!(away.status.code(), Some(2), "nobody answers any more");
}
