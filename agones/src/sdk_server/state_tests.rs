//! The state machine against the rules of a real SDK server, in given time.

use proptest::prelude::*;

use super::*;

const LAG: Duration = Duration::from_millis(500);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn machine(write_lag: Duration, health: HealthSpec) -> Machine {
    Machine::new(&SdkServerConfig { write_lag, health, ..SdkServerConfig::local("arena-1") })
}

fn in_state(state: State) -> Machine {
    let mut machine = machine(Duration::ZERO, HealthSpec::disabled());
    machine.set_state(Duration::ZERO, state);
    machine
}

const RESERVE: Write = Write::Reserve { seconds: 0 };

#[test]
fn every_write_in_every_state_leads_where_a_real_sdk_server_leads() {
    let writes = [Write::Ready, RESERVE, Write::Allocate, Write::Shutdown];
    let wanted = [State::Ready, State::Reserved, State::Allocated, State::Shutdown];
    // Reserve on Allocated is accepted and frees the server: that is what Agones does.
    for from in [State::Scheduled, State::Ready, State::Reserved, State::Allocated] {
        for (write, to) in writes.iter().zip(wanted) {
            let mut machine = in_state(from);
            machine.write(seconds(1), write.clone()).unwrap();
            assert_eq!(machine.object().state, to, "{write:?} on {from}");
        }
    }
    for from in [State::Shutdown, State::Unhealthy, State::Error] {
        for write in &writes {
            let mut machine = in_state(from);
            machine.write(seconds(1), write.clone()).unwrap();
            assert_eq!(machine.object().state, from, "{write:?} is acknowledged on {from} and does nothing");
        }
    }
}

#[test]
fn a_server_starts_scheduled() {
    assert_eq!(machine(LAG, HealthSpec::agones_default()).object().state, State::Scheduled);
}

#[test]
fn a_write_shows_one_lag_after_its_acknowledgement() {
    let mut machine = machine(LAG, HealthSpec::disabled());
    machine.write(seconds(1), RESERVE).unwrap();
    assert_eq!(machine.next_deadline(), Some(seconds(1) + LAG));
    machine.advance(Duration::from_millis(1_499));
    assert_eq!(machine.object().state, State::Scheduled);
    machine.advance(Duration::from_millis(1_500));
    assert_eq!(machine.object().state, State::Reserved);
    assert_eq!(machine.next_deadline(), None);
}

#[test]
fn two_writes_within_one_lag_become_the_newest() {
    let mut machine = machine(LAG, HealthSpec::disabled());
    machine.write(seconds(1), RESERVE).unwrap();
    machine.write(Duration::from_millis(1_300), Write::Allocate).unwrap();
    machine.advance(Duration::from_millis(1_500));
    assert_eq!(machine.object().state, State::Allocated);
    assert_eq!(machine.object().resource_version, "2", "one change");
}

#[test]
fn a_reservation_expires_into_ready_and_a_reservation_of_zero_does_not() {
    let mut machine = machine(Duration::ZERO, HealthSpec::disabled());
    machine.write(seconds(1), Write::Reserve { seconds: 30 }).unwrap();
    machine.advance(Duration::from_millis(30_999));
    assert_eq!(machine.object().state, State::Reserved);
    machine.advance(seconds(31));
    assert_eq!(machine.object().state, State::Ready);
    machine.write(seconds(40), RESERVE).unwrap();
    machine.advance(seconds(1_000_000));
    assert_eq!(machine.object().state, State::Reserved);
}

#[test]
fn any_other_state_call_ends_the_reservation() {
    for (write, state) in [(Write::Allocate, State::Allocated), (RESERVE, State::Reserved)] {
        let mut machine = machine(Duration::ZERO, HealthSpec::disabled());
        machine.write(seconds(1), Write::Reserve { seconds: 30 }).unwrap();
        machine.write(seconds(20), write).unwrap();
        machine.advance(seconds(100));
        assert_eq!(machine.object().state, state);
    }
}

#[test]
fn without_pings_a_server_becomes_unhealthy_for_good() {
    let mut machine = machine(Duration::ZERO, HealthSpec::agones_default());
    machine.write(seconds(1), Write::Allocate).unwrap();
    // Looks at 5 (the first ping is not late yet), 10, 15, 20 s: the third miss is the last.
    machine.advance(Duration::from_millis(19_999));
    assert_eq!(machine.object().state, State::Allocated);
    machine.advance(seconds(20));
    assert_eq!(machine.object().state, State::Unhealthy);
    machine.ping(seconds(21));
    machine.write(seconds(21), Write::Ready).unwrap();
    machine.advance(seconds(100));
    assert_eq!(machine.object().state, State::Unhealthy);
    assert_eq!(machine.next_deadline(), None);
}

#[test]
fn a_ping_forgives_the_missed_ones() {
    let mut machine = machine(Duration::ZERO, HealthSpec::agones_default());
    for second in (0..600).step_by(14) {
        machine.advance(seconds(second));
        machine.ping(seconds(second));
    }
    assert_eq!(machine.object().state, State::Scheduled);
}

#[test]
fn labels_and_annotations_get_the_prefix_and_are_checked() {
    let mut machine = machine(LAG, HealthSpec::disabled());
    let label = |key: &str, value: &str| Write::Label { key: key.into(), value: value.into() };
    machine.write(seconds(1), label("build", "7")).unwrap();
    machine.write(seconds(1), Write::Annotation { key: "note".into(), value: "any text: ö".into() }).unwrap();
    assert!(machine.object().labels.is_empty());
    machine.advance(seconds(2));
    assert_eq!(machine.object().labels["agones.dev/sdk-build"], "7");
    assert_eq!(machine.object().annotations["agones.dev/sdk-note"], "any text: ö");
    for key in ["", "-a", "a-", "a/b", "a b", "ö", &"a".repeat(60)] {
        assert!(matches!(machine.write(seconds(3), label(key, "")), Err(Refused::Key(_))), "{key}");
    }
    assert_eq!(machine.write(seconds(3), label("a", "b c")), Err(Refused::Value));
    let huge = Write::Annotation { key: "a".into(), value: "x".repeat(METADATA_BYTES_MAX) };
    assert_eq!(machine.write(seconds(3), huge), Err(Refused::TooMuch));
}

#[test]
fn a_deleted_server_keeps_its_state_and_needs_no_health() {
    let mut machine = machine(LAG, HealthSpec::agones_default());
    machine.set_state(seconds(1), State::Allocated);
    machine.write(seconds(1), RESERVE).unwrap();
    machine.delete(seconds(1));
    machine.write(seconds(2), Write::Shutdown).unwrap();
    machine.advance(seconds(1_000));
    assert_eq!((machine.object().state, machine.object().deleting), (State::Allocated, true));
}

#[test]
fn a_dropped_write_is_acknowledged_and_nothing_else() {
    let mut machine = machine(Duration::ZERO, HealthSpec::disabled());
    machine.drop_next_write();
    machine.write(seconds(1), Write::Allocate).unwrap();
    machine.advance(seconds(100));
    assert_eq!(machine.object().state, State::Scheduled);
    machine.write(seconds(101), Write::Allocate).unwrap();
    assert_eq!(machine.object().state, State::Allocated);
}

#[derive(Debug, Clone)]
enum Event {
    Write(Write),
    Ping,
    Pass(u64),
    Platform(State),
    Delete,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Write(Write::Ready)),
        Just(Event::Write(Write::Allocate)),
        (0u64..10).prop_map(|seconds| Event::Write(Write::Reserve { seconds })),
        Just(Event::Write(Write::Shutdown)),
        Just(Event::Ping),
        Just(Event::Platform(State::Allocated)),
        Just(Event::Platform(State::Unhealthy)),
        Just(Event::Delete),
        (0u64..8_000).prop_map(Event::Pass),
    ]
}

proptest! {
    #[test]
    fn no_event_leaves_a_final_state_and_time_never_runs_back(
        lag_ms in prop_oneof![Just(0u64), Just(500)],
        events in prop::collection::vec(event(), 1..60),
    ) {
        let mut machine = machine(Duration::from_millis(lag_ms), HealthSpec::agones_default());
        let mut now = Duration::ZERO;
        let (mut last, mut over) = (State::Scheduled, false);
        for event in events {
            match event {
                Event::Write(write) => machine.write(now, write).unwrap(),
                Event::Ping => machine.ping(now),
                Event::Pass(ms) => now += Duration::from_millis(ms),
                Event::Platform(state) => machine.set_state(now, state),
                Event::Delete => machine.delete(now),
            }
            machine.advance(now);
            let state = machine.object().state;
            prop_assert!(!over || state == last, "{last} became {state}");
            prop_assert!(machine.next_deadline().is_none_or(|at| at > now), "a deadline was left behind");
            (last, over) = (state, machine.object().is_over());
        }
    }
}
