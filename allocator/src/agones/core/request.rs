//! What a caller wants.

use std::collections::{BTreeMap, BTreeSet};

use super::selector::Selector;
use super::server::{FLEET_LABEL, MATCH, State};

/// Among servers that fit, which are taken first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scheduling {
    /// Those on the nodes with the most allocated servers, so that others run empty.
    #[default]
    Packed,
    /// Any, at random, so that load spreads.
    Distributed,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PriorityKind {
    /// Room in a counter.
    Counter,
    /// Room in a list.
    List,
}

/// Prefers servers by the room in a counter or list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Priority {
    /// What is compared.
    pub kind: PriorityKind,
    /// Name of the counter or list.
    pub name: String,
    /// Most room first; else least room first.
    pub descending: bool,
}

/// A change of a counter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CounterAction {
    /// Added to the count; the result stays within 0 and the capacity.
    pub add: i64,
    /// New capacity, set first.
    pub capacity: Option<i64>,
}

/// A change of a list: capacity first, then additions, then removals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListAction {
    /// Values to add; those that are there already are not added again.
    pub add: Vec<String>,
    /// Values to remove.
    pub remove: BTreeSet<String>,
    /// New capacity, at most 1,000.
    pub capacity: Option<i64>,
}

/// What a caller wants; checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Where.
    pub namespace: String,
    /// The first that any server fits wins. Never empty.
    pub selectors: Vec<Selector>,
    /// Order among servers that fit.
    pub scheduling: Scheduling,
    /// More order among them, most important first.
    pub priorities: Vec<Priority>,
    /// Labels for the chosen server.
    pub labels: BTreeMap<String, String>,
    /// Annotations for the chosen server.
    pub annotations: BTreeMap<String, String>,
    /// Changes of its counters.
    pub counters: BTreeMap<String, CounterAction>,
    /// Changes of its lists.
    pub lists: BTreeMap<String, ListAction>,
}

impl Request {
    /// The match that it is for: a request with one may be repeated and gets the same server.
    pub fn match_id(&self) -> Option<&str> {
        self.annotations.get(MATCH).map(String::as_str).filter(|id| !id.is_empty())
    }

    /// Whether every server that fits is as good as any other on its node: then none is looked at one by one.
    pub(super) fn is_plain(&self, selector: &Selector) -> bool {
        self.priorities.is_empty() && !selector.looks_inside()
    }

    /// Names of the Fleets that it asks for by name.
    pub fn fleets(&self) -> impl Iterator<Item = &str> {
        self.selectors.iter().filter_map(|s| s.labels.get(FLEET_LABEL)).map(String::as_str)
    }

    /// A request for any Ready server of a Fleet.
    pub fn of_fleet(namespace: &str, fleet: &str) -> Self {
        let labels = [(FLEET_LABEL.to_owned(), fleet.to_owned())].into();
        let selector = Selector { labels, ..Selector::any(State::Ready) };
        Self { namespace: namespace.to_owned(), selectors: vec![selector], ..Self::default() }
    }
}
