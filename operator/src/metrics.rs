//! Every metric of the operator, defined once. Labels are GameFleets, regions and fixed words; never servers or matches.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const LEADER: &str = "muster_operator_leader";
const LOOKS: &str = "muster_operator_looks_total";
const LOOK: &str = "muster_operator_look_seconds";
const WRITES: &str = "muster_operator_writes_total";
const STREAM: &str = "muster_operator_stream_up";
const WANTED: &str = "muster_operator_wanted_servers";
const SERVERS: &str = "muster_operator_servers";
const REACTION: &str = "muster_operator_scale_reaction_seconds";
const CONDITION: &str = "muster_operator_condition";
const ROLLOUTS: &str = "muster_operator_rollout_steps_total";

/// Says what each metric means.
pub(crate) fn describe() {
    describe_gauge!(LEADER, "1 while this replica leads and may write, 0 otherwise");
    describe_counter!(LOOKS, "Looks at a GameFleet or MatchQueue by outcome: nothing, wrote, stale, failed");
    describe_histogram!(LOOK, "Time to decide on one look, without its writes");
    describe_counter!(WRITES, "Writes to the API server by kind and outcome: done, stale, not_leading, failed");
    describe_gauge!(STREAM, "1 while this service is heard, 0 otherwise");
    describe_gauge!(WANTED, "Servers that a GameFleet should have in a region");
    describe_gauge!(SERVERS, "Servers that a GameFleet has in a region");
    describe_histogram!(REACTION, "Time from a queue's growth, as it was heard, to the answer of the /scale write");
    describe_gauge!(CONDITION, "Whether a condition of a GameFleet holds; NaN once the GameFleet is gone");
    describe_counter!(ROLLOUTS, "Steps of rollouts by what happened");
    // A counter that appears with its first event has not risen for Prometheus, so alarms would miss it.
    for what in ["rolled_back", "held"] {
        counter!(ROLLOUTS, "what" => what).increment(0);
    }
}

pub(crate) fn leads(leads: bool) {
    gauge!(LEADER).set(if leads { 1.0 } else { 0.0 });
}

pub(crate) fn looked(kind: &'static str, outcome: &'static str) {
    counter!(LOOKS, "kind" => kind, "outcome" => outcome).increment(1);
}

pub(crate) fn decided(took: Duration) {
    histogram!(LOOK).record(took.as_secs_f64());
}

pub(crate) fn wrote(kind: &'static str, outcome: &'static str) {
    counter!(WRITES, "kind" => kind, "outcome" => outcome).increment(1);
}

pub(crate) fn stream(service: &'static str, up: bool) {
    gauge!(STREAM, "service" => service).set(if up { 1.0 } else { 0.0 });
}

/// `game_namespace`, because `namespace` is that of the operator's own pod to whoever scrapes it.
pub(crate) fn region(namespace: &str, game_fleet: &str, region: &str, wanted: u32, servers: u32) {
    let (namespace, game_fleet, region) = (namespace.to_owned(), game_fleet.to_owned(), region.to_owned());
    gauge!(WANTED, "game_namespace" => namespace.clone(), "game_fleet" => game_fleet.clone(), "region" => region.clone())
        .set(f64::from(wanted));
    gauge!(SERVERS, "game_namespace" => namespace, "game_fleet" => game_fleet, "region" => region)
        .set(f64::from(servers));
}

/// `None`: the GameFleet is gone. A gauge cannot be taken back, and nothing compares with a number that is none.
pub(crate) fn condition(namespace: &str, game_fleet: &str, type_: &'static str, holds: Option<bool>) {
    let (namespace, game_fleet) = (namespace.to_owned(), game_fleet.to_owned());
    gauge!(CONDITION, "game_namespace" => namespace, "game_fleet" => game_fleet, "type" => type_)
        .set(holds.map_or(f64::NAN, |holds| f64::from(u8::from(holds))));
}

pub(crate) fn reacted(after: Duration) {
    histogram!(REACTION).record(after.as_secs_f64());
}

pub(crate) fn rollout(what: &'static str) {
    counter!(ROLLOUTS, "what" => what).increment(1);
}
