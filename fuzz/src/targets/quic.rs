//! QUIC datagrams towards server and client: raw, first packets under the keys that everybody can make, and changed
//! copies of what an honest session really sends.
//!
//! Case: mode (1 byte), milliseconds that pass (1 byte), content. The handshake secrets of QUIC come from the operating
//! system, so a file of cases does the same again, but not with the same bytes on the wire.

mod initial;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Instant;

use netcode::Micros;
use netcode::endpoint::{
    ClientConfig, ClientEndpoint, QuicClientConfig, QuicServerConfig, Received, ServerConfig, ServerEndpoint,
    ServerEvent, SessionId,
};
use protocol::wire::DATAGRAM_BYTES_MAX;

use self::initial::{client_hello, crypto, sealed};
use super::sessions::{SCHEMA, SECRET, address, entropy, server_address, server_id, verify};
use crate::peer::public_key;
use crate::target::{Entry, Listed, Target, check};

pub(crate) const TARGET: Listed = Listed {
    name: "quic",
    what: "datagrams of QUIC towards both ends: raw, first packets sealed for the server, changed ones of a live session",
    cases_per_world: 512,
    bytes_max: 1_300,
    world: || Box::new(World::new()),
    seeds,
};

const MODES: u8 = 5;
/// A datagram to the server, from a stranger.
const RAW: u8 = 0;
/// The connection id and the frames of a first packet, from a stranger, sealed as RFC 9001, 5.2 says.
const INITIAL: u8 = 1;
/// Changes to what the honest client sent last: the server gets the original, then the changed copy.
const COPY_UP: u8 = 2;
/// The same for what the server sent last.
const COPY_DOWN: u8 = 3;
/// A datagram to the client, from its server's address.
const TO_CLIENT: u8 = 4;

const HONEST: u16 = 1;
/// Addresses of strangers.
const STRANGERS: u16 = 8;
const HALF_OPEN_MAX: usize = 40;
/// Bytes to an address that proved nothing, for each that came from it (RFC 9000, 8.1).
const AMPLIFICATION_MAX: u64 = 3;

/// One certificate for all worlds, its key, and the instant at which their time begins.
static CERTIFICATE: LazyLock<(Vec<u8>, Vec<u8>, Instant)> = LazyLock::new(|| {
    let key = rcgen::KeyPair::generate().expect("a key can be made");
    let parameters = rcgen::CertificateParams::new(vec!["muster".into()]).expect("a name");
    let certificate = parameters.self_signed(&key).expect("a certificate can be made");
    (certificate.der().to_vec(), key.serialize_der(), Instant::now())
});

struct World {
    server: ServerEndpoint,
    honest: ClientEndpoint,
    session: SessionId,
    now: Micros,
    /// Bytes from and to strangers.
    ledger: BTreeMap<SocketAddr, (u64, u64)>,
    events: Vec<ServerEvent>,
    /// What the honest client and the server sent each other last.
    up: Vec<u8>,
    down: Vec<u8>,
    taken: u64,
    /// First bytes of what strangers were answered in this case.
    answers: u64,
}

impl World {
    fn new() -> Self {
        let (certificate, key, base) = CERTIFICATE.clone();
        let config = ServerConfig {
            static_secret: SECRET,
            routing_token: vec![0xA1, 0xB2],
            server_id: server_id(),
            schema_hash: SCHEMA,
            sessions_max: 8,
            half_open_max: HALF_OPEN_MAX,
        };
        let fingerprint = ring::digest::digest(&ring::digest::SHA256, &certificate);
        let fingerprints = vec![fingerprint.as_ref().try_into().expect("SHA-256 has 32 bytes")];
        let quic = QuicServerConfig { certificate, key, base };
        let server = ServerEndpoint::new(config, entropy(1)).with_quic(&quic).expect("a good certificate");
        let client = ClientConfig {
            server: server_address(),
            server_key: public_key(&SECRET),
            routing_token: vec![0xA1, 0xB2],
            credential: "9.1".to_owned().into(),
            schema_hash: SCHEMA,
            quic: Some(QuicClientConfig { fingerprints, base }),
        };
        let now = Micros::from_millis(1_000);
        let mut world = Self {
            server,
            honest: ClientEndpoint::new(client, entropy(77), now),
            session: SessionId(0),
            now,
            ledger: BTreeMap::new(),
            events: Vec::new(),
            up: vec![0x40],
            down: vec![0x40],
            taken: 0,
            answers: 0,
        };
        for _ in 0..20 {
            world.pass(10).expect("an honest client and an honest server connect");
        }
        let connected = world.events.iter().find_map(|event| match event {
            ServerEvent::Connected { session, .. } => Some(*session),
            _ => None,
        });
        world.session = connected.expect("the honest client is connected");
        world
    }

    /// Lets time pass, and carries the honest client's datagrams to and fro until both are silent.
    fn pass(&mut self, ms: u64) -> Result<(), String> {
        self.now = Micros(self.now.0 + ms * 1_000);
        self.server.handle_timeout(self.now);
        self.server.flush(self.now);
        self.honest.handle_timeout(self.now);
        self.honest.flush(self.now);
        loop {
            self.collect()?;
            let mut is_silent = true;
            while let Some(transmit) = self.honest.poll_transmit() {
                is_silent = false;
                self.give_server(address(HONEST), &transmit.bytes)?;
                self.up = transmit.bytes;
            }
            if is_silent {
                break;
            }
        }
        while self.honest.poll_event().is_some() {}
        Ok(())
    }

    fn give_server(&mut self, from: SocketAddr, datagram: &[u8]) -> Result<Received, String> {
        if from != address(HONEST) {
            self.ledger.entry(from).or_default().0 += datagram.len() as u64;
        }
        let received = self.server.handle_datagram(self.now, from, datagram);
        self.taken += 1;
        while let Some(job) = self.server.poll_handshake() {
            let done = job.run(&verify);
            self.server.complete_handshake(self.now, done);
        }
        self.collect()?;
        let (counted, taken) = (self.server.counters().datagrams_in, self.taken);
        check(counted == taken, || format!("counted {counted} datagrams in, were {taken}"))?;
        let state = (self.server.sessions(), self.server.half_open());
        check(state.0 <= 1 && state.1 <= HALF_OPEN_MAX, || format!("{state:?} sessions and half-open handshakes"))?;
        Ok(received)
    }

    /// Takes what the server sends and says, and delivers what is for the honest client.
    fn collect(&mut self) -> Result<(), String> {
        while let Some(transmit) = self.server.poll_transmit() {
            let bytes = transmit.bytes.len();
            check(bytes <= DATAGRAM_BYTES_MAX, || format!("a datagram of {bytes} bytes was sent"))?;
            if transmit.to == address(HONEST) {
                self.honest.handle_datagram(self.now, server_address(), &transmit.bytes);
                self.down = transmit.bytes;
                continue;
            }
            let (heard, said) = self.ledger.get_mut(&transmit.to).ok_or("an address was answered that said nothing")?;
            *said += bytes as u64;
            let (heard, said) = (*heard, *said);
            check(said <= AMPLIFICATION_MAX * heard, || format!("{said} bytes to a stranger for {heard}"))?;
            self.answers |= 1 << (transmit.bytes[0] >> 4);
        }
        self.events.extend(std::iter::from_fn(|| self.server.poll_event()));
        Ok(())
    }

    /// A datagram that nobody honest sent, to the server.
    fn strike_server(&mut self, from: SocketAddr, datagram: &[u8]) -> Result<u64, String> {
        (self.answers, self.events) = (0, Vec::new());
        let before = self.server.half_open();
        let received = self.give_server(from, datagram)?;
        check(self.events.is_empty(), || format!("a stranger's datagram caused {:?}", self.events))?;
        let grown = u64::from(self.server.half_open() > before);
        Ok(reason(received) << 17 | self.answers << 1 | grown)
    }

    /// The same to the client.
    fn strike_client(&mut self, datagram: &[u8]) -> Result<u64, String> {
        let before = self.honest.counters().datagrams_in;
        let received = self.honest.handle_datagram(self.now, server_address(), datagram);
        let counted = self.honest.counters().datagrams_in - before;
        check(counted == 1, || format!("one datagram was counted {counted} times"))?;
        let event = self.honest.poll_event();
        check(event.is_none(), || format!("a stranger's datagram told the client {event:?}"))?;
        Ok(reason(received))
    }

    /// Makes both ends send something, so that the newest datagrams are of the live session.
    fn talk(&mut self) -> Result<(), String> {
        // A full queue refuses; then there is enough under way.
        let _ = self.honest.send_message(self.now, &[8; 40]);
        let _ = self.server.send_unreliable(self.now, self.session, &[7; 60], None);
        self.pass(0)
    }
}

impl Target for World {
    fn take(&mut self, case: &[u8]) -> Result<u64, String> {
        let &[mode, ms, ref content @ ..] = case else { return Ok(0) };
        self.pass(u64::from(ms))?;
        let stranger = address(HONEST + 1 + u16::from(mode / MODES) % STRANGERS);
        let result = match mode % MODES {
            RAW => self.strike_server(stranger, content),
            INITIAL => self.strike_server(stranger, &sealed(content)),
            COPY_UP => {
                self.talk()?;
                let copy = changed(&self.up, content);
                // Now and then from an address that the client does not have.
                let from = if (mode / MODES).is_multiple_of(4) { stranger } else { address(HONEST) };
                self.strike_server(from, &copy)
            }
            COPY_DOWN => {
                self.talk()?;
                let copy = changed(&self.down, content);
                self.strike_client(&copy)
            }
            _ => self.strike_client(content),
        };
        result.map(|result| u64::from(mode % MODES) << 32 | result)
    }

    fn finish(&mut self) -> Result<(), String> {
        check(self.honest.is_open(), || "the honest client lost its session".to_owned())?;
        let sent = self.honest.send_message(self.now, b"still here");
        sent.map_err(|error| format!("the honest client cannot send: {error}"))?;
        self.events.clear();
        for _ in 0..40 {
            self.pass(25)?;
        }
        let is_whole =
            |event: &ServerEvent| matches!(event, ServerEvent::Message { payload, .. } if payload == b"still here");
        check(self.events.iter().any(is_whole), || "the honest client's message did not arrive".to_owned())
    }
}

/// The datagram with changes: place (u16) and what is done to that byte, by threes; one byte more cuts it off.
fn changed(datagram: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut copy = datagram.to_vec();
    let mut rows = changes.chunks_exact(3);
    for row in rows.by_ref() {
        let place = usize::from(u16::from_le_bytes([row[0], row[1]])) % copy.len();
        copy[place] ^= row[2];
    }
    if let [cut] = rows.remainder() {
        copy.truncate(usize::from(*cut) * 5);
    }
    copy
}

fn reason(received: Received) -> u64 {
    match received {
        Received::Accepted => 0,
        Received::Dropped(reason) => reason as u64 + 1,
    }
}

fn seeds() -> Vec<Entry> {
    let long = |version: u32| {
        let mut datagram = [&[0xC0], &version.to_be_bytes()[..], &[8], &[5; 8], &[8], &[6; 8]].concat();
        datagram.resize(DATAGRAM_BYTES_MAX, 0);
        datagram
    };
    let frames = |frames: &[u8]| [&[3; 8], frames].concat();
    let hello = client_hello();
    let (first, second) = hello.split_at(90);
    let rows: [(&str, u8, Vec<u8>); 18] = [
        ("other-version", RAW, long(0x0A0A_0A0A)),
        ("version-negotiation", RAW, long(0)),
        ("initial-without-keys", RAW, long(1)),
        ("unknown-connection", RAW, [&[0x40][..], &[9; 60]].concat()),
        ("short", RAW, vec![0x40, 1]),
        ("initial-raw", RAW, sealed(&frames(&crypto(0, &hello)))),
        ("hello", INITIAL, frames(&crypto(0, &hello))),
        ("hello-in-two", INITIAL, frames(&[crypto(90, second), crypto(0, first)].concat())),
        ("hello-far", INITIAL, frames(&crypto(60_000, first))),
        ("ping", INITIAL, frames(&[0x01])),
        ("ack", INITIAL, frames(&[0x02, 0x00, 0x00, 0x00, 0x00])),
        ("close", INITIAL, frames(&[0x1C, 0x0A, 0x06, 0x02, b'n', b'o'])),
        ("forbidden-frame", INITIAL, frames(&[0x30, 1, 2, 3])),
        ("replay-up", COPY_UP, vec![]),
        ("changed-up", COPY_UP, vec![20, 0, 1]),
        ("moved-up", COPY_UP + MODES, vec![30, 0, 4, 9]),
        ("changed-down", COPY_DOWN, vec![20, 0, 1]),
        ("to-client", TO_CLIENT, long(0)),
    ];
    rows.into_iter().map(|(name, mode, bytes)| (name.to_owned(), [&[mode, 3], &bytes[..]].concat())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_packet_of_our_own_making_gets_as_far_as_tls_and_an_answer() {
        let mut world = World::new();
        let mut case = vec![3; 8];
        case.extend_from_slice(&crypto(0, &client_hello()));
        world.strike_server(address(2), &sealed(&case)).expect("nothing fails");
        assert_eq!(world.server.half_open(), 1);
        // A ServerHello and what is under handshake keys: more than an Initial that acknowledges alone.
        assert!(world.ledger[&address(2)].1 > 600, "{:?}", world.ledger);
        world.strike_server(address(3), &sealed(&[4; 9])).expect("nothing fails");
        assert_eq!(world.server.half_open(), 1, "a frame that there is not ends the connection");
        world.finish().expect("the honest client noticed nothing");
    }
}
