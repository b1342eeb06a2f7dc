//! Sessions over QUIC, beside native ones, in virtual time.

use std::time::Duration;

use netcode::Micros;
use netcode::emulator::Conditions;
use netcode::endpoint::{Carrier, ClientEvent, QuicClientConfig, ServerConfig, ServerEvent, Transmit};
use protocol::wire::{CloseReason, Refusal};

use crate::world::*;

fn carriers(events: &[ServerEvent]) -> Vec<Carrier> {
    let connected = events.iter().filter_map(|event| match event {
        ServerEvent::Connected { carrier, .. } => Some(*carrier),
        _ => None,
    });
    connected.collect()
}

#[test]
fn a_client_connects_over_quic_and_both_sides_know_who() {
    let mut network = mixed_network();
    join_over_quic(&mut network, 7, 1, Conditions::latency_ms(25));
    network.run_for(Duration::from_secs(1));
    let connected = network.server_events.iter().find_map(|event| match event {
        ServerEvent::Connected { claims, remote, carrier, .. } => Some((claims.clone(), *remote, *carrier)),
        _ => None,
    });
    assert_eq!(connected, Some((claims(7, 1), address(0), Carrier::Quic)));
    assert!(matches!(network.hosts[0].events[0], ClientEvent::Connected { version: 1, .. }));
    assert_eq!((network.server.sessions(), network.server.half_open()), (1, 0));
    assert_eq!(network.server.counters().dropped_total(), 0);
    assert_eq!(network.server.counters().carrier(Carrier::Quic).handshakes_accepted, 1);
    assert_eq!(network.server.counters().carrier(Carrier::Native).datagrams_in, 0);
}

#[test]
fn both_carriers_share_the_port_and_every_channel_works_on_each() {
    for (seed, conditions) in [Conditions::latency_ms(10), Conditions::rough(0.05)].into_iter().enumerate() {
        let mut network = mixed_network();
        for player in 1..=4u8 {
            let join = if player % 2 == 0 { join } else { join_over_quic };
            join(&mut network, player, seed as u32, conditions);
        }
        network.run_for(Duration::from_secs(4));
        let sessions: Vec<_> = network
            .server_events
            .iter()
            .filter_map(|event| match event {
                ServerEvent::Connected { session, claims, .. } => Some((claims.sub, *session)),
                _ => None,
            })
            .collect();
        assert_eq!(sessions.len(), 4);
        assert_eq!(carriers(&network.server_events).iter().filter(|carrier| **carrier == Carrier::Quic).count(), 2);
        let map: Vec<u8> = (0..50_000u32).map(|n| n as u8).collect();
        for (_, session) in &sessions {
            network.server.send_bulk(network.now, *session, map.clone()).unwrap();
        }
        for n in 0..120u8 {
            for (_, session) in &sessions {
                network.server.send_unreliable(network.now, *session, &[n; 400], Some(u32::from(n))).unwrap();
                network.server.send_message(network.now, *session, &[n]).unwrap();
            }
            let now = network.now;
            for host in &mut network.hosts {
                host.client.send_message(now, &[n, n]).unwrap();
                host.client.send_unreliable(now, b"input", None).unwrap();
            }
            network.run_for(Duration::from_micros(16_667));
        }
        network.run_for(Duration::from_secs(4));
        let expected: Vec<_> = (0..120u8).map(|n| vec![n]).collect();
        for host in &network.hosts {
            assert_eq!(messages_to_client(&host.events), expected);
            let unreliable = host.events.iter().filter(|e| matches!(e, ClientEvent::Unreliable { .. })).count();
            assert!(unreliable >= 100, "only {unreliable} of 120 snapshots came, conditions {seed}");
            let bulk = ClientEvent::Bulk { payload: map.clone() };
            assert_eq!(host.events.iter().filter(|event| **event == bulk).count(), 1);
        }
        assert_eq!(messages_to_server(&network.server_events).len(), 4 * 120);
        for (_, session) in sessions {
            let stats = network.server.stats(session).unwrap();
            assert!(stats.rtt > Duration::from_millis(15) && stats.rtt < Duration::from_millis(200), "{stats:?}");
            assert!(stats.bytes_out > 120 * 400 && stats.reliable_queued == 0, "{stats:?}");
        }
    }
}

#[test]
fn clients_connect_over_quic_through_loss_and_reordering() {
    for seed in 0..30 {
        let mut network = mixed_network();
        join_over_quic(&mut network, 1, seed, Conditions::rough(0.1));
        network.run_for(Duration::from_secs(6));
        let host = &network.hosts[0];
        assert!(host.client.is_open(), "seed {seed}: {:?}", host.events);
        assert_eq!(network.server.counters().handshakes_accepted, 1, "seed {seed}");
    }
}

#[test]
fn a_player_changes_carrier_by_a_fresh_token_and_the_older_session_is_told() {
    let mut network = mixed_network();
    join(&mut network, 1, 1, Conditions::latency_ms(10));
    network.run_for(Duration::from_secs(1));
    join_over_quic(&mut network, 1, 2, Conditions::latency_ms(10));
    network.run_for(Duration::from_secs(1));
    join(&mut network, 1, 3, Conditions::latency_ms(10));
    network.run_for(Duration::from_secs(1));
    let told = ClientEvent::Closed { reason: CloseReason::SeatTaken, by_peer: true };
    assert!(network.hosts[0].events.contains(&told) && network.hosts[1].events.contains(&told));
    assert!(network.hosts[2].client.is_open());
    assert_eq!(carriers(&network.server_events), [Carrier::Native, Carrier::Quic, Carrier::Native]);
    assert_eq!(network.server.sessions(), 1);
}

#[test]
fn a_close_arrives_with_its_reason_from_either_side() {
    let mut network = mixed_network();
    for player in [1, 2] {
        join_over_quic(&mut network, player, 1, Conditions::latency_ms(10));
    }
    network.run_for(Duration::from_secs(1));
    let first = last_session(&network).unwrap();
    network.server.close(network.now, first, CloseReason::MatchEnded);
    let now = network.now;
    network.hosts[0].client.close(now, CloseReason::Left);
    network.run_for(Duration::from_secs(2));
    let ended = ClientEvent::Closed { reason: CloseReason::MatchEnded, by_peer: true };
    assert!(network.hosts[1].events.contains(&ended), "{:?}", network.hosts[1].events);
    let left =
        |event: &ServerEvent| matches!(event, ServerEvent::Closed { reason: CloseReason::Left, by_peer: true, .. });
    assert!(network.server_events.iter().any(left), "{:?}", network.server_events);
    assert_eq!(network.server.sessions(), 0);
    assert!(network.hosts.iter().all(|host| host.client.is_done()));
}

#[test]
fn silence_is_told_after_five_seconds_and_ends_a_quic_session_after_ten() {
    let mut network = mixed_network();
    join_over_quic(&mut network, 1, 1, Conditions::latency_ms(10));
    network.run_for(Duration::from_secs(1));
    let session = last_session(&network).unwrap();
    network.server_events.clear();
    network.hosts[0].address = address(500);
    network.hosts[0].up = netcode::emulator::Link::new(Conditions { loss: 1.0, ..Conditions::PERFECT }, 1);
    network.run_for(Duration::from_secs(12));
    let closed = ServerEvent::Closed { session, reason: CloseReason::TimedOut, by_peer: false };
    assert_eq!(network.server_events, [ServerEvent::Silent { session }, closed]);
    assert_eq!((network.server.sessions(), network.server.half_open()), (0, 0));
}

#[test]
fn a_quic_session_follows_its_client_to_a_new_address() {
    let mut network = mixed_network();
    join_over_quic(&mut network, 1, 1, Conditions::latency_ms(20));
    network.run_for(Duration::from_secs(1));
    let session = last_session(&network).unwrap();
    network.hosts[0].address = address(300);
    for n in 0..50u8 {
        network.server.send_message(network.now, session, &[n]).unwrap();
        let now = network.now;
        network.hosts[0].client.send_unreliable(now, b"input", None).unwrap();
        network.run_for(Duration::from_millis(17));
    }
    network.run_for(Duration::from_secs(2));
    assert_eq!(network.server.remote(session), Some(address(300)));
    assert_eq!(messages_to_client(&network.hosts[0].events).len(), 50);
}

#[test]
fn connection_ids_towards_the_server_begin_with_its_routing_token() {
    let mut server = quic_server_of(config());
    let mut client = quic_client(token(1, 1), 1, Micros(0));
    let mut routed = 0;
    for ms in 0..1_000 {
        let now = Micros::from_millis(ms);
        client.handle_timeout(now);
        server.handle_timeout(now);
        while let Some(Transmit { bytes, .. }) = client.poll_transmit() {
            // Long header: flags 1, version 4, length of the destination id 1, the id. Short header: flags 1, the id.
            let id = if bytes[0] & 0x80 == 0 { &bytes[1..] } else { &bytes[6..] };
            assert_eq!(bytes[0] & 0x40, 0x40, "the bit that tells QUIC apart");
            assert_eq!(id[..2], [0xA1, 0xB2]);
            assert!(bytes.len() <= 1_200);
            routed += 1;
            server.handle_datagram(now, address(0), &bytes);
        }
        while let Some(job) = server.poll_handshake() {
            server.complete_handshake(now, job.run(&verify));
        }
        while let Some(transmit) = server.poll_transmit() {
            client.handle_datagram(now, server_address(), &transmit.bytes);
        }
    }
    assert!(routed > 5 && client.is_open(), "{routed}");
}

#[test]
fn refusals_over_quic_are_those_of_native_udp() {
    let refused = |token: String, network: &mut netcode::emulator::Network| {
        let place = network.hosts.len() as u16;
        let client = quic_client(token, 77 + u64::from(place), network.now);
        let place = network.add(client, address(place), Conditions::latency_ms(5), 9);
        network.run_for(Duration::from_secs(1));
        refusal(&network.hosts[place].events)
    };
    let mut network = mixed_network();
    for refusal in [Refusal::TokenExpired, Refusal::TokenSignature, Refusal::NoMatch, Refusal::NotOnRoster] {
        assert_eq!(refused(refusal.label().into(), &mut network), Some(refusal));
    }
    assert_eq!(refused("not a token".into(), &mut network), Some(Refusal::TokenMalformed));
    assert_eq!(refused("x".repeat(2_000), &mut network), Some(Refusal::TokenMalformed));
    assert_eq!(refused(token(1, 1), &mut network), None);
    assert_eq!(refused(token(1, 1), &mut network), Some(Refusal::TokenUsed));
    let now = network.now;
    network.server.drain(now);
    assert_eq!(refused(token(2, 1), &mut network), Some(Refusal::Draining));
    let other = ServerConfig { schema_hash: 1, ..config() };
    let mut network = netcode::emulator::Network::new(quic_server_of(other), server_address(), Box::new(verify));
    assert_eq!(refused(token(1, 1), &mut network), Some(Refusal::Schema));
}

#[test]
fn a_certificate_that_the_assignment_does_not_name_is_refused() {
    let mut network = mixed_network();
    let wrong = QuicClientConfig { fingerprints: vec![[7; 32]], ..quic_client_config() };
    let config = netcode::endpoint::ClientConfig { quic: Some(wrong), ..client_config(token(1, 1)) };
    let client = netcode::endpoint::ClientEndpoint::new(config, entropy(1), network.now);
    network.add(client, address(0), Conditions::latency_ms(5), 1);
    network.run_for(Duration::from_secs(1));
    assert_eq!(refusal(&network.hosts[0].events), Some(Refusal::ServerKey));
    assert_eq!((network.server.sessions(), network.server.half_open()), (0, 0));
    assert!(network.server.poll_handshake().is_none(), "no token was sent");
}

#[test]
fn without_a_certificate_quic_is_an_unknown_type() {
    let mut network = network();
    join_over_quic(&mut network, 1, 1, Conditions::latency_ms(5));
    network.run_for(Duration::from_secs(6));
    assert_eq!(network.hosts[0].events, [ClientEvent::TimedOut]);
    assert!(network.server.counters().dropped(netcode::endpoint::DropReason::UnknownType) > 0);
}
