//! Datagrams to game servers, a bounded number a second, of every kind that a stranger can make.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use game::Game as _;
use netcode::emulator::Random;
use netcode::endpoint::{ClientConfig, ClientEndpoint, QuicClientConfig};
use netcode::{Entropy, Micros};
use protocol::wire::{Connect, Cookie, CookieReply, Hello, VERSION_MAX, VERSION_MIN};

use super::ports::Protocol;
use super::{STRANGER, Shared};

/// From one burst to the next.
const STEP: Duration = Duration::from_millis(5);
/// Datagrams per burst and server: 600 a second.
const BURST: usize = 3;
/// Bursts from one beginning of an honest-looking handshake to the next.
const STEPS_PER_TALK: u64 = 10;
/// Handshakes under way at once.
const TALKS_MAX: usize = 8;
/// Datagrams kept to be sent again.
const CAPTURED_MAX: usize = 512;
/// Bursts from one new first packet of QUIC to the next; until then it is sent as it is, or broken. Making one costs
/// more than taking it.
const STEPS_PER_INITIAL: u64 = 4;

/// Floods until it is over.
pub(super) fn flood(shared: &Shared, seed: u64) {
    let mut strangers = Strangers {
        sockets: (0..4).map(|_| socket()).collect(),
        schema_hash: arena::Arena::schema().hash(),
        cookies: BTreeMap::new(),
        talks: Vec::new(),
        captured: Vec::new(),
        initial: Vec::new(),
        random: Random::new(seed),
    };
    let mut step = 0;
    while !shared.is_over() {
        if step % STEPS_PER_INITIAL == 0 {
            strangers.renew_initial();
        }
        step += 1;
        for target in shared.targets(Protocol::Udp) {
            if step % STEPS_PER_TALK == 0 && strangers.talks.len() < TALKS_MAX {
                let is_quic = (step / STEPS_PER_TALK).is_multiple_of(2);
                strangers.talks.push(Talk::begin(target, strangers.schema_hash, is_quic, &mut strangers.random));
                shared.count(Protocol::Udp, target, "handshake under a wrong key");
            }
            for _ in 0..BURST {
                let kind = strangers.strike(target);
                shared.count(Protocol::Udp, target, kind);
            }
        }
        strangers.listen();
        std::thread::sleep(STEP);
    }
}

struct Strangers {
    sockets: Vec<UdpSocket>,
    schema_hash: u64,
    /// Good ones, by server and by the place of the socket that got them.
    cookies: BTreeMap<(SocketAddr, usize), Cookie>,
    talks: Vec<Talk>,
    /// What strangers and servers said to each other.
    captured: Vec<Vec<u8>>,
    /// The first datagram of quinn-proto's own client, which never goes on.
    initial: Vec<u8>,
    random: Random,
}

impl Strangers {
    /// Sends one datagram and says of what kind it was.
    fn strike(&mut self, target: SocketAddr) -> &'static str {
        let place = self.below(self.sockets.len());
        let (kind, bytes) = match self.random.below(10) {
            0 => ("noise", self.noise(1_400)),
            1 => ("noise that begins like QUIC", self.noise_after(&[0xC0, 0, 0, 0, 1, 8], 1_300)),
            2 => ("noise that begins like a packet", self.noise_after(&[0x10, 7], 1_400)),
            3 => ("a Hello", self.hello(place).encode()),
            4 => ("a Connect with a bad cookie", self.connect(place, [7; 17])),
            5 => match self.cookies.get(&(target, place)).copied() {
                Some(cookie) => ("a Connect with a good cookie and rubbish Noise", self.connect(place, cookie)),
                None => ("a Hello", self.hello(place).encode()),
            },
            6 => ("a first packet of QUIC", self.initial.clone()),
            7 => ("a broken first packet of QUIC", self.broken_initial()),
            8 if !self.captured.is_empty() => ("a replay", self.replay()),
            _ if !self.captured.is_empty() => {
                let bytes = self.replay();
                ("a changed replay", self.changed(bytes))
            }
            _ => ("noise", self.noise(1_400)),
        };
        // A full socket buffer loses it, as a network does.
        let _ = self.sockets[place].send_to(&bytes, target);
        kind
    }

    /// Takes what was answered: cookies to be used, everything else to be sent again.
    fn listen(&mut self) {
        let mut buffer = [0; 2_048];
        for (place, socket) in self.sockets.iter().enumerate() {
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                if let Ok(reply) = CookieReply::decode(&buffer[..length]) {
                    self.cookies.insert((from, place), reply.cookie);
                }
            }
        }
        for talk in &mut self.talks {
            talk.go_on(&mut self.captured);
        }
        self.talks.retain(|talk| talk.client.poll_timeout().is_some());
        let too_many = self.captured.len().saturating_sub(CAPTURED_MAX);
        self.captured.drain(..too_many);
    }

    fn hello(&self, place: usize) -> Hello {
        let client_id = [place as u8 + 1; 8];
        Hello {
            destination: [7, 0, 0, 0, 0, 0, 0, 0],
            client_id,
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            schema_hash: self.schema_hash,
        }
    }

    fn connect(&mut self, place: usize, cookie: Cookie) -> Vec<u8> {
        let noise = self.noise(600);
        Connect { hello: self.hello(place), cookie, noise }.encode()
    }

    fn renew_initial(&mut self) {
        let nowhere = SocketAddr::from((STRANGER, 9));
        let mut client = client(nowhere, self.schema_hash, true, &mut self.random);
        self.initial = client.poll_transmit().expect("a client begins with a datagram").bytes;
    }

    fn broken_initial(&mut self) -> Vec<u8> {
        let mut bytes = self.initial.clone();
        if self.random.below(2) == 0 {
            // Another version of QUIC: is answered with those that are spoken.
            bytes[1..5].copy_from_slice(&0x0A0A_0A0Au32.to_be_bytes());
            return bytes;
        }
        self.changed(bytes)
    }

    fn replay(&mut self) -> Vec<u8> {
        let place = self.below(self.captured.len());
        self.captured[place].clone()
    }

    fn changed(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        for _ in 0..=self.random.below(4) {
            let place = self.below(bytes.len());
            bytes[place] = self.random.next_u64() as u8;
        }
        if self.random.below(4) == 0 {
            bytes.truncate(self.below(bytes.len()));
        }
        bytes
    }

    fn noise(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most) + 1).map(|_| self.random.next_u64() as u8).collect()
    }

    fn noise_after(&mut self, head: &[u8], most: usize) -> Vec<u8> {
        [head, &self.noise(most)].concat()
    }

    fn below(&mut self, end: usize) -> usize {
        self.random.below(end as u64) as usize
    }
}

/// A client core that does all as it should, but knows neither the server's key nor its certificate, and has no token.
struct Talk {
    client: ClientEndpoint,
    server: SocketAddr,
    socket: UdpSocket,
    begun: Instant,
}

impl Talk {
    fn begin(server: SocketAddr, schema_hash: u64, is_quic: bool, random: &mut Random) -> Self {
        let client = client(server, schema_hash, is_quic, random);
        Self { client, server, socket: socket(), begun: Instant::now() }
    }

    fn go_on(&mut self, captured: &mut Vec<Vec<u8>>) {
        let now = Micros(self.begun.elapsed().as_micros() as u64);
        let mut buffer = [0; 2_048];
        while let Ok((length, _)) = self.socket.recv_from(&mut buffer) {
            captured.push(buffer[..length].to_vec());
            self.client.handle_datagram(now, self.server, &buffer[..length]);
        }
        self.client.handle_timeout(now);
        while let Some(transmit) = self.client.poll_transmit() {
            let _ = self.socket.send_to(&transmit.bytes, self.server);
            captured.push(transmit.bytes);
        }
        while self.client.poll_event().is_some() {}
    }
}

fn client(server: SocketAddr, schema_hash: u64, is_quic: bool, random: &mut Random) -> ClientEndpoint {
    let mut entropy = [0; 32];
    entropy.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&random.next_u64().to_le_bytes()));
    let quic = QuicClientConfig { fingerprints: vec![[1; 32]], base: Instant::now() };
    let config = ClientConfig {
        server,
        // The base point: a key that some server may have, but not this one.
        server_key: std::array::from_fn(|place| if place == 0 { 9 } else { 0 }),
        routing_token: vec![7],
        credential: "no token".to_owned().into(),
        schema_hash,
        quic: is_quic.then_some(quic),
    };
    ClientEndpoint::new(config, Entropy::new(entropy), Micros::ZERO)
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind((STRANGER, 0)).expect("a free port");
    socket.set_nonblocking(true).expect("a socket of our own");
    socket
}
