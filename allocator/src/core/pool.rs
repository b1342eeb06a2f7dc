//! Game servers by id, and their rooms.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use protocol::id::{MatchId, ServerId};

use super::link::{Link, LinkId, LinkState};
use super::now::Now;

/// Numbers of match updates that are remembered per server, so that a repeated one is known.
const NUMBERS_KEPT: usize = 1_024;

/// What a server says about itself when it registers; it never changes within one incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// Incarnation of the process.
    pub server_id: ServerId,
    /// Name of its GameServer or process.
    pub name: String,
    /// Namespace of its GameServer, as its pod has proved; empty on one machine.
    pub namespace: String,
    /// Build that it runs.
    pub build: String,
    /// Region that it runs in.
    pub region: String,
    /// Fleet that it belongs to.
    pub fleet: String,
    /// Revision of the fleet that it was rendered from, or empty.
    pub revision: String,
    /// Matches that it can host at once.
    pub capacity: u32,
    /// Where clients reach it, "host:port".
    pub address: String,
    /// "host:port" of its admin port, or empty.
    pub admin_address: String,
    /// Whether its clients speak a protocol of their own, so that it has no keys for them.
    pub is_foreign: bool,
    /// How long it may take to answer Assign; zero: as long as the allocator says.
    pub joinable_within: Duration,
    /// X25519 public key for clients; zeros where it is foreign.
    pub server_key: [u8; 32],
    /// Ed25519 public key that signs its results.
    pub result_key: [u8; 32],
    /// SHA-256 of its QUIC certificates.
    pub quic_fingerprints: Vec<[u8; 32]>,
    /// Begins every connection id of the server.
    pub routing_token: Vec<u8>,
    /// Hash of the game's schema.
    pub schema_hash: u64,
    /// Tick rate in Hz.
    pub tick_rate_hz: u32,
}

impl ServerFacts {
    /// Its name, unlike that of a server of another namespace.
    pub fn key(&self) -> String {
        qualified(&self.namespace, &self.name)
    }
}

/// A name in a namespace, as `namespace/name`; without a namespace as it is.
pub fn qualified(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}

/// What a room of a server is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Assign was sent and not answered yet.
    Reserved,
    /// The match is there.
    Hosted,
    /// The server registered again without the match: an update that says why is due.
    Missing {
        /// Since when.
        since: Duration,
    },
    /// Release was sent; the server has not said that the room is free.
    Releasing {
        /// Since when.
        since: Duration,
    },
}

/// An order that holds until the server is gone, repeated at every registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Leave when idle.
    Retire,
    /// Leave by a deadline.
    Drain {
        /// When, on the allocator's monotonic clock.
        deadline: Duration,
        /// Why, for people.
        reason: String,
    },
}

/// A registered server.
#[derive(Debug, Clone)]
pub struct Server {
    /// What it said about itself.
    pub facts: Arc<ServerFacts>,
    /// Whether it is heard.
    pub link: Link,
    /// Its rooms that are taken, by match.
    pub rooms: BTreeMap<MatchId, Room>,
    /// Agones state as it last observed it.
    pub state: String,
    /// Whether it said that it leaves.
    pub leaving: bool,
    /// Its node, where the cluster has told; else empty.
    pub node: String,
    /// Rooms that are taken on its node, as of about a second ago.
    pub node_rooms: u32,
    /// What it was told to do until it is gone.
    pub standing: Option<Standing>,
    /// It refused for want of room or state: left alone until then.
    pub paused_until: Option<Duration>,
    /// When its process started, Unix milliseconds by the allocator's clock.
    pub started_unix_ms: u64,
    /// Players connected, by its last report.
    pub players: u32,
    /// p99 of tick time over the tick budget in thousandths, by its last report.
    pub tick_load_permille: u32,
    numbers: BTreeSet<u64>,
}

impl Server {
    /// A server that registers now on `stream`.
    pub fn new(facts: Arc<ServerFacts>, stream: LinkId, state: String, uptime_ms: u64, now: Now) -> Self {
        Self {
            facts,
            link: Link::new(stream, now.at),
            rooms: BTreeMap::new(),
            state,
            leaving: false,
            node: String::new(),
            node_rooms: 0,
            standing: None,
            paused_until: None,
            started_unix_ms: now.unix_ms.saturating_sub(uptime_ms),
            players: 0,
            tick_load_permille: 0,
            numbers: BTreeSet::new(),
        }
    }

    /// The same server, registering again: what it was told and what it said holds on, its rooms are told anew.
    #[must_use]
    pub fn again(self, facts: Arc<ServerFacts>, stream: LinkId, state: String, uptime_ms: u64, now: Now) -> Self {
        Self {
            leaving: self.leaving,
            node: self.node,
            node_rooms: self.node_rooms,
            standing: self.standing,
            players: self.players,
            tick_load_permille: self.tick_load_permille,
            numbers: self.numbers,
            ..Self::new(facts, stream, state, uptime_ms, now)
        }
    }

    /// Rooms that are not taken.
    pub fn free_rooms(&self) -> u32 {
        self.facts.capacity.saturating_sub(u32::try_from(self.rooms.len()).unwrap_or(u32::MAX))
    }

    /// Whether it may get a new match, room aside: heard, staying, and in a state in which Agones leaves it alone.
    pub fn takes_matches(&self) -> bool {
        self.link.state() == LinkState::Linked
            && self.link.stream().is_some()
            && !self.leaving
            && self.standing.is_none()
            && self.paused_until.is_none()
            && matches!(self.state.as_str(), "Reserved" | "Allocated")
    }

    /// Notes the number of an update. Whether it is new.
    pub fn note_number(&mut self, number: u64) -> bool {
        let new = self.numbers.insert(number);
        if self.numbers.len() > NUMBERS_KEPT {
            self.numbers.pop_first();
        }
        new
    }
}

/// Every server that is known.
#[derive(Debug, Default)]
pub struct Pool {
    servers: BTreeMap<ServerId, Server>,
    by_link: BTreeMap<LinkId, ServerId>,
}

impl Pool {
    /// The server with this id.
    pub fn get(&self, id: ServerId) -> Option<&Server> {
        self.servers.get(&id)
    }

    /// The server with this id.
    pub fn get_mut(&mut self, id: ServerId) -> Option<&mut Server> {
        self.servers.get_mut(&id)
    }

    /// The server behind a stream, as long as the stream is its current one.
    pub fn by_link(&self, link: LinkId) -> Option<ServerId> {
        self.by_link.get(&link).copied()
    }

    /// Servers of this [`key`](ServerFacts::key): one, or none, or for a moment an older incarnation too.
    pub fn named(&self, key: &str) -> Vec<ServerId> {
        self.servers.values().filter(|s| s.facts.key() == key).map(|s| s.facts.server_id).collect()
    }

    /// Puts a server in, in place of its earlier registration.
    pub fn insert(&mut self, server: Server) {
        if let Some(stream) = server.link.stream() {
            self.by_link.insert(stream, server.facts.server_id);
        }
        self.servers.insert(server.facts.server_id, server);
    }

    /// Takes a server out.
    pub fn remove(&mut self, id: ServerId) -> Option<Server> {
        let server = self.servers.remove(&id)?;
        if let Some(stream) = server.link.stream() {
            self.by_link.remove(&stream);
        }
        Some(server)
    }

    /// Forgets a stream that ended or was replaced.
    pub fn forget_link(&mut self, link: LinkId) {
        self.by_link.remove(&link);
    }

    /// Every server, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Server> {
        self.servers.values()
    }

    /// Every server, by id.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Server> {
        self.servers.values_mut()
    }

    /// How many servers are known.
    pub fn len(&self) -> usize {
        self.servers.len()
    }

    /// Whether no server is known.
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }
}
