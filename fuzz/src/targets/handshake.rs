//! Hello, Cookie, Connect, Accept and Refuse on both ends, up to what is encrypted inside them.
//!
//! Case: mode (1 byte), content.

use netcode::Micros;
use netcode::endpoint::{ClientEndpoint, ClientEvent, Received};
use protocol::jwt::TOKEN_BYTES_MAX;
use protocol::wire::{
    Accept, AcceptPayload, Connect, CookieReply, HANDSHAKE_BYTES, Hello, NOISE_BYTES_MAX, Refusal, Refuse,
    ResumeRequest, SessionOffer, VERSION_MAX, VERSION_MIN,
};

use super::sessions::{SCHEMA, SECRET, Server, address, client, courted, hello, server_address};
use crate::peer::{Initiator, public_key, respond};
use crate::target::{Entry, Listed, Target, check};

pub(crate) const TARGET: Listed = Listed {
    name: "handshake",
    what: "Hello, Cookie, Connect, Accept and Refuse on both ends, tokens and offers inside the encryption",
    cases_per_world: 256,
    bytes_max: 1_300,
    world: || Box::new(World { server: Server::new(), clients: 0, fresh: None, courted: None }),
    seeds,
};

const MODES: u8 = 6;
/// A datagram to the server.
const RAW: u8 = 0;
/// A Connect to the server that gets a good cookie.
const COOKIE: u8 = 1;
/// A join token, encrypted for the server.
const TOKEN: u8 = 2;
/// A datagram to a client that waits for its cookie.
const TO_FRESH: u8 = 3;
/// A datagram to a client that waits for its Accept; it gets the client's id and cookie.
const TO_COURTED: u8 = 4;
/// The content of an Accept, encrypted for the client.
const OFFER: u8 = 5;

/// Where the cookie of a Connect begins.
const COOKIE_AT: usize = 29;

struct World {
    server: Server,
    clients: u64,
    fresh: Option<ClientEndpoint>,
    courted: Option<(ClientEndpoint, Connect)>,
}

impl World {
    fn give_server(&mut self, datagram: &[u8]) -> Result<u64, String> {
        self.server.sent.clear();
        let received = self.server.give(address(1), datagram)?;
        let answers = self.server.sent.iter().map(|sent| u64::from(sent.bytes[0])).sum::<u64>();
        check(self.server.events.is_empty(), || "a session began without a packet under its keys".to_owned())?;
        let (heard, said) = self.server.ledger[&address(1)];
        check(said * 100 <= heard * 31, || format!("{said} bytes were answered to {heard} of a stranger"))?;
        Ok(number(received) << 16 | answers)
    }

    /// What a client with this id, at this address, would send: the Connect with a cookie of its own.
    fn with_cookie(&mut self, connect: &[u8]) -> Result<u64, String> {
        let mut connect = connect.to_vec();
        if connect.len() >= COOKIE_AT + 17 {
            let client_id = connect[9..17].try_into().expect("eight bytes");
            let cookie = self.server.cookie(address(1), &hello(client_id))?;
            connect[COOKIE_AT..COOKIE_AT + 17].copy_from_slice(&cookie);
        }
        self.give_server(&connect)
    }

    fn with_token(&mut self, token: &[u8]) -> Result<u64, String> {
        self.clients += 1;
        let token = &token[..token.len().min(NOISE_BYTES_MAX - 48)];
        let mut hello = hello([3; 8]);
        hello.client_id[..8].copy_from_slice(&self.clients.to_le_bytes());
        let (initiator, noise) = Initiator::start(self.clients, &public_key(&SECRET), &hello, token);
        let cookie = self.server.cookie(address(1), &hello)?;
        let result = self.give_server(&Connect { hello, cookie, noise }.encode())?;
        let answer = self.server.sent.iter().find_map(|sent| Accept::decode(&sent.bytes).ok());
        let Some(accept) = answer else {
            let refused = self.server.sent.iter().any(|sent| Refuse::decode(&sent.bytes).is_ok());
            return check(refused, || "a Connect that opens got no answer".to_owned()).map(|()| result);
        };
        let (payload, ..) = initiator.finish(&accept.noise).ok_or("the Accept does not open")?;
        let outcome = match AcceptPayload::decode(&payload).map_err(|error| format!("our own Accept: {error}"))? {
            AcceptPayload::Offer(_) => 0,
            AcceptPayload::Refused(refusal) => refusal as u64,
        };
        check(outcome != 0 || token.len() <= TOKEN_BYTES_MAX, || "a token too long was accepted".to_owned())?;
        Ok(result << 8 | outcome)
    }

    fn give_client(client: &mut ClientEndpoint, now: Micros, datagram: &[u8]) -> Result<u64, String> {
        let before = (client.counters().datagrams_in, client.counters().dropped_total());
        let received = client.handle_datagram(now, server_address(), datagram);
        let after = (client.counters().datagrams_in, client.counters().dropped_total());
        let expected = (before.0 + 1, before.1 + u64::from(received != Received::Accepted));
        check(after == expected, || format!("counted {after:?} datagrams in and dropped, were {expected:?}"))?;
        let mut told = 0;
        while let Some(event) = client.poll_event() {
            told = match event {
                ClientEvent::Connected { version, .. } => {
                    let known = (VERSION_MIN..=VERSION_MAX).contains(&version);
                    check(known, || format!("connected with version {version}"))?;
                    1
                }
                ClientEvent::Refused { refusal, .. } => 2 + refusal as u64,
                other => return Err(format!("a client in its handshake told {other:?}")),
            };
        }
        while let Some(transmit) = client.poll_transmit() {
            let bytes = transmit.bytes.len();
            check(bytes <= HANDSHAKE_BYTES, || format!("a datagram of {bytes} bytes was sent"))?;
        }
        Ok(number(received) << 16 | told)
    }

    fn give_fresh(&mut self, datagram: &[u8]) -> Result<u64, String> {
        self.clients += 1;
        let (now, seed) = (self.server.now, self.clients);
        let client = self.fresh.get_or_insert_with(|| client("1.1", seed, now));
        let result = Self::give_client(client, now, datagram)?;
        if client.counters().datagrams_in > client.counters().dropped_total() {
            self.fresh = None;
        }
        Ok(result)
    }

    fn give_courted(&mut self, make: impl FnOnce(&Connect) -> Vec<u8>) -> Result<u64, String> {
        self.clients += 1;
        let (now, seed) = (self.server.now, self.clients);
        let (client, connect) = self.courted.get_or_insert_with(|| courted(seed, now));
        let result = Self::give_client(client, now, &make(connect))?;
        // It took its cookie; whatever else it takes ends its handshake, an offer that it cannot read as well.
        if client.is_open() || client.poll_timeout().is_none() {
            self.courted = None;
        }
        Ok(result)
    }
}

impl Target for World {
    fn take(&mut self, case: &[u8]) -> Result<u64, String> {
        let &[mode, ref content @ ..] = case else { return Ok(0) };
        self.server.pass(u64::from(mode / MODES))?;
        let mode = mode % MODES;
        let result = match mode {
            RAW => self.give_server(content),
            COOKIE => self.with_cookie(content),
            TOKEN => self.with_token(content),
            TO_FRESH => self.give_fresh(content),
            TO_COURTED => self.give_courted(|connect| addressed(connect, content)),
            _ => self.give_courted(|connect| {
                let answer = respond(7, &SECRET, &connect.hello, &connect.noise, content);
                let (noise, ..) = answer.expect("an honest Connect opens");
                Accept { client_id: connect.hello.client_id, noise }.encode()
            }),
        };
        result.map(|result| u64::from(mode) << 48 | result)
    }
}

/// The datagram with the client's id and, where a Refuse has it, the client's cookie.
fn addressed(connect: &Connect, datagram: &[u8]) -> Vec<u8> {
    let mut datagram = datagram.to_vec();
    if datagram.len() >= 26 {
        datagram[1..9].copy_from_slice(&connect.hello.client_id);
        if datagram[0] == protocol::wire::packet_type::REFUSE {
            datagram[9..26].copy_from_slice(&connect.cookie);
        }
    }
    datagram
}

fn number(received: Received) -> u64 {
    match received {
        Received::Accepted => 0,
        Received::Dropped(reason) => reason as u64 + 1,
    }
}

fn seeds() -> Vec<Entry> {
    let hello = hello([4; 8]);
    let (_, noise) = Initiator::start(5, &public_key(&SECRET), &hello, b"1.1");
    let connect = Connect { hello: hello.clone(), cookie: [9; 17], noise };
    let other = Hello { version_min: VERSION_MAX + 1, version_max: u16::MAX, ..hello.clone() };
    let stranger = Connect { hello: Hello { schema_hash: 1, ..hello.clone() }, ..connect.clone() };
    let (noise, ..) = respond(6, &SECRET, &hello, &connect.noise, &[0; 20]).expect("an honest Connect opens");
    let accept = Accept { client_id: [4; 8], noise };
    let refuse = Refuse {
        client_id: [4; 8],
        cookie: [9; 17],
        refusal: Refusal::Busy,
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        schema_hash: SCHEMA,
    };
    let offer = SessionOffer {
        session_id: [1; 8],
        version: VERSION_MAX,
        idle_timeout_ms: 65_000,
        packet_bytes_max: 1_140,
        extensions: vec![(1, vec![7; 48]), (9, vec![])],
    };
    let resume = ResumeRequest { id: [1; 16], received: 3, proof: [2; 32] };
    let rows: [(&str, u8, Vec<u8>); 14] = [
        ("hello", RAW, hello.encode()),
        ("connect", RAW, connect.encode()),
        ("connect-with-cookie", COOKIE, connect.encode()),
        ("connect-of-another-version", COOKIE, Connect { hello: other, ..connect.clone() }.encode()),
        ("connect-of-another-schema", COOKIE, stranger.encode()),
        ("token", TOKEN, b"1.1".to_vec()),
        ("token-too-long", TOKEN, vec![b'1'; TOKEN_BYTES_MAX + 1]),
        ("resume-request", TOKEN, resume.encode()),
        ("cookie", TO_FRESH, CookieReply { client_id: [4; 8], cookie: [9; 17] }.encode()),
        ("accept", TO_COURTED, accept.encode()),
        ("refuse", TO_COURTED, refuse.encode()),
        ("offer", OFFER, AcceptPayload::Offer(offer).encode()),
        ("refusal", OFFER, AcceptPayload::Refused(Refusal::TokenUsed).encode()),
        ("late-cookie", TO_COURTED, CookieReply { client_id: [4; 8], cookie: [8; 17] }.encode()),
    ];
    rows.into_iter().map(|(name, mode, bytes)| (name.to_owned(), [&[mode], &bytes[..]].concat())).collect()
}
