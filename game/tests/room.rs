//! What a room does with joins, leaves, inputs, messages and the end.

mod tag_match;

use std::time::Duration;

use game::outbox::GAME_MESSAGE_BYTES_MAX;
use game::{Leave, Phase, Room, RoomConfig, RoomInput, RoomMessage, SeatId, StartError, Tick};
use netcode::replication::Replica;
use tag_match::rules::{IT, Tag, X};
use tag_match::{Sent, payload, room, send, setup};

fn join(room: &mut Room<Tag>, seat: u8) {
    room.handle(RoomInput::Joined { seat: SeatId(seat) });
}

/// Where the seat's player is.
fn x(room: &Room<Tag>, seat: u8) -> f32 {
    let body = room.world().entities().find(|&id| room.world().owner(id) == Some(SeatId(seat)));
    room.world().get(body.expect("the player has a body"), X)
}

#[test]
fn a_newcomer_gets_a_welcome_and_the_others_hear_of_it() {
    let (mut room, mut sent) = (room(2, 10), Sent::default());
    join(&mut room, 0);
    room.step(&mut sent);
    join(&mut room, 1);
    let report = room.step(&mut sent);
    assert_eq!((report.tick, report.players, report.entities, report.snapshots), (Tick(2), 2, 2, 2));
    let [RoomMessage::Welcome { seat: 0, tick: 1, .. }, RoomMessage::PlayerJoined { seat: 1 }] =
        sent.messages_to(0)[..]
    else {
        panic!("seat 0 got {:?}", sent.messages_to(0));
    };
    let [RoomMessage::Welcome { seat: 1, tick: 2, players, settings_json, tick_rate_hz: 30, .. }] =
        sent.messages_to(1)[..]
    else {
        panic!("seat 1 got {:?}", sent.messages_to(1));
    };
    assert_eq!(players.iter().map(|player| player.present).collect::<Vec<_>>(), [true, true]);
    assert_eq!(players[0].id(), room.setup().players[0].id);
    assert_eq!(settings_json, "{\"seconds\":10}");
    let phases = [Phase::Events, Phase::Inputs, Phase::Step, Phase::Record, Phase::Messages, Phase::Snapshots];
    assert_eq!(sent.phases[..6], phases);
}

#[test]
fn a_session_hears_nothing_before_its_welcome_and_is_welcomed_once() {
    let (mut room, mut sent) = (room(2, 10), Sent::default());
    join(&mut room, 1);
    room.step(&mut sent);
    // In one step: the other player comes, and this one's session is taken over, twice.
    let mut again = Sent::default();
    join(&mut room, 0);
    join(&mut room, 1);
    join(&mut room, 1);
    room.step(&mut again);
    assert!(matches!(again.messages_to(1)[..], [RoomMessage::Welcome { .. }]), "{:?}", again.messages_to(1));
    assert!(matches!(again.messages_to(0)[..], [RoomMessage::Welcome { .. }]), "{:?}", again.messages_to(0));
}

#[test]
fn a_client_that_comes_back_is_welcomed_again_without_joining_the_game_again() {
    let (mut room, mut sent) = (room(2, 10), Sent::default());
    join(&mut room, 0);
    join(&mut room, 1);
    room.step(&mut sent);
    let moved = x(&room, 0);
    join(&mut room, 0);
    let mut again = Sent::default();
    room.step(&mut again);
    assert!(matches!(again.messages_to(0)[..], [RoomMessage::Welcome { .. }]));
    assert!(again.messages_to(1).is_empty());
    assert_eq!((room.world().len(), x(&room, 0)), (2, moved));
    // Its new replica gets everything, without anything from before.
    let (_, _, bytes) = again.snapshots.iter().find(|(seat, ..)| *seat == SeatId(0)).unwrap();
    let mut replica = Replica::new(room.schema().clone());
    replica.apply(bytes).unwrap();
    assert_eq!(replica.newest().entities().count(), 2);
}

#[test]
fn everyone_is_told_once_of_a_drain_and_newcomers_when_they_join() {
    let (mut room, mut sent) = (room(2, 10), Sent::default());
    join(&mut room, 0);
    room.step(&mut sent);
    let tick = room.tick().0;
    let rate = room.setup().tick_rate_hz;
    room.announce_drain(Duration::from_secs(5));
    room.announce_drain(Duration::from_secs(9));
    let drains = |sent: &Sent, seat| {
        let drain = |message: &&RoomMessage| matches!(message, RoomMessage::Draining { .. });
        sent.messages_to(seat).into_iter().filter(drain).cloned().collect::<Vec<_>>()
    };
    let expected = [RoomMessage::Draining { tick: tick + 5 * rate }];
    room.step(&mut sent);
    room.step(&mut sent);
    assert_eq!(drains(&sent, 0), expected);
    join(&mut room, 1);
    room.step(&mut sent);
    assert_eq!((drains(&sent, 0), drains(&sent, 1)), (expected.to_vec(), expected.to_vec()));
    room.announce_drain(Duration::from_secs(1));
    room.step(&mut sent);
    assert_eq!((drains(&sent, 0).len(), drains(&sent, 1).len()), (2, 2), "it has come closer");
}

#[test]
fn a_leaver_is_gone_from_game_and_snapshots_and_may_return() {
    let (mut room, mut sent) = (room(2, 10), Sent::default());
    join(&mut room, 0);
    join(&mut room, 1);
    room.step(&mut sent);
    room.handle(RoomInput::Left { seat: SeatId(0), why: Leave::Lost });
    room.handle(RoomInput::Left { seat: SeatId(0), why: Leave::Lost });
    let mut after = Sent::default();
    let report = room.step(&mut after);
    assert_eq!((report.players, report.entities, report.snapshots), (1, 1, 1));
    assert!(room.has_joined(SeatId(0)) && !room.is_present(SeatId(0)));
    assert_eq!(after.messages_to(1)[0].leave(), Some(Leave::Lost));
    assert_eq!(after.messages.len(), 1);
    join(&mut room, 0);
    assert_eq!(room.step(&mut after).entities, 2);
}

#[test]
fn a_silent_client_keeps_its_seat_but_gets_no_snapshots_until_it_is_heard() {
    let (mut room, mut sent) = (room(2, 10), Sent::default());
    join(&mut room, 0);
    room.step(&mut sent);
    room.handle(RoomInput::Silent { seat: SeatId(0) });
    let report = room.step(&mut sent);
    assert_eq!((report.snapshots, report.players, report.entities), (0, 1, 1));
    room.handle(RoomInput::Heard { seat: SeatId(0) });
    assert_eq!(room.step(&mut sent).snapshots, 1);
}

#[test]
fn an_input_moves_its_player_in_its_own_tick_however_often_it_is_repeated() {
    let (mut room, mut sent) = (room(2, 10), Sent::default());
    join(&mut room, 0);
    room.step(&mut sent);
    let start = x(&room, 0);
    for _ in 0..3 {
        send(&mut room, 0, 4, &[(0, 0), (1, 0), (0, 0)]);
    }
    let mut places = vec![];
    let mut accepted = 0;
    for _ in 0..4 {
        let report = room.step(&mut sent);
        accepted += report.inputs.accepted;
        places.push(((x(&room, 0) - start) * 100.0).round() as i32);
    }
    assert_eq!((places, accepted), (vec![0, 20, 20, 20], 3));
    // The first of several different inputs for a tick counts.
    send(&mut room, 0, 6, &[(1, 0)]);
    send(&mut room, 0, 6, &[(-1, 0)]);
    room.step(&mut sent);
    assert_eq!(((x(&room, 0) - start) * 100.0).round() as i32, 40);
}

#[test]
fn a_missing_input_repeats_the_last_one_for_a_second_and_then_is_neutral() {
    let (mut room, mut sent) = (room(2, 100), Sent::default());
    join(&mut room, 0);
    send(&mut room, 0, 1, &[(1, 0)]);
    room.step(&mut sent);
    let start = x(&room, 0);
    let missing: u64 = (0..90).map(|_| room.step(&mut sent).inputs.missing).sum();
    assert_eq!(missing, 90);
    // 30 ticks at 6 m/s are a second.
    assert!((x(&room, 0) - start - 6.0).abs() < 0.01, "moved {} m", x(&room, 0) - start);
}

#[test]
fn inputs_out_of_their_time_are_dropped_and_counted_and_the_margin_says_by_how_much() {
    let (mut room, mut sent) = (room(2, 10), Sent::default());
    join(&mut room, 0);
    for _ in 0..10 {
        room.step(&mut sent);
    }
    send(&mut room, 0, 8, &[(1, 0)]);
    send(&mut room, 0, 75, &[(1, 0)]);
    room.handle(RoomInput::Unreliable { seat: SeatId(0), payload: vec![0xff; 30], early_us: 0 });
    send(&mut room, 9, 12, &[(1, 0)]);
    let report = room.step(&mut sent);
    assert_eq!((report.inputs.late, report.inputs.ahead, report.inputs.malformed), (1, 1, 1));
    assert_eq!((report.inputs.accepted, report.events_refused), (0, 1));
    let margin = |sent: &Sent| {
        let mut replica = Replica::new(room.schema().clone());
        let (_, _, bytes) = sent.snapshots.last().unwrap();
        let info = replica.apply(bytes).unwrap();
        (info.last_input, info.margin_ms)
    };
    // Three ticks of 33 ms too late.
    assert_eq!(margin(&sent), (Tick(0), -100));
    let input = payload(&room, 13, &[(1, 0)]);
    room.handle(RoomInput::Unreliable { seat: SeatId(0), payload: input, early_us: 5_000 });
    room.step(&mut sent);
    room.step(&mut sent);
    let mut replica = Replica::new(room.schema().clone());
    let info = replica.apply(&sent.snapshots.last().unwrap().2).unwrap();
    assert_eq!((info.last_input, info.margin_ms), (Tick(13), 38));
}

#[test]
fn the_end_is_told_once_with_places_and_latecomers_hear_it_too() {
    let (mut room, mut sent) = (room(2, 1), Sent::default());
    join(&mut room, 0);
    let ended_at = (1..=100).find(|_| room.step(&mut sent).ended).expect("a second is 30 ticks");
    assert_eq!(ended_at, 30);
    let hash = room.state_hash();
    let [RoomMessage::Welcome { .. }, RoomMessage::Ended { reason, standings }] = sent.messages_to(0)[..] else {
        panic!("seat 0 got {:?}", sent.messages_to(0));
    };
    let places: Vec<_> = standings.iter().map(|standing| (standing.seat, standing.place, standing.score)).collect();
    assert_eq!((reason.as_str(), places), ("finished", vec![(0, 2, -30), (1, 1, 0)]));
    join(&mut room, 1);
    let mut late = Sent::default();
    assert_eq!(room.step(&mut late).tick, Tick(30));
    assert!(matches!(late.messages_to(1)[..], [RoomMessage::Welcome { .. }, RoomMessage::Ended { .. }]));
    assert_eq!(room.state_hash(), hash);
    room.abort("too late");
    assert_eq!(room.outcome().map(|outcome| outcome.reason.as_str()), Some("finished"));
}

#[test]
fn an_aborted_match_gives_no_places() {
    let (mut room, mut sent) = (room(2, 60), Sent::default());
    join(&mut room, 0);
    room.step(&mut sent);
    room.abort("drained");
    assert!(room.step(&mut sent).ended);
    let ended = RoomMessage::Ended { reason: "drained".to_owned(), standings: vec![] };
    assert_eq!(sent.messages_to(0).last(), Some(&&ended));
}

#[test]
fn messages_beyond_the_limits_are_counted_not_kept() {
    let (mut room, mut sent) = (room(2, 60), Sent::default());
    join(&mut room, 0);
    room.step(&mut sent);
    let message = |bytes: usize| RoomInput::Message { seat: SeatId(0), payload: vec![0; bytes] };
    room.handle(message(GAME_MESSAGE_BYTES_MAX + 1));
    (0..5_000).for_each(|_| room.handle(message(10)));
    // A flood of messages does not keep anyone from joining.
    join(&mut room, 1);
    let report = room.step(&mut sent);
    assert!(report.messages_refused > 4_000, "{} refused", report.messages_refused);
    assert_eq!(report.players, 2);
    room.handle(message(10));
    assert_eq!(room.step(&mut sent).messages_refused, 0);
}

#[test]
fn faulty_setups_are_refused_with_a_reason() {
    let refused = |setup| Room::<Tag>::new(setup, RoomConfig::default()).err();
    assert_eq!(refused(setup(1, 10)), Some(StartError::Refused("tag needs two players".to_owned())));
    assert!(matches!(refused(setup(0, 10)), Some(StartError::Setup(_))));
    let mut swapped = setup(2, 10);
    swapped.players.swap(0, 1);
    assert!(matches!(refused(swapped), Some(StartError::Setup(_))));
    let mut slow = setup(2, 10);
    slow.tick_rate_hz = 10;
    assert!(matches!(refused(slow), Some(StartError::Setup(_))));
}

#[test]
fn one_player_is_it() {
    let (mut room, mut sent) = (room(3, 10), Sent::default());
    (0..3).for_each(|seat| join(&mut room, seat));
    room.step(&mut sent);
    assert_eq!(room.world().entities().filter(|&id| room.world().get_int(id, IT) == 1).count(), 1);
}
