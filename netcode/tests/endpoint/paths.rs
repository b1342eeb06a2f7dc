//! Sessions whose client changes its address.

use std::time::Duration;

use netcode::emulator::Conditions;
use netcode::endpoint::{ClientEvent, Received, ServerEvent};

use crate::world::*;

#[test]
fn a_session_follows_its_client_to_a_new_address_without_a_message_lost() {
    for seed in 0..10u32 {
        let (mut network, session) = connected(Conditions::rough(0.05));
        for n in 0..100u8 {
            network.server.send_message(network.now, session, &[n]).unwrap();
            let now = network.now;
            network.hosts[0].client.send_message(now, &[n]).unwrap();
            if n % 30 == 29 {
                network.hosts[0].address = address(200 + u16::from(n));
            }
            network.run_for(Duration::from_millis(40));
        }
        network.run_for(Duration::from_secs(3));
        assert_eq!(network.server.remote(session), Some(address(289)), "seed {seed}");
        assert_eq!(network.server.counters().paths_changed, 3);
        let expected: Vec<_> = (0..100u8).map(|n| vec![n]).collect();
        assert_eq!(messages_to_client(&network.hosts[0].events), expected);
        assert_eq!(messages_to_server(&network.server_events), expected);
        let quiet = |event: &ServerEvent| !matches!(event, ServerEvent::Silent { .. } | ServerEvent::Closed { .. });
        assert!(network.server_events.iter().all(quiet));
    }
}

#[test]
fn a_move_takes_one_round_trip() {
    let (mut network, session) = connected(Conditions::latency_ms(30));
    network.hosts[0].address = address(77);
    let now = network.now;
    network.hosts[0].client.send_unreliable(now, b"input", None).unwrap();
    network.run_for(Duration::from_millis(17 + 90));
    assert_eq!(network.server.remote(session), Some(address(77)));
}

#[test]
fn packets_copied_by_a_stranger_move_nothing_and_get_little() {
    let (mut network, session) = connected(Conditions::latency_ms(30));
    let now = network.now;
    let (mut copied_bytes, mut answered_bytes) = (0, 0);
    for _ in 0..200 {
        // The stranger sees each packet of the client first and sends it on from an address of its own.
        network.hosts[0].client.send_unreliable(now, b"input", None).unwrap();
        network.hosts[0].client.flush(network.now);
        while let Some(transmit) = network.hosts[0].client.poll_transmit() {
            let copy = network.server.handle_datagram(network.now, address(66), &transmit.bytes);
            assert_eq!(copy, Received::Accepted);
            copied_bytes += transmit.bytes.len();
        }
        while let Some(transmit) = network.server.poll_transmit() {
            if transmit.to == address(66) {
                answered_bytes += transmit.bytes.len();
            } else {
                let now = network.now;
                network.hosts[0].client.handle_datagram(now, server_address(), &transmit.bytes);
            }
        }
        network.now = network.now + Duration::from_millis(17);
        network.server.handle_timeout(network.now);
    }
    assert_eq!(network.server.remote(session), Some(address(0)));
    assert!(answered_bytes > 0 && answered_bytes <= 3 * copied_bytes, "{answered_bytes} for {copied_bytes}");
    assert_eq!(network.server.counters().paths_changed, 0);
}

#[test]
fn replayed_packets_from_elsewhere_are_dropped_before_they_count() {
    let (mut network, session) = connected(Conditions::latency_ms(30));
    let now = network.now;
    network.hosts[0].client.send_unreliable(now, b"input", None).unwrap();
    network.hosts[0].client.flush(now);
    let packet = network.hosts[0].client.poll_transmit().unwrap().bytes;
    assert_eq!(network.inject(address(0), &packet), Received::Accepted);
    for _ in 0..100 {
        let replayed = Received::Dropped(netcode::endpoint::DropReason::Replayed);
        assert_eq!(network.inject(address(66), &packet), replayed);
    }
    network.run_for(Duration::from_millis(100));
    assert_eq!(network.server.remote(session), Some(address(0)));
    let inputs = network.server_events.iter().filter(|event| matches!(event, ServerEvent::Unreliable { .. })).count();
    assert_eq!(inputs, 1);
    assert!(!network.hosts[0].events.iter().any(|event| matches!(event, ClientEvent::Closed { .. })));
}
