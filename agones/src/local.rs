//! The local provider: a fleet of real game-server processes on this machine, without a cluster.
//!
//! Each process gets an SDK server of its own and the same variables as under Agones, so it cannot tell the
//! difference. [`desired`] decides how many there should be, `process` starts and ends one, `server` is the life of
//! one server, `fleet` keeps them all.
//!
//! **None outlives the provider.** A process holds the read end of a pipe as its standard input (see
//! [`crate::lifeline`]) and sits in a process group of its own, which gets SIGKILL when the provider lets go of it. If
//! the provider itself is killed by SIGKILL, a server that watches its lifeline ends by itself; for a command that
//! does not, choose [`Lifeline::Supervised`].

pub mod desired;
mod fleet;
pub mod output;
pub mod process;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use fleet::{Drained, LocalFleet};

use crate::observed::HealthSpec;
use crate::state::State;

/// How a process learns that its provider was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifeline {
    /// The command watches its standard input, as `MUSTER_LIFELINE=stdin` asks it to: see [`crate::lifeline::watch`].
    Watched,
    /// The command knows nothing of lifelines: a small `/bin/sh` beside it watches and kills it.
    Supervised,
}

/// Where a server's UDP port comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// The process chooses (`{port}` reads 0) and tells whom it concerns by itself.
    ChosenByProcess,
    /// The provider hands out the lowest free port from here on; its GameServer shows it.
    From(u16),
}

/// Asks a Reserved server, by its name, to leave the pool. It may say no: it could have got a match meanwhile.
pub type Retire = Arc<dyn Fn(&str) + Send + Sync>;

/// Keeps a list of a fleet's servers. It is called in the fleet's own turn, so it must not take long.
pub type List = Arc<dyn Fn(&BTreeSet<String>) + Send + Sync>;

/// A fleet of local game-server processes.
///
/// In `command` and in the values of `env` these words are replaced for each server: `{name}`, `{port}`, `{fleet}`,
/// `{region}`, `{address}`, `{capacity}`.
#[derive(Clone)]
pub struct FleetConfig {
    /// Name of the fleet; its servers are called `<name>-<five letters>`.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Variables on top of those that the provider's own process has.
    pub env: BTreeMap<String, String>,
    /// Names of variables of the provider's own process that its servers do not get: those that mean something else
    /// to a server.
    pub env_hidden: Vec<String>,
    /// Region that the servers are in.
    pub region: String,
    /// Address at which clients reach the servers.
    pub address: String,
    /// Where the servers' UDP ports come from.
    pub ports: Ports,
    /// Matches that one process hosts.
    pub capacity: u32,
    /// Fewest servers, busy ones counted.
    pub minimum: u32,
    /// Most servers, busy ones counted.
    pub maximum: u32,
    /// Idle servers beyond the busy ones.
    pub buffer: u32,
    /// A surplus of idle servers is let go only after it has lasted this long.
    pub scale_down_delay: Duration,
    /// A process that ends by itself before this has crashed early, and slows the next starts down: see
    /// [`desired::CrashLoop`].
    pub stable_after: Duration,
    /// A process that is not Reserved, Ready or Allocated after this long is replaced.
    pub startup_timeout: Duration,
    /// From SIGTERM to SIGKILL for a server that is Shutdown, Unhealthy, or late in starting.
    pub shutdown_grace: Duration,
    /// From SIGTERM to SIGKILL when the whole fleet ends: give it a match's length.
    pub drain_deadline: Duration,
    /// How health is judged.
    pub health: HealthSpec,
    /// Lag of SDK writes: see [`crate::SdkServerConfig::write_lag`].
    pub write_lag: Duration,
    /// How a process learns that its provider was killed.
    pub lifeline: Lifeline,
    /// Called for an idle server of the pool that is not needed any more. Without it such a server stays until it
    /// leaves by itself.
    pub retire: Option<Retire>,
    /// Called with the names of all servers: before another one is started, and once one is gone. What it writes down is
    /// complete whenever it is read.
    pub list: Option<List>,
}

impl fmt::Debug for FleetConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values of variables may be secrets.
        f.debug_struct("FleetConfig")
            .field("name", &self.name)
            .field("command", &self.command)
            .field("size", &(self.minimum..=self.maximum))
            .finish_non_exhaustive()
    }
}

impl FleetConfig {
    /// A fleet of `command` with the given size and the waits of Agones; everything else can be changed afterwards.
    pub fn new(name: &str, command: Vec<String>, minimum: u32, maximum: u32, buffer: u32) -> Self {
        Self {
            name: name.to_owned(),
            command,
            env: BTreeMap::new(),
            env_hidden: Vec::new(),
            region: "local".to_owned(),
            address: "127.0.0.1".to_owned(),
            ports: Ports::ChosenByProcess,
            capacity: 1,
            minimum,
            maximum,
            buffer,
            scale_down_delay: Duration::from_secs(30),
            stable_after: desired::CrashLoop::STABLE,
            startup_timeout: Duration::from_secs(60),
            shutdown_grace: Duration::from_secs(30),
            drain_deadline: Duration::from_secs(60),
            health: HealthSpec::agones_default(),
            write_lag: Duration::ZERO,
            lifeline: Lifeline::Watched,
            retire: None,
            list: None,
        }
    }

    /// Names every fault at once.
    fn check(&self) -> Result<(), FleetError> {
        let mut faults = Vec::new();
        let is_name = |name: &str| {
            !name.is_empty()
                && name.len() <= 50
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if !is_name(&self.name) {
            faults.push("the name must have 1 to 50 letters, digits and '-'");
        }
        if self.command.first().is_none_or(String::is_empty) {
            faults.push("the command must name a program");
        }
        if self.maximum < self.minimum {
            faults.push("the maximum must not be below the minimum");
        }
        if self.maximum == 0 {
            faults.push("the maximum must be at least 1");
        }
        if self.capacity == 0 {
            faults.push("the capacity must be at least 1");
        }
        if let Ports::From(first) = self.ports
            && (first == 0 || u32::from(first) + self.maximum > 65_536)
        {
            faults.push("the ports must lie within 1 to 65535");
        }
        if faults.is_empty() { Ok(()) } else { Err(FleetError::Config(faults.join("; "))) }
    }
}

/// The fleet cannot be.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FleetError {
    /// The configuration contradicts itself; every fault is named.
    #[error("the fleet's configuration is wrong: {0}")]
    Config(String),
}

/// One server of the fleet.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ServerStatus {
    /// Its name.
    pub name: String,
    /// Process id; `None` before it is started and after it has ended.
    pub pid: Option<u32>,
    /// State of its GameServer.
    pub state: State,
    /// Port of its SDK server on 127.0.0.1; 0 before it is bound.
    pub sdk_port: u16,
    /// The UDP port that the provider gave it; 0 where the process chooses.
    pub port: u16,
    /// When the provider started it, in milliseconds since the Unix epoch.
    pub started_unix_ms: u64,
    /// Whether it is being ended.
    pub ending: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_configuration_names_every_fault() {
        let mut config = FleetConfig::new("arena", vec!["/bin/true".into()], 1, 4, 1);
        assert!(config.check().is_ok());
        config.name = "a b".into();
        config.command.clear();
        config.maximum = 0;
        config.ports = Ports::From(0);
        let text = config.check().unwrap_err().to_string();
        for word in ["name", "program", "maximum", "ports"] {
            assert!(text.contains(word), "{text}");
        }
    }

    #[test]
    fn variables_do_not_reach_the_log() {
        let mut config = FleetConfig::new("arena", vec!["/bin/true".into()], 1, 4, 1);
        config.env.insert("MUSTER_ENROLMENT_KEY".into(), "hunter2".into());
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
