//! Every game server known, who of them is held while a write is under way, and who waits for one.
//!
//! A server that was chosen is held: nobody else gets it. Whoever holds one says how the write ended, by exactly one of
//! [`Book::written`], [`Book::conflicted`], [`Book::released`] and [`Book::gone`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::core::cluster::hash;

use super::choose::choose;
use super::fleets::{Fleets, POOL_LABEL, POOL_MUSTER};
use super::index::Index;
use super::request::Request;
use super::server::{Key, Server, State};

/// Names a request that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaitId(pub u64);

/// The wait queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the wait queue is full")]
pub struct Full;

/// How many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ready, and can be given out.
    pub ready: usize,
    /// Given out.
    pub allocated: usize,
    /// Held by a write.
    pub held: usize,
    /// Requests that wait.
    pub waiting: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// It cannot be given out.
    Out,
    /// It can.
    Indexed,
    /// A write is under way.
    Held,
    /// Somebody else changed it and the change has not been seen yet.
    Stale,
}

#[derive(Debug)]
struct Entry {
    server: Arc<Server>,
    slot: Slot,
    /// The node that counts its hold.
    held_on: Option<Arc<str>>,
    /// It went while it was held.
    is_gone: bool,
}

/// Orders of revisions are a chosen one and the stable one.
const TURNS_MAX: usize = 2;

#[derive(Debug)]
struct Waiting {
    id: WaitId,
    request: Arc<Request>,
}

/// Every game server known.
#[derive(Debug)]
pub struct Book {
    entries: BTreeMap<Key, Entry>,
    index: Index,
    /// Servers that are given out for a match, by namespace and match.
    matches: BTreeMap<(Arc<str>, String), Key>,
    waiting: VecDeque<Waiting>,
    waiting_max: usize,
    grants: Vec<(WaitId, Arc<Server>)>,
    /// Muster's fleets.
    pub fleets: Fleets,
}

impl Book {
    /// An empty book where at most `waiting_max` requests wait.
    pub fn new(waiting_max: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            index: Index::default(),
            matches: BTreeMap::new(),
            waiting: VecDeque::new(),
            waiting_max,
            grants: Vec::new(),
            fleets: Fleets::default(),
        }
    }

    /// The server that is given out for this match, if any.
    pub fn given_out_for(&self, namespace: &str, match_id: &str) -> Option<Arc<Server>> {
        let key = self.matches.get(&(namespace.into(), match_id.to_owned()))?;
        self.entries.get(key).map(|entry| entry.server.clone())
    }

    /// Holds the best server for this request, as it is known now; `None`: none fits. `random` decides where chance does,
    /// also between the revisions of a GameFleet; a request for a match always comes to the same one.
    pub fn hold(&mut self, request: &Request, random: u64) -> Option<Arc<Server>> {
        let namespace: Arc<str> = request.namespace.as_str().into();
        let point = request.match_id().map_or(random, |id| hash(id.as_bytes()));
        let chosen = request.selectors.iter().find_map(|selector| {
            let groups = self.index.matching(&namespace, selector);
            let groups = groups.filter(|group| !self.fleets.is_draining(&namespace, group.fleet()));
            let turn = |group| Some((self.fleets.turn(&namespace, group, selector, point)?, group));
            let groups: Vec<_> = groups.filter_map(turn).collect();
            let server = |name: &str| {
                let key = Key { namespace: namespace.clone(), name: name.into() };
                self.entries.get(&key).map(|entry| &*entry.server)
            };
            (0..TURNS_MAX).find_map(|turn| {
                let now: Vec<_> = groups.iter().filter(|(its, _)| *its == turn).map(|(_, group)| *group).collect();
                choose(request, selector, &now, server, random)
            })
        })?;
        let key = Key { namespace, name: chosen };
        let entry = self.entries.get_mut(&key)?;
        self.index.remove(&entry.server);
        self.index.hold_on(&entry.server.node);
        entry.held_on = Some(entry.server.node.clone());
        entry.slot = Slot::Held;
        Some(entry.server.clone())
    }

    /// Lets a request wait for a server; a grant comes by [`Self::take_grants`].
    ///
    /// # Errors
    /// [`Full`].
    pub fn wait(&mut self, id: WaitId, request: Arc<Request>) -> Result<(), Full> {
        if self.waiting.len() >= self.waiting_max {
            return Err(Full);
        }
        self.waiting.push_back(Waiting { id, request });
        Ok(())
    }

    /// A request waits no longer. What was granted to it before stays held.
    pub fn stop_waiting(&mut self, id: WaitId) {
        self.waiting.retain(|waiting| waiting.id != id);
    }

    /// Servers that are held for requests that waited, since the last call.
    #[must_use]
    pub fn take_grants(&mut self) -> Vec<(WaitId, Arc<Server>)> {
        std::mem::take(&mut self.grants)
    }

    /// The cluster shows a server. What is older than what is known changes nothing.
    pub fn observe(&mut self, server: Server) {
        if server.labels.get(POOL_LABEL).is_some_and(|pool| pool == POOL_MUSTER) {
            return self.remove(&server.key);
        }
        self.put(&server.key.clone(), &Arc::new(server), false);
    }

    /// The cluster no longer has a server.
    pub fn remove(&mut self, key: &Key) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if entry.slot == Slot::Held {
            entry.is_gone = true;
            return;
        }
        if entry.slot == Slot::Indexed {
            self.index.remove(&entry.server);
        }
        let server = entry.server.clone();
        self.entries.remove(key);
        self.unmark(&server);
    }

    /// The cluster has exactly these servers in a namespace.
    pub fn retain(&mut self, namespace: &str, names: &BTreeSet<Arc<str>>) {
        let in_namespace = self.entries.keys().filter(|key| &*key.namespace == namespace);
        let gone: Vec<_> = in_namespace.filter(|key| !names.contains(&key.name)).cloned().collect();
        for key in gone {
            self.remove(&key);
        }
    }

    /// The held server was written, and is now this.
    pub fn written(&mut self, server: Server) {
        let key = server.key.clone();
        self.end_hold(&key);
        // One that went meanwhile is forgotten by now, and must not come back.
        if self.entries.contains_key(&key) {
            self.put(&key, &Arc::new(server), false);
        }
    }

    /// The held server was not written: it is no longer what `held` was. Whether it must be looked up, because the
    /// change has not been seen.
    pub fn conflicted(&mut self, held: &Server) -> bool {
        self.end_hold(&held.key);
        let Some(entry) = self.entries.get_mut(&held.key) else { return false };
        let is_unseen = entry.server.resource_version == held.resource_version && entry.server.uid == held.uid;
        if is_unseen {
            entry.slot = Slot::Stale;
        } else {
            self.place(&held.key);
        }
        is_unseen
    }

    /// A server was looked up.
    pub fn looked_up(&mut self, server: Server) {
        self.put(&server.key.clone(), &Arc::new(server), true);
    }

    /// The held server was not written and may be given out again.
    pub fn released(&mut self, key: &Key) {
        self.end_hold(key);
        self.place(key);
    }

    /// The held server is no more.
    pub fn gone(&mut self, key: &Key) {
        self.end_hold(key);
        self.remove(key);
    }

    /// How many there are.
    pub fn counts(&self) -> Counts {
        let held = self.entries.values().filter(|entry| entry.slot == Slot::Held).count();
        let (ready, allocated) = (self.index.count(State::Ready), self.index.count(State::Allocated));
        Counts { ready, allocated, held, waiting: self.waiting.len() }
    }

    fn put(&mut self, key: &Key, server: &Arc<Server>, is_certain: bool) {
        let Some(entry) = self.entries.get_mut(key) else {
            let entry = Entry { server: server.clone(), slot: Slot::Out, held_on: None, is_gone: false };
            self.entries.insert(key.clone(), entry);
            self.mark(server);
            return self.place(key);
        };
        let known = entry.server.clone();
        let is_old = !server.is_as_new_as(&known);
        let is_known = server.uid == known.uid && server.resource_version == known.resource_version;
        if is_old || (is_known && !(is_certain && entry.slot == Slot::Stale)) {
            return;
        }
        if entry.slot == Slot::Indexed {
            self.index.remove(&known);
        }
        entry.server = server.clone();
        entry.is_gone = false;
        let is_held = entry.slot == Slot::Held;
        self.unmark(&known);
        self.mark(server);
        if !is_held {
            if let Some(entry) = self.entries.get_mut(key) {
                entry.slot = Slot::Out;
            }
            self.place(key);
        }
    }

    /// Puts a server that is not held where it belongs, and lets those that wait have it.
    fn place(&mut self, key: &Key) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if entry.slot == Slot::Held || entry.slot == Slot::Indexed {
            return;
        }
        if !entry.server.is_offered() {
            entry.slot = Slot::Out;
            return;
        }
        entry.slot = Slot::Indexed;
        let server = entry.server.clone();
        self.index.insert(&server);
        self.serve_waiting(&server);
    }

    fn serve_waiting(&mut self, server: &Server) {
        let fits = |waiting: &Waiting| {
            *waiting.request.namespace == *server.key.namespace
                && waiting.request.selectors.iter().any(|s| s.state == server.state && s.matches_labels(&server.labels))
        };
        let candidates: Vec<_> = self.waiting.iter().filter(|w| fits(w)).map(|w| (w.id, w.request.clone())).collect();
        for (id, request) in candidates {
            // By its number, so that one that waits for a revision goes on to wait for that.
            if let Some(held) = self.hold(&request, hash(&id.0.to_le_bytes())) {
                self.stop_waiting(id);
                self.grants.push((id, held));
                return;
            }
        }
    }

    /// Ends a hold; one that went meanwhile is forgotten.
    fn end_hold(&mut self, key: &Key) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if entry.slot != Slot::Held {
            return;
        }
        if let Some(node) = entry.held_on.take() {
            self.index.end_hold_on(&node);
        }
        entry.slot = Slot::Out;
        if entry.is_gone {
            self.remove(key);
        }
    }

    fn mark(&mut self, server: &Server) {
        if let Some(id) = server.match_id() {
            self.matches.insert((server.key.namespace.clone(), id.to_owned()), server.key.clone());
        }
    }

    fn unmark(&mut self, server: &Server) {
        let Some(id) = server.match_id() else { return };
        let mark = (server.key.namespace.clone(), id.to_owned());
        if self.matches.get(&mark) == Some(&server.key) {
            self.matches.remove(&mark);
        }
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
