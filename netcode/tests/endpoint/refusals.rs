//! Each refusal, from the side that refuses to the event on the client.

use std::time::Duration;

use netcode::Micros;
use netcode::emulator::Conditions;
use netcode::endpoint::{ClientEndpoint, ClientEvent, RefusalDetail};
use protocol::wire::{Connect, Refusal, VERSION_MAX, VERSION_MIN};

use crate::world::*;

#[test]
fn every_refusal_of_the_token_reaches_the_client_authenticated() {
    for expected in Refusal::ALL {
        let mut network = network();
        let client = client(expected.label().to_owned(), 1, Micros(0));
        network.add(client, address(0), Conditions::rough(0.1), 1);
        network.run_for(Duration::from_secs(5));
        let event = ClientEvent::Refused { refusal: expected, detail: None };
        assert_eq!(network.hosts[0].events, [event], "{}", expected.label());
        assert_eq!(network.server.counters().refused(expected), 1);
        assert_eq!(network.server.sessions(), 0);
    }
}

fn refused(mut network: netcode::emulator::Network, client: ClientEndpoint) -> ClientEvent {
    let place = network.hosts.len();
    network.add(client, address(99), Conditions::latency_ms(10), 1);
    network.run_for(Duration::from_secs(5));
    assert_eq!(network.hosts[place].events.len(), 1, "{:?}", network.hosts[place].events);
    let refusal = refusal(&network.hosts[place].events).unwrap();
    assert!(network.server.counters().refused(refusal) >= 1);
    network.hosts[place].events.remove(0)
}

fn detail() -> Option<RefusalDetail> {
    Some(RefusalDetail { version_min: VERSION_MIN, version_max: VERSION_MAX, schema_hash: SCHEMA })
}

#[test]
fn another_schema_is_refused_with_the_servers_hash() {
    let mut config = client_config(token(1, 1));
    config.schema_hash = 1;
    let event = refused(network(), ClientEndpoint::new(config, entropy(1), Micros(0)));
    assert_eq!(event, ClientEvent::Refused { refusal: Refusal::Schema, detail: detail() });
}

#[test]
fn another_server_key_is_refused() {
    let mut config = client_config(token(1, 1));
    config.server_key[0] ^= 1;
    let event = refused(network(), ClientEndpoint::new(config, entropy(1), Micros(0)));
    assert_eq!(event, ClientEvent::Refused { refusal: Refusal::ServerKey, detail: detail() });
}

#[test]
fn a_server_key_that_is_no_key_and_a_token_that_is_too_long_are_refused_at_once() {
    let mut config = client_config(token(1, 1));
    config.server_key = [0; 32];
    let mut client = ClientEndpoint::new(config, entropy(1), Micros(0));
    let event = ClientEvent::Refused { refusal: Refusal::ServerKey, detail: None };
    assert_eq!((client.poll_event(), client.poll_transmit()), (Some(event), None));
    let mut client = crate::world::client("x".repeat(961), 1, Micros(0));
    let event = ClientEvent::Refused { refusal: Refusal::TokenMalformed, detail: None };
    assert_eq!((client.poll_event(), client.poll_transmit()), (Some(event), None));
}

#[test]
fn the_longest_token_fits() {
    let mut network = network();
    network.add(client("x".repeat(960), 1, Micros(0)), address(0), Conditions::PERFECT, 1);
    network.run_for(Duration::from_secs(1));
    assert_eq!(refusal(&network.hosts[0].events), Some(Refusal::TokenMalformed));
}

#[test]
fn a_draining_server_refuses_the_new_and_keeps_the_old() {
    let (mut network, _) = connected(Conditions::latency_ms(10));
    network.server.drain(network.now);
    let newcomer = client(token(2, 1), 2, network.now);
    network.add(newcomer, address(99), Conditions::latency_ms(10), 1);
    network.run_for(Duration::from_secs(2));
    assert_eq!(network.hosts[1].events, [ClientEvent::Refused { refusal: Refusal::Draining, detail: detail() }]);
    assert!(network.hosts[0].client.is_open());
}

#[test]
fn a_full_server_refuses_a_stranger_but_not_a_player_who_comes_back() {
    let mut config = config();
    config.sessions_max = 2;
    let mut network = network_of(config);
    for player in 1..=2 {
        join(&mut network, player, 1, Conditions::latency_ms(10));
    }
    network.run_for(Duration::from_secs(1));
    join(&mut network, 3, 1, Conditions::latency_ms(10));
    join(&mut network, 2, 2, Conditions::latency_ms(10));
    network.run_for(Duration::from_secs(1));
    assert_eq!(refusal(&network.hosts[2].events), Some(Refusal::Busy));
    assert!(network.hosts[3].client.is_open(), "{:?}", network.hosts[3].events);
    assert!(!network.hosts[1].client.is_open());
}

#[test]
fn two_strangers_at_once_do_not_share_the_last_seat() {
    let mut config = config();
    config.sessions_max = 1;
    let mut network = network_of(config);
    for player in 1..=2 {
        join(&mut network, player, 1, Conditions::latency_ms(10));
    }
    network.run_for(Duration::from_secs(1));
    let refusals: Vec<_> = network.hosts.iter().map(|host| refusal(&host.events)).collect();
    assert!(refusals.contains(&Some(Refusal::Busy)) && refusals.contains(&None), "{refusals:?}");
    assert_eq!(network.server.sessions(), 1);
}

#[test]
fn more_half_open_handshakes_than_allowed_are_busy_and_refused_ones_make_room() {
    let mut config = config();
    config.half_open_max = 4;
    let mut network = network_of(config);
    network.handshake_takes = Duration::from_secs(1);
    for player in 1..=6 {
        join(&mut network, player, 1, Conditions::latency_ms(10));
    }
    network.run_until(Micros::from_millis(500));
    let busy = network.hosts.iter().filter(|host| refusal(&host.events) == Some(Refusal::Busy)).count();
    assert_eq!((busy, network.server.half_open()), (2, 4));
    // Answers of refused handshakes are kept for repetition, but they give way.
    let mut config = crate::world::config();
    config.half_open_max = 4;
    let mut network = network_of(config);
    for place in 0..12 {
        network.add(client("garbage".into(), place, Micros(0)), address(place as u16), Conditions::PERFECT, place);
        network.run_for(Duration::from_millis(20));
        assert!(network.server.half_open() <= 4);
    }
    assert!(network.hosts.iter().all(|host| refusal(&host.events) == Some(Refusal::TokenMalformed)));
}

#[test]
fn a_token_for_another_process_is_refused_even_if_the_shell_lets_it_through() {
    let mut network = netcode::emulator::Network::new(
        server(1),
        server_address(),
        Box::new(|token| {
            let mut claims = verify(token)?;
            claims.aud = protocol::id::ServerId::from_entropy([6; 16]);
            Ok(claims)
        }),
    );
    network.add(client(token(1, 1), 1, Micros(0)), address(0), Conditions::PERFECT, 1);
    network.run_for(Duration::from_secs(1));
    assert_eq!(refusal(&network.hosts[0].events), Some(Refusal::TokenAudience));
}

#[test]
fn a_client_of_another_version_is_refused_with_the_servers_range() {
    let mut server = server(1);
    let mut client = client(token(1, 1), 1, Micros(0));
    server.handle_datagram(Micros(0), address(0), &client.poll_transmit().unwrap().bytes);
    client.handle_datagram(Micros(0), server_address(), &server.poll_transmit().unwrap().bytes);
    let mut connect = Connect::decode(&client.poll_transmit().unwrap().bytes).unwrap();
    (connect.hello.version_min, connect.hello.version_max) = (VERSION_MAX + 1, VERSION_MAX + 3);
    server.handle_datagram(Micros(0), address(0), &connect.encode());
    let refuse = server.poll_transmit().unwrap().bytes;
    client.handle_datagram(Micros(0), server_address(), &refuse);
    assert_eq!(client.poll_event(), Some(ClientEvent::Refused { refusal: Refusal::Version, detail: detail() }));
}

#[test]
fn a_refusal_that_does_not_know_the_cookie_is_not_believed() {
    let mut client = client(token(1, 1), 1, Micros(0));
    let hello = protocol::wire::Hello::decode(&client.poll_transmit().unwrap().bytes).unwrap();
    let forged = protocol::wire::Refuse {
        client_id: hello.client_id,
        cookie: [0; 17],
        refusal: Refusal::Busy,
        version_min: 1,
        version_max: 1,
        schema_hash: SCHEMA,
    };
    client.handle_datagram(Micros(0), server_address(), &forged.encode());
    assert_eq!(client.poll_event(), None);
    assert!(client.poll_timeout().is_some());
}
