//! When the API shows a server as Allocated, seen from its acknowledged matches.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use cluster::watch::{Seen, watch};
use crds::agones::GameServer;
use hdrhistogram::Histogram;
use kube::runtime::watcher;
use kube::{Api, ResourceExt as _};
use protocol::id::ServerId;
use tokio_util::sync::CancellationToken;

use super::figures::{histogram, micros};

/// A watch of the GameServers, and the matches that wait to be seen there.
pub(crate) struct Shown(Mutex<Inner>);

struct Inner {
    /// Servers by the name of their GameServer.
    names: BTreeMap<String, ServerId>,
    servers: BTreeMap<ServerId, Server>,
    lags: Lags,
}

#[derive(Default)]
struct Server {
    is_allocated: bool,
    /// When matches were acknowledged that the API does not show yet.
    unseen: Vec<Instant>,
}

/// Time from an acknowledged match until the API shows its server as Allocated.
pub(crate) struct Lags {
    /// Of every match, in microseconds: most find their server Allocated, by a match before.
    pub(crate) every: Histogram<u64>,
    /// Of those that did not find it so.
    pub(crate) first: Histogram<u64>,
    /// Changes of state that the API showed.
    pub(crate) changes: u64,
}

impl Lags {
    fn new() -> Self {
        Self { every: histogram(), first: histogram(), changes: 0 }
    }
}

impl Shown {
    /// Servers by the name of their GameServer.
    pub(crate) fn new(names: BTreeMap<String, ServerId>) -> Self {
        let servers = names.values().map(|id| (*id, Server::default())).collect();
        Self(Mutex::new(Inner { names, servers, lags: Lags::new() }))
    }

    /// Watches until `end`.
    pub(crate) fn follow(self: &std::sync::Arc<Self>, api: Api<GameServer>, end: CancellationToken) {
        let shown = self.clone();
        let tell = move |seen: Seen<'_, GameServer>| {
            if let Seen::Applied(server) = seen {
                shown.state(&server.name_any(), server.is_allocated(), Instant::now());
            }
        };
        watch(api, watcher::Config::default(), |_| {}, tell, end);
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.0.lock().expect("nobody panics in here"))
    }

    /// A caller was told of a server.
    pub(crate) fn acknowledged(&self, server: ServerId, at: Instant) {
        self.with(|inner| match inner.servers.get_mut(&server) {
            Some(server) if !server.is_allocated => server.unseen.push(at),
            _ => inner.lags.every.record(0).expect("in range"),
        });
    }

    /// The API shows a server.
    fn state(&self, name: &str, is_allocated: bool, at: Instant) {
        self.with(|inner| {
            let id = inner.names.get(name).copied();
            let Some(server) = id.and_then(|id| inner.servers.get_mut(&id)) else { return };
            inner.lags.changes += u64::from(std::mem::replace(&mut server.is_allocated, is_allocated) != is_allocated);
            if !is_allocated {
                return;
            }
            for since in server.unseen.drain(..) {
                let lag = micros(at.duration_since(since));
                inner.lags.every.record(lag).expect("in range");
                inner.lags.first.record(lag).expect("in range");
            }
        });
    }

    /// The lags since the last call, and how many matches still wait to be seen.
    pub(crate) fn take(&self) -> (Lags, usize) {
        self.with(|inner| {
            let unseen = inner.servers.values().map(|server| server.unseen.len()).sum();
            (std::mem::replace(&mut inner.lags, Lags::new()), unseen)
        })
    }
}
