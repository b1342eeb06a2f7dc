//! The choice among servers that fit.

use std::cmp::Ordering;
use std::sync::Arc;

use super::index::{Group, Rank};
use super::request::{Priority, PriorityKind, Request, Scheduling};
use super::selector::Selector;
use super::server::Server;

/// The best server of these groups for this selector of the request. Without conditions on counters or lists and
/// without priorities it costs a look at each group, however many servers there are; with them, at each server that is
/// as good as the best by node. `server` finds a server of these groups by name; `random` decides where chance does.
pub(super) fn choose<'a>(
    request: &Request,
    selector: &Selector,
    groups: &[&'a Group],
    server: impl Fn(&str) -> Option<&'a Server>,
    random: u64,
) -> Option<Arc<str>> {
    match request.scheduling {
        Scheduling::Packed if request.is_plain(selector) => {
            let first = |group: &&'a Group| {
                let rank = group.ranked().next()?;
                Some((rank, group.on_node(&rank.node).next()?))
            };
            groups.iter().filter_map(first).min().map(|(_, name)| name.clone())
        }
        Scheduling::Packed => packed(request, selector, groups, &server),
        Scheduling::Distributed if request.priorities.is_empty() => {
            let total: usize = groups.iter().map(|group| group.names().len()).sum();
            let start = usize::try_from(random % u64::try_from(total.max(1)).unwrap_or(1)).unwrap_or(0);
            let names = || groups.iter().flat_map(|group| group.names());
            let fits = |name: &&Arc<str>| !selector.looks_inside() || inside(selector, &server, name).is_some();
            from(groups, start).chain(names()).find(fits).cloned()
        }
        Scheduling::Distributed => {
            let names = groups.iter().flat_map(|group| group.names());
            let servers = names.filter_map(|name| inside(selector, &server, name));
            servers.min_by(|a, b| by_priority(&request.priorities, a, b)).map(|found| found.key.name.clone())
        }
    }
}

/// Names from position `start` on, without walking those before it.
fn from<'a, 'b>(groups: &'b [&'a Group], mut start: usize) -> Box<dyn Iterator<Item = &'a Arc<str>> + 'b> {
    for (index, group) in groups.iter().enumerate() {
        if start < group.names().len() {
            let rest = groups[index + 1..].iter().flat_map(|group| group.names());
            return Box::new(group.names()[start..].iter().chain(rest));
        }
        start -= group.names().len();
    }
    Box::new(std::iter::empty())
}

/// Node by node, best first; among nodes that are equally full, by the request's priorities and then by name.
fn packed<'a>(
    request: &Request,
    selector: &Selector,
    groups: &[&'a Group],
    server: &impl Fn(&str) -> Option<&'a Server>,
) -> Option<Arc<str>> {
    let mut ranked: Vec<(&Rank, &Group)> =
        groups.iter().flat_map(|&group| group.ranked().map(move |rank| (rank, group))).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    for equals in ranked.chunk_by(|(a, _), (b, _)| a.ties_with(b)) {
        let names = equals.iter().flat_map(|(rank, group)| group.on_node(&rank.node));
        let servers = names.filter_map(|name| inside(selector, server, name));
        let best = servers.min_by(|a, b| by_priority(&request.priorities, a, b));
        if let Some(best) = best {
            return Some(best.key.name.clone());
        }
    }
    None
}

fn inside<'a>(
    selector: &Selector,
    server: &impl Fn(&str) -> Option<&'a Server>,
    name: &Arc<str>,
) -> Option<&'a Server> {
    server(name).filter(|found| selector.matches_inside(found))
}

/// Less is better. A server without the counter or list comes after those that have it, in either order.
fn by_priority(priorities: &[Priority], a: &Server, b: &Server) -> Ordering {
    let by_one = |priority: &Priority| match (room(priority, a), room(priority, b)) {
        (Some(a), Some(b)) if priority.descending => b.cmp(&a),
        (Some(a), Some(b)) => a.cmp(&b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    };
    priorities.iter().map(by_one).find(|order| order.is_ne()).unwrap_or_else(|| a.key.name.cmp(&b.key.name))
}

fn room(priority: &Priority, server: &Server) -> Option<i64> {
    match priority.kind {
        PriorityKind::Counter => server.counters.get(&priority.name).map(super::server::Counter::available),
        PriorityKind::List => server.lists.get(&priority.name).map(super::server::List::available),
    }
}
