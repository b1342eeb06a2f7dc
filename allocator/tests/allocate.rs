//! From an Allocate call to its one answer, on virtual time.

mod harness;

use allocator::Limits;
use allocator::core::effect::AllocateError;
use harness::{Harness, hosted, match_id, player, registration, request, server_id};
use protocol::pb::{MatchEventKind, MatchPhase, RefusalReason};

#[test]
fn a_call_is_answered_only_after_joinable() {
    let mut h = Harness::new(&[(1, 1)]);
    let call = h.call(request(9), 1, 1_000);
    assert_eq!(h.assigned(1, 9), 1);
    assert_eq!(h.answer(call), None);
    h.pass(100, &[1]);
    h.joinable(1, 9, 1);
    let placed = h.answer(call).expect("an answer").expect("a server");
    assert_eq!((placed.server.server_id, placed.took.as_millis()), (server_id(1), 100));
    assert_eq!(h.events(), [(9, MatchEventKind::Joinable)]);
}

#[test]
fn repeated_and_concurrent_calls_get_the_same_answer() {
    let mut h = Harness::new(&[(1, 1), (2, 1)]);
    let (first, second) = (h.call(request(9), 1, 1_000), h.call(request(9), 2, 1_000));
    let attempt = h.assigned(1, 9);
    h.joinable(1, 9, attempt);
    assert_eq!((h.placed(first), h.placed(second)), (server_id(1), server_id(1)));
    h.update(1, 9, MatchPhase::Playing, 1);
    let later = h.call(request(9), 3, 0);
    assert_eq!(h.placed(later), server_id(1));
    assert_eq!(h.orders(2), [], "nobody else was asked");
    h.update(1, 9, MatchPhase::Ended, 2);
    let too_late = h.call(request(9), 4, 0);
    assert_eq!(h.answer(too_late), Some(Err(AllocateError::Ended)));
    h.update(1, 9, MatchPhase::Closed, 3);
    let too_late = h.call(request(9), 5, 0);
    assert_eq!(h.answer(too_late), Some(Err(AllocateError::Ended)));
}

#[test]
fn another_roster_for_the_same_match_is_refused_in_every_phase() {
    let mut h = Harness::new(&[(1, 1)]);
    let other = || {
        let mut other = request(9);
        other.roster[1] = player(3);
        other
    };
    let call = h.call(request(9), 1, 1_000);
    let wrong = h.call(other(), 1, 1_000);
    assert_eq!(h.answer(wrong), Some(Err(AllocateError::OtherRoster)));
    h.joinable(1, 9, 1);
    assert_eq!(h.placed(call), server_id(1));
    let wrong = h.call(other(), 2, 1_000);
    assert_eq!(h.answer(wrong), Some(Err(AllocateError::OtherRoster)));
}

#[test]
fn a_refusal_for_want_of_room_or_state_goes_to_the_next_server_in_the_same_call() {
    use RefusalReason::{Full, Leaving, StaleEpoch, State};
    for reason in [Full, State, Leaving, StaleEpoch] {
        let mut h = Harness::new(&[(1, 2), (2, 2)]);
        let call = h.call(request(9), 1, 0);
        let first = h.assigned(1, 9);
        h.refuses(1, 9, first, reason);
        let second = h.assigned(2, 9);
        assert!(second > first, "orders of one match are numbered");
        h.joinable(2, 9, second);
        assert_eq!(h.placed(call), server_id(2), "{reason:?}");
    }
}

#[test]
fn a_server_that_refused_for_want_of_room_is_asked_again_after_a_pause() {
    let mut h = Harness::new(&[(1, 2)]);
    let call = h.call(request(9), 1, 5_000);
    let first = h.assigned(1, 9);
    h.refuses(1, 9, first, RefusalReason::Full);
    h.pass(400, &[1]);
    assert_eq!(h.orders(1), []);
    h.pass(100, &[1]);
    let second = h.assigned(1, 9);
    h.joinable(1, 9, second);
    assert_eq!(h.placed(call), server_id(1));
}

#[test]
fn what_the_game_refuses_is_not_tried_elsewhere() {
    let mut h = Harness::new(&[(1, 1), (2, 1)]);
    let call = h.call(request(9), 1, 5_000);
    let attempt = h.assigned(1, 9);
    h.refuses(1, 9, attempt, RefusalReason::Game);
    assert_eq!(h.answer(call), Some(Err(AllocateError::GameRefused("its reason".into()))));
    assert_eq!(h.orders(2), []);
    assert_eq!(h.core.census().rooms_taken, 0);
}

#[test]
fn a_match_that_its_server_says_has_ended_is_not_placed_again() {
    let mut h = Harness::new(&[(1, 1), (2, 1)]);
    let call = h.call(request(9), 1, 5_000);
    let attempt = h.assigned(1, 9);
    h.refuses(1, 9, attempt, RefusalReason::Ended);
    assert_eq!(h.answer(call), Some(Err(AllocateError::Ended)));
    let again = h.call(request(9), 2, 5_000);
    assert_eq!(h.answer(again), Some(Err(AllocateError::Ended)));
    assert_eq!(h.orders(2), []);
}

#[test]
fn a_server_that_asks_for_more_time_to_answer_has_it_and_no_more() {
    let mut h = Harness::new(&[]);
    let mut slow = registration(1, 1);
    slow.facts.joinable_within = std::time::Duration::from_secs(6);
    h.register(1, slow).expect("registered");
    h.call(request(9), 1, 9_000);
    h.assigned(1, 9);
    h.pass(5_900, &[1]);
    assert!(h.orders(1).is_empty(), "it has its map to load");
    h.pass(200, &[1]);
    assert!(h.released(1, 9));
}

#[test]
fn a_server_that_does_not_answer_in_two_seconds_is_released_and_stays_out() {
    // It has room left and would be the first choice again.
    let mut h = Harness::new(&[(1, 2), (2, 3)]);
    let call = h.call(request(9), 1, 0);
    let first = h.assigned(1, 9);
    h.pass(1_999, &[1, 2]);
    assert_eq!(h.orders(1), []);
    h.pass(1, &[1, 2]);
    assert!(h.released(1, 9));
    let second = h.assigned(2, 9);
    // The slow one wakes up: before or after the answer of the other, it is released.
    h.joinable(1, 9, first);
    assert!(h.released(1, 9));
    assert_eq!(h.answer(call), None);
    h.joinable(2, 9, second);
    assert_eq!(h.placed(call), server_id(2));
    h.joinable(1, 9, first);
    assert!(h.released(1, 9));
    let again = h.call(request(9), 2, 0);
    assert_eq!(h.placed(again), server_id(2));
}

#[test]
fn a_room_that_was_given_back_counts_as_taken_until_its_server_says_so_or_five_seconds_have_passed() {
    let mut h = Harness::new(&[(1, 1), (2, 1)]);
    h.call(request(9), 1, 0);
    h.pass(2_000, &[1, 2]);
    let waiting = h.call(request(8), 1, 9_000);
    assert_eq!(h.answer(waiting), None, "both rooms are taken");
    h.update(1, 9, MatchPhase::Closed, 1);
    let freed = h.orders(1);
    assert!(freed.iter().any(|o| matches!(o, allocator::core::effect::Order::Assign { .. })), "{freed:?}");

    let mut h = Harness::new(&[(1, 1)]);
    h.call(request(9), 1, 0);
    h.pass(2_000, &[1]);
    h.orders(1);
    h.call(request(8), 1, 9_000);
    h.pass(4_999, &[1]);
    assert_eq!(h.orders(1), []);
    h.pass(1, &[1]);
    h.assigned(1, 8);
}

#[test]
fn when_the_link_is_lost_while_a_server_decides_the_next_one_is_asked() {
    let mut h = Harness::new(&[(1, 1), (2, 1)]);
    let call = h.call(request(9), 1, 0);
    let first = h.assigned(1, 9);
    h.cut(1);
    let second = h.assigned(2, 9);
    h.joinable(2, 9, second);
    assert_eq!(h.placed(call), server_id(2));
    // It comes back and says that it has the match.
    let mut back = registration(1, 1);
    back.hosted = vec![hosted(9, first, 1, MatchPhase::Joinable)];
    h.register(11, back).expect("registered");
    assert!(h.released(11, 9));
}

#[test]
fn without_a_server_a_call_waits_in_line_and_then_fails() {
    let mut h = Harness::new(&[]);
    let at_once = h.call(request(7), 1, 0);
    assert_eq!(h.answer(at_once), Some(Err(AllocateError::NoServer)));
    let (short, long) = (h.call(request(8), 1, 1_000), h.call(request(9), 1, 60_000));
    h.pass(999, &[]);
    assert_eq!(h.answer(short), None);
    h.pass(1, &[]);
    assert_eq!(h.answer(short), Some(Err(AllocateError::NoServer)));
    h.pass(8_999, &[]);
    assert_eq!(h.answer(long), None);
    h.pass(1, &[]);
    assert_eq!(h.answer(long), Some(Err(AllocateError::NoServer)), "nobody waits longer than ten seconds");
    assert_eq!(h.core.census(), allocator::core::census::Census::default());
}

#[test]
fn whoever_waits_longest_gets_the_room_that_comes_free() {
    let mut h = Harness::new(&[]);
    let (first, second) = (h.call(request(8), 1, 9_000), h.call(request(9), 1, 9_000));
    h.register(1, registration(1, 1)).expect("registered");
    let attempt = h.assigned(1, 8);
    h.joinable(1, 8, attempt);
    assert_eq!(h.placed(first), server_id(1));
    assert_eq!(h.answer(second), None);
    for (number, phase) in [MatchPhase::Playing, MatchPhase::Ended, MatchPhase::Closed].into_iter().enumerate() {
        assert_eq!(
            h.orders(1).iter().filter(|o| matches!(o, allocator::core::effect::Order::Assign { .. })).count(),
            0
        );
        h.update(1, 8, phase, number as u64 + 1);
    }
    let assigned = h.orders(1);
    assert!(
        assigned.iter().any(
            |o| matches!(o, allocator::core::effect::Order::Assign { request, .. } if request.match_id == match_id(9))
        ),
        "{assigned:?}"
    );
}

#[test]
fn the_line_is_bounded_and_so_are_the_calls_for_one_match() {
    let limits = Limits { waiting_max: 2, calls_per_match_max: 2, ..Limits::default() };
    let mut h = Harness::leader(1, None, limits);
    h.call(request(1), 1, 9_000);
    h.call(request(2), 1, 9_000);
    let refused = h.call(request(3), 1, 9_000);
    assert_eq!(h.answer(refused), Some(Err(AllocateError::QueueFull)));
    h.register(1, registration(1, 1)).expect("registered");
    h.assigned(1, 1);
    h.call(request(1), 1, 9_000);
    let refused = h.call(request(1), 1, 9_000);
    assert_eq!(h.answer(refused), Some(Err(AllocateError::TooManyCalls)));
}

#[test]
fn a_cancelled_call_leaves_nothing_behind_and_its_match_is_found_by_a_retry() {
    let mut h = Harness::new(&[]);
    let call = h.call(request(9), 1, 9_000);
    h.cancel(call);
    assert_eq!(h.core.census(), allocator::core::census::Census::default());
    h.register(1, registration(1, 1)).expect("registered");
    assert_eq!(h.orders(1), []);

    let call = h.call(request(9), 1, 9_000);
    let attempt = h.assigned(1, 9);
    h.cancel(call);
    h.joinable(1, 9, attempt);
    assert_eq!(h.answer(call), None);
    let retry = h.call(request(9), 2, 0);
    assert_eq!(h.placed(retry), server_id(1));
}

#[test]
fn a_server_that_leaves_is_retired_or_is_in_another_state_gets_no_match() {
    use allocator::core::pool::Standing;
    use allocator::core::updates::FromServer;
    let load = |state: &str| FromServer::Load { players: 0, tick_load_permille: 0, state: state.into() };
    let mut h = Harness::new(&[(1, 1)]);
    for state in ["Ready", "Scheduled", "Shutdown", "Unhealthy", ""] {
        h.says(1, load(state));
        let call = h.call(request(9), 1, 0);
        assert_eq!(h.answer(call), Some(Err(AllocateError::NoServer)), "{state}");
    }
    let waiting = h.call(request(9), 1, 5_000);
    h.says(1, load("Allocated"));
    let attempt = h.assigned(1, 9);
    h.joinable(1, 9, attempt);
    assert_eq!(h.placed(waiting), server_id(1));

    let mut h = Harness::new(&[(1, 1), (2, 1)]);
    h.says(1, FromServer::Leaving);
    assert!(h.core.order_standing("server-2", &Standing::Retire, h.now()));
    assert!(!h.core.order_standing("server-3", &Standing::Retire, h.now()));
    let call = h.call(request(9), 1, 0);
    assert_eq!(h.answer(call), Some(Err(AllocateError::NoServer)));
}

#[test]
fn shutting_down_answers_those_that_wait_and_lets_a_server_finish_its_answer() {
    let mut h = Harness::new(&[(1, 1)]);
    let deciding = h.call(request(8), 1, 9_000);
    let waiting = h.call(request(9), 1, 9_000);
    let now = h.now();
    h.core.stop(now);
    h.pass(1, &[1]);
    assert_eq!(h.answer(waiting), Some(Err(AllocateError::Stopping)));
    let late = h.call(request(7), 1, 9_000);
    assert_eq!(h.answer(late), Some(Err(AllocateError::Stopping)));
    assert!(h.core.has_calls());
    let attempt = h.assigned(1, 8);
    h.joinable(1, 8, attempt);
    assert_eq!(h.placed(deciding), server_id(1));
    assert!(!h.core.has_calls());
}
