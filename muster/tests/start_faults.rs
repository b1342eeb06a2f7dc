//! What a user can mend is said in one clear message, and the exit status is 2.

mod common;

use std::time::Duration;

use common::{free_port_pair, muster, run};

const PATIENCE: Duration = Duration::from_secs(60);

/// `muster up` with free ports in `data`, and these arguments besides; its stderr.
fn fault(data: &std::path::Path, args: &[&str]) -> String {
    let mut command = muster();
    command.arg("up").arg("--data").arg(data);
    for flag in ["--listen", "--allocator-listen", "--matchmaker-listen"] {
        if !args.iter().any(|arg| arg.starts_with(flag)) {
            command.arg(format!("{flag}=127.0.0.1:{}", free_port_pair()));
        }
    }
    let output = run(command.args(args), PATIENCE);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(output.stdout.is_empty(), "nothing on stdout");
    stderr
}

#[test]
fn a_port_in_use_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let message = fault(folder.path(), &[&format!("--listen={address}")]);
    assert!(message.contains(&address) && message.contains("in use"), "{message}");
}

#[test]
fn a_corrupt_database_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("metagame.db");
    std::fs::write(&path, "this is no database".repeat(1_000)).expect("write");
    let message = fault(folder.path(), &[]);
    assert!(message.contains("metagame.db"), "{message}");
    assert_eq!(std::fs::read(&path).expect("still there").len(), 19_000, "the file must not be touched");
}

#[test]
fn every_fault_of_a_settings_file_is_named_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("muster.toml");
    std::fs::write(&path, "lissen = \"127.0.0.1:1\"\nservers-maxx = 3\n").expect("write");
    let message = fault(folder.path(), &["--config", path.to_str().expect("UTF-8")]);
    assert!(message.contains("lissen") && message.contains("servers-maxx"), "{message}");
}

#[test]
fn a_faulty_queue_file_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("queues.toml");
    std::fs::write(&path, "[[queue]]\nname = \"x\"\nteams = 0\n").expect("write");
    let message = fault(folder.path(), &["--queues", path.to_str().expect("UTF-8")]);
    assert!(message.contains("queues.toml") && message.contains("teams"), "{message}");
}

#[test]
fn a_fleet_that_cannot_be_is_refused_before_anything_starts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (flags, named) in [
        (["--servers-min=3", "--servers-max=2"], "--servers-min 3"),
        (["--servers-min=0", "--servers-max=0"], "--servers-max"),
        (["--servers-max=1", "--capacity=257"], "--capacity"),
    ] {
        let message = fault(folder.path(), &flags);
        assert!(message.contains(named), "{message}");
        assert!(!message.contains("is ready"), "{message}");
    }
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("service.key");
    std::fs::write(&path, "00".repeat(32)).expect("write");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("chmod");
    let message = fault(folder.path(), &[]);
    assert!(message.contains("service.key") && message.contains("chmod 600"), "{message}");
}

#[test]
fn an_unknown_flag_is_a_usage_error() {
    let output = run(muster().args(["demo", "--playrs", "8"]), PATIENCE);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--players"));
}
