//! Bytes that nobody honest sends: random, truncated, flipped, replayed, misdirected.

use std::time::Duration;

use netcode::Micros;
use netcode::emulator::{Conditions, Network, Random};
use netcode::endpoint::{ClientEvent, DropReason, Received, ServerEvent};
use proptest::prelude::*;
use protocol::wire::{HANDSHAKE_BYTES, packet_type};

use crate::world::*;

/// Every datagram of one session, in order: handshake, three channels both ways, a change of address, the close.
fn captured() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    // Another life of the server: with the same entropy as below it would have the same keys.
    let mut network = Network::new(server(77), server_address(), Box::new(verify));
    join(&mut network, 1, 7, Conditions::PERFECT);
    let (mut up, mut down) = (Vec::new(), Vec::new());
    let mut from = address(0);
    let mut connected = None;
    for step in 0..200u32 {
        let client = &mut network.hosts[0].client;
        if client.is_open() {
            let _ = client.send_unreliable(network.now, &[step as u8; 40], Some(step));
            let _ = client.send_message(network.now, &vec![step as u8; step as usize]);
        }
        client.handle_timeout(network.now);
        client.flush(network.now);
        if step == 100 {
            from = address(50);
        }
        while let Some(transmit) = network.hosts[0].client.poll_transmit() {
            network.server.handle_datagram(network.now, from, &transmit.bytes);
            up.push(transmit.bytes);
        }
        while let Some(job) = network.server.poll_handshake() {
            network.server.complete_handshake(network.now, job.run(&verify));
        }
        while let Some(event) = network.server.poll_event() {
            if let ServerEvent::Connected { session, .. } = event {
                connected = Some(session);
                network.server.send_bulk(network.now, session, vec![7; 5_000]).unwrap();
                network.server.send_message(network.now, session, &[1; 3_000]).unwrap();
            }
        }
        network.server.handle_timeout(network.now);
        if let Some(session) = connected {
            let _ = network.server.send_unreliable(network.now, session, &[step as u8; 60], Some(step));
        }
        network.server.flush(network.now);
        while let Some(transmit) = network.server.poll_transmit() {
            let now = network.now;
            network.hosts[0].client.handle_datagram(now, server_address(), &transmit.bytes);
            down.push(transmit.bytes);
        }
        network.now = network.now + Duration::from_millis(10);
    }
    assert!(up.len() > 150 && down.len() > 150, "{} up, {} down", up.len(), down.len());
    (up, down)
}

fn mutate(packets: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = packets[random.below(packets.len() as u64) as usize].clone();
    match random.below(8) {
        0 => {}
        1 => bytes.truncate(random.below(bytes.len() as u64 + 1) as usize),
        2 => bytes.resize(bytes.len() + random.below(64) as usize, random.next_u64() as u8),
        3 => {
            // The head of one packet on the body of another.
            let other = &packets[random.below(packets.len() as u64) as usize];
            let cut = random.below(bytes.len().min(other.len()) as u64 + 1) as usize;
            bytes[..cut].copy_from_slice(&other[..cut]);
        }
        4 => {
            let length = bytes.len() as u64;
            bytes[random.below(length) as usize] = random.next_u64() as u8;
        }
        _ => {
            for _ in 0..=random.below(4) {
                let bit = random.below(bytes.len() as u64 * 8);
                bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
            }
        }
    }
    bytes
}

fn drain(network: &mut Network) {
    while network.server.poll_transmit().is_some() {}
    while network.server.poll_event().is_some() {}
    while network.hosts[0].client.poll_transmit().is_some() {}
    while network.hosts[0].client.poll_event().is_some() {}
}

#[test]
fn two_hundred_thousand_mutated_packets_do_no_harm() {
    let (up, down) = captured();
    // A server with a live session of another client; the mutated packets are those of an earlier life, and its own.
    let (mut network, session) = connected(Conditions::latency_ms(5));
    let mut random = Random::new(3);
    let mut live = Vec::new();
    let (mut accepted, mut dropped) = (0u64, 0u64);
    for case in 0..200_000u32 {
        if case % 2_000 == 0 {
            // Real packets of the live session join the pool, so that mutations hit its connection id.
            network.run_for(Duration::from_millis(20));
            let now = network.now;
            network.hosts[0].client.send_message(now, b"still here").unwrap();
            network.hosts[0].client.flush(now);
            while let Some(transmit) = network.hosts[0].client.poll_transmit() {
                network.inject(address(0), &transmit.bytes);
                live.push(transmit.bytes);
            }
        }
        let pool = if case % 2 == 0 { &up } else { &live };
        let bytes = mutate(pool, &mut random);
        match network.inject(address(1_000 + (case % 50) as u16), &bytes) {
            Received::Accepted => accepted += 1,
            Received::Dropped(_) => dropped += 1,
        }
        let bytes = mutate(&down, &mut random);
        let now = network.now;
        network.hosts[0].client.handle_datagram(now, server_address(), &bytes);
        if case % 100 == 0 {
            drain(&mut network);
        }
        while let Some(job) = network.server.poll_handshake() {
            let done = job.run(&verify);
            network.server.complete_handshake(network.now, done);
        }
        assert!(network.server.half_open() <= 32 && network.server.sessions() <= 2);
    }
    let counters = network.server.counters();
    assert_eq!(counters.dropped_total(), dropped, "every drop has a reason");
    let seen = [
        DropReason::TooShort,
        DropReason::TooLong,
        DropReason::UnknownType,
        DropReason::WrongPadding,
        DropReason::BadCookie,
        DropReason::UnknownSession,
        DropReason::BadAuth,
        DropReason::Replayed,
    ];
    for reason in seen {
        assert!(counters.dropped(reason) > 0, "no {} among 200,000", reason.label());
    }
    assert!(accepted > 0, "Hellos are answered");
    // The live session did not notice.
    network.run_for(Duration::from_secs(2));
    assert!(network.hosts[0].client.is_open() && network.server.remote(session) == Some(address(0)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_bytes_are_dropped_with_a_reason(
        bytes in proptest::collection::vec(any::<u8>(), 0..1_400),
        first in prop_oneof![Just(0x01u8), Just(0x03), Just(0x10), any::<u8>()],
    ) {
        let mut bytes = bytes;
        if let Some(byte) = bytes.first_mut() {
            *byte = first;
        }
        let mut server = server(1);
        let received = server.handle_datagram(Micros(0), address(0), &bytes);
        prop_assert!(matches!(received, Received::Dropped(_)), "{:?}", received);
        prop_assert_eq!(server.counters().dropped_total(), 1);
        prop_assert!(server.poll_transmit().is_none() && server.poll_handshake().is_none());
        let mut client = client(token(1, 1), 1, Micros(0));
        let received = client.handle_datagram(Micros(0), server_address(), &bytes);
        prop_assert!(matches!(received, Received::Dropped(_)), "{:?}", received);
    }
}

#[test]
fn every_reason_to_drop_is_reached_by_its_own_datagram() {
    let (mut network, _) = connected(Conditions::PERFECT);
    let now = network.now;
    let hello = client(token(2, 1), 5, now).poll_transmit().unwrap().bytes;
    network.hosts[0].client.send_unreliable(now, b"input", None).unwrap();
    network.hosts[0].client.flush(now);
    let data = network.hosts[0].client.poll_transmit().unwrap().bytes;
    assert_eq!(network.inject(address(0), &data), Received::Accepted);
    let with = |bytes: &[u8], place: usize, value: u8| {
        let mut bytes = bytes.to_vec();
        bytes[place] = value;
        bytes
    };
    let mut fresh = data.clone();
    fresh[9..13].copy_from_slice(&9_999u32.to_le_bytes());
    let rows: Vec<(Vec<u8>, DropReason)> = vec![
        (vec![], DropReason::TooShort),
        (data[..38].to_vec(), DropReason::TooShort),
        ([&data[..], &[0; 1_100]].concat(), DropReason::TooLong),
        (with(&data, 0, 0x40), DropReason::UnknownType),
        (with(&data, 0, packet_type::ACCEPT), DropReason::UnknownType),
        (hello[..HANDSHAKE_BYTES - 1].to_vec(), DropReason::WrongPadding),
        (with(&hello, 1_199, 1), DropReason::WrongPadding),
        (with(&hello, 0, packet_type::CONNECT), DropReason::BadCookie),
        (with(&data, 8, !data[8]), DropReason::UnknownSession),
        (fresh, DropReason::BadAuth),
        (data, DropReason::Replayed),
    ];
    for (bytes, reason) in rows {
        let before = network.server.counters().dropped(reason);
        assert_eq!(network.inject(address(0), &bytes), Received::Dropped(reason));
        assert_eq!(network.server.counters().dropped(reason), before + 1);
    }
    let client = &mut network.hosts[0].client;
    let wrong = client.handle_datagram(now, address(3), &[1, 2, 3]);
    assert_eq!(wrong, Received::Dropped(DropReason::WrongAddress));
    let late = protocol::wire::CookieReply { client_id: [0; 8], cookie: [0; 17] }.encode();
    assert_eq!(client.handle_datagram(now, server_address(), &late), Received::Dropped(DropReason::Stale));
}

#[test]
fn floods_of_hellos_and_used_tokens_leave_bounded_state() {
    let mut network = network();
    for player in 0..8u8 {
        for serial in 0..12 {
            join(&mut network, player, serial, Conditions::PERFECT);
            network.run_for(Duration::from_millis(50));
            network.hosts.clear();
        }
    }
    assert!(network.server.sessions() <= 8 + 8, "{} sessions of 8 players", network.server.sessions());
    assert_eq!(network.server.tokens_remembered(), 96);
    network.run_for(Duration::from_secs(200));
    assert_eq!((network.server.sessions(), network.server.half_open()), (0, 0));
    join(&mut network, 1, 99, Conditions::PERFECT);
    network.run_for(Duration::from_secs(1));
    assert_eq!(network.server.tokens_remembered(), 1, "used tokens are forgotten with their expiry");
    assert!(!network.hosts[0].events.iter().any(|event| matches!(event, ClientEvent::Refused { .. })));
}
