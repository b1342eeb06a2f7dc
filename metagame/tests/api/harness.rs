//! A metagame with its peers, and a client.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use metagame::store::Store;
use metagame::{Config, DatabaseLimits, DatabaseLocation, IdentitySettings, Limits, Parts, Running, Webhooks};
use protocol::id::PlayerId;
use protocol::jwt::SigningKey;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use service::Shutdown;
use service::token::ServiceTokens;
use testkit::postgres::TestDatabase;

use super::fakes::{FakeAllocator, FakeMatchmaker};

pub(crate) fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().expect("an address")
}

/// These tests are not about time, and the machine may be busy with others.
fn patient(limits: DatabaseLimits) -> DatabaseLimits {
    DatabaseLimits { patience: Duration::from_secs(30), ..limits }
}

/// A port on which nobody listens.
async fn dead_port() -> SocketAddr {
    service::Listener::bind(any_port(), "nobody").await.expect("a free port").local_addr()
}

/// The database of a test: this program runs them on SQLite, `tests/api_postgres.rs` runs the same on PostgreSQL.
pub(crate) enum Kept {
    File,
    Server(TestDatabase),
}

impl Kept {
    fn new() -> Self {
        if module_path!().starts_with("api_postgres") { Self::Server(TestDatabase::new()) } else { Self::File }
    }

    fn location(&self, folder: &Path) -> DatabaseLocation {
        match self {
            Self::File => DatabaseLocation::File(folder.join("data/metagame.db")),
            Self::Server(database) => DatabaseLocation::parse(&database.url()).expect("an address"),
        }
    }
}

/// A metagame and what is around it.
pub(crate) struct Harness {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) config: Config,
    /// What the data is kept in.
    database: Kept,
    pub(crate) matchmaker: FakeMatchmaker,
    pub(crate) allocator: FakeAllocator,
    pub(crate) shutdown: Shutdown,
    /// Ends the fakes alone.
    pub(crate) peers: Shutdown,
    running: Option<Running>,
    http: reqwest::Client,
}

/// A player that is logged in.
#[derive(Clone)]
pub(crate) struct Player {
    pub(crate) id: PlayerId,
    pub(crate) access: String,
    pub(crate) refresh: String,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The end of the problem's type; the answer must be a whole problem.
    pub(crate) fn problem(&self) -> &str {
        let header = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        assert_eq!(header("content-type"), "application/problem+json", "{self:?}");
        assert_eq!(self.body["status"], self.status.as_u16(), "{self:?}");
        assert_eq!(self.body["request_id"], header("x-request-id"), "{self:?}");
        assert!(self.body["title"].is_string() && self.body["detail"].is_string(), "{self:?}");
        self.body["type"].as_str().and_then(|urn| urn.strip_prefix("urn:muster:problem:")).expect("a problem's type")
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }
}

impl Harness {
    /// The metagame itself.
    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    /// With both peers.
    pub(crate) async fn start() -> Self {
        Self::start_with(Limits::default(), true).await
    }

    /// With these limits; without `peers` nobody listens at their addresses.
    pub(crate) async fn start_with(limits: Limits, with_peers: bool) -> Self {
        Self::start_whole(with_peers, |config, _| config.limits = limits).await
    }

    /// With both peers and other settings; files may lie in the folder.
    pub(crate) async fn start_changed(change: impl FnOnce(&mut Config, &Path)) -> Self {
        Self::start_whole(true, change).await
    }

    /// With both peers and somebody who is told of events.
    pub(crate) async fn start_telling(webhooks: Webhooks) -> Self {
        Self::start_whole(true, |config, _| config.webhooks = webhooks).await
    }

    async fn start_whole(with_peers: bool, change: impl FnOnce(&mut Config, &Path)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let database = Kept::new();
        let service_key = service::key::load_or_create(&folder.path().join("service.key")).expect("a key");
        let (matchmaker, allocator) = (FakeMatchmaker::new("first"), FakeAllocator::new());
        let (shutdown, peers) = (Shutdown::new(), Shutdown::new());
        let (matchmaker_at, allocator_at) = if with_peers {
            let matchmaker_at = matchmaker.serve(any_port(), &service_key, peers.clone()).await;
            (matchmaker_at, allocator.serve(any_port(), &service_key, peers.clone()).await)
        } else {
            (dead_port().await, dead_port().await)
        };
        let servers = Arc::new(protocol::jwt::KeySet::new([service_key.public_key()]));
        let mut config = Config {
            api_address: any_port(),
            admin_address: any_port(),
            database: database.location(folder.path()),
            access_key_file: folder.path().join("metagame.key"),
            access_key_mounted: false,
            vault_key_file: folder.path().join("vault.key"),
            identity: IdentitySettings::default(),
            tokens: ServiceTokens::new(Arc::new(service_key), "metagame"),
            matchmaker_url: format!("http://{matchmaker_at}"),
            allocator_url: format!("http://{allocator_at}"),
            limits: Limits::default(),
            webhooks: Webhooks::default(),
            servers: Some(servers.into()),
            parts: Parts::default(),
        };
        change(&mut config, folder.path());
        config.limits.database = patient(config.limits.database);
        let running = metagame::start(config.clone(), shutdown.clone()).await.expect("metagame starts");
        let http = reqwest::Client::new();
        Self { folder, config, database, matchmaker, allocator, shutdown, peers, running: Some(running), http }
    }

    /// Stops metagame and starts it again on the same files.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.shutdown = Shutdown::new();
        let running = metagame::start(self.config.clone(), self.shutdown.clone()).await;
        self.running = Some(running.expect("metagame starts again"));
    }

    pub(crate) async fn stop(&mut self) {
        self.shutdown.trigger();
        if let Some(running) = self.running.take() {
            running.wait().await.expect("a clean end");
        }
    }

    /// Whether the database is a file, which one process has for itself.
    pub(crate) fn is_on_file(&self) -> bool {
        matches!(self.database, Kept::File)
    }

    /// One more instance on the same database. It ends with the harness.
    pub(crate) async fn another(&self) -> Running {
        metagame::start(self.config.clone(), self.shutdown.clone()).await.expect("another metagame starts")
    }

    /// The database, beside the metagame that uses it.
    pub(crate) async fn store(&self) -> Store {
        Store::open(&self.config.database, self.config.limits.database).await.expect("the database")
    }

    /// Everything that the database holds: its files, or a dump.
    pub(crate) async fn database_bytes(&self) -> Vec<Vec<u8>> {
        match (&self.database, &self.config.database) {
            (Kept::Server(database), _) => {
                let dump = database.dump();
                let blobs = dump.split("\\\\x").skip(1).map(|rest| {
                    let digits: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
                    hex::decode(&digits[..digits.len() & !1]).expect("hex digits")
                });
                blobs.chain([dump.clone().into_bytes()]).collect()
            }
            (Kept::File, DatabaseLocation::File(path)) => {
                let files = ["", "-wal"].map(|end| std::fs::read(format!("{}{end}", path.display())));
                let days = std::fs::read_dir(path.with_extension("telemetry")).into_iter().flatten();
                let days = days.filter_map(|day| std::fs::read(day.ok()?.path()).ok());
                files.into_iter().filter_map(Result::ok).chain(days).collect()
            }
            (Kept::File, DatabaseLocation::Postgres(url)) => panic!("{url} is no file"),
        }
    }

    pub(crate) fn service_key(&self) -> SigningKey {
        service::key::load_or_create(&self.folder.path().join("service.key")).expect("the key")
    }

    pub(crate) fn access_key(&self) -> SigningKey {
        service::key::load_or_create(&self.config.access_key_file).expect("the key")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running().address
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    pub(crate) fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.as_ref().expect("it runs").admin_address)
    }

    pub(crate) fn request(&self, method: Method, path: &str, access: Option<&str>) -> reqwest::RequestBuilder {
        let request = self.http.request(method, self.url(path));
        match access {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.expect("a body");
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status, headers, body }
    }

    pub(crate) async fn get(&self, path: &str, player: &Player) -> Answer {
        self.send(self.request(Method::GET, path, Some(&player.access))).await
    }

    pub(crate) async fn post(&self, path: &str, access: Option<&str>, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path, access).json(body)).await
    }

    /// A player whose device id is made of `n`.
    pub(crate) async fn login(&self, n: u8) -> Player {
        let body = json!({ "device_id": format!("{n:02x}{:030x}", 7), "name": format!("Player {n}") });
        let answer = self.post("/v1/auth/device", None, &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Player {
            id: answer.text("player_id").parse().expect("a player id"),
            access: answer.text("access_token").into(),
            refresh: answer.text("refresh_token").into(),
        }
    }

    /// A queued ticket of the player.
    pub(crate) async fn queue(&self, player: &Player) -> String {
        let ticket_id = uuid::Uuid::from_bytes(service::random::bytes()).to_string();
        let body = json!({ "ticket_id": ticket_id, "queue": "duel" });
        let answer = self.post("/v1/tickets", Some(&player.access), &body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        ticket_id
    }
}
