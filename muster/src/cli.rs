//! The command line: one definition serves flags, environment variables and settings files.

mod admin;

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

pub(crate) use admin::{
    AuditOptions, AuditTask, MaintenanceOptions, MaintenanceTask, MinimumBuildOptions, OperatorTokenOptions,
    ReceiptOptions, ReceiptTask, WebhooksOptions, WebhooksTask,
};
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use service::logs::Format;

use crate::cluster_options::{AccessOptions, ClusterOptions};
use crate::database::DatabaseOptions;
use crate::economy::LedgerOptions;
use crate::exit::Failure;
use crate::identity::IdentityOptions;
use crate::kills::KillsOptions;
use crate::kubectl::KubectlOptions;
use crate::kubernetes::KubernetesOptions;
use crate::migrate_store::MetagameTask;
use crate::operator::OperatorOptions;
use crate::output::Output;
use crate::parts::PartOptions;
use crate::trouble::TroubleOptions;
use crate::webhooks::WebhookOptions;
use crate::witness::WitnessOptions;

/// Dedicated game servers, from ticket to result.
#[derive(Debug, Parser)]
#[command(name = "muster", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Write a new game: rules, tests, server, Dockerfile, fleet and queue.
    New(NewOptions),
    /// Run the whole platform for a minute, with bots that play real matches, and sum up.
    Demo(DemoOptions),
    /// Keep a platform running on this machine.
    Up(UpOptions),
    /// Send bots to a running platform.
    Bots(BotsOptions),
    /// Keep new tickets out while matches go on, or let them in again.
    Maintenance(MaintenanceOptions),
    /// Keep clients out that are older than a build.
    MinimumBuild(MinimumBuildOptions),
    /// Show who is told of matches and what they did not take, or have it sent again.
    Webhooks(WebhooksOptions),
    /// Check the books of money and goods; status 3 if they are not as they were written.
    Ledger(LedgerOptions),
    /// Check the log of what operators did; status 3 if it is not as it was written.
    Audit(AuditOptions),
    /// Check the receipt of an export or of an erasure; status 3 if it is not what the installation signed.
    Receipt(ReceiptOptions),
    /// Make a token with which an operator shows who it is on metagame's admin port.
    OperatorToken(OperatorTokenOptions),
    /// Look whether an installation on this machine or on a cluster is healthy; status 3 if it is not.
    Doctor(DoctorOptions),
    /// Ask a program whether it is well, for health checks of containers; status 1 if not.
    Probe(ProbeOptions),
    /// Look at Muster on a cluster, drain servers, steer rollouts; also as the plugin `kubectl muster`.
    Kubectl(KubectlOptions),
    /// Run a platform by the orders on standard input, for `demo --chaos` to kill.
    #[command(hide = true)]
    ChaosPlatform(ChaosPlatformOptions),
    /// Kill allocator and game servers of a platform on this machine again and again while bots play; a test of Muster itself.
    #[command(hide = true)]
    Kills(KillsOptions),
    /// Check a history that `demo --history` wrote.
    CheckHistory(CheckHistoryOptions),
    /// Run one game server of the reference game (normally started by a fleet).
    Gameserver(Box<::gameserver::Options>),
    /// Stand beside a game server in another language: a sidecar, or the parent of its process.
    Agent(Box<::gameserver::agent::AgentArgs>),
    /// Run the allocator by itself.
    Allocator(AllocatorOptions),
    /// Run the matchmaker by itself.
    Matchmaker(MatchmakerOptions),
    /// Run the metagame API by itself.
    Metagame(MetagameOptions),
    /// What an installation on Kubernetes asks of this program besides its services.
    Kubernetes(KubernetesOptions),
    /// Keep GameFleets and MatchQueues on Kubernetes.
    Operator(OperatorOptions),
}

/// What every long-running command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Settings file: TOML whose keys are this command's long flags.
    #[arg(long, env = "MUSTER_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// What to log: a level, or a list such as `warn,allocator=debug`. MUSTER_LOG wins over it.
    #[arg(long, default_value = "info", value_name = "FILTER")]
    pub(crate) log: String,
    /// How to log.
    #[arg(long, env = "MUSTER_LOG_FORMAT", value_enum, default_value = "auto")]
    pub(crate) log_format: Format,
}

impl Common {
    /// Starts logging.
    pub(crate) fn start_logs(&self) {
        service::logs::init(&self.log, self.log_format);
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct NewOptions {
    /// The new folder. Its name is the game's.
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
    /// Name of the game, if it is not the folder's.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Checkout of Muster whose crates the game uses; without it the one that this program was built from.
    #[arg(long, env = "MUSTER_PATH", value_name = "FOLDER", conflicts_with = "muster_git")]
    pub(crate) muster_path: Option<PathBuf>,
    /// Repository of Muster whose crates the game uses, instead of a checkout.
    #[arg(long, value_name = "URL")]
    pub(crate) muster_git: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DemoOptions {
    /// Bots that queue and play; at least as many as a match takes, which is 8 for arena-4v4.
    #[arg(long, default_value_t = 48, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) players: u32,
    /// How long bots queue; matches that run then are played to their end.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
    /// How long a match is played. Queues of your own say it themselves.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(5..=600), conflicts_with = "queues")]
    pub(crate) match_seconds: u32,
    /// Your game's server program; without it the reference game is played.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) game: Option<PathBuf>,
    /// Queue file, whose first queue is played; without it arena-4v4, or one queue of 1 against 1 for --game.
    #[arg(long, value_name = "FILE")]
    pub(crate) queues: Option<PathBuf>,
    /// Seed of the bots; random where it is not given.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Show the demo in a browser at this address; 127.0.0.1:7130 if only the flag is given.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "127.0.0.1:7130")]
    pub(crate) console: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) trouble: TroubleOptions,
    #[command(flatten)]
    pub(crate) database: DatabaseOptions,
    #[command(flatten)]
    pub(crate) webhooks: WebhookOptions,
    #[command(flatten)]
    pub(crate) parts: PartOptions,
    /// Break things by this seed: kill and stop game servers, panic in rooms, restart allocator and metagame, kill the whole
    /// platform. The history of it is checked.
    #[arg(long, value_name = "SEED", conflicts_with = "game", help_heading = "Trouble")]
    pub(crate) chaos: Option<u64>,
    /// Allow so many times the time in which players must be told and the fleet must be whole, on a slow machine.
    #[arg(long, value_name = "FACTOR", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10), help_heading = "Trouble")]
    pub(crate) patience: u32,
    /// Write everything that players, allocator and chaos saw into this file, one JSON object per line.
    #[arg(long, value_name = "FILE", help_heading = "Trouble")]
    pub(crate) history: Option<PathBuf>,
    /// What to print on stdout at the end.
    #[arg(short, long, value_enum, default_value = "text")]
    pub(crate) output: Output,
    /// What to log: a level, or a list such as `warn,allocator=debug`. MUSTER_LOG wins over it.
    #[arg(long, default_value = "warn", value_name = "FILTER")]
    pub(crate) log: String,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct UpOptions {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Where accounts and keys are kept.
    #[arg(long, env = "MUSTER_DATA", default_value = ".muster", value_name = "FOLDER")]
    pub(crate) data: PathBuf,
    /// Where clients reach the metagame API. Its admin port is the next one.
    #[arg(long, env = "MUSTER_LISTEN", default_value_t = local(7100))]
    pub(crate) listen: SocketAddr,
    /// Where the allocator listens. Its admin port is the next one.
    #[arg(long, env = "MUSTER_ALLOCATOR_LISTEN", default_value_t = local(7110))]
    pub(crate) allocator_listen: SocketAddr,
    /// Where the matchmaker listens. Its admin port is the next one.
    #[arg(long, env = "MUSTER_MATCHMAKER_LISTEN", default_value_t = local(7120))]
    pub(crate) matchmaker_listen: SocketAddr,
    /// Where the console listens: pages for a browser, without a login. Without it 127.0.0.1:7130, or a free port.
    #[arg(long, env = "MUSTER_CONSOLE_LISTEN", value_name = "ADDRESS")]
    pub(crate) console_listen: Option<SocketAddr>,
    /// Address of this machine that game clients reach.
    #[arg(long, env = "MUSTER_ADVERTISE", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) advertise: IpAddr,
    /// Your game's server program, or a settings file of `muster agent` (.toml) for a game in another language; without it
    /// the reference game is served.
    #[arg(long, env = "MUSTER_GAME", value_name = "PROGRAM")]
    pub(crate) game: Option<PathBuf>,
    /// Queue file; without it there is one queue: arena-4v4, or 1 against 1 for --game.
    #[arg(long, env = "MUSTER_QUEUES", value_name = "FILE")]
    pub(crate) queues: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) fleet: FleetOptions,
    #[command(flatten)]
    pub(crate) database: DatabaseOptions,
    #[command(flatten)]
    pub(crate) webhooks: WebhookOptions,
    #[command(flatten)]
    pub(crate) identity: IdentityOptions,
    #[command(flatten)]
    pub(crate) parts: PartOptions,
    /// How long running matches may take to finish after Ctrl-C.
    #[arg(long, env = "MUSTER_DRAIN_SECONDS", default_value_t = 60, value_name = "SECONDS")]
    pub(crate) drain_seconds: u64,
}

/// The local fleet of game-server processes.
#[derive(Debug, Clone, Args)]
pub(crate) struct FleetOptions {
    /// Fewest game-server processes.
    #[arg(long, default_value_t = 1)]
    pub(crate) servers_min: u32,
    /// Most game-server processes.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) servers_max: u32,
    /// Idle game-server processes to keep ready.
    #[arg(long, default_value_t = 1)]
    pub(crate) servers_buffer: u32,
    /// Matches that one process holds at once, 1 to 256.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) capacity: u32,
}

/// What bots do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// Queue and play.
    Play,
    /// Log in and look around in the menus: load on metagame's API alone.
    Metagame,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct BotsOptions {
    /// What bots do.
    #[arg(long, value_enum, default_value = "play")]
    pub(crate) scenario: Scenario,
    /// Bots at once.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) players: u32,
    /// The metagame API.
    #[arg(long, env = "MUSTER_URL", default_value = "http://127.0.0.1:7100")]
    pub(crate) url: String,
    /// The queue to join.
    #[arg(long, default_value = "arena-4v4")]
    pub(crate) queue: String,
    /// The server program of the game that is played there, if it is not the reference game.
    #[arg(long, env = "MUSTER_GAME", value_name = "PROGRAM")]
    pub(crate) game: Option<PathBuf>,
    /// How long bots queue; without it until Ctrl-C. Running matches are played to their end.
    #[arg(long)]
    pub(crate) seconds: Option<u64>,
    /// Seed of the bots, their accounts too; random where it is not given.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) trouble: TroubleOptions,
    #[command(flatten)]
    pub(crate) witness: WitnessOptions,
    /// What to print on stdout at the end.
    #[arg(short, long, value_enum, default_value = "text")]
    pub(crate) output: Output,
    /// What to log: a level, or a list such as `warn,loadtest=debug`. MUSTER_LOG wins over it.
    #[arg(long, default_value = "warn", value_name = "FILTER")]
    pub(crate) log: String,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DoctorOptions {
    /// Where accounts and keys are kept.
    #[arg(long, env = "MUSTER_DATA", default_value = ".muster", value_name = "FOLDER")]
    pub(crate) data: PathBuf,
    /// Where the metagame API listens. Each service's admin port is the next one.
    #[arg(long, env = "MUSTER_LISTEN", default_value_t = local(7100))]
    pub(crate) listen: SocketAddr,
    /// Where the allocator listens.
    #[arg(long, env = "MUSTER_ALLOCATOR_LISTEN", default_value_t = local(7110))]
    pub(crate) allocator_listen: SocketAddr,
    /// Where the matchmaker listens.
    #[arg(long, env = "MUSTER_MATCHMAKER_LISTEN", default_value_t = local(7120))]
    pub(crate) matchmaker_listen: SocketAddr,
    #[command(flatten)]
    pub(crate) cluster: ClusterOptions,
    /// Muster's own namespace.
    #[arg(long, default_value = "muster-system", value_name = "NAME", help_heading = "Kubernetes")]
    pub(crate) namespace: String,
    /// Name of the Helm release.
    #[arg(long, default_value = "muster", value_name = "NAME", help_heading = "Kubernetes")]
    pub(crate) release: String,
    /// What to print on stdout.
    #[arg(short, long, value_enum, default_value = "text")]
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ProbeOptions {
    /// Where it says so, such as http://127.0.0.1:7111/readyz.
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// How long to wait for the answer.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) seconds: u64,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CheckHistoryOptions {
    /// The history.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Allow so many times the time in which players must be told and the fleet must be whole, on a slow machine.
    #[arg(long, value_name = "FACTOR", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10))]
    pub(crate) patience: u32,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ChaosPlatformOptions {
    /// What to log.
    #[arg(long, default_value = "warn", value_name = "FILTER")]
    pub(crate) log: String,
}

/// Who gives out servers of GameFleets of pool Agones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum AgonesBackend {
    /// This allocator, by a write of its own.
    Direct,
    /// Agones, by its GameServerAllocation API.
    Gameserverallocation,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct AllocatorOptions {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Where keys and the epoch are kept.
    #[arg(long, env = "MUSTER_DATA", default_value = ".muster", value_name = "FOLDER")]
    pub(crate) data: PathBuf,
    /// Where gRPC is served.
    #[arg(long, env = "MUSTER_ALLOCATOR_LISTEN", default_value_t = local(7110))]
    pub(crate) listen: SocketAddr,
    /// Where health and metrics are served.
    #[arg(long, env = "MUSTER_ADMIN_LISTEN", default_value_t = local(7111))]
    pub(crate) admin: SocketAddr,
    /// File with the names of the game servers that there are, one per line, kept true by whoever starts them: the allocator
    /// then knows at once who is gone, and after a start whom to wait for. On Kubernetes the cluster says it.
    #[arg(long, env = "MUSTER_SERVERS", value_name = "FILE", conflicts_with = "kubernetes")]
    pub(crate) servers: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) cluster: ClusterOptions,
    /// Folder with tls.crt, tls.key and ca.crt of Agones' allocation service, which is served where there is one.
    #[arg(
        long,
        env = "MUSTER_DROP_IN_TLS",
        value_name = "FOLDER",
        default_value = "/etc/muster/tls",
        help_heading = "Kubernetes"
    )]
    pub(crate) drop_in_tls: Option<PathBuf>,
    /// Who gives out servers of GameFleets of pool Agones for the matchmaker.
    #[arg(
        long,
        env = "MUSTER_AGONES_BACKEND",
        value_enum,
        default_value = "direct",
        hide_possible_values = true,
        help_heading = "Kubernetes"
    )]
    pub(crate) agones_backend: AgonesBackend,
    /// Port of Agones' allocation service (gRPC).
    #[arg(long, env = "MUSTER_DROP_IN_GRPC_PORT", default_value_t = 7443, help_heading = "Kubernetes")]
    pub(crate) drop_in_grpc_port: u16,
    /// Port of Agones' allocation service (REST).
    #[arg(long, env = "MUSTER_DROP_IN_REST_PORT", default_value_t = 7444, help_heading = "Kubernetes")]
    pub(crate) drop_in_rest_port: u16,
    #[command(flatten)]
    pub(crate) access: AccessOptions,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct MatchmakerOptions {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Where the installation's service key is kept.
    #[arg(long, env = "MUSTER_DATA", default_value = ".muster", value_name = "FOLDER")]
    pub(crate) data: PathBuf,
    /// Where gRPC is served.
    #[arg(long, env = "MUSTER_MATCHMAKER_LISTEN", default_value_t = local(7120))]
    pub(crate) listen: SocketAddr,
    /// Where health and metrics are served.
    #[arg(long, env = "MUSTER_ADMIN_LISTEN", default_value_t = local(7121))]
    pub(crate) admin: SocketAddr,
    /// The allocator.
    #[arg(long, env = "MUSTER_ALLOCATOR", default_value = "http://127.0.0.1:7110")]
    pub(crate) allocator: String,
    /// Queue file; without it there is one queue, arena-4v4. On Kubernetes MatchQueues say it.
    #[arg(long, env = "MUSTER_QUEUES", value_name = "FILE", conflicts_with = "kubernetes")]
    pub(crate) queues: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) cluster: ClusterOptions,
    #[command(flatten)]
    pub(crate) access: AccessOptions,
    /// How long matches that are being placed may take to finish after the shutdown signal.
    #[arg(long, env = "MUSTER_DRAIN_SECONDS", default_value_t = 15, value_name = "SECONDS")]
    pub(crate) drain_seconds: u64,
}

#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct MetagameOptions {
    #[command(subcommand)]
    pub(crate) task: Option<MetagameTask>,
    #[command(flatten)]
    pub(crate) common: Common,
    /// Where accounts and keys are kept.
    #[arg(long, env = "MUSTER_DATA", default_value = ".muster", value_name = "FOLDER")]
    pub(crate) data: PathBuf,
    /// Where clients reach the API.
    #[arg(long, env = "MUSTER_LISTEN", default_value_t = local(7100))]
    pub(crate) listen: SocketAddr,
    /// Where health and metrics are served.
    #[arg(long, env = "MUSTER_ADMIN_LISTEN", default_value_t = local(7101))]
    pub(crate) admin: SocketAddr,
    /// The matchmaker.
    #[arg(long, env = "MUSTER_MATCHMAKER", default_value = "http://127.0.0.1:7120")]
    pub(crate) matchmaker: String,
    /// The allocator.
    #[arg(long, env = "MUSTER_ALLOCATOR", default_value = "http://127.0.0.1:7110")]
    pub(crate) allocator: String,
    #[command(flatten)]
    pub(crate) cluster: ClusterOptions,
    #[command(flatten)]
    pub(crate) access: AccessOptions,
    #[command(flatten)]
    pub(crate) database: DatabaseOptions,
    #[command(flatten)]
    pub(crate) webhooks: WebhookOptions,
    #[command(flatten)]
    pub(crate) identity: IdentityOptions,
    #[command(flatten)]
    pub(crate) parts: PartOptions,
}

/// A loopback address with this port.
pub(crate) const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// Names of the environment variables that `muster up` reads. Some of them mean something else to a game server, so it
/// does not get them: MUSTER_CONFIG is the platform's settings file, MUSTER_ADVERTISE an address without port.
pub(crate) fn platform_variables() -> Vec<String> {
    let command = Cli::command();
    let up = command.find_subcommand("up").expect("`up` is a subcommand");
    up.get_arguments().filter_map(|arg| arg.get_env()?.to_str().map(str::to_owned)).collect()
}

/// The program's arguments, completed by the settings file that they or the environment name.
pub(crate) fn arguments(given: impl Iterator<Item = OsString>) -> Result<Vec<OsString>, Failure> {
    let mut args: Vec<OsString> = given.collect();
    let Some(name) = args.get(1).and_then(|arg| arg.to_str()).map(str::to_owned) else { return Ok(args) };
    let command = Cli::command();
    let Some(task) = command.find_subcommand(&name) else { return Ok(args) };
    // A game server reads its own settings file.
    if name == "gameserver" || !task.get_arguments().any(|arg| arg.get_long() == Some("config")) {
        return Ok(args);
    }
    // What a subcommand does once has no settings file.
    if args.get(2).and_then(|arg| arg.to_str()).is_some_and(|arg| task.find_subcommand(arg).is_some()) {
        return Ok(args);
    }
    let Some(file) = config_file(&args) else { return Ok(args) };
    let from_file = service::settings::file_args(task, &args[2..], &file).map_err(Failure::setup)?;
    args.splice(2..2, from_file);
    Ok(args)
}

fn config_file(args: &[OsString]) -> Option<PathBuf> {
    let mut rest = args.iter().skip(2);
    while let Some(arg) = rest.next() {
        if arg == "--config" {
            return rest.next().map(PathBuf::from);
        }
        if let Some(file) = arg.to_str().and_then(|arg| arg.strip_prefix("--config=")) {
            return Some(file.into());
        }
    }
    std::env::var_os("MUSTER_CONFIG").map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_means_something_else_to_a_game_server_is_the_platforms_own() {
        let own = platform_variables();
        assert!(
            ["MUSTER_CONFIG", "MUSTER_ADVERTISE", "MUSTER_LOG_FORMAT"].iter().all(|name| own.contains(&(*name).into()))
        );
    }

    #[test]
    fn a_settings_file_completes_the_command_line() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("muster.toml");
        std::fs::write(&path, "listen = \"127.0.0.1:9\"\ncapacity = 3\n").expect("write");
        let given = ["muster", "up", "--capacity=4", "--config"].map(OsString::from);
        let args = arguments(given.into_iter().chain([path.into_os_string()])).expect("a good file");
        let Task::Up(options) = Cli::parse_from(args).task else { panic!("not `up`") };
        assert_eq!((options.listen.port(), options.fleet.capacity), (9, 4));
    }
}
