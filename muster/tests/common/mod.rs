//! Running the real program as a child process.
#![allow(dead_code, reason = "each test program uses a part")]

pub(crate) mod instance;

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The program under test.
pub(crate) fn muster() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command.env_remove("MUSTER_LOG").stdin(Stdio::null());
    command
}

/// A running program that is killed when the test ends, however it ends.
pub(crate) struct Running {
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

impl Running {
    /// Starts it; what it prints is collected.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("muster starts");
        let stdout = child.stdout.take().map(collect);
        let stderr = child.stderr.take().map(collect);
        Self { child, stdout, stderr }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, as a service manager does.
    pub(crate) fn terminate(&self) {
        let status = Command::new("kill").arg(self.id().to_string()).status().expect("kill runs");
        assert!(status.success(), "kill failed");
    }

    /// Ends it at once, as a crash does.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("kill works");
        self.child.wait().expect("it was our child");
    }

    /// Waits for its end; panics with what it printed if that takes longer than `patience`.
    pub(crate) fn finish(mut self, patience: Duration) -> Output {
        let deadline = Instant::now() + patience;
        let status = loop {
            match self.child.try_wait().expect("it is our child") {
                Some(status) => break Some(status),
                None if Instant::now() > deadline => break None,
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        self.output(status, patience)
    }

    fn output(&mut self, status: Option<ExitStatus>, patience: Duration) -> Output {
        if status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let join = |thread: Option<JoinHandle<Vec<u8>>>| thread.expect("taken once").join().expect("no panic");
        let (stdout, stderr) = (join(self.stdout.take()), join(self.stderr.take()));
        let Some(status) = status else {
            panic!("still running after {patience:?}; it printed:\n{}", String::from_utf8_lossy(&stderr))
        };
        Output { status, stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

/// Runs it to its end.
pub(crate) fn run(command: &mut Command, patience: Duration) -> Output {
    Running::start(command).finish(patience)
}

/// Processes whose parent is `parent`, by /proc.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc is there").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // pid (name) state ppid …; the name may hold spaces and parentheses.
        let Some((_, rest)) = stat.rsplit_once(')') else { continue };
        if rest.split_whitespace().nth(1) == Some(&parent.to_string()) {
            found.push(pid);
        }
    }
    found
}

/// Whether a process runs. Its number may have been given to a thread of another process since, and `/proc` shows that, too.
pub(crate) fn is_alive(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    field("Tgid:") == Some(pid.to_string().as_str())
        && !field("State:").is_some_and(|state| state.starts_with(['Z', 'X']))
}

/// A TCP port that was free a moment ago, whose successor was free too.
pub(crate) fn free_port_pair() -> u16 {
    loop {
        let first = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = first.local_addr().expect("bound").port();
        if port < u16::MAX && std::net::TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}
