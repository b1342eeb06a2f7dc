//! Servers that can be given out, grouped by equal labels and ranked by node, so that a choice looks at groups and not
//! at servers: the servers of one Fleet revision nearly always have the same labels.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::selector::Selector;
use super::server::{FLEET_LABEL, Labels, Server, State};

/// How full a node is: the best one for the next match comes first. Nodes that are fullest with matches, then those
/// with the most Ready servers, as Agones orders them, then by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    allocated: Reverse<usize>,
    ready: Reverse<usize>,
    /// The node.
    pub(super) node: Arc<str>,
}

impl Rank {
    /// Whether both nodes are equally full.
    pub(super) fn ties_with(&self, other: &Self) -> bool {
        (self.allocated, self.ready) == (other.allocated, other.ready)
    }
}

/// What the servers of a group have in common besides all labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    namespace: Arc<str>,
    state: State,
    fleet: Arc<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct GroupId(u64);

/// Servers of one namespace and state with equal labels.
#[derive(Debug)]
pub(super) struct Group {
    place: Place,
    labels: Labels,
    /// Names in no order, for a choice at random.
    names: Vec<Arc<str>>,
    positions: HashMap<Arc<str>, usize>,
    on_node: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
    ranked: BTreeSet<Rank>,
}

impl Group {
    fn new(place: Place, labels: Labels) -> Self {
        let (names, positions) = (Vec::new(), HashMap::new());
        Self { place, labels, names, positions, on_node: HashMap::new(), ranked: BTreeSet::new() }
    }

    /// Name of the Fleet, or empty.
    pub(super) fn fleet(&self) -> &str {
        &self.place.fleet
    }

    /// A label of all its servers.
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    /// Names of its servers, in no order.
    pub(super) fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Its nodes, best first.
    pub(super) fn ranked(&self) -> impl Iterator<Item = &Rank> {
        self.ranked.iter()
    }

    /// Names of its servers on a node, in order.
    pub(super) fn on_node(&self, node: &str) -> impl Iterator<Item = &Arc<str>> {
        self.on_node.get(node).into_iter().flatten()
    }

    fn add(&mut self, server: &Server) {
        self.positions.insert(server.key.name.clone(), self.names.len());
        self.names.push(server.key.name.clone());
        self.on_node.entry(server.node.clone()).or_default().insert(server.key.name.clone());
    }

    fn take_out(&mut self, server: &Server) {
        let Some(position) = self.positions.remove(&server.key.name) else { return };
        self.names.swap_remove(position);
        if let Some(moved) = self.names.get(position) {
            self.positions.insert(moved.clone(), position);
        }
        if let Some(names) = self.on_node.get_mut(&server.node) {
            names.remove(&server.key.name);
            if names.is_empty() {
                self.on_node.remove(&server.node);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Node {
    allocated: usize,
    ready: usize,
    groups: BTreeSet<GroupId>,
}

/// All groups and nodes.
#[derive(Debug, Default)]
pub(super) struct Index {
    groups: HashMap<GroupId, Group>,
    places: BTreeMap<Place, BTreeMap<Labels, GroupId>>,
    nodes: HashMap<Arc<str>, Node>,
    groups_made: u64,
}

impl Index {
    /// Puts a server in. It must not be in, and be Ready or Allocated.
    pub(super) fn insert(&mut self, server: &Server) {
        let place = Place {
            namespace: server.key.namespace.clone(),
            state: server.state,
            fleet: server.labels.get(FLEET_LABEL).map_or("", String::as_str).into(),
        };
        let ids = self.places.entry(place.clone()).or_default();
        let id = *ids.entry(server.labels.clone()).or_insert_with(|| {
            self.groups_made += 1;
            GroupId(self.groups_made)
        });
        self.groups.entry(id).or_insert_with(|| Group::new(place, server.labels.clone())).add(server);
        self.change_node(&server.node, |node| {
            node.groups.insert(id);
            *node.count(server.state) += 1;
        });
    }

    /// Takes a server out, as it was put in.
    pub(super) fn remove(&mut self, server: &Server) {
        let Some((place, id)) = self.find(server) else { return };
        let Some(group) = self.groups.get_mut(&id) else { return };
        group.take_out(server);
        let (is_empty, left_node) = (group.names.is_empty(), !group.on_node.contains_key(&server.node));
        self.change_node(&server.node, |node| {
            *node.count(server.state) -= 1;
            if left_node {
                node.groups.remove(&id);
            }
        });
        if is_empty {
            self.groups.remove(&id);
            if let Some(ids) = self.places.get_mut(&place) {
                ids.remove(&server.labels);
                if ids.is_empty() {
                    self.places.remove(&place);
                }
            }
        }
    }

    /// A server of this node is about to be given out: the node counts as that much fuller.
    pub(super) fn hold_on(&mut self, node: &Arc<str>) {
        self.change_node(node, |node| node.allocated += 1);
    }

    /// It was given out, or was not; [`Self::insert`] counts it from now on.
    pub(super) fn end_hold_on(&mut self, node: &Arc<str>) {
        self.change_node(node, |node| node.allocated -= 1);
    }

    /// Groups whose labels and state fit.
    pub(super) fn matching<'a>(&'a self, namespace: &str, selector: &'a Selector) -> impl Iterator<Item = &'a Group> {
        let from = |fleet: &str| Place { namespace: namespace.into(), state: selector.state, fleet: fleet.into() };
        let fleet = selector.labels.get(FLEET_LABEL);
        let first = from(fleet.map_or("", String::as_str));
        let (namespace, state) = (first.namespace.clone(), first.state);
        let places = self.places.range(first..);
        let places = places.take_while(move |(place, _)| place.namespace == namespace && place.state == state);
        let places = places.take_while(move |(place, _)| fleet.is_none_or(|fleet| **fleet == *place.fleet));
        let groups = places.flat_map(|(_, ids)| ids.values()).filter_map(|id| self.groups.get(id));
        groups.filter(|group| selector.matches_labels(&group.labels))
    }

    fn find(&self, server: &Server) -> Option<(Place, GroupId)> {
        let fleet = server.labels.get(FLEET_LABEL).map_or("", String::as_str).into();
        let place = Place { namespace: server.key.namespace.clone(), state: server.state, fleet };
        let id = *self.places.get(&place)?.get(&server.labels)?;
        Some((place, id))
    }

    /// Changes a node, and its place in the order of each group that has servers there.
    fn change_node(&mut self, name: &Arc<str>, change: impl FnOnce(&mut Node)) {
        let node = self.nodes.entry(name.clone()).or_default();
        let old = node.rank(name);
        for id in &node.groups {
            if let Some(group) = self.groups.get_mut(id) {
                group.ranked.remove(&old);
            }
        }
        change(node);
        let new = node.rank(name);
        for id in &node.groups {
            if let Some(group) = self.groups.get_mut(id) {
                group.ranked.insert(new.clone());
            }
        }
        if node.groups.is_empty() && node.allocated == 0 {
            self.nodes.remove(name);
        }
    }

    /// Servers in, by state.
    pub(super) fn count(&self, state: State) -> usize {
        let ids = self.places.iter().filter(|(place, _)| place.state == state).flat_map(|(_, ids)| ids.values());
        ids.filter_map(|id| self.groups.get(id)).map(|group| group.names.len()).sum()
    }
}

impl Node {
    fn rank(&self, name: &Arc<str>) -> Rank {
        Rank { allocated: Reverse(self.allocated), ready: Reverse(self.ready), node: name.clone() }
    }

    fn count(&mut self, state: State) -> &mut usize {
        if state == State::Ready { &mut self.ready } else { &mut self.allocated }
    }
}
