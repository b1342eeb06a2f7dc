//! What an allocation writes: one merge patch that holds for one version of the game server alone.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::request::{CounterAction, ListAction, Request};
use super::server::{Counter, LAST_ALLOCATED, List, MATCH, Server};

/// The patch that gives `server` out, and the sentences for what of the request its counters and lists did not allow.
/// `now`: RFC 3339.
pub fn patch(request: &Request, server: &Server, now: &str) -> (Value, Vec<String>) {
    let mut annotations: Map<String, Value> = text_fields(&request.annotations);
    annotations.insert(LAST_ALLOCATED.into(), now.into());
    // An earlier match's mark on a server that is given out anew would make that match's retries find this one.
    if request.match_id().is_none() && server.annotations.contains_key(MATCH) {
        annotations.insert(MATCH.into(), Value::Null);
    }
    let mut metadata = json!({ "resourceVersion": server.resource_version, "annotations": annotations });
    if !request.labels.is_empty() {
        metadata["labels"] = text_fields(&request.labels).into();
    }
    let (mut status, mut left_out) = (json!({ "state": "Allocated" }), Vec::new());
    let counters = changed(&request.counters, &server.counters, "counter", count, &mut left_out);
    let counters: Map<_, _> = counters
        .map(|(name, counter)| (name, json!({ "count": counter.count, "capacity": counter.capacity })))
        .collect();
    if !counters.is_empty() {
        status["counters"] = counters.into();
    }
    let lists = changed(&request.lists, &server.lists, "list", enlist, &mut left_out);
    let lists: Map<_, _> =
        lists.map(|(name, list)| (name, json!({ "capacity": list.capacity, "values": list.values }))).collect();
    if !lists.is_empty() {
        status["lists"] = lists.into();
    }
    (json!({ "metadata": metadata, "status": status }), left_out)
}

fn text_fields(fields: &BTreeMap<String, String>) -> Map<String, Value> {
    fields.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect()
}

/// Each action on what the server has of that name. One that it does not have stays undone, as Agones does it.
fn changed<A, T>(
    actions: &BTreeMap<String, A>,
    known: &BTreeMap<String, T>,
    kind: &str,
    change: fn(&A, &T) -> T,
    left_out: &mut Vec<String>,
) -> impl Iterator<Item = (String, T)> + use<A, T> {
    let mut results = Vec::new();
    for (name, action) in actions {
        match known.get(name) {
            Some(value) => results.push((name.clone(), change(action, value))),
            None => left_out.push(format!("the server has no {kind} \"{name}\"")),
        }
    }
    results.into_iter()
}

fn count(action: &CounterAction, counter: &Counter) -> Counter {
    let capacity = action.capacity.unwrap_or(counter.capacity);
    let count = counter.count.min(capacity).saturating_add(action.add);
    Counter { count: count.min(capacity).max(0), capacity }
}

fn enlist(action: &ListAction, list: &List) -> List {
    let capacity = action.capacity.unwrap_or(list.capacity);
    let size = usize::try_from(capacity).unwrap_or(0);
    let mut values = list.values.clone();
    values.truncate(size);
    for value in &action.add {
        if values.len() < size && !values.contains(value) {
            values.push(value.clone());
        }
    }
    values.retain(|value| !action.remove.contains(value));
    List { values, capacity }
}

#[cfg(test)]
mod tests {
    use super::super::server::fixtures::ready;
    use super::*;

    const NOW: &str = "2026-01-02T03:04:05Z";

    fn server() -> Server {
        let mut server = ready("a-1", "a", "n1");
        server.resource_version = "77".into();
        server.counters.insert("rooms".into(), Counter { count: 3, capacity: 5 });
        server.lists.insert("players".into(), List { values: vec!["ann".into(), "bob".into()], capacity: 3 });
        server
    }

    #[test]
    fn the_patch_holds_for_one_version_and_says_when() {
        let mut request = Request::of_fleet("games", "a");
        request.labels.insert("mode".into(), "ranked".into());
        request.annotations.insert("map".into(), "harbour".into());
        let (patch, left_out) = patch(&request, &server(), NOW);
        let expected = json!({
            "metadata": {
                "resourceVersion": "77",
                "labels": { "mode": "ranked" },
                "annotations": { "map": "harbour", "agones.dev/last-allocated": NOW },
            },
            "status": { "state": "Allocated" },
        });
        assert_eq!((patch, left_out), (expected, vec![]));
    }

    #[test]
    fn the_mark_of_an_earlier_match_goes() {
        let mut server = server();
        server.annotations.insert(MATCH.into(), "old".into());
        let mut request = Request::of_fleet("games", "a");
        assert_eq!(patch(&request, &server, NOW).0["metadata"]["annotations"][MATCH], Value::Null);
        request.annotations.insert(MATCH.into(), "new".into());
        assert_eq!(patch(&request, &server, NOW).0["metadata"]["annotations"][MATCH], "new");
    }

    #[test]
    fn a_count_stays_within_zero_and_its_capacity() {
        let counter = Counter { count: 3, capacity: 5 };
        for (add, capacity, expected) in [
            (1, None, (4, 5)),
            (9, None, (5, 5)),
            (-9, None, (0, 5)),
            (0, Some(2), (2, 2)),
            (1, Some(8), (4, 8)),
            (i64::MAX, None, (5, 5)),
        ] {
            let result = count(&CounterAction { add, capacity }, &counter);
            assert_eq!((result.count, result.capacity), expected, "{add} {capacity:?}");
        }
    }

    #[test]
    fn a_list_takes_new_values_up_to_its_capacity_and_then_loses_some() {
        let list = List { values: vec!["ann".into(), "bob".into()], capacity: 3 };
        let check = |add: &[&str], remove: &[&str], capacity, expected: &[&str]| {
            let words = |list: &[&str]| list.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
            let action = ListAction { add: words(add), remove: words(remove).into_iter().collect(), capacity };
            assert_eq!(enlist(&action, &list).values, expected);
        };
        check(&["bob", "cid"], &[], None, &["ann", "bob", "cid"]);
        check(&["cid", "dan"], &["ann"], None, &["bob", "cid"]);
        check(&[], &["eve"], Some(1), &["ann"]);
    }

    #[test]
    fn what_the_server_does_not_have_is_said() {
        let mut request = Request::of_fleet("games", "a");
        request.counters.insert("rooms".into(), CounterAction { add: 1, capacity: None });
        request.counters.insert("seats".into(), CounterAction { add: 1, capacity: None });
        request.lists.insert("bans".into(), ListAction::default());
        let (patch, left_out) = patch(&request, &server(), NOW);
        assert_eq!(patch["status"]["counters"], json!({ "rooms": { "count": 4, "capacity": 5 } }));
        assert_eq!(left_out, ["the server has no counter \"seats\"", "the server has no list \"bans\""]);
    }
}
