//! Which servers a set makes and which it shuts down.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::*;

const NOW: i64 = 1_800_000_000;

fn server(name: &str, state: &str) -> Object {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let data = json!({"status": {"state": state, "nodeName": if state == "Creating" { "" } else { "node-a" }}});
    DynamicObject { types: None, metadata, data }
}

fn servers(states: &[&str]) -> Vec<Object> {
    states.iter().enumerate().map(|(index, state)| server(&format!("s{index}"), state)).collect()
}

fn planned(replicas: usize, servers: &[Object]) -> Plan {
    plan(replicas, false, true, &servers.iter().collect::<Vec<_>>(), NOW)
}

#[test]
fn scaling_down_takes_ready_servers_and_never_reserved_or_allocated_ones() {
    let all = servers(&["Reserved", "Ready", "Allocated", "Ready", "Creating"]);
    let plan = planned(0, &all);
    assert_eq!((plan.create, plan.shut_down.as_slice()), (0, ["s4", "s1", "s3"].map(str::to_owned).as_slice()));
    let reserved = servers(&["Reserved", "Reserved", "Reserved", "Reserved"]);
    assert_eq!(planned(1, &reserved), Plan { create: 0, shut_down: vec![], again: false });
}

#[test]
fn a_server_that_ended_is_replaced_only_while_fewer_than_replicas_remain() {
    assert_eq!(planned(4, &servers(&["Reserved", "Reserved", "Reserved", "Shutdown"])).create, 1);
    assert_eq!(planned(1, &servers(&["Reserved", "Reserved", "Reserved", "Shutdown"])).create, 0);
}

#[test]
fn unhealthy_servers_go_and_are_replaced() {
    let plan = planned(2, &servers(&["Ready", "Unhealthy"]));
    assert_eq!((plan.create, plan.shut_down), (1, vec!["s1".to_owned()]));
}

#[test]
fn a_server_in_error_counts_for_thirty_seconds_and_then_goes() {
    let mut all = servers(&["Error"]);
    let at = Timestamp::from_second(NOW - 29).unwrap().to_string();
    all[0].metadata.annotations = Some([(ERRORED_AT.to_owned(), at)].into());
    assert_eq!(planned(1, &all), Plan { create: 0, shut_down: vec![], again: true });
    let later = plan(1, false, true, &[&all[0]], NOW + 1);
    assert_eq!((later.create, later.shut_down), (1, vec!["s0".to_owned()]));
}

#[test]
fn many_servers_are_made_in_batches_and_a_set_that_is_deleted_makes_none() {
    assert_eq!(planned(100, &[]), Plan { create: 64, shut_down: vec![], again: true });
    assert_eq!(plan(100, true, true, &[], NOW).create, 0);
}

#[test]
fn a_deleted_allocated_server_counts_no_more() {
    let mut all = servers(&["Allocated"]);
    all[0].metadata.deletion_timestamp = Some(Time(Timestamp::from_second(NOW).unwrap()));
    assert_eq!(planned(1, &all).create, 1);
    assert_eq!(status(&[&all[0]])["shutdownReplicas"], 1);
}

#[test]
fn a_set_of_reserved_servers_shows_none_ready() {
    let all = servers(&["Reserved", "Reserved", "Allocated"]);
    let status = status(&all.iter().collect::<Vec<_>>());
    let counts = json!({"replicas": 3, "readyReplicas": 0, "reservedReplicas": 2, "allocatedReplicas": 1,
        "shutdownReplicas": 0});
    assert_eq!(status, counts);
}
