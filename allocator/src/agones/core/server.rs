//! A game server, trimmed to what allocation needs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Label of a game server: its Fleet.
pub const FLEET_LABEL: &str = "agones.dev/fleet";
/// Annotation of a game server: when it was given out last, RFC 3339.
pub const LAST_ALLOCATED: &str = "agones.dev/last-allocated";
/// Annotation of a game server: the match that it was given out for. A request that sets it may be repeated.
pub const MATCH: &str = "muster.dev/match";
/// Annotation of a game server or Fleet that is being drained.
pub const DRAIN_DEADLINE: &str = "muster.dev/drain-deadline";

/// Which game server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Labels, shared by the copies of a server.
pub type Labels = Arc<BTreeMap<String, String>>;

/// What a server can be given out from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Free.
    Ready,
    /// Given out, and may be given out again to a caller that asks for such servers.
    Allocated,
    /// Neither: it cannot be given out.
    Other,
}

impl State {
    /// From Agones' name of it.
    pub fn from_agones(state: &str) -> Self {
        match state {
            "Ready" => Self::Ready,
            "Allocated" => Self::Allocated,
            _ => Self::Other,
        }
    }
}

/// A counter of a game server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counter {
    /// Its value.
    pub count: i64,
    /// Its largest value.
    pub capacity: i64,
}

impl Counter {
    /// How much the count may grow.
    pub fn available(&self) -> i64 {
        self.capacity.saturating_sub(self.count)
    }
}

/// A list of a game server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    /// Its values.
    pub values: Vec<String>,
    /// How many it may have.
    pub capacity: i64,
}

impl List {
    /// How many values may be added.
    pub fn available(&self) -> i64 {
        self.capacity.saturating_sub(i64::try_from(self.values.len()).unwrap_or(i64::MAX))
    }
}

/// A game server as the cluster showed it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Which.
    pub key: Key,
    /// Another one of the same name has another.
    pub uid: String,
    /// The API's version of the object; the next write names it.
    pub resource_version: String,
    /// Its labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// What it can be given out from.
    pub state: State,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Name of its node.
    pub node: Arc<str>,
    /// Where clients reach it.
    pub address: String,
    /// All its addresses: type and address.
    pub addresses: Vec<(String, String)>,
    /// Its ports: name and number.
    pub ports: Vec<(String, u16)>,
    /// Its counters.
    pub counters: BTreeMap<String, Counter>,
    /// Its lists.
    pub lists: BTreeMap<String, List>,
}

impl Server {
    /// Name of its Fleet, or empty.
    pub fn fleet(&self) -> &str {
        self.labels.get(FLEET_LABEL).map_or("", String::as_str)
    }

    /// Match that it has been given out for, while it is given out.
    pub fn match_id(&self) -> Option<&str> {
        let is_given_out = self.state == State::Allocated && !self.deleting;
        self.annotations.get(MATCH).filter(|_| is_given_out).map(String::as_str)
    }

    /// Whether it may be given out at all.
    pub fn is_offered(&self) -> bool {
        self.state != State::Other && !self.deleting && !self.annotations.contains_key(DRAIN_DEADLINE)
    }

    /// Whether this was seen later than `known`, or at the same time. Versions of one kind are numbers that grow, from
    /// one object of a name to the next too; what is no number is taken as it comes.
    pub fn is_as_new_as(&self, known: &Self) -> bool {
        match (self.resource_version.parse::<u64>(), known.resource_version.parse::<u64>()) {
            (Ok(new), Ok(old)) => new >= old,
            _ => true,
        }
    }
}

#[cfg(test)]
pub(in crate::agones) mod fixtures {
    use super::*;

    /// A Ready server of `fleet` on `node` at version 1.
    pub(in crate::agones) fn ready(name: &str, fleet: &str, node: &str) -> Server {
        let labels = [(FLEET_LABEL.to_owned(), fleet.to_owned())].into();
        Server {
            key: Key { namespace: "games".into(), name: name.into() },
            uid: format!("uid-{name}"),
            resource_version: "1".into(),
            labels: Arc::new(labels),
            annotations: BTreeMap::new(),
            state: State::Ready,
            deleting: false,
            node: node.into(),
            address: "10.0.0.1".into(),
            addresses: vec![],
            ports: vec![("default".into(), 7000)],
            counters: BTreeMap::new(),
            lists: BTreeMap::new(),
        }
    }
}
