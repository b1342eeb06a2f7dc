//! What chaos and the platform that it breaks say to each other: one JSON object per line.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::database::DatabaseOptions;
use crate::parts::PartOptions;
use crate::platform::FleetSize;
use crate::webhooks::WebhookOptions;

/// The first line to the platform's process: what it runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Begin {
    /// Where accounts and keys are kept.
    pub(crate) data: PathBuf,
    /// The same at every start. Each admin port is the next one.
    pub(crate) metagame: SocketAddr,
    pub(crate) allocator: SocketAddr,
    pub(crate) matchmaker: SocketAddr,
    /// Queue file; without it the built-in queue with matches of `match_seconds`.
    pub(crate) queues: Option<PathBuf>,
    pub(crate) match_seconds: u32,
    pub(crate) fleet: FleetSize,
    pub(crate) database: DatabaseOptions,
    pub(crate) webhooks: WebhookOptions,
    pub(crate) parts: PartOptions,
    /// How long running matches may take to finish at the end.
    pub(crate) drain_seconds: u64,
}

/// Every other line to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// Which game servers there are.
    Servers,
    StopAllocator,
    StartAllocator,
    RestartMetagame,
    /// End in the order that loses nothing.
    Drain,
    /// End the running matches now; there is no answer of its own.
    Hurry,
}

/// A line from it: one when it runs, and one per order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Done,
    Servers {
        servers: Vec<Server>,
        /// Most of them at once so far.
        most: u64,
    },
    /// It could not be done; why.
    Failed(String),
}

/// A game server's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) name: String,
    /// None before it is started and after it has ended.
    pub(crate) pid: Option<u32>,
}
