//! What the targets of the UDP port share: a server endpoint whose books are checked after every datagram, and the two
//! hostile peers that hold real keys.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use netcode::endpoint::{
    ClientConfig, ClientEndpoint, Credential, MESSAGE_BYTES_MAX, Received, ServerConfig, ServerEndpoint, ServerEvent,
    SessionId, Transmit, UNRELIABLE_BYTES_MAX,
};
use netcode::{Entropy, Micros};
use protocol::id::{MatchId, PlayerId, ServerId};
use protocol::token::{ALLOCATOR_ISSUER, JoinClaims};
use protocol::wire::{
    Accept, AcceptPayload, Connect, Cookie, CookieReply, DATAGRAM_BYTES_MAX, EXTENSION_RESUME_TICKET, Hello, Refusal,
    SessionOffer, VERSION_MAX, VERSION_MIN, packet_type,
};

use crate::peer::{Initiator, Link, public_key, respond};
use crate::target::check;

pub(crate) const SECRET: [u8; 32] = [42; 32];
pub(crate) const SCHEMA: u64 = 0x5EED;
pub(crate) const SESSIONS_MAX: usize = 8;
pub(crate) const HALF_OPEN_MAX: usize = 16;
/// Used tokens that an endpoint remembers at most: 64 per allowed session.
pub(crate) const TOKENS_MAX: usize = SESSIONS_MAX * 64;
/// What one datagram may cause at most.
const TRANSMITS_MAX: usize = 256;
const EVENTS_MAX: usize = 2_048;

pub(crate) fn server_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 7_000))
}

pub(crate) fn address(number: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 1], 10_000 + number))
}

pub(crate) fn entropy(seed: u64) -> Entropy {
    let mut bytes = [0xC1; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Entropy::new(bytes)
}

/// Reads the targets' own tokens, `player.serial`: signatures are another target's business.
pub(crate) fn verify(token: &str) -> Result<JoinClaims, Refusal> {
    let (player, serial) = token.split_once('.').ok_or(Refusal::TokenMalformed)?;
    let player: u8 = player.parse().map_err(|_| Refusal::TokenMalformed)?;
    let _: u32 = serial.parse().map_err(|_| Refusal::TokenMalformed)?;
    Ok(JoinClaims {
        iss: ALLOCATOR_ISSUER.into(),
        aud: server_id(),
        sub: PlayerId::from_entropy([player; 16]),
        mid: MatchId::from_entropy([1; 16]),
        team: 0,
        build: "1".into(),
        region: "here".into(),
        jti: token.to_owned(),
        iat: 0,
        exp: 60,
    })
}

pub(crate) fn server_id() -> ServerId {
    ServerId::from_entropy([5; 16])
}

pub(crate) fn hello(client_id: [u8; 8]) -> Hello {
    Hello {
        destination: [0xA1, 0xB2, 0, 0, 0, 0, 0, 0],
        client_id,
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        schema_hash: SCHEMA,
    }
}

/// An endpoint with its books.
pub(crate) struct Server {
    pub(crate) endpoint: ServerEndpoint,
    pub(crate) now: Micros,
    /// What was sent since the last look.
    pub(crate) sent: Vec<Transmit>,
    /// What happened since the last look.
    pub(crate) events: Vec<ServerEvent>,
    /// Bytes from and to each address.
    pub(crate) ledger: BTreeMap<SocketAddr, (u64, u64)>,
    taken: u64,
    dropped: u64,
}

impl Server {
    pub(crate) fn new() -> Self {
        let config = ServerConfig {
            static_secret: SECRET,
            routing_token: vec![0xA1, 0xB2],
            server_id: server_id(),
            schema_hash: SCHEMA,
            sessions_max: SESSIONS_MAX,
            half_open_max: HALF_OPEN_MAX,
        };
        Self {
            endpoint: ServerEndpoint::new(config, entropy(1)),
            now: Micros::from_millis(1_000),
            sent: Vec::new(),
            events: Vec::new(),
            ledger: BTreeMap::new(),
            taken: 0,
            dropped: 0,
        }
    }

    /// Gives a datagram and checks that it was counted exactly once and that everything stayed bounded.
    pub(crate) fn give(&mut self, from: SocketAddr, datagram: &[u8]) -> Result<Received, String> {
        self.ledger.entry(from).or_default().0 += datagram.len() as u64;
        let received = self.endpoint.handle_datagram(self.now, from, datagram);
        self.taken += 1;
        self.dropped += u64::from(received != Received::Accepted);
        while let Some(job) = self.endpoint.poll_handshake() {
            let done = job.run(&verify);
            self.endpoint.complete_handshake(self.now, done);
        }
        self.collect()?;
        let counters = self.endpoint.counters();
        let counted = (counters.datagrams_in, counters.dropped_total());
        check(counted == (self.taken, self.dropped), || {
            format!("counted {counted:?} datagrams in and dropped, were {:?}", (self.taken, self.dropped))
        })?;
        self.check_bounds()?;
        Ok(received)
    }

    /// Lets time pass, with everything that becomes due.
    pub(crate) fn pass(&mut self, ms: u64) -> Result<(), String> {
        self.now = Micros(self.now.0 + ms * 1_000);
        self.endpoint.handle_timeout(self.now);
        self.collect()
    }

    pub(crate) fn flush(&mut self) -> Result<(), String> {
        self.endpoint.flush(self.now);
        self.collect()
    }

    fn collect(&mut self) -> Result<(), String> {
        let (mut transmits, mut events) = (0, 0);
        while let Some(transmit) = self.endpoint.poll_transmit() {
            transmits += 1;
            let bytes = transmit.bytes.len();
            check(bytes <= DATAGRAM_BYTES_MAX, || format!("a datagram of {bytes} bytes was sent"))?;
            self.ledger.entry(transmit.to).or_default().1 += bytes as u64;
            self.sent.push(transmit);
        }
        while let Some(event) = self.endpoint.poll_event() {
            events += 1;
            check_event(&event)?;
            self.events.push(event);
        }
        check(transmits <= TRANSMITS_MAX && events <= EVENTS_MAX, || {
            format!("one datagram caused {transmits} datagrams and {events} events")
        })
    }

    fn check_bounds(&self) -> Result<(), String> {
        let endpoint = &self.endpoint;
        let state = (endpoint.sessions(), endpoint.half_open(), endpoint.tokens_remembered());
        // Sessions that are being closed remain for a moment; each of them took a token.
        let bound = (SESSIONS_MAX + TOKENS_MAX, HALF_OPEN_MAX, TOKENS_MAX);
        // One ticket per seat, two for a moment; seats with a session and as many without.
        let tickets = endpoint.resume_tickets();
        check(tickets <= 4 * SESSIONS_MAX, || format!("{tickets} resume tickets"))?;
        check(state.0 <= bound.0 && state.1 <= bound.1 && state.2 <= bound.2, || {
            format!("{state:?} sessions, half-open handshakes and tokens, at most {bound:?}")
        })
    }

    /// Connects as a player, with the hostile peer's own client.
    pub(crate) fn connect(&mut self, player: u8, serial: u32, from: SocketAddr) -> Result<(Link, SessionId), String> {
        self.join(player, serial, from).map(|(_, link, session)| (link, session))
    }

    /// As [`connect`](Self::connect), with what the server offered.
    pub(crate) fn join(
        &mut self,
        player: u8,
        serial: u32,
        from: SocketAddr,
    ) -> Result<(SessionOffer, Link, SessionId), String> {
        let hello = hello([player, serial as u8, (serial >> 8) as u8, 9, 9, 9, 9, 9]);
        let token = format!("{player}.{serial}");
        let seed = u64::from(serial) << 8 | u64::from(player);
        let (initiator, noise) = Initiator::start(seed, &public_key(&SECRET), &hello, token.as_bytes());
        let cookie = self.cookie(from, &hello)?;
        self.sent.clear();
        self.give(from, &Connect { hello: hello.clone(), cookie, noise }.encode())?;
        let accept = self.sent.iter().find_map(|sent| Accept::decode(&sent.bytes).ok());
        let accept = accept.ok_or("an honest Connect got no Accept")?;
        let (payload, to_server, to_client) = initiator.finish(&accept.noise).ok_or("the Accept does not open")?;
        let Ok(AcceptPayload::Offer(offer)) = AcceptPayload::decode(&payload) else {
            return Err(format!("an honest Connect was refused: {payload:?}"));
        };
        let mut link = Link::new(&to_server, &to_client, offer.session_id);
        self.events.clear();
        // Ten bytes of acks that acknowledge nothing, and a Ping.
        self.give(from, &link.seal(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 0))?;
        let session = self.events.iter().find_map(|event| match event {
            ServerEvent::Connected { session, .. } => Some(*session),
            _ => None,
        });
        Ok((offer, link, session.ok_or("an honest first packet began no session")?))
    }

    /// Says Hello and returns the cookie.
    pub(crate) fn cookie(&mut self, from: SocketAddr, hello: &Hello) -> Result<Cookie, String> {
        self.sent.clear();
        self.give(from, &hello.encode())?;
        let reply = self.sent.iter().find_map(|sent| CookieReply::decode(&sent.bytes).ok());
        reply.map(|reply| reply.cookie).ok_or_else(|| "an honest Hello got no cookie".to_owned())
    }
}

fn check_event(event: &ServerEvent) -> Result<(), String> {
    match event {
        ServerEvent::Unreliable { payload, .. } => {
            check(payload.len() <= UNRELIABLE_BYTES_MAX, || format!("an unreliable payload of {} bytes", payload.len()))
        }
        ServerEvent::Message { payload, .. } => {
            check(payload.len() <= MESSAGE_BYTES_MAX, || format!("a message of {} bytes", payload.len()))
        }
        _ => Ok(()),
    }
}

/// A client endpoint that has begun its handshake.
pub(crate) fn client(token: &str, seed: u64, now: Micros) -> ClientEndpoint {
    client_by(token.to_owned().into(), seed, now)
}

/// The same by any right.
pub(crate) fn client_by(credential: Credential, seed: u64, now: Micros) -> ClientEndpoint {
    let config = ClientConfig {
        server: server_address(),
        server_key: public_key(&SECRET),
        routing_token: vec![0xA1, 0xB2],
        credential,
        schema_hash: SCHEMA,
        quic: None,
    };
    ClientEndpoint::new(config, entropy(seed), now)
}

/// A client endpoint that has sent its Connect, and that Connect: the hostile peer is its server.
pub(crate) fn courted(seed: u64, now: Micros) -> (ClientEndpoint, Connect) {
    courted_by("1.1".to_owned().into(), seed, now)
}

fn courted_by(credential: Credential, seed: u64, now: Micros) -> (ClientEndpoint, Connect) {
    let mut client = client_by(credential, seed, now);
    let next = |client: &mut ClientEndpoint| client.poll_transmit().map(|sent| sent.bytes).unwrap_or_default();
    let hello = Hello::decode(&next(&mut client)).expect("a client begins with a Hello");
    let reply = CookieReply { client_id: hello.client_id, cookie: [9; 17] };
    client.handle_datagram(now, server_address(), &reply.encode());
    let connect = Connect::decode(&next(&mut client)).expect("a cookie is answered with a Connect");
    (client, connect)
}

/// A client endpoint with a session whose server is the hostile peer.
pub(crate) fn deceived(seed: u64, now: Micros) -> (ClientEndpoint, Link) {
    deceived_by("1.1".to_owned().into(), seed, now)
}

/// The same by any right.
pub(crate) fn deceived_by(credential: Credential, seed: u64, now: Micros) -> (ClientEndpoint, Link) {
    let (mut client, connect) = courted_by(credential, seed, now);
    let offer = SessionOffer {
        session_id: [0xA1, 0xB2, 1, 2, 3, 4, 5, 6],
        version: VERSION_MAX,
        idle_timeout_ms: 65_000,
        packet_bytes_max: 1_140,
        extensions: vec![(EXTENSION_RESUME_TICKET, vec![7; 48])],
    };
    let payload = AcceptPayload::Offer(offer).encode();
    let answer = respond(seed, &SECRET, &connect.hello, &connect.noise, &payload);
    let (noise, to_server, to_client) = answer.expect("an honest Connect opens");
    let client_id = connect.hello.client_id;
    client.handle_datagram(now, server_address(), &Accept { client_id, noise }.encode());
    assert!(client.is_open(), "an honest Accept opens the session");
    (client, Link::new(&to_client, &to_server, client_id))
}

/// Whether a datagram is a packet under session keys.
pub(crate) fn is_data(datagram: &[u8]) -> bool {
    datagram.first() == Some(&packet_type::DATA)
}
