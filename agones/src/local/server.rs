//! The life of one server: its SDK server and its process, from start to end.

use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::process::{Launch, Process};
use super::{FleetConfig, ServerStatus, output};
use crate::observed::{Observed, Port};
use crate::sdk_server::{SdkServer, SdkServerConfig};
use crate::state::State;

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// By its own Shutdown, or because it was asked to.
    Left,
    /// By itself, without a word.
    Crashed,
    /// It stopped sending health pings.
    Unhealthy,
    /// It never became idle.
    LateStart,
    /// It could not be started at all.
    NotStarted,
}

impl How {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            How::Left => "left",
            How::Crashed => "crashed",
            How::Unhealthy => "unhealthy",
            How::LateStart => "late_start",
            How::NotStarted => "not_started",
        }
    }
}

/// The end of a server.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) how: How,
    /// In words: exit status, or why it could not start.
    pub(super) detail: String,
    pub(super) lived: Duration,
    /// Whether it had to be killed.
    pub(super) killed: bool,
}

/// One server to run.
pub(super) struct Job {
    pub(super) config: Arc<FleetConfig>,
    pub(super) status: ServerStatus,
    /// `Some`: end, and be killed at that moment. May be brought forward.
    pub(super) end_by: watch::Receiver<Option<Instant>>,
    pub(super) changes: mpsc::Sender<ServerStatus>,
}

/// Runs one server until its process has ended. Dropping the future kills the process.
pub(super) async fn run(job: Job) -> Ended {
    let started = Instant::now();
    let failed = |detail: String| Ended { how: How::NotStarted, detail, lived: started.elapsed(), killed: false };
    let sdk = match SdkServer::start(sdk_config(&job)).await {
        Ok(sdk) => sdk,
        Err(error) => return failed(error.to_string()),
    };
    let launch = launch(&job, &sdk);
    let (process, stdout, stderr) = match Process::start(&launch) {
        Ok(started) => started,
        Err(error) => return failed(format!("failed to run {}: {error}", launch.command.join(" "))),
    };
    let name = job.status.name.clone();
    tokio::spawn(output::forward(name.clone(), stdout));
    tokio::spawn(output::forward(name, stderr));
    let mut life = Life {
        startup_ends: Some(started + job.config.startup_timeout),
        observed: sdk.observed(),
        sdk,
        process,
        end: None,
        why: None,
        killed: false,
        job,
    };
    life.job.status.pid = life.process.pid();
    life.job.status.sdk_port = life.sdk.local_addr().port();
    tracing::info!(server_id = life.job.status.name, pid = life.job.status.pid, "game server started");
    life.publish().await;
    let status = life.until_exit().await;
    life.ended(&status, started.elapsed()).await
}

fn sdk_config(job: &Job) -> SdkServerConfig {
    let (config, status) = (&job.config, &job.status);
    let mut sdk = SdkServerConfig::local(&status.name);
    sdk.address.clone_from(&config.address);
    sdk.ports = vec![Port { name: "default".to_owned(), port: status.port }];
    sdk.labels.insert("agones.dev/fleet".to_owned(), config.name.clone());
    sdk.labels.insert("muster.dev/region".to_owned(), config.region.clone());
    sdk.health = config.health.clone();
    sdk.write_lag = config.write_lag;
    sdk
}

fn launch(job: &Job, sdk: &SdkServer) -> Launch {
    let (config, status) = (&job.config, &job.status);
    let (port, capacity) = (status.port.to_string(), config.capacity.to_string());
    let words = [
        ("{name}", status.name.as_str()),
        ("{port}", port.as_str()),
        ("{fleet}", config.name.as_str()),
        ("{region}", config.region.as_str()),
        ("{address}", config.address.as_str()),
        ("{capacity}", capacity.as_str()),
    ];
    let fill = |text: &String| words.iter().fold(text.clone(), |text, (word, value)| text.replace(word, value));
    let mut env: std::collections::BTreeMap<_, _> =
        config.env.iter().map(|(key, value)| (key.clone(), fill(value))).collect();
    env.insert("AGONES_SDK_GRPC_HOST".to_owned(), sdk.local_addr().ip().to_string());
    env.insert("AGONES_SDK_GRPC_PORT".to_owned(), sdk.local_addr().port().to_string());
    let command = config.command.iter().map(fill).collect();
    Launch { command, env, env_hidden: config.env_hidden.clone(), folder: None, lifeline: config.lifeline }
}

struct Life {
    job: Job,
    sdk: SdkServer,
    process: Process,
    observed: watch::Receiver<Observed>,
    /// `None` once it has started.
    startup_ends: Option<Instant>,
    /// When it will be killed; `None` while it may live.
    end: Option<Instant>,
    /// Why it had to end.
    why: Option<How>,
    killed: bool,
}

impl Life {
    async fn until_exit(&mut self) -> std::io::Result<ExitStatus> {
        loop {
            tokio::select! {
                status = self.process.wait() => return status,
                // The sender lives in the SDK server, which lives as long as this.
                _ = self.observed.changed() => self.follow().await,
                Ok(()) = self.job.end_by.changed() => {
                    let by = *self.job.end_by.borrow_and_update();
                    if let Some(by) = by {
                        self.end(How::Left, by).await;
                    }
                }
                () = at(self.startup_ends) => {
                    self.startup_ends = None;
                    tracing::error!(
                        server_id = self.job.status.name,
                        timeout = ?self.job.config.startup_timeout,
                        "game server did not become Reserved or Ready in time; replacing it"
                    );
                    self.end_after_grace(How::LateStart).await;
                }
                () = at(self.end.filter(|_| !self.killed)) => {
                    tracing::warn!(server_id = self.job.status.name, "game server did not end in time; killing it");
                    self.killed = true;
                    self.process.kill_group();
                }
            }
        }
    }

    /// The GameServer has changed.
    async fn follow(&mut self) {
        let state = self.observed.borrow_and_update().state;
        if state == self.job.status.state {
            return;
        }
        self.job.status.state = state;
        if state != State::Scheduled {
            self.startup_ends = None;
        }
        match state {
            // A real cluster deletes the pod now: SIGTERM, and SIGKILL after the grace period.
            State::Shutdown => self.end_after_grace(How::Left).await,
            State::Unhealthy | State::Error => {
                tracing::error!(server_id = self.job.status.name, %state, "game server is unhealthy; replacing it");
                self.end_after_grace(How::Unhealthy).await;
            }
            _ => self.publish().await,
        }
    }

    async fn end_after_grace(&mut self, why: How) {
        self.end(why, Instant::now() + self.job.config.shutdown_grace).await;
    }

    async fn end(&mut self, why: How, by: Instant) {
        self.why.get_or_insert(why);
        self.startup_ends = None;
        if self.end.is_none() {
            self.sdk.delete();
        }
        // A server that is given less time than before hears of it: a second SIGTERM says "now".
        if self.end.is_none_or(|end| by < end) {
            self.process.terminate(self.job.config.lifeline);
        }
        self.end = Some(self.end.map_or(by, |end| end.min(by)));
        self.job.status.ending = true;
        self.publish().await;
    }

    async fn publish(&self) {
        // The fleet may be gone; then this future is dropped next.
        drop(self.job.changes.send(self.job.status.clone()).await);
    }

    async fn ended(self, status: &std::io::Result<ExitStatus>, lived: Duration) -> Ended {
        // Whoever still watches the GameServer learns that nobody is behind it.
        self.sdk.set_state(State::Unhealthy);
        let how = match (self.why, self.sdk.state()) {
            (Some(why), _) => why,
            (None, State::Shutdown) => How::Left,
            (None, _) => How::Crashed,
        };
        let detail = match status {
            Ok(status) => status.to_string(),
            Err(error) => format!("failed to wait for it: {error}"),
        };
        self.sdk.stop().await;
        Ended { how, detail, lived, killed: self.killed }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
