//! Settings. Addresses and secrets have no defaults; limits and figures do.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use service::token::ServiceTokens;
use service::verify::Verifier;

use crate::core::kv::Collections;
use crate::core::leaderboard::Boards;
use crate::core::progression::Progression;
use crate::db::{DatabaseLimits, DatabaseLocation};
use crate::economy::Economy;
use crate::events::BusSettings;
use crate::gamemesh::GameMeshSettings;
use crate::gateway::{GatewaySettings, Roles};
use crate::identity::settings::IdentitySettings;
use crate::live::LiveSettings;
use crate::outgoing::OutgoingSettings;
use crate::redis::RedisUrl;
use crate::telemetry::TelemetrySettings;
use crate::webhooks::Webhooks;

/// What metagame needs to run.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where clients and game servers reach the API.
    pub api_address: SocketAddr,
    /// Where operators reach `/healthz`, `/readyz`, `/metrics` and `/stats`.
    pub admin_address: SocketAddr,
    /// Where the data is kept: a SQLite file, or a database on a PostgreSQL server.
    pub database: DatabaseLocation,
    /// Key file that signs access tokens and guards refresh tokens; made if there is none. With another key every
    /// player has to log in again.
    pub access_key_file: PathBuf,
    /// Whether Kubernetes has mounted that key file: then its own group may read it, and none is made.
    pub access_key_mounted: bool,
    /// Key file under which personal data is sealed; made if there is none, mounted like the other. Without it nobody can
    /// read e-mail addresses any more: keep a copy where the database's backups are not.
    pub vault_key_file: PathBuf,
    /// Ways to prove to be a player besides a device.
    pub identity: IdentitySettings,
    /// The service tokens that metagame shows to matchmaker and allocator.
    pub tokens: ServiceTokens,
    /// The matchmaker, `http://host:port`.
    pub matchmaker_url: String,
    /// The allocator, `http://host:port`.
    pub allocator_url: String,
    /// Bounds.
    pub limits: Limits,
    /// Who is told of events of matches.
    pub webhooks: Webhooks,
    /// Judges the tokens of servers that call the API; without it there are no such calls.
    pub servers: Option<Verifier>,
    /// What single parts are given.
    pub parts: Parts,
}

/// Settings of single parts, each with a default that needs nothing else: a new part is one field here.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    /// Redis, for what can be rebuilt or lost. Without it each instance keeps that in memory.
    pub redis: Option<RedisUrl>,
    /// Currencies, goods, prices.
    pub economy: Economy,
    /// XP and levels, seasons, challenges, achievements.
    pub progression: Arc<Progression>,
    /// Leaderboards besides those of the queues.
    pub boards: Arc<Boards>,
    /// What this instance serves.
    pub roles: Roles,
    /// Which values games keep per player.
    pub collections: Arc<Collections>,
    /// How the realtime gateway serves.
    pub gateway: GatewaySettings,
    /// How others are called.
    pub outgoing: OutgoingSettings,
    /// Events, settings of the game, and those who may say something of players.
    pub live: LiveSettings,
    /// What is reported of the game, and how much of it is kept.
    pub telemetry: TelemetrySettings,
    /// The bus outside to which events go; without it webhooks alone hear of them.
    pub events: Option<BusSettings>,
    /// Serve clients of the GameMesh backend.
    pub gamemesh: Option<GameMeshSettings>,
}

/// Bounds on what callers can ask for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Connections at once.
    pub connections_max: usize,
    /// Requests at once; more are told to come back.
    pub requests_max: usize,
    /// Streams of ticket events at once.
    pub subscribers_max: usize,
    /// Sessions of one player; a login beyond that ends the oldest.
    pub sessions_max: u32,
    /// Bounds of the database.
    pub database: DatabaseLimits,
    /// Requests from one address.
    pub per_address: Rate,
    /// Requests of one account.
    pub per_account: Rate,
}

/// A rate with room for bursts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Requests per second in the long run.
    pub per_second: f64,
    /// Requests at once after a pause.
    pub burst: f64,
}

impl Default for Limits {
    /// Generous per address: a LAN party, a campus or a load test of some hundred clients comes from one address.
    fn default() -> Self {
        Self {
            connections_max: 8_192,
            requests_max: 512,
            subscribers_max: 4_096,
            sessions_max: 8,
            database: DatabaseLimits::default(),
            per_address: Rate { per_second: 1_000.0, burst: 4_000.0 },
            per_account: Rate { per_second: 20.0, burst: 60.0 },
        }
    }
}
