//! Settings: by flag, environment variable or file, all checked before anything starts, all faults named at once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use protocol::wire::ROUTING_TOKEN_BYTES_MAX;

/// Slowest and fastest tick rate in Hz.
const TICK_RATES: std::ops::RangeInclusive<u32> = 20..=128;
/// Most rooms of one process: each has a thread.
const CAPACITY_MAX: usize = 256;

/// The command line of a game server.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Settings file (TOML, keys are the long flags); a flag or variable wins over it.
    #[arg(long, env = "MUSTER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Name of this server. Under Agones the GameServer's name is used instead.
    #[arg(long, env = "MUSTER_NAME", default_value = "gameserver")]
    pub name: String,
    /// Fleet or pool that it belongs to.
    #[arg(long, env = "MUSTER_FLEET", default_value = "local")]
    pub fleet: String,
    /// Build of the game, as the matchmaker's clients name it.
    #[arg(long, env = "MUSTER_BUILD", default_value = "dev")]
    pub build: String,
    /// Region it runs in.
    #[arg(long, env = "MUSTER_REGION", default_value = "local")]
    pub region: String,
    /// Matches it hosts at once, 1 to 256.
    #[arg(long, env = "MUSTER_CAPACITY", default_value = "1")]
    pub capacity: String,
    /// UDP address for clients; port 0 lets the system choose.
    #[arg(long, env = "MUSTER_BIND", default_value = "127.0.0.1:0")]
    pub bind: String,
    /// host:port at which clients reach it. Without it: what Agones says, or the bound address.
    #[arg(long, env = "MUSTER_ADVERTISE")]
    pub advertise: Option<String>,
    /// Simulation steps per second, 20 to 128.
    #[arg(long, env = "MUSTER_TICK_RATE", default_value = "60")]
    pub tick_rate: String,
    /// Begins every connection id, for routing proxies: up to 6 hex digits.
    #[arg(long, env = "MUSTER_ROUTING_TOKEN", default_value = "")]
    pub routing_token: String,
    /// URL of the allocator (gRPC), http://host:port.
    #[arg(long, env = "MUSTER_ALLOCATOR")]
    pub allocator: Option<String>,
    /// URL of metagame, which takes the results, http://host:port.
    #[arg(long, env = "MUSTER_METAGAME")]
    pub metagame: Option<String>,
    /// File with the installation's service key; it proves to the allocator that this is one of Muster's programs.
    #[arg(long, env = "MUSTER_SERVICE_KEY", value_name = "FILE")]
    pub service_key: Option<PathBuf>,
    /// File with this pod's own token, kept fresh by Kubernetes; instead of a service key.
    #[arg(long, env = "MUSTER_POD_TOKEN", value_name = "FILE")]
    pub pod_token: Option<PathBuf>,
    /// Revision of its fleet that it was made from.
    #[arg(long, env = "MUSTER_REVISION", default_value = "", hide_default_value = true)]
    pub revision: String,
    /// Who puts matches on it. Only Muster's allocator gives a server of this program its matches.
    #[arg(long, env = "MUSTER_POOL", default_value = "muster")]
    pub pool: String,
    /// Address of the admin port (/healthz, /readyz, /metrics).
    #[arg(long, env = "MUSTER_ADMIN", default_value = "127.0.0.1:0")]
    pub admin: String,
    /// Folder for signed results that are not delivered yet.
    #[arg(long, env = "MUSTER_SPOOL", value_name = "FOLDER")]
    pub spool: Option<PathBuf>,
    /// A match that nobody has joined this long after it became joinable ends, where the allocator names no time.
    #[arg(long, env = "MUSTER_JOIN_DEADLINE", default_value = "25s")]
    pub join_deadline: String,
    /// At SIGTERM, running matches have this long to finish.
    #[arg(long, env = "MUSTER_DRAIN_DEADLINE", default_value = "25s")]
    pub drain_deadline: String,
    /// After this long (jittered by a tenth) without an allocator the server leaves the pool.
    #[arg(long, env = "MUSTER_LEAVE_AFTER", default_value = "10m")]
    pub leave_after: String,
    /// Log filter, such as "info" or "warn,gameserver=debug".
    #[arg(long, env = "MUSTER_LOG_FILTER", default_value = "info")]
    pub log: String,
    /// How logs are written.
    #[arg(long, env = "MUSTER_LOG_FORMAT", value_enum, default_value_t = service::logs::Format::Auto)]
    pub log_format: service::logs::Format,
}

/// What a game server needs to start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name of this server where no SDK server names it.
    pub name: String,
    /// Fleet or pool that it belongs to.
    pub fleet: String,
    /// Build of the game.
    pub build: String,
    /// Region it runs in.
    pub region: String,
    /// Matches it hosts at once, 1 to 256.
    pub capacity: usize,
    /// UDP address for clients; port 0 lets the system choose.
    pub bind: SocketAddr,
    /// host:port at which clients reach it; `None`: what Agones says, or the bound address.
    pub advertise: Option<String>,
    /// Simulation steps per second, 20 to 128.
    pub tick_rate_hz: u32,
    /// Begins every connection id; at most 3 bytes.
    pub routing_token: Vec<u8>,
    /// URL of the allocator.
    pub allocator: String,
    /// URL of metagame.
    pub metagame: String,
    /// What proves to the allocator who this is.
    pub credential: Credential,
    /// Revision of its fleet that it was made from, or empty.
    pub revision: String,
    /// Address of the admin port.
    pub admin: SocketAddr,
    /// Folder for signed results that are not delivered yet.
    pub spool: PathBuf,
    /// A match that nobody joined for so long ends, where the allocator names no time.
    pub join_deadline: Duration,
    /// At shutdown, running matches have this long to finish.
    pub drain_deadline: Duration,
    /// After this long without an allocator the server leaves the pool.
    pub leave_after: Duration,
    /// `host:port` of the Agones SDK server; `None` outside Agones.
    pub sdk: Option<String>,
}

/// What proves to the allocator who this is: a file either way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// The installation's service key, on one machine.
    ServiceKey(PathBuf),
    /// The pod's own token, on Kubernetes.
    PodToken(PathBuf),
}

/// Everything that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the settings have faults:\n  {}", .0.join("\n  "))]
pub struct ConfigFaults(pub Vec<String>);

impl Config {
    /// The settings that the command line means. `variable` reads the environment: Agones names its SDK server there.
    ///
    /// # Errors
    /// All faults at once.
    pub fn from_args(args: &Args, variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigFaults> {
        let mut faults = Faults::default();
        let config = Self {
            name: faults.text("--name", &args.name),
            fleet: faults.text("--fleet", &args.fleet),
            build: faults.text("--build", &args.build),
            region: faults.text("--region", &args.region),
            capacity: faults.number("--capacity", &args.capacity, 1..=CAPACITY_MAX as u32) as usize,
            bind: faults.address("--bind", &args.bind),
            advertise: args.advertise.clone(),
            tick_rate_hz: faults.number("--tick-rate", &args.tick_rate, TICK_RATES),
            routing_token: faults.routing_token(&args.routing_token),
            allocator: faults.url("--allocator", args.allocator.as_deref()),
            metagame: faults.url("--metagame", args.metagame.as_deref()),
            credential: faults.credential(args),
            revision: faults.revision(&args.revision),
            admin: faults.address("--admin", &args.admin),
            spool: faults.path("--spool", args.spool.as_ref()),
            join_deadline: faults.duration("--join-deadline", &args.join_deadline),
            drain_deadline: faults.duration("--drain-deadline", &args.drain_deadline),
            leave_after: faults.duration("--leave-after", &args.leave_after),
            sdk: agones::sdk::address_from(variable),
        };
        faults.pool(&args.pool);
        if let Some(advertise) = &config.advertise {
            faults.host_and_port("--advertise", advertise);
        } else if config.bind.ip().is_unspecified() && config.sdk.is_none() {
            faults
                .add("--advertise", "is needed when --bind is every address and no Agones SDK tells the server's own");
        }
        faults.check().map(|()| config)
    }
}

/// Collects faults; each reader returns a stand-in for a value that cannot be read.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<String>);

impl Faults {
    /// All faults, if there are any.
    pub(crate) fn check(self) -> Result<(), ConfigFaults> {
        if self.0.is_empty() { Ok(()) } else { Err(ConfigFaults(self.0)) }
    }

    pub(crate) fn into_inner(self) -> Vec<String> {
        self.0
    }

    pub(crate) fn add(&mut self, flag: &str, what: &str) {
        self.0.push(format!("{flag} {what}"));
    }

    fn text(&mut self, flag: &str, text: &str) -> String {
        if text.is_empty() || text.len() > 128 || text.chars().any(char::is_control) {
            self.add(flag, "must be a text of 1 to 128 bytes without control characters");
        }
        text.to_owned()
    }

    fn number(&mut self, flag: &str, text: &str, range: std::ops::RangeInclusive<u32>) -> u32 {
        match text.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                self.add(flag, &format!("is \"{text}\": expected {} to {}", range.start(), range.end()));
                *range.start()
            }
        }
    }

    pub(crate) fn address(&mut self, flag: &str, text: &str) -> SocketAddr {
        text.parse().unwrap_or_else(|_| {
            self.add(flag, &format!("is \"{text}\": expected ip:port, such as 127.0.0.1:7777 or [::]:7777"));
            SocketAddr::from(([127, 0, 0, 1], 0))
        })
    }

    fn url(&mut self, flag: &str, text: Option<&str>) -> String {
        let text = text.unwrap_or_default();
        match text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/')) {
            Some(authority) if is_host_and_port(authority) => {}
            _ if text.is_empty() => self.add(flag, "is missing: expected http://host:port"),
            _ => self.add(flag, &format!("is \"{text}\": expected http://host:port")),
        }
        text.trim_end_matches('/').to_owned()
    }

    fn host_and_port(&mut self, flag: &str, text: &str) {
        if !is_host_and_port(text) {
            self.add(flag, &format!("is \"{text}\": expected host:port"));
        }
    }

    fn path(&mut self, flag: &str, path: Option<&PathBuf>) -> PathBuf {
        if path.is_none() {
            self.add(flag, "is missing");
        }
        path.cloned().unwrap_or_default()
    }

    fn credential(&mut self, args: &Args) -> Credential {
        match (&args.service_key, &args.pod_token) {
            (Some(key), None) => return Credential::ServiceKey(key.clone()),
            (None, Some(token)) => return Credential::PodToken(token.clone()),
            (None, None) => self.add("--service-key", "is missing; on Kubernetes give --pod-token instead"),
            (Some(_), Some(_)) => self.add("--service-key", "and --pod-token exclude each other"),
        }
        Credential::ServiceKey(PathBuf::new())
    }

    fn revision(&mut self, text: &str) -> String {
        if !text.is_empty() {
            self.text("--revision", text);
        }
        text.to_owned()
    }

    fn pool(&mut self, pool: &str) {
        match pool {
            "muster" => {}
            "agones" => self.add(
                "--pool",
                "is \"agones\": there Agones hands servers out by themselves, and this program takes its matches from \
                 Muster's allocator alone; set poolKind: Muster in the GameFleet, or run a server of another make",
            ),
            other => self.add("--pool", &format!("is \"{other}\": expected muster")),
        }
    }

    pub(crate) fn duration(&mut self, flag: &str, text: &str) -> Duration {
        duration(text).unwrap_or_else(|| {
            self.add(flag, &format!("is \"{text}\": expected a time such as 500ms, 25s or 10m"));
            Duration::ZERO
        })
    }

    fn routing_token(&mut self, text: &str) -> Vec<u8> {
        match hex::decode(text) {
            Ok(bytes) if bytes.len() <= ROUTING_TOKEN_BYTES_MAX => bytes,
            _ => {
                self.add("--routing-token", &format!("is \"{text}\": expected up to 6 hex digits, in pairs"));
                Vec::new()
            }
        }
    }
}

fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let plain = !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']);
    plain && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// A time such as `500ms`, `25s`, `10m`, or plain seconds; at most a day.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let ms = match unit {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let time = Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(ms)?);
    (time <= Duration::from_secs(86_400)).then_some(time)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn config(flags: &[&str]) -> Result<Config, ConfigFaults> {
        let cli = Cli::parse_from(std::iter::once(&"gameserver").chain(flags));
        Config::from_args(&cli.args, |_| None)
    }

    const GOOD: [&str; 8] = [
        "--allocator=http://127.0.0.1:7000",
        "--metagame=http://metagame:80/",
        "--service-key=/k",
        "--spool=/s",
        "--capacity=2",
        "--tick-rate=128",
        "--join-deadline=1500ms",
        "--routing-token=0aff",
    ];

    #[test]
    fn good_settings_are_read_with_their_units() {
        let config = config(&GOOD).expect("good");
        assert_eq!((config.capacity, config.tick_rate_hz), (2, 128));
        assert_eq!(
            (config.join_deadline, config.leave_after),
            (Duration::from_millis(1_500), Duration::from_secs(600))
        );
        assert_eq!((config.metagame.as_str(), config.routing_token), ("http://metagame:80", vec![0x0a, 0xff]));
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let bad = [
            "--capacity=0",
            "--tick-rate=19",
            "--bind=7777",
            "--admin=x",
            "--metagame=https://x:1",
            "--service-key=/k",
            "--drain-deadline=soon",
            "--routing-token=01020304",
            "--fleet=",
        ];
        let faults = config(&bad).expect_err("faults").0;
        for flag in ["capacity", "tick-rate", "bind", "admin", "metagame", "drain", "routing", "fleet", "allocator"] {
            assert!(faults.iter().any(|fault| fault.starts_with(&format!("--{flag}"))), "{flag} in {faults:?}");
        }
        assert_eq!(faults.len(), 10, "{faults:?}");
    }

    #[test]
    fn a_pod_has_its_own_token_and_serves_the_pool_of_muster_alone() {
        let pod = |more: &[&str]| {
            let flags = GOOD.iter().copied().filter(|flag| !flag.starts_with("--service-key"));
            config(
                &flags.chain(["--pod-token=/t", "--revision=0123abcd"]).chain(more.iter().copied()).collect::<Vec<_>>(),
            )
        };
        let good = pod(&["--pool=muster"]).expect("good");
        assert_eq!(good.credential, Credential::PodToken("/t".into()));
        assert_eq!(good.revision, "0123abcd");
        for (flag, fault) in [("--pool=agones", "poolKind"), ("--pool=x", "expected"), ("--service-key=/k", "exclude")]
        {
            let faults = pod(&[flag]).expect_err(flag).0;
            assert!(faults.len() == 1 && faults[0].contains(fault), "{flag}: {faults:?}");
        }
    }

    #[test]
    fn a_server_on_every_address_must_know_its_own() {
        let mut flags = GOOD.to_vec();
        flags.push("--bind=0.0.0.0:7777");
        assert!(config(&flags).expect_err("no address").0[0].starts_with("--advertise"));
        flags.push("--advertise=game.example:7777");
        assert!(config(&flags).is_ok());
        flags.pop();
        let cli = Cli::parse_from(std::iter::once("gameserver").chain(flags));
        let agones = |name: &str| (name == "AGONES_SDK_GRPC_PORT").then(|| "9357".to_owned());
        let config = Config::from_args(&cli.args, agones).expect("Agones tells the address");
        assert_eq!(config.sdk.as_deref(), Some("localhost:9357"));
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("90"), Some(Duration::from_secs(90)));
        assert_eq!(duration("2h"), Some(Duration::from_secs(7_200)));
        for bad in ["", "s", "1d", "-1s", "1.5s", "25h", "99999999999999999999s", "s1"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
