//! What packets and handshakes cost: `cargo bench -p netcode --bench packets`.

use std::net::SocketAddr;

use divan::Bencher;
use divan::counter::BytesCount;
use netcode::endpoint::{
    ClientConfig, ClientEndpoint, ClientEvent, ServerConfig, ServerEndpoint, ServerEvent, SessionId,
};
use netcode::{Entropy, Micros};
use protocol::id::{MatchId, PlayerId, ServerId};
use protocol::jwt::{KeySet, SigningKey};
use protocol::token::{ALLOCATOR_ISSUER, JOIN_TYP, JoinClaims};
use protocol::wire::Refusal;

/// Counts allocations beside the times.
#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7_000))
}

fn verify(_: &str) -> Result<JoinClaims, Refusal> {
    Ok(claims())
}

fn claims() -> JoinClaims {
    JoinClaims {
        iss: ALLOCATOR_ISSUER.into(),
        aud: ServerId::from_entropy([1; 16]),
        sub: PlayerId::from_entropy([2; 16]),
        mid: MatchId::from_entropy([3; 16]),
        team: 0,
        build: String::new(),
        region: String::new(),
        jti: "once".into(),
        iat: 0,
        exp: 60,
    }
}

fn server() -> ServerEndpoint {
    let config = ServerConfig {
        static_secret: [7; 32],
        routing_token: Vec::new(),
        server_id: ServerId::from_entropy([1; 16]),
        schema_hash: 1,
        sessions_max: 8,
        half_open_max: 8,
    };
    ServerEndpoint::new(config, Entropy::new([1; 32]))
}

fn client(server: &ServerEndpoint) -> ClientEndpoint {
    let config = ClientConfig {
        server: address(),
        server_key: server.public_key(),
        routing_token: Vec::new(),
        credential: "x".repeat(700).into(),
        schema_hash: 1,
        quic: None,
    };
    ClientEndpoint::new(config, Entropy::new([2; 32]), Micros(0))
}

/// Moves datagrams until both sides are quiet.
fn settle(server: &mut ServerEndpoint, client: &mut ClientEndpoint, now: Micros) {
    loop {
        let mut quiet = true;
        while let Some(transmit) = client.poll_transmit() {
            server.handle_datagram(now, address(), &transmit.bytes);
            client.recycle(transmit.bytes);
            quiet = false;
        }
        while let Some(job) = server.poll_handshake() {
            server.complete_handshake(now, job.run(&verify));
        }
        while let Some(transmit) = server.poll_transmit() {
            client.handle_datagram(now, address(), &transmit.bytes);
            server.recycle(transmit.bytes);
            quiet = false;
        }
        if quiet {
            return;
        }
    }
}

fn session() -> (ServerEndpoint, ClientEndpoint, SessionId) {
    let mut server = server();
    let mut client = client(&server);
    settle(&mut server, &mut client, Micros(0));
    let Some(ServerEvent::Connected { session, .. }) = server.poll_event() else { panic!("the client connects") };
    (server, client, session)
}

/// Both sides of a whole handshake, public-key work included.
#[divan::bench]
fn handshake(bencher: Bencher<'_, '_>) {
    bencher.bench_local(session);
}

/// The worker's part of a handshake: Noise, and a join token with its Ed25519 signature. One worker does so many a second.
#[divan::bench]
fn handshake_on_the_worker(bencher: Bencher<'_, '_>) {
    let key = SigningKey::from_seed(&[5; 32]);
    let keys = KeySet::new([key.public_key()]);
    let token = key.sign(JOIN_TYP, &claims());
    let verify = |_: &str| {
        let server = ServerId::from_entropy([1; 16]);
        JoinClaims::verify(&keys, &token, server, 1).map_err(|_| Refusal::TokenSignature)
    };
    let job = || half_open().0.poll_handshake().expect("an Init makes a job");
    bencher.with_inputs(job).bench_local_values(|job| job.run(&verify));
}

/// The I/O thread's part of a handshake after the Hello: the Init, the worker's answer, the Accept on its way.
#[divan::bench]
fn handshake_on_the_io_thread(bencher: Bencher<'_, '_>) {
    let prepared = || {
        let (mut ahead, init) = half_open();
        let done = ahead.poll_handshake().expect("an Init makes a job").run(&verify);
        // The same seed makes the same cookie and the same number of the half-open handshake.
        (server(), init, done)
    };
    bencher.with_inputs(prepared).bench_local_values(|(mut server, init, done)| {
        server.handle_datagram(Micros(0), address(), &init);
        server.complete_handshake(Micros(0), done);
        (server.poll_transmit().expect("an Accept"), server)
    });
}

/// A server that has just taken a client's Init, and that Init.
fn half_open() -> (ServerEndpoint, Vec<u8>) {
    let mut server = server();
    let mut client = client(&server);
    let hello = client.poll_transmit().expect("a client begins with a Hello").bytes;
    server.handle_datagram(Micros(0), address(), &hello);
    let cookie = server.poll_transmit().expect("a Hello is answered").bytes;
    client.handle_datagram(Micros(0), address(), &cookie);
    let init = client.poll_transmit().expect("a cookie is answered").bytes;
    server.handle_datagram(Micros(0), address(), &init);
    (server, init)
}

/// A Hello and its cookie: what a flood costs.
#[divan::bench]
fn hello(bencher: Bencher<'_, '_>) {
    let mut server = server();
    let hello = client(&server).poll_transmit().expect("a client begins with a Hello").bytes;
    bencher.bench_local(|| {
        server.handle_datagram(Micros(0), address(), &hello);
        server.poll_transmit()
    });
}

/// One snapshot from `send_unreliable` to the client's event: packed, sealed, opened, read.
#[divan::bench(args = [64, 256, 1_024])]
fn snapshot(bencher: Bencher<'_, '_>, bytes: usize) {
    let (mut server, mut client, session) = session();
    let payload = vec![0xAB; bytes];
    let mut now = Micros(0);
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        now.0 += 16_667;
        server.send_unreliable(now, session, &payload, Some(1)).expect("the session is open");
        server.flush(now);
        settle(&mut server, &mut client, now);
        client.flush(now);
        settle(&mut server, &mut client, now);
        while server.poll_event().is_some() {}
        while let Some(event) = client.poll_event() {
            if let ClientEvent::Unreliable { payload } = event {
                client.recycle(payload);
            }
        }
    });
}

/// A forged packet for a live session: what rejecting one costs.
#[divan::bench]
fn forged(bencher: Bencher<'_, '_>) {
    let (mut server, mut client, _) = session();
    client.send_unreliable(Micros(1), &[1; 40], None).expect("the session is open");
    client.flush(Micros(1));
    let mut packet = client.poll_transmit().expect("a flush sends").bytes;
    packet[9..13].copy_from_slice(&1_000_000u32.to_le_bytes());
    bencher.bench_local(|| server.handle_datagram(Micros(1), address(), &packet));
}
