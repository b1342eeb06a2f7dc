//! What strangers may send to a port that speaks QUIC.

use std::time::Duration;

use netcode::emulator::Conditions;
use netcode::endpoint::{Carrier, DropReason, Received};
use netcode::{Entropy, Micros};
use protocol::wire::Refusal;

use crate::stranger::Stranger;
use crate::world::*;

/// First packets of this many clients that never go on.
fn first_packets(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|seed| quic_client(token(1, 1), seed, Micros(0)).poll_transmit().unwrap().bytes).collect()
}

#[test]
fn from_thirty_two_half_open_handshakes_on_newcomers_prove_their_address() {
    let mut server = quic_server_of(netcode::endpoint::ServerConfig { half_open_max: 64, ..config() });
    for (n, packet) in first_packets(50).iter().enumerate() {
        server.handle_datagram(Micros(0), address(n as u16), packet);
    }
    assert_eq!((server.half_open(), server.counters().retries), (32, 18));
    let bytes_out: Vec<usize> = std::iter::from_fn(|| server.poll_transmit()).map(|t| t.bytes.len()).collect();
    assert!(bytes_out.len() >= 50);
    // A client that receives what is sent to its address gets in all the same.
    let mut network = netcode::emulator::Network::new(server, server_address(), Box::new(verify));
    join_over_quic(&mut network, 9, 1, Conditions::latency_ms(10));
    network.run_for(Duration::from_secs(1));
    assert!(network.hosts[0].client.is_open(), "{:?}", network.hosts[0].events);
    assert_eq!(network.server.counters().retries, 19);
}

#[test]
fn a_full_table_of_half_open_handshakes_refuses_as_busy_and_empties_by_itself() {
    let mut server = quic_server_of(netcode::endpoint::ServerConfig { half_open_max: 8, ..config() });
    for (n, packet) in first_packets(8).iter().enumerate() {
        server.handle_datagram(Micros(0), address(100 + n as u16), packet);
    }
    while server.poll_transmit().is_some() {}
    let mut network = netcode::emulator::Network::new(server, server_address(), Box::new(verify));
    join_over_quic(&mut network, 9, 1, Conditions::latency_ms(10));
    network.run_for(Duration::from_secs(1));
    assert_eq!(refusal(&network.hosts[0].events), Some(Refusal::Busy));
    assert_eq!(network.server.half_open(), 8);
    network.run_for(Duration::from_secs(6));
    assert_eq!(network.server.half_open(), 0);
    let place = join_over_quic(&mut network, 9, 2, Conditions::latency_ms(10));
    network.run_for(Duration::from_secs(1));
    assert!(network.hosts[place].client.is_open());
}

#[test]
fn an_address_that_proved_nothing_gets_at_most_three_times_what_it_sent() {
    let mut server = quic_server_of(config());
    let packets = first_packets(20);
    let bytes_in: usize = packets.iter().map(Vec::len).sum();
    for packet in &packets {
        server.handle_datagram(Micros(0), address(0), packet);
    }
    let mut bytes_out = 0;
    for ms in 0..10_000 {
        server.handle_timeout(Micros::from_millis(ms));
        bytes_out += std::iter::from_fn(|| server.poll_transmit()).map(|t| t.bytes.len()).sum::<usize>();
    }
    assert!(bytes_out > 0 && bytes_out <= 3 * bytes_in, "{bytes_out} for {bytes_in}");
    assert_eq!(server.half_open(), 0);
}

#[test]
fn another_application_protocol_gets_no_further_than_tls() {
    let mut server = quic_server_of(config());
    let mut stranger = Stranger::new(b"h3");
    stranger.run(&mut server, Duration::from_secs(1), |_| {});
    assert!(stranger.lost && !stranger.connected);
    assert!(server.poll_handshake().is_none());
    assert_eq!((server.sessions(), server.half_open()), (0, 0));
}

#[test]
fn a_connection_without_a_request_is_closed_after_three_seconds() {
    let mut server = quic_server_of(config());
    let mut stranger = Stranger::new(b"muster/1");
    stranger.run(&mut server, Duration::from_millis(2_900), |_| {});
    assert!(stranger.connected && !stranger.lost);
    assert_eq!(server.half_open(), 1);
    stranger.run(&mut server, Duration::from_millis(200), |_| {});
    assert!(stranger.lost);
    assert_eq!(server.half_open(), 0);
}

#[test]
fn a_request_that_trickles_in_is_cut_off_all_the_same() {
    let mut server = quic_server_of(config());
    let mut stranger = Stranger::new(b"muster/1");
    let mut sent = 0u8;
    stranger.run(&mut server, Duration::from_millis(3_300), |stranger| {
        if stranger.connected && sent < 200 && stranger.now.0 % 20_000 == 0 {
            sent += 1;
            // Says that 500 bytes follow, and sends one at a time.
            stranger.write(if sent == 1 { &[0xF4, 0x01] } else { &[1] });
        }
    });
    assert!(sent > 100 && stranger.lost, "{sent}");
}

#[test]
fn an_oversize_request_is_refused_at_its_length() {
    let mut server = quic_server_of(config());
    let mut stranger = Stranger::new(b"muster/1");
    let mut asked = false;
    stranger.run(&mut server, Duration::from_secs(1), |stranger| {
        if stranger.connected && !std::mem::replace(&mut asked, true) {
            stranger.write(&[0xFF, 0xFF]);
        }
    });
    assert_eq!(stranger.answer, [2, 0, Refusal::TokenMalformed as u8, 0]);
    assert_eq!(server.counters().refused(Refusal::TokenMalformed), 1);
    assert!(server.poll_handshake().is_none());
}

#[test]
fn datagrams_before_a_session_and_broken_packets_in_one_change_nothing_for_others() {
    let mut network = mixed_network();
    join_over_quic(&mut network, 2, 1, Conditions::latency_ms(5));
    network.run_for(Duration::from_secs(1));
    let mut stranger = Stranger::new(b"muster/1");
    let mut asked = false;
    stranger.run(&mut network.server, Duration::from_secs(1), |stranger| {
        if stranger.connected {
            stranger.datagram(&[1, 0, 0]);
            stranger.datagram(&[9; 200]);
            if !std::mem::replace(&mut asked, true) {
                let request = protocol::wire::JoinRequest {
                    version_min: 1,
                    version_max: 1,
                    schema_hash: SCHEMA,
                    credential: token(5, 1).into_bytes(),
                };
                stranger.write(&request.encode());
            }
        }
    });
    assert!(network.server.counters().dropped(DropReason::UnknownSession) > 0);
    assert!(network.server.counters().dropped(DropReason::Malformed) > 0, "a session was broken off");
    network.now = stranger.now;
    network.run_for(Duration::from_secs(2));
    assert!(network.hosts[0].client.is_open());
    assert_eq!(network.server.sessions(), 1);
}

#[test]
fn noise_with_the_bit_of_quic_is_dropped_and_leaves_no_trace() {
    let mut server = quic_server_of(config());
    let mut entropy = Entropy::new([3; 32]);
    let mut answered = 0;
    for _ in 0..20_000 {
        let mut datagram = vec![0; entropy.next_u64() as usize % 1_300 + 1];
        entropy.fill(&mut datagram);
        datagram[0] |= 0x40;
        let _ = server.handle_datagram(Micros(0), address(0), &datagram);
        answered += std::iter::from_fn(|| server.poll_transmit()).map(|t| t.bytes.len()).sum::<usize>();
    }
    assert_eq!((server.sessions(), server.half_open(), server.poll_timeout()), (0, 0, None));
    assert!(server.counters().dropped(DropReason::Quic) > 10_000);
    let heard = server.counters().carrier(Carrier::Quic).bytes_in;
    assert!((answered as u64) < heard, "{answered} for {heard}");
}

#[test]
fn changed_bytes_of_a_session_are_not_believed() {
    let mut network = mixed_network();
    join_over_quic(&mut network, 1, 1, Conditions::latency_ms(5));
    network.run_for(Duration::from_secs(1));
    let now = network.now;
    network.hosts[0].client.send_message(now, b"message").unwrap();
    network.hosts[0].client.flush(now);
    let packet = network.hosts[0].client.poll_transmit().unwrap().bytes;
    for place in 9..packet.len() {
        let mut forged = packet.clone();
        forged[place] ^= 1;
        let _ = network.server.handle_datagram(now, address(0), &forged);
        assert!(network.server.poll_event().is_none(), "byte {place}");
    }
    assert_eq!(network.server.handle_datagram(now, address(0), &packet), Received::Accepted);
    assert!(network.server.poll_event().is_some());
}
