//! Servers that tests start, each kept by a shell whose standard input is its lifeline: orders come in by it, and when it
//! closes, however this process ended, the server ends and its folder goes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

/// A kept server: its shell, and where both are.
#[derive(Debug)]
pub(crate) struct Keeper {
    name: &'static str,
    shell: Child,
    /// Its lifeline; `None` once it is cut.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    folder: PathBuf,
    port: u16,
}

impl Keeper {
    /// Starts a server by `script`, which is given a folder to make, a free port and `args`, answers each order with one
    /// line, and begins with `started`. `shell` is `sh`, or what starts one as another user.
    ///
    /// # Errors
    /// Why it did not start, with the server's log.
    pub(crate) fn start(
        name: &'static str,
        shell: &mut Command,
        script: &str,
        args: &[&std::ffi::OsStr],
    ) -> Result<Self, String> {
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("muster-{}-{}-{number}", name.to_lowercase(), std::process::id()));
        let port = free_port()?;
        let mut shell = shell
            .args(["-c", script, "keeper"])
            .arg(&folder)
            .arg(port.to_string())
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start a {name} server: {error}"))?;
        let orders = shell.stdin.take();
        let answers = BufReader::new(shell.stdout.take().ok_or("the keeper has no output")?);
        let mut keeper = Self { name, shell, orders, answers, folder, port };
        if keeper.answer() == "started" {
            return Ok(keeper);
        }
        let log = std::fs::read_to_string(keeper.folder.join("log")).unwrap_or_default();
        Err(format!("a {name} server in {} did not start:\n{log}", keeper.folder.display()))
    }

    /// The server's port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The id of the shell, which the server's processes descend from.
    pub(crate) fn pid(&self) -> u32 {
        self.shell.id()
    }

    /// Where it keeps its files; there as long as it is.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.clone()
    }

    /// Has the server do something.
    ///
    /// # Panics
    /// If the keeper does not answer with `answer`.
    pub(crate) fn order(&mut self, order: &str, answer: &str) {
        let orders = self.orders.as_mut().expect("open until it is dropped");
        writeln!(orders, "{order}").expect("the keeper listens");
        assert_eq!(self.answer(), answer, "a {} server was told to {order}", self.name);
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        let _ = self.answers.read_line(&mut line);
        line.trim().to_owned()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.shell.wait();
    }
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
    Ok(listener.local_addr().map_err(|error| error.to_string())?.port())
}
