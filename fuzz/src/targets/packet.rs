//! Datagrams of live sessions, both directions: raw ones, and plaintexts that a peer with real keys has sealed.
//!
//! Case: mode (1 byte), time that passes (1 byte), content. Beside the hostile sessions an honest client plays on the same
//! server, and must not notice.

use netcode::Micros;
use netcode::endpoint::{
    BULK_BYTES_MAX, ClientEndpoint, ClientEvent, MESSAGE_BYTES_MAX, Received, ServerEvent, SessionId,
    UNRELIABLE_BYTES_MAX,
};
use protocol::wire::{CloseReason, Frame};

use super::sessions::{Server, address, client, deceived, is_data, server_address};
use crate::peer::Link;
use crate::target::{Entry, Listed, Target, check};

pub(crate) const TARGET: Listed = Listed {
    name: "packet",
    what: "datagrams of live sessions, raw and sealed under real keys, towards server and client",
    cases_per_world: 256,
    bytes_max: 1_400,
    world: || Box::new(World::new()),
    seeds,
};

/// Towards the client; otherwise towards the server.
const TO_CLIENT: u8 = 0x01;
/// The content is a plaintext, to be sealed; otherwise a datagram.
const SEALED: u8 = 0x02;
/// Honest acks go before the plaintext; otherwise it brings its own.
const ACKS: u8 = 0x04;
/// A datagram gets the live session's connection id.
const ROUTED: u8 = 0x08;
/// It comes from an address that the session does not have.
const ELSEWHERE: u8 = 0x10;
/// The endpoint has something to send, so that acks have something to acknowledge.
const BUSY: u8 = 0x20;
/// 2,000 sequences are skipped.
const SKIP: u8 = 0x40;
/// Time is in units of 100 ms instead of 1 ms.
const SLOW: u8 = 0x80;

const HONEST: u16 = 1;
const HOSTILE: u16 = 2;

struct World {
    server: Server,
    honest: ClientEndpoint,
    honest_session: SessionId,
    /// The hostile client's session, while it lives.
    hostile: Option<(Link, SessionId)>,
    serial: u32,
    /// A client whose server is hostile, while its session lives.
    deceived: Option<(ClientEndpoint, Link)>,
    deceptions: u64,
}

impl World {
    fn new() -> Self {
        let server = Server::new();
        let honest = client("9.1", 77, server.now);
        let mut world = Self {
            honest,
            honest_session: SessionId(0),
            hostile: None,
            serial: 0,
            deceived: None,
            deceptions: 0,
            server,
        };
        world.pump().expect("an honest client and an honest server connect");
        assert!(world.honest.is_open(), "the honest client is connected");
        world
    }

    /// Carries the honest client's datagrams to and fro until both are silent.
    fn pump(&mut self) -> Result<(), String> {
        for _ in 0..8 {
            let now = self.server.now;
            self.honest.handle_timeout(now);
            self.honest.flush(now);
            let mut is_silent = true;
            while let Some(transmit) = self.honest.poll_transmit() {
                is_silent = false;
                self.server.give(address(HONEST), &transmit.bytes)?;
            }
            for event in &self.server.events {
                if let ServerEvent::Connected { session, remote, .. } = event
                    && *remote == address(HONEST)
                {
                    self.honest_session = *session;
                }
            }
            self.server.flush()?;
            self.deliver();
            if is_silent {
                break;
            }
        }
        Ok(())
    }

    /// Hands what the server sent to whom it is for.
    fn deliver(&mut self) {
        for transmit in std::mem::take(&mut self.server.sent) {
            if transmit.to == address(HONEST) {
                self.honest.handle_datagram(self.server.now, server_address(), &transmit.bytes);
            } else if let Some((link, _)) = self.hostile.as_mut().filter(|_| is_data(&transmit.bytes)) {
                link.open(&transmit.bytes);
            }
        }
    }

    fn give_server(&mut self, mode: u8, content: &[u8]) -> Result<u64, String> {
        if self.hostile.is_none() {
            self.serial += 1;
            self.hostile = Some(self.server.connect(1, self.serial, address(HOSTILE))?);
            self.deliver();
        }
        let Some((link, session)) = self.hostile.as_mut() else { return Ok(0) };
        let session = *session;
        if mode & BUSY != 0 {
            let _ = self.server.endpoint.send_unreliable(self.server.now, session, &[7; 60], Some(3));
            let _ = self.server.endpoint.send_message(self.server.now, session, &[8; 1_500]);
            let _ = self.server.endpoint.send_bulk(self.server.now, session, vec![9; 3_000]);
            self.server.endpoint.flush(self.server.now);
        }
        let datagram = datagram(link, mode, content);
        let from = if mode & ELSEWHERE == 0 { address(HOSTILE) } else { address(3 + u16::from(mode >> 6)) };
        self.server.events.clear();
        let received = self.server.give(from, &datagram)?;
        let mut seen = 0;
        for event in &self.server.events {
            let (kind, whose) = kind(event);
            seen |= 1 << kind;
            check(whose != self.honest_session, || format!("a stranger's datagram caused {event:?}"))?;
            if matches!(event, ServerEvent::Closed { session: closed, .. } if *closed == session) {
                self.hostile = None;
            }
        }
        self.server.flush()?;
        self.deliver();
        Ok(result(mode, received, seen))
    }

    fn give_client(&mut self, mode: u8, content: &[u8]) -> Result<u64, String> {
        let now = self.server.now;
        if self.deceived.as_ref().is_none_or(|(client, _)| !client.is_open()) {
            self.deceptions += 1;
            self.deceived = Some(deceived(self.deceptions, now));
        }
        let Some((client, link)) = self.deceived.as_mut() else { return Ok(0) };
        if mode & BUSY != 0 {
            let _ = client.send_unreliable(now, &[7; 60], Some(3));
            let _ = client.send_message(now, &[8; 1_500]);
        }
        client.handle_timeout(now);
        client.flush(now);
        while let Some(transmit) = client.poll_transmit() {
            link.open(&transmit.bytes);
        }
        while client.poll_event().is_some() {}
        let before = (client.counters().datagrams_in, client.counters().dropped_total());
        let datagram = datagram(link, mode, content);
        let from = if mode & ELSEWHERE == 0 { server_address() } else { address(3) };
        let received = client.handle_datagram(now, from, &datagram);
        let after = (client.counters().datagrams_in, client.counters().dropped_total());
        let expected = (before.0 + 1, before.1 + u64::from(received != Received::Accepted));
        check(after == expected, || format!("counted {after:?} datagrams in and dropped, were {expected:?}"))?;
        let (mut seen, mut events) = (0, 0);
        while let Some(event) = client.poll_event() {
            events += 1;
            seen |= 1 << client_kind(&event)?;
        }
        check(events < 2_048, || format!("one datagram caused {events} events"))?;
        Ok(result(mode, received, seen))
    }
}

impl Target for World {
    fn take(&mut self, case: &[u8]) -> Result<u64, String> {
        let &[mode, time, ref content @ ..] = case else { return Ok(0) };
        let ms = u64::from(time) * if mode & SLOW == 0 { 1 } else { 100 };
        self.server.pass(ms)?;
        self.pump()?;
        let result =
            if mode & TO_CLIENT == 0 { self.give_server(mode, content) } else { self.give_client(mode, content) };
        self.server.events.clear();
        result
    }

    fn finish(&mut self) -> Result<(), String> {
        check(self.honest.is_open(), || "the honest client lost its session".to_owned())?;
        let now = self.server.now;
        self.honest
            .send_message(now, b"still here")
            .map_err(|error| format!("the honest client cannot send: {error}"))?;
        self.server.events.clear();
        for _ in 0..40 {
            self.server.pass(25)?;
            self.pump()?;
        }
        let whole = ServerEvent::Message { session: self.honest_session, payload: b"still here".to_vec() };
        check(self.server.events.contains(&whole), || "the honest client's message did not arrive".to_owned())
    }
}

fn datagram(link: &mut Link, mode: u8, content: &[u8]) -> Vec<u8> {
    if mode & SEALED == 0 {
        let mut datagram = content.to_vec();
        if mode & ROUTED != 0 && datagram.len() >= 9 {
            datagram[1..9].copy_from_slice(&link.peer_id);
        }
        return datagram;
    }
    let acks = if mode & ACKS == 0 { vec![] } else { link.acks().to_vec() };
    let skip = if mode & SKIP == 0 { 0 } else { 2_000 };
    link.seal(&[acks.as_slice(), content].concat(), skip)
}

fn result(mode: u8, received: Received, seen: u64) -> u64 {
    let reason = match received {
        Received::Accepted => 0,
        Received::Dropped(reason) => reason as u64 + 1,
    };
    u64::from(mode & (TO_CLIENT | SEALED | ELSEWHERE | ROUTED)) << 32 | reason << 16 | seen
}

fn kind(event: &ServerEvent) -> (u32, SessionId) {
    match event {
        ServerEvent::Connected { session, .. } => (0, *session),
        ServerEvent::Unreliable { session, .. } => (1, *session),
        ServerEvent::Message { session, .. } => (2, *session),
        ServerEvent::Delivered { session, .. } => (3, *session),
        ServerEvent::Silent { session } => (4, *session),
        ServerEvent::Heard { session } => (5, *session),
        ServerEvent::Closed { session, by_peer, .. } => (6 + u32::from(*by_peer), *session),
    }
}

fn client_kind(event: &ClientEvent) -> Result<u32, String> {
    let (kind, bytes, bytes_max) = match event {
        ClientEvent::Unreliable { payload } => (1, payload.len(), UNRELIABLE_BYTES_MAX),
        ClientEvent::Message { payload } => (2, payload.len(), MESSAGE_BYTES_MAX),
        ClientEvent::Bulk { payload } => (3, payload.len(), BULK_BYTES_MAX),
        ClientEvent::Delivered { .. } => (4, 0, 0),
        ClientEvent::Closed { by_peer, .. } => (5 + u32::from(*by_peer), 0, 0),
        ClientEvent::Silent | ClientEvent::Heard => (7, 0, 0),
        ClientEvent::Connected { .. } | ClientEvent::Refused { .. } | ClientEvent::TimedOut => {
            return Err(format!("a client with a session told {event:?}"));
        }
    };
    check(bytes <= bytes_max, || format!("a payload of {bytes} bytes, at most {bytes_max}"))?;
    Ok(kind)
}

/// Packets of a real session in both directions, raw and opened, and frames that it does not happen to hold.
fn seeds() -> Vec<Entry> {
    let mut seeds = Vec::new();
    let mut server = Server::new();
    let (mut link, session) = server.connect(1, 1, address(HOSTILE)).expect("an honest session");
    let now: Micros = server.now;
    let endpoint = &mut server.endpoint;
    endpoint.send_unreliable(now, session, &[7; 60], Some(3)).expect("sent");
    endpoint.send_message(now, session, &[8; 1_500]).expect("sent");
    endpoint.send_bulk(now, session, vec![9; 3_000]).expect("sent");
    server.flush().expect("sent");
    server.endpoint.close(now, session, CloseReason::MatchEnded);
    server.pass(3_200).expect("closed");
    for (number, transmit) in server.sent.iter().filter(|sent| is_data(&sent.bytes)).enumerate() {
        seeds.push((format!("server-raw-{number}"), [&[TO_CLIENT | ROUTED, 1], &transmit.bytes[..]].concat()));
        let Some(plain) = link.open(&transmit.bytes) else { continue };
        seeds.push((format!("server-plain-{number}"), [&[TO_CLIENT | SEALED, 1], &plain[..]].concat()));
    }
    let (mut client, mut link) = deceived(1, now);
    client.send_unreliable(now, &[7; 60], Some(3)).expect("sent");
    client.send_message(now, &[8; 1_500]).expect("sent");
    client.flush(now);
    client.close(now, CloseReason::Left);
    let mut number = 0;
    while let Some(transmit) = client.poll_transmit() {
        number += 1;
        seeds.push((format!("client-raw-{number}"), [&[ROUTED, 1], &transmit.bytes[..]].concat()));
        let Some(plain) = link.open(&transmit.bytes) else { continue };
        seeds.push((format!("client-plain-{number}"), [&[SEALED, 1], &plain[..]].concat()));
        seeds.push((format!("client-frames-{number}"), [&[SEALED | ACKS | BUSY, 30], &plain[10..]].concat()));
    }
    seeds.extend(frame_seeds());
    seeds
}

/// One entry per frame, and some rows of them, towards both ends.
fn frame_seeds() -> Vec<Entry> {
    let rows: [(&str, &[Frame<'_>]); 10] = [
        ("ping", &[Frame::Padding, Frame::Ping]),
        ("unreliable", &[Frame::Unreliable(b"first"), Frame::Unreliable(b""), Frame::Unreliable(b"third")]),
        (
            "reliable",
            &[
                Frame::Reliable { id: 0, more: true, payload: b"part" },
                Frame::Reliable { id: 1, more: false, payload: b"end" },
            ],
        ),
        (
            "early",
            &[
                Frame::Reliable { id: 2, more: false, payload: b"later" },
                Frame::Reliable { id: 255, more: true, payload: b"far" },
            ],
        ),
        ("bulk", &[Frame::Bulk { transfer: 0, chunk: 0, chunks: 1, payload: b"whole" }]),
        ("chunk", &[Frame::Bulk { transfer: 0, chunk: 1, chunks: 2, payload: b"rest" }]),
        ("close", &[Frame::Close(CloseReason::Left)]),
        ("challenge", &[Frame::PathChallenge([1; 8]), Frame::PathChallenge([2; 8])]),
        ("response", &[Frame::PathResponse([3; 8])]),
        ("resumed", &[Frame::Resumed { next: 1, received: 0 }, Frame::Ping]),
    ];
    let mut seeds = Vec::new();
    for (name, frames) in rows {
        for (side, direction) in [("server", 0), ("client", TO_CLIENT)] {
            let mut bytes = vec![direction | SEALED | ACKS, 17];
            frames.iter().for_each(|frame| frame.encode(&mut bytes));
            seeds.push((format!("to-{side}-{name}"), bytes));
        }
    }
    seeds.push(("moved".to_owned(), vec![SEALED | ACKS | ELSEWHERE, 200, 1]));
    seeds.push(("skipped".to_owned(), vec![SEALED | ACKS | SKIP, 1, 1]));
    seeds.push(("silent".to_owned(), vec![SEALED | ACKS | SLOW, 60, 1]));
    seeds
}
