//! Muster's endpoint on a plain UDP socket.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use netcode::Entropy;
use netcode::endpoint::{
    ClientConfig, ClientEndpoint, ClientEvent, QuicClientConfig, QuicServerConfig, ServerConfig, ServerEndpoint,
    ServerEvent, SessionId,
};
use protocol::id::{MatchId, PlayerId, ServerId};
use protocol::token::JoinClaims;
use protocol::wire::Refusal;

use crate::clients::{self, Member, input};
use crate::clock::micros;
use crate::counts::Counts;
use crate::server::{Carrier, Measured, drive};
use crate::work::Work;
use crate::{CLIENTS, Peer};

struct Server {
    socket: UdpSocket,
    endpoint: ServerEndpoint,
    sessions: Vec<SessionId>,
    buffer: Vec<u8>,
}

struct Client {
    endpoint: ClientEndpoint,
}

/// One run, over native UDP or QUIC.
pub fn run(peer: Peer, entities: u16, length: Duration) -> Measured {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.set_nonblocking(true).expect("a socket");
    let server = socket.local_addr().expect("bound");
    let config = ServerConfig {
        static_secret: [7; 32],
        routing_token: Vec::new(),
        server_id: ServerId::from_entropy([1; 16]),
        schema_hash: 1,
        sessions_max: 2 * CLIENTS,
        half_open_max: CLIENTS,
    };
    let (quic_server, quic_client) = quic_configs();
    let endpoint = ServerEndpoint::new(config, Entropy::new([1; 32]));
    let endpoint = endpoint.with_quic(&quic_server).expect("a good certificate");
    let server_key = endpoint.public_key();
    let mut carrier = Server { socket, endpoint, sessions: Vec::new(), buffer: vec![0; 2_048] };
    let counts = Arc::new(Counts::default());
    let crowd = clients::start(&counts, move |n, _| {
        let credential = n.to_string().into();
        let quic = (peer == Peer::MusterQuic).then(|| quic_client.clone());
        let config = ClientConfig { server, server_key, routing_token: Vec::new(), credential, schema_hash: 1, quic };
        let seed = [u8::try_from(n).expect("few clients"); 32];
        Client { endpoint: ClientEndpoint::new(config, Entropy::new(seed), micros()) }
    });
    let measured = drive(&mut Work::new(peer, entities), &mut carrier, &counts, length);
    crowd.join().expect("no client panics");
    measured
}

/// A certificate, and the clients' trust in it.
fn quic_configs() -> (QuicServerConfig, QuicClientConfig) {
    let made = rcgen::generate_simple_self_signed(vec!["muster".into()]).expect("a certificate");
    let certificate = made.cert.der().to_vec();
    let fingerprint = ring::digest::digest(&ring::digest::SHA256, &certificate);
    let fingerprints = vec![fingerprint.as_ref().try_into().expect("SHA-256 has 32 bytes")];
    let base = Instant::now();
    let server = QuicServerConfig { certificate, key: made.signing_key.serialize_der(), base };
    (server, QuicClientConfig { fingerprints, base })
}

/// The token is the client's number: signatures are not what is compared.
fn verify(token: &str) -> Result<JoinClaims, Refusal> {
    let number: u8 = token.parse().map_err(|_| Refusal::TokenMalformed)?;
    Ok(JoinClaims {
        iss: String::new(),
        aud: ServerId::from_entropy([1; 16]),
        sub: PlayerId::from_entropy([number; 16]),
        mid: MatchId::from_entropy([3; 16]),
        team: 0,
        build: String::new(),
        region: String::new(),
        jti: token.into(),
        iat: 0,
        exp: 60,
    })
}

impl Server {
    fn transmit(&mut self) {
        while let Some(transmit) = self.endpoint.poll_transmit() {
            let _ = self.socket.send_to(&transmit.bytes, transmit.to);
            self.endpoint.recycle(transmit.bytes);
        }
    }
}

impl Carrier for Server {
    fn receive(&mut self, delivered: &mut dyn FnMut(usize, u32)) {
        let now = micros();
        loop {
            match self.socket.recv_from(&mut self.buffer) {
                Ok((length, from)) => drop(self.endpoint.handle_datagram(now, from, &self.buffer[..length])),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("cannot receive: {error}"),
            }
        }
        while let Some(job) = self.endpoint.poll_handshake() {
            self.endpoint.complete_handshake(now, job.run(&verify));
        }
        self.endpoint.handle_timeout(now);
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                ServerEvent::Connected { session, .. } => self.sessions.push(session),
                ServerEvent::Delivered { session, tag } => {
                    if let Some(client) = self.sessions.iter().position(|known| *known == session) {
                        delivered(client, tag);
                    }
                }
                ServerEvent::Unreliable { payload, .. } => self.endpoint.recycle(payload),
                ServerEvent::Closed { reason, .. } => panic!("a session was closed: {reason:?}"),
                _ => {}
            }
        }
    }

    fn send(&mut self, work: &Work) {
        let now = micros();
        for (client, session) in self.sessions.iter().enumerate() {
            let _ = self.endpoint.send_unreliable(now, *session, work.payload(client), Some(work.tick()));
        }
        self.endpoint.flush(now);
        self.transmit();
    }
}

impl Client {
    fn transmit(&mut self, socket: &UdpSocket) {
        while let Some(transmit) = self.endpoint.poll_transmit() {
            let _ = socket.send_to(&transmit.bytes, transmit.to);
            self.endpoint.recycle(transmit.bytes);
        }
    }
}

impl Member for Client {
    fn datagram(&mut self, from: SocketAddr, datagram: &mut [u8], counts: &Counts) {
        self.endpoint.handle_datagram(micros(), from, datagram);
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                ClientEvent::Connected { .. } => counts.connected(),
                ClientEvent::Unreliable { payload } => {
                    counts.snapshot(payload.len());
                    self.endpoint.recycle(payload);
                }
                ClientEvent::Refused { refusal, .. } => panic!("refused: {refusal:?}"),
                _ => {}
            }
        }
    }

    fn tick(&mut self, socket: &UdpSocket, _counts: &Counts) {
        let now = micros();
        self.endpoint.handle_timeout(now);
        if self.endpoint.is_open() {
            // The endpoint acknowledges by itself; the input names no tick.
            let _ = self.endpoint.send_unreliable(now, &input(0), None);
            self.endpoint.flush(now);
        }
        self.transmit(socket);
    }
}
