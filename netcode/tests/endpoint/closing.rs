//! How sessions end, and how silence is told.

use std::time::Duration;

use netcode::Micros;
use netcode::emulator::Conditions;
use netcode::endpoint::{ClientEvent, SendError, ServerEvent};
use protocol::wire::CloseReason;

use crate::world::*;

const DEAF: Conditions = Conditions { loss: 1.0, ..Conditions::PERFECT };

#[test]
fn an_idle_session_stays_alive_on_pings_alone() {
    let (mut network, session) = connected(Conditions::latency_ms(20));
    let before = network.server.stats(session).unwrap();
    network.run_for(Duration::from_secs(120));
    assert!(network.server_events.is_empty() && network.hosts[0].events.is_empty());
    let after = network.server.stats(session).unwrap();
    let heard = after.packets_in - before.packets_in;
    assert!((480..1_000).contains(&heard), "{heard} packets in 120 s");
    assert!(after.rtt > Duration::from_millis(35), "pings measure the round trip: {after:?}");
}

#[test]
fn silence_is_told_after_5_s_and_the_return_too() {
    let (mut network, session) = connected(Conditions::latency_ms(20));
    network.run_for(Duration::from_secs(1));
    network.hosts[0].up.set_conditions(DEAF);
    network.run_for(Duration::from_millis(4_500));
    assert!(network.server_events.is_empty());
    network.run_for(Duration::from_millis(600));
    assert_eq!(network.server_events, [ServerEvent::Silent { session }]);
    network.run_for(Duration::from_secs(50));
    network.hosts[0].up.set_conditions(Conditions::latency_ms(20));
    network.run_for(Duration::from_secs(1));
    assert_eq!(network.server_events, [ServerEvent::Silent { session }, ServerEvent::Heard { session }]);
    assert!(network.hosts[0].client.is_open());
}

#[test]
fn a_session_times_out_after_65_s_of_silence_on_both_sides() {
    let (mut network, session) = connected(Conditions::latency_ms(20));
    network.hosts[0].up.set_conditions(DEAF);
    network.hosts[0].down.set_conditions(DEAF);
    network.run_for(Duration::from_millis(64_500));
    assert_eq!(network.server_events, [ServerEvent::Silent { session }]);
    assert_eq!(network.hosts[0].events, [ClientEvent::Silent]);
    network.run_for(Duration::from_secs(3));
    let closed = ServerEvent::Closed { session, reason: CloseReason::TimedOut, by_peer: false };
    assert_eq!(network.server_events[1..], [closed]);
    let closed = ClientEvent::Closed { reason: CloseReason::TimedOut, by_peer: false };
    assert_eq!(network.hosts[0].events[1..], [closed]);
    assert_eq!((network.server.sessions(), network.server.poll_timeout()), (0, None));
    assert!(network.hosts[0].client.is_done());
}

#[test]
fn a_close_survives_the_loss_of_two_of_its_three_packets() {
    let (mut network, session) = connected(Conditions::latency_ms(20));
    let before = network.hosts[0].down.stats().sent;
    network.hosts[0].down.set_conditions(DEAF);
    network.server.close(network.now, session, CloseReason::Kicked);
    while network.hosts[0].down.stats().sent < before + 2 {
        network.run_for(Duration::from_millis(1));
    }
    network.hosts[0].down.set_conditions(Conditions::latency_ms(20));
    network.run_for(Duration::from_secs(2));
    assert_eq!(network.hosts[0].down.stats().sent, before + 3);
    let told = ClientEvent::Closed { reason: CloseReason::Kicked, by_peer: true };
    assert_eq!(network.hosts[0].events, [told]);
    let own = ServerEvent::Closed { session, reason: CloseReason::Kicked, by_peer: false };
    assert_eq!(network.server_events, [own]);
    assert_eq!(network.server.sessions(), 0);
}

#[test]
fn messages_queued_before_an_orderly_close_are_delivered_first() {
    for seed in 0..20 {
        let mut network = network();
        join(&mut network, 1, seed, Conditions::rough(0.2));
        network.run_for(Duration::from_secs(6));
        let session = last_session(&network).unwrap();
        for n in 0..20u8 {
            network.server.send_message(network.now, session, &[n; 500]).unwrap();
        }
        network.server.close(network.now, session, CloseReason::MatchEnded);
        assert_eq!(network.server.send_message(network.now, session, b"late"), Err(SendError::NotOpen));
        network.run_for(Duration::from_secs(6));
        let got: Vec<_> = messages_to_client(&network.hosts[0].events).iter().map(|message| message[0]).collect();
        assert_eq!(got, (0..20).collect::<Vec<_>>(), "seed {seed}");
        let told = ClientEvent::Closed { reason: CloseReason::MatchEnded, by_peer: true };
        assert_eq!(network.hosts[0].events.last(), Some(&told), "seed {seed}");
        assert_eq!(network.server.sessions(), 0);
    }
}

#[test]
fn a_client_that_leaves_is_gone_at_once_and_done_soon() {
    let (mut network, session) = connected(Conditions::latency_ms(20));
    let now = network.now;
    network.hosts[0].client.close(now, CloseReason::Left);
    network.run_for(Duration::from_millis(50));
    let told = ServerEvent::Closed { session, reason: CloseReason::Left, by_peer: true };
    assert_eq!(network.server_events, [told]);
    assert_eq!(network.server.sessions(), 0);
    network.run_for(Duration::from_secs(2));
    assert!(network.hosts[0].client.is_done());
    let own = ClientEvent::Closed { reason: CloseReason::Left, by_peer: false };
    assert_eq!(network.hosts[0].events, [own]);
}

#[test]
fn a_client_whose_accept_was_never_confirmed_gives_up_after_5_s() {
    let mut network = network();
    join(&mut network, 1, 1, Conditions::latency_ms(20));
    network.run_until(Micros::from_millis(70));
    network.hosts[0].up.set_conditions(DEAF);
    network.run_until(Micros::from_millis(1_000));
    assert!(network.hosts[0].client.is_open(), "{:?}", network.hosts[0].events);
    network.run_until(Micros::from_millis(6_000));
    let closed = ClientEvent::Closed { reason: CloseReason::TimedOut, by_peer: false };
    assert_eq!(network.hosts[0].events[1..], [closed]);
    network.run_until(Micros::from_millis(10_000));
    assert_eq!((network.server.sessions(), network.server.half_open()), (0, 0));
}
