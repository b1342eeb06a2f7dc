//! What the endpoint tests share: keys, tokens and a network.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use netcode::emulator::{Conditions, Network};
use netcode::endpoint::{
    ClientConfig, ClientEndpoint, ClientEvent, QuicClientConfig, QuicServerConfig, ServerConfig, ServerEndpoint,
    ServerEvent, SessionId,
};
use netcode::{Entropy, Micros};
use protocol::id::{MatchId, PlayerId, ServerId};
use protocol::token::{ALLOCATOR_ISSUER, JoinClaims};
use protocol::wire::Refusal;

pub(crate) const SCHEMA: u64 = 0x5EED;
pub(crate) const SECRET: [u8; 32] = [42; 32];

pub(crate) fn server_id() -> ServerId {
    ServerId::from_entropy([5; 16])
}

pub(crate) fn server_address() -> SocketAddr {
    "192.0.2.1:7000".parse().unwrap()
}

pub(crate) fn address(number: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 1], 10_000 + number))
}

pub(crate) fn config() -> ServerConfig {
    ServerConfig {
        static_secret: SECRET,
        routing_token: vec![0xA1, 0xB2],
        server_id: server_id(),
        schema_hash: SCHEMA,
        sessions_max: 64,
        half_open_max: 32,
    }
}

/// A token in the test's own form, `player.serial`: signatures are the business of protocol's tests.
pub(crate) fn token(player: u8, serial: u32) -> String {
    format!("{player}.{serial}")
}

pub(crate) fn claims(player: u8, serial: u32) -> JoinClaims {
    JoinClaims {
        iss: ALLOCATOR_ISSUER.into(),
        aud: server_id(),
        sub: PlayerId::from_entropy([player; 16]),
        mid: MatchId::from_entropy([1; 16]),
        team: 0,
        build: "1".into(),
        region: "here".into(),
        jti: format!("{player}-{serial}"),
        iat: 0,
        exp: 60,
    }
}

/// Reads the test's tokens; a refusal's label is a token that is refused so.
pub(crate) fn verify(token: &str) -> Result<JoinClaims, Refusal> {
    if let Some(refusal) = Refusal::ALL.into_iter().find(|refusal| refusal.label() == token) {
        return Err(refusal);
    }
    let (player, serial) = token.split_once('.').ok_or(Refusal::TokenMalformed)?;
    let malformed = |_| Refusal::TokenMalformed;
    Ok(claims(player.parse().map_err(malformed)?, serial.parse().map_err(malformed)?))
}

pub(crate) fn server(seed: u8) -> ServerEndpoint {
    ServerEndpoint::new(config(), Entropy::new([seed; 32]))
}

pub(crate) fn client_config(join_token: String) -> ClientConfig {
    ClientConfig {
        server: server_address(),
        server_key: server(0).public_key(),
        routing_token: vec![0xA1, 0xB2],
        credential: join_token.into(),
        schema_hash: SCHEMA,
        quic: None,
    }
}

pub(crate) fn client(join_token: String, seed: u64, now: Micros) -> ClientEndpoint {
    ClientEndpoint::new(client_config(join_token), entropy(seed), now)
}

/// One certificate for all tests, and the instant that their time begins at.
pub(crate) fn quic_server_config() -> QuicServerConfig {
    static MADE: LazyLock<(Vec<u8>, Vec<u8>, Instant)> = LazyLock::new(|| {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["muster".into()]).unwrap().self_signed(&key).unwrap();
        (certificate.der().to_vec(), key.serialize_der(), Instant::now())
    });
    QuicServerConfig { certificate: MADE.0.clone(), key: MADE.1.clone(), base: MADE.2 }
}

pub(crate) fn quic_client_config() -> QuicClientConfig {
    let server = quic_server_config();
    let fingerprint = ring::digest::digest(&ring::digest::SHA256, &server.certificate);
    QuicClientConfig { fingerprints: vec![[0; 32], fingerprint.as_ref().try_into().unwrap()], base: server.base }
}

pub(crate) fn quic_client(join_token: String, seed: u64, now: Micros) -> ClientEndpoint {
    let config = ClientConfig { quic: Some(quic_client_config()), ..client_config(join_token) };
    ClientEndpoint::new(config, entropy(seed), now)
}

pub(crate) fn quic_server_of(config: ServerConfig) -> ServerEndpoint {
    ServerEndpoint::new(config, Entropy::new([1; 32])).with_quic(&quic_server_config()).unwrap()
}

/// A network whose server speaks both carriers.
pub(crate) fn mixed_network() -> Network {
    Network::new(quic_server_of(config()), server_address(), Box::new(verify))
}

/// Adds the client of a player over QUIC and returns its place.
pub(crate) fn join_over_quic(network: &mut Network, player: u8, serial: u32, conditions: Conditions) -> usize {
    let seed = u64::from(player) * 1_000 + u64::from(serial);
    let client = quic_client(token(player, serial), seed, network.now);
    let place = network.hosts.len() as u16;
    network.add(client, address(place), conditions, seed)
}

pub(crate) fn entropy(seed: u64) -> Entropy {
    let mut bytes = [0xC1; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Entropy::new(bytes)
}

pub(crate) fn network() -> Network {
    network_of(config())
}

pub(crate) fn network_of(config: ServerConfig) -> Network {
    Network::new(ServerEndpoint::new(config, Entropy::new([1; 32])), server_address(), Box::new(verify))
}

/// Adds the client of a player and returns its place.
pub(crate) fn join(network: &mut Network, player: u8, serial: u32, conditions: Conditions) -> usize {
    let seed = u64::from(player) * 1_000 + u64::from(serial);
    let client = client(token(player, serial), seed, network.now);
    let place = network.hosts.len() as u16;
    network.add(client, address(place), conditions, seed)
}

/// A network with one connected player.
pub(crate) fn connected(conditions: Conditions) -> (Network, SessionId) {
    let mut network = network();
    join(&mut network, 1, 1, conditions);
    network.run_for(Duration::from_secs(4));
    let session = last_session(&network).expect("the client connects");
    assert!(network.hosts[0].client.is_open(), "{:?}", network.hosts[0].events);
    network.server_events.clear();
    network.hosts[0].events.clear();
    (network, session)
}

pub(crate) fn last_session(network: &Network) -> Option<SessionId> {
    network.server_events.iter().rev().find_map(|event| match event {
        ServerEvent::Connected { session, .. } => Some(*session),
        _ => None,
    })
}

pub(crate) fn refusal(events: &[ClientEvent]) -> Option<Refusal> {
    events.iter().find_map(|event| match event {
        ClientEvent::Refused { refusal, .. } => Some(*refusal),
        _ => None,
    })
}

pub(crate) fn messages_to_client(events: &[ClientEvent]) -> Vec<Vec<u8>> {
    let messages = events.iter().filter_map(|event| match event {
        ClientEvent::Message { payload } => Some(payload.clone()),
        _ => None,
    });
    messages.collect()
}

pub(crate) fn messages_to_server(events: &[ServerEvent]) -> Vec<Vec<u8>> {
    let messages = events.iter().filter_map(|event| match event {
        ServerEvent::Message { payload, .. } => Some(payload.clone()),
        _ => None,
    });
    messages.collect()
}
