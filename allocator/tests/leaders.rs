//! A new leader: what it may answer before it knows every server, and how it learns what there is.

mod harness;

use allocator::Limits;
use allocator::core::audit::NotSettled;
use allocator::core::effect::AllocateError;
use allocator::core::registration::RegisterError;
use allocator::core::updates::JoinGrantError;
use harness::{Harness, hosted, player, registration, request, server_id};
use protocol::pb::{MatchEventKind, MatchPhase};

fn leader(expected: &[&str]) -> Harness {
    Harness::leader(2, Some(expected), Limits::default())
}

#[test]
fn a_first_attempt_is_placed_at_once_and_a_later_one_waits_for_every_server() {
    let mut h = leader(&["server-1", "server-2"]);
    h.register(1, registration(1, 4)).expect("registered");
    let first = h.call(request(8), 1, 0);
    let attempt = h.assigned(1, 8);
    h.joinable(1, 8, attempt);
    assert_eq!(h.placed(first), server_id(1));

    let later = h.call(request(9), 2, 5_000);
    h.pass(4_000, &[1]);
    assert_eq!((h.answer(later), h.orders(1)), (None, vec![]));
    // The other one comes, and has it.
    let mut other = registration(2, 1);
    other.hosted = vec![hosted(9, 1, 1, MatchPhase::Playing)];
    h.register(2, other).expect("registered");
    assert_eq!(h.placed(later), server_id(2));
    assert_eq!(h.orders(1), []);
}

#[test]
fn a_later_attempt_is_placed_once_every_server_has_come_or_is_gone_and_a_moment_has_passed() {
    let mut h = leader(&["server-1", "server-2"]);
    h.register(1, registration(1, 4)).expect("registered");
    let later = h.call(request(9), 2, 9_000);
    h.pass(3_000, &[1]);
    h.gone("server-2");
    h.pass(999, &[1]);
    assert_eq!(h.orders(1), []);
    h.pass(1, &[1]);
    let attempt = h.assigned(1, 9);
    assert_eq!(attempt, 2);
    h.joinable(1, 9, attempt);
    assert_eq!(h.placed(later), server_id(1));
}

#[test]
fn a_later_attempt_fails_after_fifteen_seconds_rather_than_get_a_second_server() {
    let mut h = leader(&["server-1", "server-2"]);
    h.register(1, registration(1, 4)).expect("registered");
    let later = h.call(request(9), 2, 10_000);
    h.pass(14_999, &[1]);
    assert_eq!(h.answer(later), None);
    h.pass(1, &[1]);
    assert_eq!(h.answer(later), Some(Err(AllocateError::NotSettled)));
    assert_eq!(h.orders(1), []);
    assert_eq!(h.core.census().held, 0);
}

#[test]
fn without_a_list_of_servers_later_attempts_wait_until_every_old_server_would_be_lost() {
    let mut h = Harness::leader(2, None, Limits::default());
    h.register(1, registration(1, 4)).expect("registered");
    h.pass(59_000, &[1]);
    let later = h.call(request(9), 2, 10_000);
    assert_eq!(h.orders(1), []);
    h.pass(2_000, &[1]);
    let attempt = h.assigned(1, 9);
    h.joinable(1, 9, attempt);
    assert_eq!(h.placed(later), server_id(1));
}

#[test]
fn a_match_that_ended_while_no_leader_listened_is_not_placed_again() {
    let mut h = leader(&["server-1", "server-2"]);
    h.register(1, registration(1, 4)).expect("registered");
    let later = h.call(request(9), 2, 9_000);
    h.register(2, registration(2, 4)).expect("registered");
    h.update(2, 9, MatchPhase::Ended, 5);
    assert_eq!(h.answer(later), Some(Err(AllocateError::Ended)));
    h.update(2, 9, MatchPhase::Closed, 6);
    assert_eq!(h.events(), [(9, MatchEventKind::Ended), (9, MatchEventKind::Closed)]);
    assert_eq!(h.core.census().rooms_taken, 0);
}

#[test]
fn what_servers_bring_along_is_restored_with_roster_and_phase() {
    let mut h = leader(&[]);
    let mut server = registration(1, 3);
    server.hosted = vec![
        hosted(7, 1, 1, MatchPhase::Joinable),
        hosted(8, 1, 1, MatchPhase::Playing),
        hosted(9, 1, 1, MatchPhase::Ended),
    ];
    h.register(1, server).expect("registered");
    h.pass(1_500, &[1]);
    let census = h.core.census();
    assert_eq!((census.joinable, census.playing, census.ended, census.free_rooms), (1, 1, 1, 0));
    let grant = h.core.join_grant(harness::match_id(7), player(2).player_id, h.now()).expect("on the roster");
    assert_eq!(grant.server.server_id, server_id(1));
    let again = h.call(request(8), 2, 0);
    assert_eq!(h.placed(again), server_id(1));
    let mut other = request(8);
    other.roster.pop();
    let wrong = h.call(other, 2, 0);
    assert_eq!(h.answer(wrong), Some(Err(AllocateError::OtherRoster)));
    // The end of the last one is said once, by the update that carries its statistics.
    h.update(1, 9, MatchPhase::Ended, 3);
    h.update(1, 9, MatchPhase::Closed, 4);
    use MatchEventKind::{Closed, Ended, Joinable, Playing};
    let expected = [(7, Joinable), (8, Joinable), (8, Playing), (9, Joinable), (9, Playing), (9, Ended), (9, Closed)];
    assert_eq!(h.events(), expected);
}

#[test]
fn of_two_servers_that_name_one_match_the_later_order_counts() {
    for (first, second) in [((1, 1), (1, 2)), ((2, 1), (1, 2)), ((1, 3), (2, 1))] {
        for swap in [false, true] {
            let mut h = Harness::leader(3, Some(&["server-1", "server-2"]), Limits::default());
            let (one, two) = if swap { (second, first) } else { (first, second) };
            for (link, (epoch, attempt)) in [(1, one), (2, two)] {
                let mut server = registration(link, 1);
                server.hosted = vec![hosted(9, attempt, epoch, MatchPhase::Joinable)];
                h.register(link.into(), server).expect("registered");
            }
            let (winner, loser) = if one > two { (1, 2) } else { (2, 1) };
            assert!(h.released(loser, 9), "{one:?} {two:?}");
            assert_eq!(h.orders(winner), [], "{one:?} {two:?}");
        }
    }
}

#[test]
fn a_joinable_match_is_not_given_out_while_a_later_order_for_it_may_turn_up() {
    let mut h = leader(&["server-1", "server-2"]);
    let mut older = registration(1, 1);
    older.hosted = vec![hosted(9, 1, 1, MatchPhase::Joinable)];
    h.register(1, older).expect("registered");
    let early = h.call(request(9), 2, 9_000);
    assert_eq!(h.answer(early), Some(Err(AllocateError::NotSettled)));
    assert!(h.core.join_grant(harness::match_id(9), player(1).player_id, h.now()).is_err());
    let mut newer = registration(2, 1);
    newer.hosted = vec![hosted(9, 2, 1, MatchPhase::Joinable)];
    h.register(2, newer).expect("registered");
    h.pass(1_500, &[1, 2]);
    let later = h.call(request(9), 3, 0);
    assert_eq!(h.placed(later), server_id(2));
}

#[test]
fn a_match_whose_server_died_while_no_leader_listened_is_lost_once_the_others_have_come() {
    let mut h = leader(&["server-1", "server-2"]);
    let mut survivor = registration(1, 2);
    survivor.hosted = vec![hosted(7, 1, 1, MatchPhase::Playing)];
    h.register(1, survivor).expect("registered");
    let believed = [harness::match_id(7), harness::match_id(9)];
    h.pass(5_000, &[1]);
    assert_eq!(h.core.audit(&believed, h.now()), Err(NotSettled), "the other server may still come with it");
    let unsure = h.core.join_grant(harness::match_id(9), player(1).player_id, h.now());
    assert_eq!(unsure, Err(JoinGrantError::NotSettled));
    h.gone("server-2");
    h.pass(1_000, &[1]);
    assert_eq!(h.core.audit(&believed, h.now()), Ok(1));
    assert_eq!(h.core.audit(&believed, h.now()), Ok(1), "whoever asks again has missed it");
    use MatchEventKind::{Joinable, Lost, Playing};
    assert_eq!(h.events(), [(7, Joinable), (7, Playing), (9, Lost), (9, Lost)]);
    let again = h.call(request(9), 2, 0);
    assert_eq!(h.answer(again), Some(Err(AllocateError::Lost)), "it may have been played");
}

#[test]
fn a_server_that_is_there_and_says_nothing_is_waited_for_until_it_counts_as_lost_and_may_still_come() {
    let mut h = leader(&["server-1", "server-2"]);
    h.register(1, registration(1, 1)).expect("registered");
    h.pass(59_500, &[1]);
    assert_eq!(h.core.audit(&[harness::match_id(9)], h.now()), Err(NotSettled));
    h.pass(2_000, &[1]);
    assert_eq!(h.core.audit(&[harness::match_id(9)], h.now()), Ok(1));
    let mut late = registration(2, 1);
    late.hosted = vec![hosted(9, 1, 1, MatchPhase::Playing)];
    h.register(2, late).expect("registered");
    h.update(2, 9, MatchPhase::Ended, 1);
    use MatchEventKind::{Ended, Joinable, Lost, Playing};
    assert_eq!(h.events(), [(9, Lost), (9, Joinable), (9, Playing), (9, Ended)]);
}

#[test]
fn a_leader_waits_for_no_server_that_came_into_being_under_it() {
    let mut h = leader(&["server-1"]);
    h.register(1, registration(1, 1)).expect("registered");
    let names = ["server-1", "server-2"].map(str::to_owned);
    h.core.set_expected(&names.into(), h.now());
    h.pass(1_000, &[1]);
    assert_eq!(h.core.audit(&[harness::match_id(9)], h.now()), Ok(1));
}

#[test]
fn a_server_that_has_obeyed_a_later_leader_is_not_accepted() {
    let mut h = leader(&[]);
    let mut server = registration(1, 1);
    server.epoch_seen = 3;
    assert_eq!(h.register(1, server), Err(RegisterError::StaleEpoch { seen: 3, epoch: 2 }));
    assert!(h.core.pool_page().servers.is_empty());
}
