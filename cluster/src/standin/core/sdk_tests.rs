//! The sidecar's queue: what it writes when, and what never.

use agones::sdk_server::state::Machine;
use agones::{SdkServerConfig, pb};
use proptest::prelude::*;

use super::*;

fn server(state: &str) -> Object {
    serde_json::from_value(json!({"apiVersion": "agones.dev/v1", "kind": "GameServer",
        "metadata": {"name": "a", "resourceVersion": "7"}, "status": {"state": state}}))
    .unwrap()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Lets the queue write what is due into `server`, as the API server would.
fn settle(queue: &mut Queue, now: Duration, server: &mut Object) {
    for operation in queue.advance(now) {
        if let Some(patch) = queue.patch(operation, server, Timestamp::UNIX_EPOCH) {
            let mut object = serde_json::to_value(&*server).unwrap();
            let patch: json_patch::Patch = serde_json::from_value(Value::Array(patch)).unwrap();
            json_patch::patch(&mut object, &patch).unwrap();
            *server = serde_json::from_value(object).unwrap();
            queue.written(now, operation);
        }
        // The controller's part.
        if state(server) == State::RequestReady {
            server.data["status"]["state"] = json!("Ready");
        }
    }
}

#[test]
fn a_wish_is_written_half_a_second_later_and_the_newest_one_wins() {
    let (mut queue, mut server) = (Queue::new(HealthSpec::disabled(), None), server("Scheduled"));
    queue.write(ms(0), Write::Reserve { seconds: 0 }).unwrap();
    settle(&mut queue, ms(499), &mut server);
    assert_eq!(state(&server), State::Scheduled);
    queue.write(ms(499), Write::Allocate).unwrap();
    settle(&mut queue, ms(500), &mut server);
    assert_eq!(state(&server), State::Allocated);
    assert!(server.metadata.annotations.as_ref().unwrap().contains_key(LAST_ALLOCATED));
}

#[test]
fn reserve_on_an_allocated_server_frees_it_when_its_time_is_over() {
    let (mut queue, mut server) = (Queue::new(HealthSpec::disabled(), None), server("Allocated"));
    queue.write(ms(0), Write::Reserve { seconds: 2 }).unwrap();
    settle(&mut queue, ms(500), &mut server);
    assert_eq!((state(&server), text(&server, "/status/reservedUntil")), (State::Reserved, "1970-01-01T00:00:02Z"));
    for now in [2_499, 2_500, 3_000] {
        settle(&mut queue, ms(now), &mut server);
    }
    assert_eq!((state(&server), text(&server, "/status/reservedUntil")), (State::Ready, ""));
}

#[test]
fn reserve_for_nothing_never_ends_by_itself() {
    let (mut queue, mut server) = (Queue::new(HealthSpec::disabled(), None), server("Scheduled"));
    queue.write(ms(0), Write::Reserve { seconds: 0 }).unwrap();
    settle(&mut queue, ms(500), &mut server);
    assert_eq!((state(&server), queue.next_deadline()), (State::Reserved, None));
}

#[test]
fn nothing_is_written_into_a_server_that_leaves_or_is_unhealthy() {
    for over in ["Shutdown", "Unhealthy"] {
        let mut queue = Queue::new(HealthSpec::disabled(), None);
        queue.write(ms(0), Write::Ready).unwrap();
        assert_eq!(queue.advance(ms(500)), [Operation::State]);
        assert_eq!(queue.patch(Operation::State, &server(over), Timestamp::UNIX_EPOCH), None, "{over}");
    }
}

#[test]
fn a_failed_write_is_tried_again_with_the_newest_wish() {
    let mut queue = Queue::new(HealthSpec::disabled(), None);
    queue.write(ms(0), Write::Allocate).unwrap();
    assert_eq!(queue.advance(ms(500)), [Operation::State]);
    queue.failed(ms(500), Operation::State);
    queue.write(ms(600), Write::Shutdown).unwrap();
    let mut server = server("Reserved");
    settle(&mut queue, ms(1_000), &mut server);
    assert_eq!(state(&server), State::Shutdown);
}

#[test]
fn without_pings_the_node_hears_of_it_and_the_server_becomes_unhealthy() {
    let (mut queue, mut server) = (Queue::new(HealthSpec::agones_default(), None), server("Ready"));
    settle(&mut queue, ms(19_999), &mut server);
    assert!(queue.is_healthy());
    settle(&mut queue, ms(20_000), &mut server);
    assert!(!queue.is_healthy());
    settle(&mut queue, ms(20_500), &mut server);
    assert_eq!(state(&server), State::Unhealthy);
}

#[test]
fn labels_and_annotations_carry_the_prefix_and_bad_ones_are_refused() {
    let (mut queue, mut server) = (Queue::new(HealthSpec::disabled(), None), server("Ready"));
    queue.write(ms(0), Write::Label { key: "a".into(), value: "1".into() }).unwrap();
    queue.write(ms(0), Write::Annotation { key: "b".into(), value: "x y".into() }).unwrap();
    assert!(queue.write(ms(0), Write::Label { key: "a b".into(), value: "1".into() }).is_err());
    settle(&mut queue, ms(500), &mut server);
    assert_eq!(server.metadata.labels.as_ref().unwrap()["agones.dev/sdk-a"], "1");
    assert_eq!(server.metadata.annotations.as_ref().unwrap()["agones.dev/sdk-b"], "x y");
}

#[test]
fn the_sdk_shows_the_server_as_the_api_has_it() {
    let mut server = server("Reserved");
    server.data["status"]["ports"] = json!([{"name": "game", "port": 7001}]);
    let shown = agones::Observed::from(crate::standin::core::message::message(&server));
    assert_eq!((shown.state, shown.resource_version.as_str(), shown.ports[0].port), (State::Reserved, "7", 7001));
    server.data["status"]["ports"] = Value::Null;
    assert_eq!(
        crate::standin::core::message::message(&server).status,
        Some(pb::game_server::Status { state: "Reserved".into(), ..Default::default() })
    );
}

proptest! {
    /// The in-process SDK server that every other test runs on, and this queue, are one state machine.
    #[test]
    fn the_queue_and_the_in_process_server_agree(
        events in prop::collection::vec((0u64..4, 0u64..3, 0u64..3_000), 1..40),
    ) {
        let health = HealthSpec::disabled();
        let config = SdkServerConfig { health: health.clone(), write_lag: WRITE_LAG, ..SdkServerConfig::local("a") };
        let (mut machine, mut queue, mut server) = (Machine::new(&config), Queue::new(health, None), server("Scheduled"));
        let mut now = 0;
        for (kind, seconds, pass_ms) in events {
            let write = match kind {
                0 => Write::Ready,
                1 => Write::Allocate,
                2 => Write::Reserve { seconds },
                _ => Write::Label { key: "a".into(), value: seconds.to_string() },
            };
            machine.write(ms(now), write.clone()).unwrap();
            queue.write(ms(now), write).unwrap();
            let end = ms(now + pass_ms);
            loop {
                let deadlines = [machine.next_deadline(), queue.next_deadline()];
                let Some(at) = deadlines.into_iter().flatten().min().filter(|at| *at <= end) else { break };
                machine.advance(at);
                settle(&mut queue, at, &mut server);
            }
            now += pass_ms + 1;
            prop_assert_eq!(machine.object().state, state(&server), "at {} ms", now);
            prop_assert_eq!(&machine.object().labels, &server.metadata.labels.clone().unwrap_or_default());
        }
    }
}
