//! A GameServer's way from its first port to its end.

use super::*;

fn server(state: &str) -> Object {
    serde_json::from_value(json!({
        "apiVersion": "agones.dev/v1", "kind": "GameServer", "metadata": {"name": "a"},
        "spec": {"ports": [{"name": "game", "portPolicy": "Dynamic", "containerPort": 7777, "hostPort": 7001}]},
        "status": {"state": state, "nodeName": ""},
    }))
    .unwrap()
}

fn pod(phase: &str, node: &str) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": {"nodeName": node, "containers": []},
        "status": {"phase": phase, "podIPs": [{"ip": "10.1.0.5"}]}}))
    .unwrap()
}

fn node() -> Node {
    let addresses = json!([{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "10.0.0.1"}]);
    serde_json::from_value(json!({"metadata": {"name": "n"}, "status": {"addresses": addresses}})).unwrap()
}

#[test]
fn a_new_server_gets_ports_a_pod_and_an_address() {
    assert_eq!(next(&server("PortAllocation"), None, None), Step::AllocatePorts);
    assert_eq!(next(&server("Creating"), None, None), Step::CreatePod);
    assert_eq!(next(&server("Starting"), None, None), Step::Wait);
    assert_eq!(next(&server("Starting"), Some(&pod("Pending", "")), None), Step::Wait);
    let Step::Become(State::Scheduled, status) = next(&server("Starting"), Some(&pod("Pending", "n")), Some(&node()))
    else {
        panic!("a pod with a node is scheduled");
    };
    assert_eq!((&status["address"], &status["nodeName"]), (&json!("10.0.0.1"), &json!("n")));
    assert_eq!(status["ports"], json!([{"name": "game", "port": 7001}]));
    assert_eq!(status["addresses"][2], json!({"address": "10.1.0.5", "type": "PodIP"}));
}

#[test]
fn request_ready_becomes_ready_and_pool_states_stay() {
    let running = pod("Running", "n");
    assert!(matches!(next(&server("RequestReady"), Some(&running), Some(&node())), Step::Become(State::Ready, _)));
    for state in ["Scheduled", "Ready", "Reserved", "Allocated", "Unhealthy", "Error"] {
        assert_eq!(next(&server(state), Some(&running), Some(&node())), Step::Wait, "{state}");
    }
}

#[test]
fn an_address_that_the_pod_gets_late_is_added_once() {
    let (running, mut scheduled) = (pod("Running", "n"), server("Reserved"));
    scheduled.data["status"]["addresses"] = json!([{"address": "n", "type": "Hostname"}]);
    let Step::Become(State::Reserved, status) = next(&scheduled, Some(&running), None) else { panic!("it is added") };
    assert_eq!(status["addresses"][1], json!({"address": "10.1.0.5", "type": "PodIP"}));
    scheduled.data["status"]["addresses"] = status["addresses"].clone();
    assert_eq!(next(&scheduled, Some(&running), None), Step::Wait);
}

#[test]
fn a_lost_or_failed_pod_makes_any_running_server_unhealthy() {
    for state in ["Scheduled", "Ready", "Reserved", "Allocated"] {
        assert_eq!(next(&server(state), None, None), Step::Become(State::Unhealthy, json!({})), "{state}");
        let failed = pod("Failed", "n");
        assert_eq!(next(&server(state), Some(&failed), None), Step::Become(State::Unhealthy, json!({})), "{state}");
    }
}

#[test]
fn a_server_whose_process_ended_well_shuts_down_and_goes() {
    let done = pod("Succeeded", "n");
    assert_eq!(next(&server("Reserved"), Some(&done), None), Step::Become(State::Shutdown, json!({})));
    assert_eq!(next(&server("Shutdown"), Some(&done), None), Step::Delete);
}

#[test]
fn a_deleted_server_waits_for_its_pod() {
    let mut leaving = server("Allocated");
    leaving.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    let mut running = pod("Running", "n");
    assert_eq!(next(&leaving, Some(&running), None), Step::DeletePod);
    running.metadata.deletion_timestamp.clone_from(&leaving.metadata.deletion_timestamp);
    assert_eq!(next(&leaving, Some(&running), None), Step::Wait);
    assert_eq!(next(&leaving, None, None), Step::Release);
}

#[test]
fn a_development_server_is_ready_at_once_and_needs_no_pod() {
    let mut elsewhere = server("Creating");
    elsewhere.metadata.annotations =
        Some([(crate::standin::core::object::DEV_ADDRESS.to_owned(), "192.0.2.1".to_owned())].into());
    let Step::Become(State::Ready, status) = next(&elsewhere, None, None) else { panic!("it is ready") };
    assert_eq!((&status["address"], &status["ports"][0]["port"]), (&json!("192.0.2.1"), &json!(7001)));
    elsewhere.data["status"]["state"] = json!("Allocated");
    assert_eq!(next(&elsewhere, None, None), Step::Wait);
}
