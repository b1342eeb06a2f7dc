//! The metagame of the bench, in a process of its own.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use metagame::core::leaderboard::Boards;
use metagame::db::{Domain, Engine, Sql};
use metagame::store::Store;
use metagame::{
    CertificateFiles, DatabaseLocation, Economy, GatewaySettings, IdentitySettings, MailSettings, MailWay, Parts, Rate,
    TcpSettings, args, read_catalog,
};
use protocol::jwt::{KeySet, SigningKey};
use serde::{Deserialize, Serialize};
use service::Shutdown;
use service::token::ServiceTokens;

/// Seed of the key that signs service tokens.
const SERVICE_SEED: [u8; 32] = [0x51; 32];

/// What it is told at its start.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Where its keys are, and its database where that is a file.
    pub(crate) folder: PathBuf,
    /// `postgres://…`, or nothing for a file.
    pub(crate) database: Option<String>,
    pub(crate) redis: Option<String>,
    pub(crate) catalog: PathBuf,
    pub(crate) boards: String,
    /// Certificate and key of the gateway's own port.
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
}

/// What it answers once it serves.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) api: std::net::SocketAddr,
    pub(crate) admin: std::net::SocketAddr,
    pub(crate) gateway: Option<std::net::SocketAddr>,
    /// What the database says of its durability.
    pub(crate) settings: Vec<String>,
}

/// A token with which the bench speaks as a server of the studio's own.
pub(crate) fn service_token() -> String {
    ServiceTokens::new(Arc::new(SigningKey::from_seed(&SERVICE_SEED)), "bench").bearer("muster-metagame").unwrap()
}

/// Serves until its standard input ends.
pub(crate) async fn run(order: Order) {
    let key = Arc::new(SigningKey::from_seed(&SERVICE_SEED));
    let database = match &order.database {
        Some(url) => DatabaseLocation::parse(url).unwrap(),
        None => DatabaseLocation::File(order.folder.join("metagame.db")),
    };
    let any = "127.0.0.1:0".parse().unwrap();
    let endless = Rate { per_second: 1e9, burst: 1e9 };
    let tcp = order.certificate.map(|(certificate, key)| TcpSettings {
        address: any,
        certificate: Some(CertificateFiles { certificate, key }),
    });
    let mail = MailSettings {
        from: "bench@example.org".into(),
        game: "Bench".into(),
        way: MailWay::Folder(order.folder.join("mail")),
    };
    let config = metagame::Config {
        api_address: any,
        admin_address: any,
        database: database.clone(),
        access_key_file: order.folder.join("access.key"),
        access_key_mounted: false,
        vault_key_file: order.folder.join("vault.key"),
        identity: IdentitySettings { mail: Some(mail), ..Default::default() },
        tokens: ServiceTokens::new(Arc::clone(&key), "metagame"),
        // Nobody plays here.
        matchmaker_url: "http://127.0.0.1:9".into(),
        allocator_url: "http://127.0.0.1:9".into(),
        // All players come from one address, and none is slower than its machine.
        limits: metagame::Limits {
            per_address: endless,
            per_account: endless,
            connections_max: 32_768,
            ..Default::default()
        },
        webhooks: Default::default(),
        servers: Some(Arc::new(KeySet::new([key.public_key()])).into()),
        parts: Parts {
            redis: order.redis.map(|url| url.parse().unwrap()),
            economy: Economy { catalog: Arc::new(read_catalog(&order.catalog).unwrap()), ..Default::default() },
            boards: Arc::new(Boards::parse(&order.boards).unwrap()),
            gateway: GatewaySettings { tcp, sockets_max: 24_000, ..Default::default() },
            ..Default::default()
        },
    };
    let limits = config.limits.database;
    let shutdown = Shutdown::new();
    let running = metagame::start(config, shutdown.clone()).await.unwrap();
    let settings = settings(&database, limits).await;
    let ready =
        Ready { api: running.address, admin: running.admin_address, gateway: running.gateway_address, settings };
    println!("{}", serde_json::to_string(&ready).unwrap());
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    shutdown.trigger();
    running.wait().await.unwrap();
}

/// What makes an acknowledged write durable, as the database itself says it.
async fn settings(database: &DatabaseLocation, limits: metagame::DatabaseLimits) -> Vec<String> {
    // A second store on the file would wait for the first one's lock: the settings are those of any connection.
    let beside = tempfile::tempdir().unwrap();
    let asked_of = match database {
        DatabaseLocation::File(_) => DatabaseLocation::File(beside.path().join("settings.db")),
        server => server.clone(),
    };
    let store = Store::open(&asked_of, limits).await.unwrap();
    let db = store.database();
    let ask = async |sql: &'static str| -> String {
        match db.engine() {
            Engine::Sqlite if sql.ends_with("synchronous") => {
                db.one::<u64>(Domain::Operations, Sql::from(sql), args![]).await.unwrap().to_string()
            }
            _ => db.one::<String>(Domain::Operations, Sql::from(sql), args![]).await.unwrap(),
        }
    };
    let asked: &[&'static str] = match db.engine() {
        Engine::Sqlite => &["PRAGMA synchronous", "PRAGMA journal_mode"],
        Engine::Postgres => &["SHOW fsync", "SHOW synchronous_commit", "SHOW full_page_writes", "SHOW server_version"],
    };
    let mut settings = Vec::new();
    for sql in asked {
        settings.push(format!("{sql}: {}", ask(sql).await));
    }
    settings
}
