//! What is killed: the real program as a process, and a real PostgreSQL with all its processes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use testkit::postgres::{Server, TestDatabase};

use super::common::{free_port_pair, muster};

/// Where the data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// Where the program is reached; it stays the same over kills.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    pub(crate) api: String,
    pub(crate) admin: String,
}

/// The processes and their data.
pub(crate) struct Stage {
    folder: tempfile::TempDir,
    port: u16,
    server: Option<Child>,
    // Dropped before its server is.
    database: Option<TestDatabase>,
    postgres: Option<Server>,
}

impl Stage {
    pub(crate) async fn set(engine: Engine) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // A server of its own: other tests must not notice.
        let postgres = (engine == Engine::Postgres).then(|| Server::start().unwrap_or_else(|fault| panic!("{fault}")));
        let database = postgres.as_ref().map(|server| TestDatabase::on(&server.url()));
        std::fs::write(folder.path().join("catalog.toml"), include_str!("catalog.toml")).expect("written");
        let mut stage = Self { folder, port: free_port_pair(), server: None, database, postgres };
        stage.start();
        stage
    }

    pub(crate) fn reach(&self) -> Reach {
        let at = |port: u16| format!("http://127.0.0.1:{port}");
        Reach { api: at(self.port), admin: at(self.port + 1) }
    }

    /// Where `muster` finds the data.
    pub(crate) fn database(&self) -> String {
        match &self.database {
            Some(database) => database.url(),
            None => self.path("metagame.db").display().to_string(),
        }
    }

    /// kill -9 of metagame, which is started again a little later.
    pub(crate) async fn kill_server(&mut self, dead_for: Duration) {
        self.look_after();
        let mut server = self.server.take().expect("it runs");
        server.kill().expect("it is our child");
        server.wait().expect("it is our child");
        tokio::time::sleep(dead_for).await;
        self.start();
    }

    /// kill -9 of PostgreSQL and all its processes; metagame lives on and has to find the new one.
    pub(crate) async fn kill_database(&mut self, dead_for: Duration) {
        let mut postgres = self.postgres.take().expect("there is one");
        let killed = tokio::task::spawn_blocking(move || {
            postgres.kill();
            std::thread::sleep(dead_for);
            postgres.start_again();
            postgres
        });
        self.postgres = Some(killed.await.expect("it starts again"));
    }

    /// Starts metagame again if it has ended by itself, as a service manager does: the database may die while it starts. On a
    /// file there is no reason to.
    pub(crate) fn look_after(&mut self) {
        let ended = self.server.as_mut().and_then(|server| server.try_wait().expect("it is our child"));
        if let Some(status) = ended {
            assert!(self.postgres.is_some(), "metagame has ended by itself ({status}):\n{}", self.log());
            self.start();
        }
    }

    fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.path("log")).expect("a log");
        let mut command = muster();
        let flag = |name: &str, value: &dyn std::fmt::Display| format!("--{name}={value}");
        command.arg("metagame").arg(flag("data", &self.folder.path().display()));
        command.arg(flag("listen", &format!("127.0.0.1:{}", self.port)));
        command.arg(flag("admin", &format!("127.0.0.1:{}", self.port + 1)));
        command.arg(flag("database", &self.database())).arg(flag("catalog", &self.path("catalog.toml").display()));
        // Nobody listens there: money needs neither.
        command.args(["--allocator=http://127.0.0.1:1", "--matchmaker=http://127.0.0.1:1", "--log=warn"]);
        let stderr = log.try_clone().expect("one more handle");
        self.server =
            Some(command.stdout(Stdio::from(log)).stderr(Stdio::from(stderr)).spawn().expect("muster starts"));
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(self.folder.path()).join(name)
    }

    /// The end of what metagame has said.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read(self.path("log")).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(8_000)..]).into_owned()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}
