//! How a session comes into being, on good networks and bad.

use std::collections::BTreeSet;
use std::time::Duration;

use netcode::emulator::Conditions;
use netcode::endpoint::{ClientEvent, DropReason, Received, ServerEvent, Transmit};
use netcode::{Entropy, Micros};
use protocol::wire::{
    Accept, CloseReason, Connect, DataHeader, HANDSHAKE_BYTES, Refusal, Refuse, TAG_BYTES, VERSION_MAX, packet_type,
};

use crate::world::*;

#[test]
fn a_client_connects_and_both_sides_know_who() {
    let mut network = network();
    join(&mut network, 7, 1, Conditions::latency_ms(25));
    network.run_for(Duration::from_secs(1));
    let connected = network.server_events.iter().find_map(|event| match event {
        ServerEvent::Connected { claims, remote, .. } => Some((claims.clone(), *remote)),
        _ => None,
    });
    assert_eq!(connected, Some((claims(7, 1), address(0))));
    assert!(matches!(network.hosts[0].events[0], ClientEvent::Connected { version: 1, .. }));
    assert_eq!(network.server.counters().handshakes_accepted, 1);
    assert_eq!((network.server.sessions(), network.server.half_open()), (1, 0));
    assert_eq!(network.server.counters().dropped_total(), 0);
}

#[test]
fn connecting_takes_two_round_trips_and_the_workers_time() {
    let mut network = network();
    join(&mut network, 1, 1, Conditions::latency_ms(50));
    network.run_until(Micros::from_millis(200));
    assert!(!network.hosts[0].client.is_open());
    network.run_until(Micros::from_millis(201));
    assert!(network.hosts[0].client.is_open());
}

#[test]
fn clients_connect_through_loss_corruption_and_duplicates() {
    for seed in 0..40 {
        let mut network = network();
        let conditions = Conditions { corrupt: 0.05, ..Conditions::rough(0.2) };
        join(&mut network, 1, seed, conditions);
        network.run_for(Duration::from_secs(6));
        let host = &network.hosts[0];
        assert!(host.client.is_open(), "seed {seed}: {:?}", host.events);
        assert_eq!(network.server.counters().handshakes_accepted, 1, "seed {seed}");
    }
}

#[test]
fn a_handshake_that_nobody_answers_times_out_after_five_seconds() {
    let mut network = network();
    join(&mut network, 1, 1, Conditions { loss: 1.0, ..Conditions::PERFECT });
    network.run_until(Micros::from_millis(4_999));
    assert!(network.hosts[0].events.is_empty());
    network.run_until(Micros::from_millis(5_000));
    assert_eq!(network.hosts[0].events, [ClientEvent::TimedOut]);
    assert!(network.hosts[0].client.is_done());
    assert_eq!(network.hosts[0].client.poll_timeout(), None);
}

#[test]
fn what_the_server_says_before_validation_is_under_a_third_of_what_it_heard() {
    let mut server = server(1);
    let mut client = client(token(1, 1), 1, Micros(0));
    let hello = client.poll_transmit().unwrap().bytes;
    for _ in 0..100 {
        server.handle_datagram(Micros(0), address(0), &hello);
        let mut connect = hello.clone();
        connect[0] = packet_type::CONNECT;
        server.handle_datagram(Micros(0), address(0), &connect);
    }
    let out: usize = std::iter::from_fn(|| server.poll_transmit()).map(|transmit| transmit.bytes.len()).sum();
    assert_eq!((out, server.half_open()), (100 * 26, 0));
    let counters = server.counters();
    assert!(counters.bytes_out as f64 <= 0.31 * counters.bytes_in as f64);
    assert_eq!((counters.cookies, counters.dropped(DropReason::BadCookie)), (100, 100));
    assert!(server.poll_handshake().is_none(), "no public-key work without a cookie");
}

#[test]
fn no_answer_that_a_stranger_can_provoke_amplifies() {
    let mut server = server(1);
    let mut heard = 0;
    // With a cookie of its own: accepted, refused with and without encryption, and each of them repeated.
    let mut provoke = |server: &mut netcode::endpoint::ServerEndpoint, player: &str, change: &dyn Fn(&mut Connect)| {
        let mut client = client(player.to_owned(), 1, Micros(0));
        let mut connect = Connect::decode(&connect_of(server, &mut client)).unwrap();
        change(&mut connect);
        let mut kinds = BTreeSet::new();
        heard += HANDSHAKE_BYTES;
        for _ in 0..3 {
            heard += HANDSHAKE_BYTES;
            let answer = answer(server, &connect.encode()).unwrap();
            assert!(answer.bytes.len() * 100 <= HANDSHAKE_BYTES * 31, "{} bytes", answer.bytes.len());
            let refused = Refuse::decode(&answer.bytes).map_or(0, |refuse| refuse.refusal as u16);
            kinds.insert((answer.bytes[0], refused));
        }
        kinds
    };
    let only = |kind: u8, refusal: u16| BTreeSet::from([(kind, refusal)]);
    assert_eq!(provoke(&mut server, "1.1", &|_| ()), only(packet_type::ACCEPT, 0), "an offer");
    assert_eq!(provoke(&mut server, "no token", &|_| ()), only(packet_type::ACCEPT, 0), "an encrypted refusal");
    let version: &dyn Fn(&mut Connect) = &|connect| {
        (connect.hello.version_min, connect.hello.version_max) = (VERSION_MAX + 1, VERSION_MAX + 1);
    };
    assert_eq!(provoke(&mut server, "2.1", version), only(packet_type::REFUSE, Refusal::Version as u16));
    let schema: &dyn Fn(&mut Connect) = &|connect| connect.hello.schema_hash ^= 1;
    assert_eq!(provoke(&mut server, "3.1", schema), only(packet_type::REFUSE, Refusal::Schema as u16));
    let noise: &dyn Fn(&mut Connect) = &|connect| connect.noise[40] ^= 1;
    assert_eq!(provoke(&mut server, "4.1", noise), only(packet_type::REFUSE, Refusal::ServerKey as u16));
    server.drain(Micros(0));
    assert_eq!(provoke(&mut server, "5.1", &|_| ()), only(packet_type::REFUSE, Refusal::Draining as u16));
    let counters = server.counters();
    assert_eq!(counters.bytes_in, heard as u64);
    assert!(counters.bytes_out * 100 <= counters.bytes_in * 31, "{counters:?}");
}

/// Runs Hello and Cookie and returns the Connect.
fn connect_of(
    server: &mut netcode::endpoint::ServerEndpoint,
    client: &mut netcode::endpoint::ClientEndpoint,
) -> Vec<u8> {
    server.handle_datagram(Micros(0), address(0), &client.poll_transmit().unwrap().bytes);
    let cookie = server.poll_transmit().unwrap().bytes;
    assert_eq!(client.handle_datagram(Micros(0), server_address(), &cookie), Received::Accepted);
    client.poll_transmit().unwrap().bytes
}

fn answer(server: &mut netcode::endpoint::ServerEndpoint, connect: &[u8]) -> Option<Transmit> {
    server.handle_datagram(Micros(0), address(0), connect);
    while let Some(job) = server.poll_handshake() {
        let done = job.run(&verify);
        server.complete_handshake(Micros(0), done);
    }
    server.poll_transmit()
}

#[test]
fn a_repeated_connect_gets_the_very_same_accept_and_costs_no_second_job() {
    let (mut server, mut client) = (server(1), client(token(1, 1), 1, Micros(0)));
    let connect = connect_of(&mut server, &mut client);
    server.handle_datagram(Micros(0), address(0), &connect);
    server.handle_datagram(Micros(0), address(0), &connect);
    let job = server.poll_handshake().unwrap();
    assert!(server.poll_handshake().is_none(), "a repetition while the worker works is no second job");
    server.complete_handshake(Micros(0), job.run(&verify));
    let first = server.poll_transmit().unwrap();
    let second = answer(&mut server, &connect).unwrap();
    assert_eq!(first, second);
    assert_eq!(server.half_open(), 1);
}

#[test]
fn an_answer_goes_to_where_the_client_is_when_the_worker_is_done() {
    let (mut server, mut client) = (server(1), client(token(1, 1), 1, Micros(0)));
    let connect = connect_of(&mut server, &mut client);
    server.handle_datagram(Micros(0), address(0), &connect);
    let job = server.poll_handshake().unwrap();
    // The client's address changes: it says Hello again and repeats its Noise message with the new cookie.
    let mut connect = Connect::decode(&connect).unwrap();
    server.handle_datagram(Micros(0), address(8), &connect.hello.encode());
    connect.cookie = protocol::wire::CookieReply::decode(&server.poll_transmit().unwrap().bytes).unwrap().cookie;
    assert_eq!(server.handle_datagram(Micros(0), address(8), &connect.encode()), Received::Accepted);
    assert!(server.poll_handshake().is_none());
    server.complete_handshake(Micros(0), job.run(&verify));
    assert_eq!(server.poll_transmit().map(|transmit| transmit.to), Some(address(8)));
}

#[test]
fn a_repeated_connect_after_the_token_was_used_is_refused() {
    let (mut server, mut client) = (server(1), client(token(1, 1), 1, Micros(0)));
    let connect = connect_of(&mut server, &mut client);
    let accept = answer(&mut server, &connect).unwrap();
    client.handle_datagram(Micros(0), server_address(), &accept.bytes);
    let first_data = client.poll_transmit().unwrap().bytes;
    assert_eq!(first_data[0], packet_type::DATA);
    assert_eq!(server.handle_datagram(Micros(0), address(0), &first_data), Received::Accepted);
    while server.poll_transmit().is_some() {}
    answer(&mut server, &connect).unwrap();
    assert_eq!(server.counters().refused(Refusal::TokenUsed), 1);
    assert_eq!(server.sessions(), 1);
}

#[test]
fn the_newest_unconfirmed_attempt_of_a_player_wins() {
    let mut server = server(1);
    let (mut older, mut newer) = (client(token(1, 1), 1, Micros(0)), client(token(1, 1), 2, Micros(0)));
    let connect = connect_of(&mut server, &mut older);
    let older_accept = answer(&mut server, &connect).unwrap();
    let connect = connect_of(&mut server, &mut newer);
    let newer_accept = answer(&mut server, &connect).unwrap();
    older.handle_datagram(Micros(0), server_address(), &older_accept.bytes);
    newer.handle_datagram(Micros(0), server_address(), &newer_accept.bytes);
    let late = older.poll_transmit().unwrap().bytes;
    let good = newer.poll_transmit().unwrap().bytes;
    let unknown = Received::Dropped(DropReason::UnknownSession);
    assert_eq!(server.handle_datagram(Micros(0), address(0), &late), unknown);
    assert_eq!(server.handle_datagram(Micros(0), address(0), &good), Received::Accepted);
    assert_eq!(server.counters().handshakes_accepted, 1);
}

#[test]
fn an_older_attempt_whose_job_ends_later_does_not_win() {
    let mut server = server(1);
    let (mut older, mut newer) = (client(token(1, 1), 1, Micros(0)), client(token(1, 1), 2, Micros(0)));
    for client in [&mut older, &mut newer] {
        let connect = connect_of(&mut server, client);
        server.handle_datagram(Micros(0), address(0), &connect);
    }
    let (first, second) = (server.poll_handshake().unwrap(), server.poll_handshake().unwrap());
    server.complete_handshake(Micros(0), second.run(&verify));
    let accept = server.poll_transmit().unwrap();
    server.complete_handshake(Micros(0), first.run(&verify));
    assert_eq!((server.poll_transmit(), server.half_open()), (None, 1));
    newer.handle_datagram(Micros(0), server_address(), &accept.bytes);
    assert!(newer.is_open());
}

#[test]
fn a_fresh_token_takes_the_seat_over_and_closes_the_older_session() {
    let (mut network, older) = connected(Conditions::latency_ms(10));
    join(&mut network, 1, 2, Conditions::latency_ms(10));
    network.run_for(Duration::from_secs(1));
    let closed = ServerEvent::Closed { session: older, reason: CloseReason::SeatTaken, by_peer: false };
    let kinds: Vec<_> = network.server_events.iter().take(2).collect();
    assert!(matches!(kinds[..], [first, ServerEvent::Connected { .. }] if *first == closed), "{kinds:?}");
    assert!(network.hosts[1].client.is_open());
    let told = ClientEvent::Closed { reason: CloseReason::SeatTaken, by_peer: true };
    assert_eq!(network.hosts[0].events, [told]);
    assert_eq!(network.server.sessions(), 1);
}

#[test]
fn a_restarted_server_with_the_same_key_never_repeats_session_keys() {
    // The very same Connect, cookie and all, is answered by servers that differ in nothing but their entropy.
    let mut client = client(token(1, 1), 1, Micros(0));
    let mut first = server(1);
    let connect = Connect::decode(&connect_of(&mut first, &mut client)).unwrap();
    let mut seen = BTreeSet::new();
    for life in 1..20 {
        let mut server = server(life);
        let mut fresh = crate::world::client(token(1, 1), 1, Micros(0));
        let repeated = connect_of(&mut server, &mut fresh);
        let noise = Connect::decode(&repeated).unwrap().noise;
        assert_eq!(noise, connect.noise, "the client repeats its message bit for bit");
        let accept = answer(&mut server, &repeated).unwrap();
        let ephemeral = Accept::decode(&accept.bytes).unwrap().noise[..32].to_vec();
        assert!(seen.insert(ephemeral), "life {life}: the same ephemeral key, so the same session keys");
        fresh.handle_datagram(Micros(0), server_address(), &accept.bytes);
        let data = fresh.poll_transmit().unwrap().bytes;
        assert_eq!(server.handle_datagram(Micros(0), address(0), &data), Received::Accepted);
        server.handle_timeout(Micros(0));
        let back = server.poll_transmit().unwrap().bytes;
        for packet in [&data, &back] {
            let (header, sealed) = DataHeader::decode(packet).unwrap();
            assert_eq!(header.sequence, 1);
            // The plaintext is the same each time: only another key makes another ciphertext. The tag is left out, because
            // it covers the connection id too, which differs anyway.
            let ciphertext = sealed[..sealed.len() - TAG_BYTES].to_vec();
            assert!(seen.insert(ciphertext), "life {life}: the same ciphertext under the same nonce");
        }
        assert_eq!(first.handle_datagram(Micros(0), address(0), &data), Received::Dropped(DropReason::UnknownSession));
    }
}

#[test]
fn a_replayed_hello_gets_a_cookie_and_leaves_no_trace() {
    let (mut server, mut client) = (server(1), client(token(1, 1), 1, Micros(0)));
    let hello = client.poll_transmit().unwrap().bytes;
    assert_eq!(hello.len(), HANDSHAKE_BYTES);
    for ms in 0..1_000 {
        assert_eq!(server.handle_datagram(Micros::from_millis(ms), address(0), &hello), Received::Accepted);
        assert_eq!(server.poll_transmit().map(|transmit| transmit.bytes.len()), Some(26));
    }
    assert_eq!((server.sessions(), server.half_open(), server.poll_timeout()), (0, 0, None));
}

#[test]
fn a_connect_captured_by_another_address_moves_no_session() {
    let (mut network, session) = connected(Conditions::latency_ms(10));
    let mut spy = client(token(1, 1), 1_001, Micros(0));
    let hello = spy.poll_transmit().unwrap().bytes;
    network.inject(address(9), &hello);
    network.run_for(Duration::from_secs(1));
    assert_eq!(network.server.remote(session), Some(address(0)));
}

#[test]
fn half_open_handshakes_and_their_seats_are_forgotten() {
    let mut config = config();
    config.sessions_max = 1;
    let mut server = netcode::endpoint::ServerEndpoint::new(config, Entropy::new([1; 32]));
    let mut silent = client(token(1, 1), 1, Micros(0));
    let connect = connect_of(&mut server, &mut silent);
    answer(&mut server, &connect).unwrap();
    assert_eq!(server.half_open(), 1);
    server.handle_timeout(Micros::from_millis(6_000));
    assert_eq!((server.half_open(), server.poll_timeout()), (0, None));
    let mut other = client(token(2, 1), 2, Micros(0));
    let connect = connect_of(&mut server, &mut other);
    let accept = answer(&mut server, &connect).unwrap();
    other.handle_datagram(Micros(0), server_address(), &accept.bytes);
    assert!(other.is_open(), "the seat is free again");
}
