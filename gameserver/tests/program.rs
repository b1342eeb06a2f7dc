//! The program as its operator meets it: exit status, messages, signals, the lifeline. The program is the example
//! `arena_server`, which cargo builds with the tests.

mod support;

use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use protocol::jwt::SigningKey;
use rustix::process::{Pid, Signal, kill_process};
use support::allocator::FakeAllocator;

fn server() -> Command {
    let test = std::env::current_exe().expect("the test knows itself");
    let target: PathBuf = test.parent().and_then(|deps| deps.parent()).expect("target/<profile>/deps").into();
    let mut command = Command::new(target.join("examples/arena_server"));
    command.env_clear().env("MUSTER_LOG_FORMAT", "json");
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = server().args(arguments).output().expect("the example is built with the tests");
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn key(&self) -> SigningKey {
        service::key::load_or_create(&self.0.path().join("service.key")).expect("a key")
    }

    fn arguments(&self, allocator: &str) -> Vec<String> {
        vec![
            format!("--allocator={allocator}"),
            "--metagame=http://127.0.0.1:9".into(),
            format!("--service-key={}", self.path("service.key")),
            format!("--spool={}", self.path("spool")),
        ]
    }
}

/// Waits for the end of a process, and kills it rather than hang.
fn wait(mut child: Child) -> ExitStatus {
    let deadline = std::time::Instant::now() + testkit::wait::PATIENCE;
    loop {
        if let Some(status) = child.try_wait().expect("our child") {
            return status;
        }
        if std::time::Instant::now() > deadline {
            let _ = child.kill();
            panic!("the server did not end");
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn bad_settings_end_with_status_2_and_every_fault_in_one_message() {
    let (status, message) = run(&["--capacity=0", "--bind=nowhere", "--spool=/tmp/x"]);
    assert_eq!(status, Some(2), "{message}");
    for flag in ["--capacity", "--bind", "--allocator", "--metagame", "--service-key"] {
        assert!(message.contains(flag), "{flag} in {message}");
    }
    assert_eq!(run(&["--no-such-flag"]).0, Some(2));
    assert_eq!(run(&["--help"]).0, Some(0));
}

#[test]
fn a_missing_key_is_named_and_not_made() {
    let folder = Folder::new();
    let arguments = folder.arguments("http://127.0.0.1:9");
    let (status, message) = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(status, Some(2), "{message}");
    assert!(message.contains("service.key"), "{message}");
    assert!(!std::path::Path::new(&folder.path("service.key")).exists(), "a key of its own would prove nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_finds_no_allocator_says_so_and_why() {
    use std::io::{BufRead as _, BufReader};
    let folder = Folder::new();
    folder.key();
    // An allocator that refuses this installation's key.
    let other = Folder::new();
    let allocator = FakeAllocator::start(&other.key()).await;
    for url in ["http://127.0.0.1:9", &allocator.url] {
        let mut child = server().args(folder.arguments(url)).stderr(Stdio::piped()).spawn().expect("started");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let said = tokio::task::spawn_blocking(move || {
            lines.map_while(Result::ok).find(|line| line.contains("WARN")).expect("a warning, not silence")
        });
        let said = tokio::time::timeout(testkit::wait::PATIENCE, said).await.expect("in time").expect("no panic");
        assert!(said.contains("no allocator") && said.contains("why"), "{said}");
        child.kill().expect("our child");
        child.wait().expect("our child");
    }
}

#[test]
fn a_port_in_use_ends_with_status_2_and_its_name() {
    let folder = Folder::new();
    folder.key();
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let bind = format!("--bind={}", taken.local_addr().expect("bound"));
    let mut arguments = folder.arguments("http://127.0.0.1:9");
    arguments.push(bind);
    let (status, message) = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(status, Some(2), "{message}");
    assert!(message.contains("game UDP port") && message.contains("in use"), "{message}");
}

#[test]
fn a_settings_file_is_read_and_its_faults_are_named() {
    let folder = Folder::new();
    let file = folder.path("server.toml");
    std::fs::write(&file, "capacity = 0\ntick-rate = 5\n").expect("write");
    let (status, message) = run(&["--config", &file]);
    assert_eq!(status, Some(2), "{message}");
    // The log is JSON, so the quotes are escaped.
    for fault in [r#"--capacity is \"0\""#, r#"--tick-rate is \"5\""#, r#""level":"ERROR""#] {
        assert!(message.contains(fault), "{fault} in {message}");
    }
    std::fs::write(&file, "capasity = 2\n").expect("write");
    let (status, message) = run(&["--config", &file]);
    assert!(status == Some(2) && message.contains("capasity"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_an_idle_server_with_status_0() {
    let folder = Folder::new();
    let mut allocator = FakeAllocator::start(&folder.key()).await;
    let child = server().args(folder.arguments(&allocator.url)).stdin(Stdio::null()).spawn().expect("started");
    let (_link, register) = allocator.registered().await;
    assert_eq!(register.name, "gameserver");
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::TERM).expect("our child");
    let status = tokio::task::spawn_blocking(|| wait(child)).await.expect("no panic");
    assert_eq!(status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_provider_is_gone_ends_by_itself() {
    let folder = Folder::new();
    let mut allocator = FakeAllocator::start(&folder.key()).await;
    let mut command = server();
    command.args(folder.arguments(&allocator.url)).env(agones::lifeline::VARIABLE, agones::lifeline::STDIN);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("started");
    allocator.registered().await;
    drop(child.stdin.take());
    let status = tokio::task::spawn_blocking(|| wait(child)).await.expect("no panic");
    assert!(matches!(status.code(), Some(0 | 3)), "{status}");
}
