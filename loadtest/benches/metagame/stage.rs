//! The processes that a row is measured on, and the players that are there.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use loadtest::metagame::connection::{Connection, request};
use loadtest::metagame::load::{Load, Outcome, Script, flat_out};
use loadtest::metagame::session::{self, Account};
use testkit::postgres::{Server, TestDatabase};
use testkit::redis::RedisServer;

use crate::process::cpu_seconds;
use crate::report::{Cores, Measured, ServerTimes};
use crate::serve::{Order, Ready};

/// Accounts that are known before anything is measured.
pub(crate) const KNOWN: usize = 2_000;
/// Seed of their devices.
pub(crate) const SEED: u64 = 0x6D65_7461;
const WARM_UP: Duration = Duration::from_secs(3);

const CATALOG: &str = r#"
version = 1
[[currency]]
id = "gold"
kind = "soft"
[[item]]
id = "potion"
stacks = true
consumable = true
[[item]]
id = "sword"
[[offer]]
id = "potion"
gives = [{ item = "potion", quantity = 1 }]
price = [{ currency = "gold", amount = 1 }]
"#;

const BOARDS: &str = r#"
[[board]]
id = "open"
client_writable = true
keep = "last"
[[board]]
id = "trusted"
keep = "last"
[[board]]
id = "hundred-thousand"
[[board]]
id = "million"
"#;

/// What the data is kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    /// With a Redis beside it, for the ranks.
    PostgresRedis,
    Sqlite,
}

pub(crate) const KINDS: [Kind; 3] = [Kind::Postgres, Kind::PostgresRedis, Kind::Sqlite];

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::PostgresRedis => "PostgreSQL, Redis",
            Self::Sqlite => "SQLite",
        }
    }
}

/// Metagame and what it stands on; all of it ends with this.
pub(crate) struct Stage {
    pub(crate) kind: Kind,
    pub(crate) accounts: Arc<[Account]>,
    pub(crate) ready: Ready,
    /// Filled with entries, so that it is done once.
    pub(crate) boards_filled: bool,
    pub(crate) metagame: Child,
    order: Order,
    pub(crate) database: Option<TestDatabase>,
    postgres: Option<Server>,
    redis: Option<RedisServer>,
    folder: tempfile::TempDir,
}

impl Stage {
    pub(crate) async fn start(kind: Kind) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(std::env::var("CARGO_TARGET_TMPDIR").unwrap_or_else(|_| "target".into()))
            .or_else(|_| tempfile::tempdir())?;
        let catalog = folder.path().join("catalog.toml");
        std::fs::write(&catalog, CATALOG)?;
        let postgres = match kind {
            Kind::Sqlite => None,
            _ => Some(Server::start().map_err(anyhow::Error::msg)?),
        };
        let database = postgres.as_ref().map(|server| TestDatabase::on(&server.url()));
        let redis = (kind == Kind::PostgresRedis).then(RedisServer::start);
        let order = Order {
            folder: folder.path().to_owned(),
            database: database.as_ref().map(TestDatabase::url),
            redis: redis.as_ref().map(RedisServer::url),
            catalog,
            boards: BOARDS.to_owned(),
            certificate: None,
        };
        let (metagame, ready) = spawn(&order)?;
        let accounts = session::accounts(ready.api, SEED, KNOWN).await?;
        Ok(Self { kind, accounts, ready, boards_filled: false, metagame, order, database, postgres, redis, folder })
    }

    /// One that players reach over the gateway's own port as well, with TLS; PostgreSQL behind it.
    pub(crate) async fn with_certificate() -> anyhow::Result<Self> {
        let mut stage = Self::start(Kind::Postgres).await?;
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let (certificate, key) = (stage.folder.path().join("tls.crt"), stage.folder.path().join("tls.key"));
        std::fs::write(&certificate, made.cert.pem())?;
        std::fs::write(&key, made.signing_key.serialize_pem())?;
        stage.order.certificate = Some((certificate, key));
        stage.restart().await?;
        Ok(stage)
    }

    /// Stops metagame and starts it again on the same data.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<()> {
        drop(self.metagame.stdin.take());
        self.metagame.wait()?;
        (self.metagame, self.ready) = spawn(&self.order)?;
        self.accounts = session::accounts(self.ready.api, SEED, KNOWN).await?;
        Ok(())
    }

    pub(crate) fn settings(&self) -> Vec<String> {
        self.ready.settings.iter().map(|one| format!("{}: {one}", self.kind.name())).collect()
    }

    /// Where mail goes.
    pub(crate) fn mail_folder(&self) -> std::path::PathBuf {
        self.order.folder.join("mail")
    }

    pub(crate) fn api(&self) -> SocketAddr {
        self.ready.api
    }

    /// Measures a script with so many connections. `route` is how the server names what it does, in its metrics.
    pub(crate) async fn measure(
        &self,
        connections: usize,
        length: Duration,
        route: (&str, &str),
        script: Script,
    ) -> anyhow::Result<Measured> {
        let load = Load { connections, warm_up: WARM_UP, length };
        self.measure_by(route, connections, length, async |address| flat_out(address, load, Arc::clone(&script)).await)
            .await
    }

    /// The same for any load; CPU is that of the whole load, its warm-up included.
    pub(crate) async fn measure_by(
        &self,
        route: (&str, &str),
        connections: usize,
        length: Duration,
        load: impl AsyncFnOnce(SocketAddr) -> Outcome,
    ) -> anyhow::Result<Measured> {
        let before = self.request_buckets(route).await?;
        let (begun, cpu) = (std::time::Instant::now(), self.cpu());
        let outcome = load(self.api()).await;
        let (took, cpu_after) = (begun.elapsed().as_secs_f64(), self.cpu());
        let server = ServerTimes::between(&before, &self.request_buckets(route).await?);
        let cores = Cores::between(&cpu, &cpu_after, took);
        anyhow::ensure!(!outcome.latency.is_empty(), "no good answer at all: {:?}", outcome.first_wrong);
        let _ = length;
        Ok(Measured { connections, outcome, server, cores, each: 1 })
    }

    /// Seconds of CPU so far: metagame, database, Redis, load.
    fn cpu(&self) -> [f64; 4] {
        let keeper = |pid: Option<u32>| pid.map_or(0.0, cpu_seconds);
        [
            cpu_seconds(self.metagame.id()),
            keeper(self.postgres.as_ref().map(Server::pid)),
            keeper(self.redis.as_ref().map(|redis| redis.pid())),
            own_cpu_seconds(self),
        ]
    }

    async fn request_buckets(&self, (method, route): (&str, &str)) -> anyhow::Result<Vec<(f64, u64)>> {
        let mut connection = Connection::new(self.ready.admin);
        let answer = connection.send(&request("GET", "/metrics", &[], b"")).await?;
        let text = String::from_utf8(answer.body).context("metrics are text")?;
        let wanted = |line: &&str| {
            line.starts_with("muster_metagame_request_seconds_bucket{")
                && line.contains(&format!("method=\"{method}\""))
                && line.contains(&format!("route=\"{route}\""))
        };
        let bucket = |line: &str| {
            let bound = line.split("le=\"").nth(1)?.split('"').next()?;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
            Some((bound, line.rsplit(' ').next()?.parse().ok()?))
        };
        Ok(text.lines().filter(wanted).filter_map(bucket).collect())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.metagame.stdin.take());
        let _ = self.metagame.wait();
    }
}

/// This process without those that it has started.
fn own_cpu_seconds(stage: &Stage) -> f64 {
    let children = [
        Some(stage.metagame.id()),
        stage.postgres.as_ref().map(Server::pid),
        stage.redis.as_ref().map(|redis| redis.pid()),
    ];
    cpu_seconds(std::process::id()) - children.into_iter().flatten().map(cpu_seconds).sum::<f64>()
}

fn spawn(order: &Order) -> anyhow::Result<(Child, Ready)> {
    let mut metagame = Command::new(std::env::current_exe()?)
        .args(["serve", &serde_json::to_string(order)?])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(metagame.stdout.take().context("its output")?).read_line(&mut line)?;
    let ready = serde_json::from_str(&line).context("metagame did not start")?;
    Ok((metagame, ready))
}
