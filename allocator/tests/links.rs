//! Servers that fall silent, come back or are gone; what they report; matches that are given back.

mod harness;

use std::time::Duration;

use allocator::Limits;
use allocator::core::effect::{AllocateError, Order};
use allocator::core::link::LinkId;
use allocator::core::pool::Standing;
use allocator::core::registration::RegisterError;
use allocator::core::updates::{FromServer, JoinGrantError, ReleaseError};
use harness::{Harness, hosted, match_id, player, registration, request, server_id};
use protocol::pb::{MatchEventKind, MatchPhase};

#[test]
fn a_suspect_server_keeps_its_matches_and_gets_no_new_one() {
    let mut h = Harness::new(&[(1, 2)]);
    h.place(1, 9);
    h.pass(2_000, &[]);
    assert_eq!(h.core.pool_page().servers[0].link, "suspect");
    let refused = h.call(request(8), 1, 0);
    assert_eq!(h.answer(refused), Some(Err(AllocateError::NoServer)));
    assert!(h.core.join_grant(match_id(9), player(1).player_id, h.now()).is_ok());
    let waiting = h.call(request(8), 1, 5_000);
    h.says(1, FromServer::Alive);
    h.assigned(1, 8);
    assert_eq!(h.answer(waiting), None);
    assert_eq!(h.events(), [(9, MatchEventKind::Joinable)]);
}

#[test]
fn a_server_that_is_silent_for_a_minute_is_lost_with_its_matches_and_can_bring_them_back() {
    let mut h = Harness::new(&[(1, 2), (2, 2)]);
    h.place(1, 8);
    h.place(1, 9);
    h.update(1, 9, MatchPhase::Playing, 1);
    h.pass(59_999, &[2]);
    assert_eq!(h.events().len(), 3);
    h.pass(1, &[2]);
    use MatchEventKind::{Joinable, Lost, Playing};
    assert_eq!(h.events()[3..], [(8, Lost), (9, Lost)]);
    assert!(h.closed.contains(&LinkId(1)), "its stream is closed, so that it has to say what it has");
    assert_eq!(h.core.join_grant(match_id(9), player(1).player_id, h.now()), Err(JoinGrantError::NotLive));
    // What was played is never placed again; what nobody played is, for a later attempt.
    let again = h.call(request(9), 2, 0);
    assert_eq!(h.answer(again), Some(Err(AllocateError::Lost)));
    let same = h.call(request(8), 1, 0);
    assert_eq!(h.answer(same), Some(Err(AllocateError::Lost)));
    let replaced = h.call(request(8), 2, 0);
    h.orders(2);
    h.joinable(2, 8, 2);
    assert_eq!(h.placed(replaced), server_id(2));

    let mut back = registration(1, 2);
    back.hosted = vec![hosted(8, 1, 1, MatchPhase::Joinable), hosted(9, 1, 1, MatchPhase::Playing)];
    h.register(11, back).expect("registered");
    assert!(h.released(11, 8), "it is elsewhere by now");
    assert!(h.core.join_grant(match_id(9), player(1).player_id, h.now()).is_ok(), "it is back");
    assert_eq!(h.events()[5..], [(8, Joinable), (9, Joinable), (9, Playing)]);
}

#[test]
fn a_server_whose_process_is_gone_is_lost_at_once() {
    let mut h = Harness::new(&[(1, 2), (2, 2)]);
    h.place(1, 9);
    let deciding = h.call(request(8), 1, 0);
    h.assigned(1, 8);
    h.gone("server-1");
    assert_eq!(h.events().last(), Some(&(9, MatchEventKind::Lost)));
    let attempt = h.assigned(2, 8);
    h.joinable(2, 8, attempt);
    assert_eq!(h.placed(deciding), server_id(2));
    assert_eq!(h.core.pool_page().servers.len(), 1);
    assert!(h.closed.contains(&LinkId(1)));
}

#[test]
fn a_newer_registration_replaces_the_older_stream_of_the_same_process() {
    let mut h = Harness::new(&[(1, 1)]);
    h.register(2, registration(1, 1)).expect("registered");
    assert!(h.closed.contains(&LinkId(1)));
    // Whatever the old stream still says or does means nothing.
    h.cut(1);
    h.says(1, FromServer::Leaving);
    h.call(request(9), 1, 0);
    assert_eq!(h.orders(1), []);
    h.assigned(2, 9);
}

#[test]
fn a_name_belongs_to_one_process_as_long_as_it_is_heard() {
    let mut h = Harness::new(&[(1, 1)]);
    h.place(1, 9);
    let mut other = registration(2, 1);
    other.facts.name = "server-1".into();
    assert_eq!(h.register(2, other.clone()), Err(RegisterError::NameTaken("server-1".into())));
    h.cut(1);
    h.register(3, other).expect("the old process is silent, so it was replaced");
    assert_eq!(h.events().last(), Some(&(9, MatchEventKind::Lost)));
}

#[test]
fn the_pool_is_bounded_and_forgets_lost_servers_first() {
    let mut h = Harness::leader(1, None, Limits { servers_max: 2, ..Limits::default() });
    h.register(1, registration(1, 1)).expect("registered");
    h.register(2, registration(2, 1)).expect("registered");
    assert_eq!(h.register(3, registration(3, 1)), Err(RegisterError::PoolFull));
    h.pass(60_000, &[2]);
    h.register(3, registration(3, 1)).expect("the lost one made room");
    assert_eq!(h.core.pool_page().servers.len(), 2);
}

#[test]
fn an_update_is_acknowledged_each_time_and_logged_once() {
    let mut h = Harness::new(&[(1, 1)]);
    h.place(1, 9);
    for _ in 0..3 {
        h.update(1, 9, MatchPhase::Playing, 1);
        h.update(1, 9, MatchPhase::Ended, 2);
    }
    // Even under another number an end is an end.
    h.update(1, 9, MatchPhase::Ended, 3);
    let acks: Vec<_> = h.orders(1).into_iter().filter(|o| matches!(o, Order::UpdateAck { .. })).collect();
    let ack = |number| Order::UpdateAck { number };
    assert_eq!(acks, [ack(1), ack(2), ack(1), ack(2), ack(1), ack(2), ack(3)]);
    use MatchEventKind::{Ended, Joinable, Playing};
    assert_eq!(h.events(), [(9, Joinable), (9, Playing), (9, Ended)]);
    assert_eq!(h.core.join_grant(match_id(9), player(1).player_id, h.now()), Err(JoinGrantError::NotLive));
    assert_eq!(h.core.census().rooms_taken, 1, "the room is taken until the result is delivered");
    h.update(1, 9, MatchPhase::Closed, 4);
    assert_eq!(h.core.census().rooms_taken, 0);
}

#[test]
fn a_room_that_failed_loses_its_match_for_good_and_is_free() {
    let mut h = Harness::new(&[(1, 1), (2, 1)]);
    h.place(1, 9);
    h.update(1, 9, MatchPhase::Failed, 1);
    assert_eq!(h.events().last(), Some(&(9, MatchEventKind::Lost)));
    assert_eq!(h.core.census().rooms_taken, 0);
    let again = h.call(request(9), 2, 0);
    assert_eq!(h.answer(again), Some(Err(AllocateError::Lost)));
}

#[test]
fn a_match_that_its_server_no_longer_names_is_lost_unless_its_end_arrives() {
    let mut h = Harness::new(&[(1, 2)]);
    h.place(1, 8);
    h.place(1, 9);
    h.orders(1);
    h.cut(1);
    h.register(2, registration(1, 2)).expect("registered");
    h.update(2, 8, MatchPhase::Ended, 1);
    h.update(2, 8, MatchPhase::Closed, 2);
    h.pass(5_000, &[2]);
    use MatchEventKind::{Closed, Ended, Lost};
    assert_eq!(h.events()[2..], [(8, Ended), (8, Closed), (9, Lost)]);
    assert_eq!(h.core.census().rooms_taken, 0);
}

#[test]
fn a_match_is_given_back_before_it_is_played_and_only_then() {
    let mut h = Harness::new(&[(1, 3)]);
    assert_eq!(h.core.release_match(match_id(1), "unknown", h.now()), Ok(()));
    let deciding = h.call(request(7), 1, 0);
    let attempt = h.assigned(1, 7);
    let now = h.now();
    assert_eq!(h.core.release_match(match_id(7), "given up", now), Ok(()));
    h.joinable(1, 7, attempt);
    assert_eq!(h.answer(deciding), Some(Err(AllocateError::Released)));
    assert_eq!(h.orders(1).len(), 2, "released at once, and again when it answers");
    assert_eq!(h.events(), []);

    h.place(1, 8);
    for _ in 0..2 {
        assert_eq!(h.core.release_match(match_id(8), "given up", now), Ok(()));
    }
    h.pass(1, &[1]);
    assert!(h.released(1, 8));
    assert_eq!(h.core.join_grant(match_id(8), player(1).player_id, now), Err(JoinGrantError::NotLive));
    let again = h.call(request(8), 2, 0);
    assert_eq!(h.answer(again), Some(Err(AllocateError::Released)));
    h.update(1, 8, MatchPhase::Ended, 1);
    h.update(1, 8, MatchPhase::Closed, 2);
    use MatchEventKind::{Closed, Ended, Joinable};
    assert_eq!(h.events(), [(8, Joinable), (8, Ended), (8, Closed)]);

    h.orders(1);
    h.place(1, 9);
    h.update(1, 9, MatchPhase::Playing, 3);
    assert_eq!(h.core.release_match(match_id(9), "given up", now), Err(ReleaseError::Playing));
}

#[test]
fn a_release_that_overtakes_its_call_or_its_server_is_remembered() {
    let mut h = Harness::new(&[(1, 3)]);
    let now = h.now();
    for byte in [7, 8, 9] {
        assert_eq!(h.core.release_match(match_id(byte), "given up", now), Ok(()));
    }
    let late = h.call(request(7), 1, 5_000);
    assert_eq!(h.answer(late), Some(Err(AllocateError::Released)));
    assert_eq!(h.orders(1), []);
    let mut server = registration(2, 2);
    server.hosted = vec![hosted(8, 1, 1, MatchPhase::Joinable), hosted(9, 1, 1, MatchPhase::Playing)];
    h.register(2, server).expect("registered");
    assert!(h.released(2, 8), "and what is played is not given back");
    assert_eq!(h.core.census().playing, 1);
    h.pass(15 * 60 * 1_000, &[1, 2]);
    let forgotten = h.call(request(7), 1, 0);
    assert_eq!(h.answer(forgotten), None);
    h.assigned(2, 7);
}

#[test]
fn only_players_of_a_live_match_may_enter_it() {
    let mut h = Harness::new(&[(1, 1)]);
    assert_eq!(h.core.join_grant(match_id(9), player(1).player_id, h.now()), Err(JoinGrantError::NotLive));
    h.place(1, 9);
    let grant = h.core.join_grant(match_id(9), player(2).player_id, h.now()).expect("on the roster");
    assert_eq!((grant.player, grant.server.server_id), (player(2), server_id(1)));
    assert_eq!(h.core.join_grant(match_id(9), player(3).player_id, h.now()), Err(JoinGrantError::NotOnRoster));
}

#[test]
fn retire_and_drain_are_said_again_when_the_server_reconnects() {
    let mut h = Harness::new(&[(1, 1)]);
    let drain = Standing::Drain { deadline: Duration::from_secs(30), reason: "rollout".into() };
    let now = h.now();
    assert!(h.core.order_standing("server-1", &drain, now));
    h.pass(10_000, &[1]);
    assert_eq!(h.orders(1), [Order::Drain { left: Duration::from_secs(30), reason: "rollout".into() }]);
    h.register(2, registration(1, 1)).expect("registered");
    assert_eq!(h.orders(2), [Order::Drain { left: Duration::from_secs(20), reason: "rollout".into() }]);
    assert_eq!(h.core.pool_page().servers[0].link, "leaving");
}
