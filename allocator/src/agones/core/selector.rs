//! Whether a server is what a caller wants.

use std::collections::{BTreeMap, BTreeSet};

use super::server::{Counter, List, Server, State};

/// A condition on a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// The label has one of these values.
    In(String, BTreeSet<String>),
    /// The label is absent or has none of these values.
    NotIn(String, BTreeSet<String>),
    /// The label is there.
    Exists(String),
    /// The label is absent.
    DoesNotExist(String),
}

impl Expression {
    fn label(&self) -> &str {
        match self {
            Self::In(label, _) | Self::NotIn(label, _) | Self::Exists(label) | Self::DoesNotExist(label) => label,
        }
    }

    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::In(label, values) => labels.get(label).is_some_and(|value| values.contains(value)),
            Self::NotIn(label, values) => labels.get(label).is_none_or(|value| !values.contains(value)),
            Self::Exists(label) => labels.contains_key(label),
            Self::DoesNotExist(label) => !labels.contains_key(label),
        }
    }
}

/// Bounds, both included; a maximum of 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Least.
    pub min: i64,
    /// Most, or 0.
    pub max: i64,
}

impl Bounds {
    fn contain(self, value: i64) -> bool {
        value >= self.min && (self.max == 0 || value <= self.max)
    }
}

/// A condition on a counter; a server without it does not fit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CounterSelector {
    /// Its value.
    pub count: Bounds,
    /// How much it may grow.
    pub available: Bounds,
}

impl CounterSelector {
    fn matches(&self, counter: &Counter) -> bool {
        self.count.contain(counter.count) && self.available.contain(counter.available())
    }
}

/// A condition on a list; a server without it does not fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListSelector {
    /// A value that it has; empty: none is asked for.
    pub contains: String,
    /// How many values may be added.
    pub available: Bounds,
}

impl ListSelector {
    fn matches(&self, list: &List) -> bool {
        self.available.contain(list.available()) && (self.contains.is_empty() || list.values.contains(&self.contains))
    }
}

/// A server that would do: all of this holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// Labels that it has.
    pub labels: BTreeMap<String, String>,
    /// Conditions on its labels.
    pub expressions: Vec<Expression>,
    /// Ready or Allocated.
    pub state: State,
    /// Conditions on its counters.
    pub counters: BTreeMap<String, CounterSelector>,
    /// Conditions on its lists.
    pub lists: BTreeMap<String, ListSelector>,
}

impl Selector {
    /// Whether it says anything of this label.
    pub(super) fn picks(&self, label: &str) -> bool {
        self.labels.contains_key(label) || self.expressions.iter().any(|expression| expression.label() == label)
    }

    /// Whether a server may have this value of a label, as far as this label goes.
    pub(super) fn allows(&self, label: &str, value: &str) -> bool {
        let alone = BTreeMap::from([(label.to_owned(), value.to_owned())]);
        self.labels.get(label).is_none_or(|wanted| wanted == value)
            && self.expressions.iter().filter(|it| it.label() == label).all(|it| it.matches(&alone))
    }

    /// Any server in this state.
    pub fn any(state: State) -> Self {
        let (counters, lists) = (BTreeMap::new(), BTreeMap::new());
        Self { labels: BTreeMap::new(), expressions: Vec::new(), state, counters, lists }
    }

    /// Whether servers with these labels may fit.
    pub fn matches_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().all(|(label, value)| labels.get(label) == Some(value))
            && self.expressions.iter().all(|expression| expression.matches(labels))
    }

    /// Whether it asks for more than labels and state.
    pub fn looks_inside(&self) -> bool {
        !self.counters.is_empty() || !self.lists.is_empty()
    }

    /// Whether the counters and lists of this server fit.
    pub fn matches_inside(&self, server: &Server) -> bool {
        let counters = |(name, wanted): (&String, &CounterSelector)| {
            server.counters.get(name).is_some_and(|counter| wanted.matches(counter))
        };
        let lists =
            |(name, wanted): (&String, &ListSelector)| server.lists.get(name).is_some_and(|list| wanted.matches(list));
        self.counters.iter().all(counters) && self.lists.iter().all(lists)
    }
}

#[cfg(test)]
mod tests {
    use super::super::server::fixtures::ready;
    use super::*;

    fn check(expression: &Expression, expected: [bool; 3]) {
        let selector = Selector { expressions: vec![expression.clone()], ..Selector::any(State::Ready) };
        let labels = [vec![("tier", "gold")], vec![("tier", "iron")], vec![]];
        for (labels, expected) in labels.into_iter().zip(expected) {
            let labels = labels.into_iter().map(|(label, value)| (label.into(), value.into())).collect();
            assert_eq!(selector.matches_labels(&labels), expected, "{expression:?} of {labels:?}");
        }
    }

    #[test]
    fn expressions_are_those_of_label_selectors() {
        let gold: BTreeSet<String> = ["gold".to_owned()].into();
        check(&Expression::In("tier".into(), gold.clone()), [true, false, false]);
        check(&Expression::NotIn("tier".into(), gold), [false, true, true]);
        check(&Expression::Exists("tier".into()), [true, true, false]);
        check(&Expression::DoesNotExist("tier".into()), [false, false, true]);
    }

    #[test]
    fn every_label_named_must_be_there() {
        let labels = |list: &[(&str, &str)]| list.iter().map(|(l, v)| ((*l).into(), (*v).into())).collect();
        let wanted = Selector { labels: labels(&[("a", "1"), ("b", "2")]), ..Selector::any(State::Ready) };
        assert!(wanted.matches_labels(&labels(&[("a", "1"), ("b", "2"), ("c", "3")])));
        assert!(!wanted.matches_labels(&labels(&[("a", "1")])));
        assert!(!wanted.matches_labels(&labels(&[("a", "1"), ("b", "3")])));
    }

    #[test]
    fn counters_and_lists_fit_by_value_and_by_room() {
        let mut server = ready("a-1", "a", "n1");
        server.counters.insert("rooms".into(), Counter { count: 3, capacity: 5 });
        server.lists.insert("players".into(), List { values: vec!["ann".into(), "bob".into()], capacity: 2 });
        let counter = |min, max, least, most| {
            let wanted = CounterSelector { count: Bounds { min, max }, available: Bounds { min: least, max: most } };
            let counters = [("rooms".to_owned(), wanted)].into();
            Selector { counters, ..Selector::any(State::Ready) }.matches_inside(&server)
        };
        assert!(counter(0, 0, 0, 0) && counter(3, 3, 2, 2));
        assert!(!counter(4, 0, 0, 0) && !counter(0, 2, 0, 0) && !counter(0, 0, 3, 0) && !counter(0, 0, 0, 1));
        let list = |contains: &str, min, max| {
            let wanted = ListSelector { contains: contains.into(), available: Bounds { min, max } };
            Selector { lists: [("players".to_owned(), wanted)].into(), ..Selector::any(State::Ready) }
                .matches_inside(&server)
        };
        assert!(list("", 0, 0) && list("bob", 0, 1));
        assert!(!list("eve", 0, 0) && !list("", 1, 0));
        let absent = [("other".to_owned(), CounterSelector::default())].into();
        assert!(!Selector { counters: absent, ..Selector::any(State::Ready) }.matches_inside(&server));
    }
}
