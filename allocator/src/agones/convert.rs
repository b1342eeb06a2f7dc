//! Messages of Agones' allocation service, checked, into the core's words and back. What cannot be honoured is an error
//! with a sentence; nothing is left out silently.

use std::collections::BTreeMap;

use protocol::agones_allocation as pb;

use super::core::request::{CounterAction, ListAction, Priority, PriorityKind, Request, Scheduling};
use super::core::selector::{Bounds, CounterSelector, Expression, ListSelector, Selector};
use super::core::server::{Server, State};

/// Selectors of one request.
const SELECTORS_MAX: usize = 64;
/// Values of one list of a game server.
const LIST_MAX: i64 = 1_000;

/// A request that cannot be honoured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub(super) struct BadRequest {
    field: String,
    problem: String,
}

fn bad(field: impl Into<String>, problem: impl Into<String>) -> BadRequest {
    BadRequest { field: field.into(), problem: problem.into() }
}

/// Checks a request.
///
/// # Errors
/// [`BadRequest`] names the field and says what to change.
pub(super) fn request(message: pb::AllocationRequest) -> Result<Request, BadRequest> {
    if message.multi_cluster_setting.as_ref().is_some_and(|setting| setting.enabled) {
        let problem =
            "allocation over several clusters is not supported: leave it out, and call the allocator of each cluster";
        return Err(bad("multiClusterSetting", problem));
    }
    let scheduling = match message.scheduling {
        0 => Scheduling::Packed,
        1 => Scheduling::Distributed,
        other => return Err(bad("scheduling", format!("{other} is neither Packed (0) nor Distributed (1)"))),
    };
    let metadata = message.metadata.or(message.meta_patch).unwrap_or_default();
    Ok(Request {
        namespace: message.namespace,
        selectors: selectors(
            message.game_server_selectors,
            message.preferred_game_server_selectors,
            message.required_game_server_selector,
        )?,
        scheduling,
        priorities: message.priorities.into_iter().map(priority).collect::<Result<_, _>>()?,
        labels: metadata.labels,
        annotations: metadata.annotations,
        counters: each(message.counters, "counters", |field, action| counter_action(field, &action))?,
        lists: each(message.lists, "lists", list_action)?,
    })
}

/// The selectors, or what older callers say instead: every preferred one, then the required one, which is any server by
/// default.
fn selectors(
    selectors: Vec<pb::GameServerSelector>,
    preferred: Vec<pb::GameServerSelector>,
    required: Option<pb::GameServerSelector>,
) -> Result<Vec<Selector>, BadRequest> {
    let asked = if selectors.is_empty() {
        preferred.into_iter().chain([required.unwrap_or_default()]).collect()
    } else {
        selectors
    };
    if asked.len() > SELECTORS_MAX {
        return Err(bad("gameServerSelectors", format!("at most {SELECTORS_MAX}")));
    }
    asked.into_iter().map(selector).collect()
}

fn selector(message: pb::GameServerSelector) -> Result<Selector, BadRequest> {
    let state = match message.game_server_state {
        0 => State::Ready,
        1 => State::Allocated,
        other => return Err(bad("gameServerState", format!("{other} is neither READY (0) nor ALLOCATED (1)"))),
    };
    Ok(Selector {
        labels: message.match_labels,
        expressions: message.match_expressions.into_iter().map(expression).collect::<Result<_, _>>()?,
        state,
        counters: each(message.counters, "counters", |field, counter| {
            Ok(CounterSelector {
                count: bounds(field, "Count", counter.min_count, counter.max_count)?,
                available: bounds(field, "Available", counter.min_available, counter.max_available)?,
            })
        })?,
        lists: each(message.lists, "lists", |field, list| {
            let available = bounds(field, "Available", list.min_available, list.max_available)?;
            Ok(ListSelector { contains: list.contains_value, available })
        })?,
    })
}

fn expression(message: pb::LabelMatchExpressions) -> Result<Expression, BadRequest> {
    use pb::label_match_expressions::Operator;
    let (key, values) = (message.key, message.values);
    if key.is_empty() {
        return Err(bad("matchExpressions.key", "must not be empty"));
    }
    let operator = Operator::try_from(message.operator);
    let needs_values = matches!(operator, Ok(Operator::In | Operator::NotIn));
    if needs_values == values.is_empty() {
        let problem = if needs_values { "In and NotIn need at least one" } else { "Exists and DoesNotExist take none" };
        return Err(bad(format!("matchExpressions[{key}].values"), problem));
    }
    match operator {
        Ok(Operator::In) => Ok(Expression::In(key, values.into_iter().collect())),
        Ok(Operator::NotIn) => Ok(Expression::NotIn(key, values.into_iter().collect())),
        Ok(Operator::Exists) => Ok(Expression::Exists(key)),
        Ok(Operator::DoesNotExist) => Ok(Expression::DoesNotExist(key)),
        Err(_) => Err(bad(format!("matchExpressions[{key}].operator"), "unknown")),
    }
}

fn bounds(field: &str, what: &str, min: i64, max: i64) -> Result<Bounds, BadRequest> {
    if min < 0 || max < 0 {
        return Err(bad(field, format!("min{what} and max{what} must not be negative")));
    }
    if max != 0 && max < min {
        return Err(bad(field, format!("max{what} must be 0 (none) or at least min{what}")));
    }
    Ok(Bounds { min, max })
}

fn priority(message: pb::Priority) -> Result<Priority, BadRequest> {
    if message.key.is_empty() {
        return Err(bad("priorities.key", "must name a counter or list"));
    }
    let kind = match message.r#type {
        0 => PriorityKind::Counter,
        1 => PriorityKind::List,
        other => return Err(bad("priorities.type", format!("{other} is neither Counter (0) nor List (1)"))),
    };
    let descending = match message.order {
        0 => false,
        1 => true,
        other => return Err(bad("priorities.order", format!("{other} is neither Ascending (0) nor Descending (1)"))),
    };
    Ok(Priority { kind, name: message.key, descending })
}

fn counter_action(field: &str, message: &pb::CounterAction) -> Result<CounterAction, BadRequest> {
    if message.amount.is_some_and(|amount| amount < 0) || message.capacity.is_some_and(|capacity| capacity < 0) {
        return Err(bad(field, "amount and capacity must not be negative"));
    }
    let add = match (message.action.as_deref(), message.amount) {
        (None, None) => 0,
        (Some("Increment"), Some(amount)) => amount,
        (Some("Decrement"), Some(amount)) => -amount,
        (Some("Increment" | "Decrement"), None) => return Err(bad(field, "an action needs an amount")),
        (None, Some(_)) => return Err(bad(field, "an amount needs the action Increment or Decrement")),
        (Some(other), _) => {
            return Err(bad(field, format!("the action \"{other}\" is neither Increment nor Decrement")));
        }
    };
    Ok(CounterAction { add, capacity: message.capacity })
}

fn list_action(field: &str, message: pb::ListAction) -> Result<ListAction, BadRequest> {
    if message.capacity.is_some_and(|capacity| !(0..=LIST_MAX).contains(&capacity)) {
        return Err(bad(field, format!("capacity must be 0 to {LIST_MAX}")));
    }
    let remove = message.delete_values.into_iter().collect();
    Ok(ListAction { add: message.add_values, remove, capacity: message.capacity })
}

/// Converts each value; an error names the field and the key.
fn each<A, B>(
    values: BTreeMap<String, A>,
    field: &str,
    convert: impl Fn(&str, A) -> Result<B, BadRequest>,
) -> Result<BTreeMap<String, B>, BadRequest> {
    let values = values.into_iter();
    values.map(|(key, value)| Ok((key.clone(), convert(&format!("{field}[{key}]"), value)?))).collect()
}

/// The answer for a server that was given out.
pub(super) fn response(server: &Server) -> pb::AllocationResponse {
    use pb::allocation_response as parts;
    let port = |(name, port): &(String, u16)| parts::GameServerStatusPort { name: name.clone(), port: (*port).into() };
    let address = |(kind, address): &(String, String)| {
        let (r#type, address) = (kind.clone(), address.clone());
        parts::GameServerStatusAddress { r#type, address }
    };
    let counters = server.counters.iter().map(|(name, counter)| {
        let status = parts::CounterStatus { count: Some(counter.count), capacity: Some(counter.capacity) };
        (name.clone(), status)
    });
    let lists = server.lists.iter().map(|(name, list)| {
        let status = parts::ListStatus { values: list.values.clone(), capacity: Some(list.capacity) };
        (name.clone(), status)
    });
    pb::AllocationResponse {
        game_server_name: server.key.name.to_string(),
        ports: server.ports.iter().map(port).collect(),
        address: server.address.clone(),
        addresses: server.addresses.iter().map(address).collect(),
        node_name: server.node.to_string(),
        source: "local".to_owned(),
        metadata: Some(parts::GameServerMetadata {
            labels: server.labels.as_ref().clone(),
            annotations: server.annotations.clone(),
        }),
        counters: counters.collect(),
        lists: lists.collect(),
    }
}

#[cfg(test)]
mod tests {
    use protocol::agones_allocation::json;

    use super::*;

    fn of(text: &str) -> Result<Request, BadRequest> {
        request(json::read(text.as_bytes()).expect("good JSON"))
    }

    #[test]
    fn older_callers_preferred_and_required_selectors_become_an_ordered_list() {
        let asked = of(r#"{"namespace": "games", "preferredGameServerSelectors": [{"matchLabels": {"a": "1"}}],
            "requiredGameServerSelector": {"matchLabels": {"b": "2"}}, "metaPatch": {"labels": {"x": "y"}}}"#);
        let asked = asked.expect("good");
        let labels: Vec<_> = asked.selectors.iter().flat_map(|s| s.labels.keys().cloned()).collect();
        assert_eq!(labels, ["a", "b"]);
        assert_eq!(asked.labels["x"], "y");
        let newer = of(r#"{"requiredGameServerSelector": {"matchLabels": {"b": "2"}}, "gameServerSelectors": [{}],
            "metaPatch": {"labels": {"x": "y"}}, "metadata": {"annotations": {"muster.dev/match": "m"}}}"#);
        let newer = newer.expect("good");
        assert_eq!((newer.selectors.len(), newer.selectors[0].labels.len(), newer.labels.len()), (1, 0, 0));
        assert_eq!(newer.match_id(), Some("m"));
        assert_eq!(of("{}").expect("good").selectors, [Selector::any(State::Ready)]);
    }

    #[test]
    fn what_cannot_be_honoured_is_named() {
        for (text, named) in [
            (r#"{"multiClusterSetting": {"enabled": true}}"#, "several clusters"),
            (r#"{"scheduling": 7}"#, "scheduling: 7"),
            (r#"{"gameServerSelectors": [{"gameServerState": 4}]}"#, "gameServerState: 4"),
            (r#"{"gameServerSelectors": [{"matchExpressions": [{"key": "a", "operator": "In"}]}]}"#, "at least one"),
            (
                r#"{"gameServerSelectors": [{"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]}]}"#,
                "take none",
            ),
            (r#"{"gameServerSelectors": [{"counters": {"rooms": {"minCount": -1}}}]}"#, "counters[rooms]: minCount"),
            (r#"{"gameServerSelectors": [{"lists": {"p": {"minAvailable": 3, "maxAvailable": 2}}}]}"#, "lists[p]: max"),
            (r#"{"priorities": [{"type": "Counter"}]}"#, "priorities.key"),
            (r#"{"counters": {"rooms": {"action": "Double", "amount": 1}}}"#, "Double"),
            (r#"{"counters": {"rooms": {"amount": 1}}}"#, "needs the action"),
            (r#"{"counters": {"rooms": {"action": "Increment"}}}"#, "needs an amount"),
            (r#"{"lists": {"players": {"capacity": 1001}}}"#, "0 to 1000"),
        ] {
            let error = of(text).expect_err(text).to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn actions_and_priorities_are_taken_as_they_are_meant() {
        let asked = of(r#"{"counters": {"rooms": {"action": "Decrement", "amount": "2", "capacity": 9}},
            "lists": {"players": {"addValues": ["ann"], "deleteValues": ["bob"]}},
            "priorities": [{"type": "List", "key": "players", "order": "Descending"}], "scheduling": "Distributed"}"#);
        let asked = asked.expect("good");
        assert_eq!(asked.counters["rooms"], CounterAction { add: -2, capacity: Some(9) });
        assert_eq!(asked.lists["players"].remove, ["bob".to_owned()].into());
        assert!(asked.priorities[0].descending && asked.priorities[0].kind == PriorityKind::List);
        assert_eq!(asked.scheduling, Scheduling::Distributed);
    }
}
