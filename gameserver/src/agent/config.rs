//! Settings of the agent: those of every game server, and what it has to know of the game beside it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Args, Config, ConfigFaults, Faults};

/// Where a sidecar listens.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7790);
/// Longest time that a game may take to get ready for a match: whoever asked for a server waits ten seconds.
const JOINABLE_MAX: Duration = Duration::from_secs(8);

/// The command line of the agent.
#[derive(Debug, Clone, clap::Args)]
pub struct AgentArgs {
    #[command(flatten)]
    pub(crate) server: Args,
    /// Where the game finds the agent: HTTP on loopback. Without it 127.0.0.1:7790, or a free port where the agent starts
    /// the game.
    #[arg(long, env = "MUSTER_AGENT_LISTEN", value_name = "ADDRESS", help_heading = "Game")]
    pub(crate) listen: Option<String>,
    /// The game is gone when it was not heard (POST /health) for so long; "off": the agent answers for it, and matches
    /// come at once.
    #[arg(long, env = "MUSTER_HEARD_WITHIN", default_value = "10s", value_name = "TIME", help_heading = "Game")]
    pub(crate) heard_within: String,
    /// The game may take so long until it is heard for the first time.
    #[arg(long, env = "MUSTER_START_WITHIN", default_value = "120s", value_name = "TIME", help_heading = "Game")]
    pub(crate) start_within: String,
    /// The game may take so long to get ready for a match, 8s at most; then the match goes to another server.
    #[arg(long, env = "MUSTER_JOINABLE_WITHIN", default_value = "5s", value_name = "TIME", help_heading = "Game")]
    pub(crate) joinable_within: String,
    /// One word of the game's command line, as often as it has words; for settings files, whose folder is then the game's.
    #[arg(long, value_name = "WORD", allow_hyphen_values = true, conflicts_with = "command", help_heading = "Game")]
    pub(crate) spawn: Vec<String>,
    /// Start the game with this command line; without it the game runs already. {port} is the game's port, {agent} the agent's
    /// URL; MUSTER_BIND and MUSTER_AGENT say the same.
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

impl AgentArgs {
    /// Filter and format of the log.
    pub fn log(&self) -> (&str, service::logs::Format) {
        (&self.server.log, self.server.log_format)
    }
}

/// What an agent needs to start.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// As of every game server; `bind` is where the game listens for clients.
    pub server: Config,
    /// Where the game finds the agent; loopback.
    pub listen: SocketAddr,
    /// The game is gone when it was not heard for so long; `None`: the agent answers for it.
    pub heard_within: Option<Duration>,
    /// The game may take so long until it is heard for the first time.
    pub start_within: Duration,
    /// The game may take so long to get ready for a match.
    pub joinable_within: Duration,
    /// The game's command line; `None`: the game runs already.
    pub game: Option<GameCommand>,
}

/// How the game is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GameCommand {
    /// Program and arguments, before `{port}` and `{agent}` are replaced.
    pub words: Vec<String>,
    /// Where it runs; `None`: where the agent does.
    pub folder: Option<PathBuf>,
}

impl AgentConfig {
    /// The settings that the command line means. `variable` reads the environment.
    ///
    /// # Errors
    /// All faults at once.
    pub fn from_args(args: &AgentArgs, variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigFaults> {
        let server = Config::from_args(&args.server, variable);
        let mut faults = Faults::default();
        let game = game_command(args);
        let listen = match &args.listen {
            Some(text) => faults.address("--listen", text),
            None if game.is_some() => SocketAddr::new(LISTEN.ip(), 0),
            None => LISTEN,
        };
        if !listen.ip().is_loopback() {
            faults.add("--listen", "must be a loopback address: whoever reaches the agent can report results");
        }
        let heard_within = match args.heard_within.as_str() {
            "off" => None,
            text => Some(faults.duration("--heard-within", text)),
        };
        let start_within = faults.duration("--start-within", &args.start_within);
        let joinable_within = faults.duration("--joinable-within", &args.joinable_within);
        if joinable_within.is_zero() || joinable_within > JOINABLE_MAX {
            faults.add("--joinable-within", "must be more than 0 and at most 8s");
        }
        if heard_within.is_some_and(|within| within < Duration::from_secs(1)) {
            faults.add("--heard-within", "must be at least 1s, or off");
        }
        let server = match server {
            Ok(server) => server,
            Err(more) => return Err(ConfigFaults([more.0, faults.into_inner()].concat())),
        };
        if game.is_none() && server.sdk.is_none() && server.advertise.is_none() && server.bind.port() == 0 {
            faults.add("--bind", "must name the port at which the game listens, or --advertise its address");
        }
        let config = Self { server, listen, heard_within, start_within, joinable_within, game };
        faults.check().map(|()| config)
    }
}

fn game_command(args: &AgentArgs) -> Option<GameCommand> {
    if !args.command.is_empty() {
        return Some(GameCommand { words: args.command.clone(), folder: None });
    }
    let folder = args.server.config.as_deref().and_then(std::path::Path::parent);
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty()).map(PathBuf::from);
    (!args.spawn.is_empty()).then(|| GameCommand { words: args.spawn.clone(), folder })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: AgentArgs,
    }

    fn config(more: &[&str]) -> Result<AgentConfig, ConfigFaults> {
        let good = ["agent", "--allocator=http://a:1", "--metagame=http://m:1", "--service-key=/k", "--spool=/s"];
        let cli = Cli::parse_from(good.iter().chain(more));
        AgentConfig::from_args(&cli.args, |_| None)
    }

    #[test]
    fn a_sidecar_has_a_known_port_and_a_parent_any() {
        let sidecar = config(&["--bind=127.0.0.1:7777"]).expect("good");
        assert_eq!((sidecar.listen, sidecar.game), (LISTEN, None));
        let parent = config(&["--", "python3", "server.py", "--port={port}"]).expect("good");
        assert_eq!(parent.listen.port(), 0);
        assert_eq!(parent.game.expect("a game").words, ["python3", "server.py", "--port={port}"]);
        let file = config(&["--config=/games/one/agent.toml", "--spawn=./server", "--spawn=-v"]).expect("good");
        let expected = GameCommand { words: vec!["./server".into(), "-v".into()], folder: Some("/games/one".into()) };
        assert_eq!(file.game, Some(expected));
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let faults = config(&["--capacity=0", "--listen=0.0.0.0:1", "--joinable-within=9s", "--heard-within=1ms"]);
        let faults = faults.expect_err("faults").0;
        for flag in ["--capacity", "--listen", "--joinable-within", "--heard-within"] {
            assert!(faults.iter().any(|fault| fault.starts_with(flag)), "{flag} in {faults:?}");
        }
        let lost = config(&[]).expect_err("nobody knows the game's port").0;
        assert!(lost[0].starts_with("--bind"), "{lost:?}");
        assert_eq!(config(&["--bind=127.0.0.1:1", "--heard-within=off"]).expect("good").heard_within, None);
    }
}
