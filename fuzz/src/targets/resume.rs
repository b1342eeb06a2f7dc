//! Coming back to a seat: requests with good proofs and bad, what a client keeps in a file, where its streams go on.
//!
//! Case: mode (1 byte), content.

use netcode::endpoint::{ClientEndpoint, Credential, RESUMPTION_BYTES_MAX, Resumption};
use protocol::wire::{
    Accept, AcceptPayload, Connect, Frame, RESUME_REQUEST_BYTES, Refusal, Refuse, ResumeBinder, ResumeRequest,
    ResumeTicket,
};
use ring::hmac;

use super::sessions::{SECRET, Server, address, client_by, deceived_by, hello, server_address};
use crate::peer::{Initiator, Link, public_key};
use crate::target::{Entry, Listed, Target, check};

pub(crate) const TARGET: Listed = Listed {
    name: "resume",
    what: "resume requests with good and bad proofs, kept resumptions, and where the reliable streams go on",
    cases_per_world: 256,
    bytes_max: 1_101,
    world: || Box::new(World::new()),
    seeds,
};

const MODES: u8 = 3;
/// `received u32`, then what is laid over the honest request for it (exclusive or).
const REQUEST: u8 = 0;
/// The bytes of a resumption.
const FILE: u8 = 1;
/// Frames under real keys to a client that resumes.
const STREAMS: u8 = 2;

struct World {
    server: Server,
    ticket: ResumeTicket,
    requests: u64,
    resuming: Option<(ClientEndpoint, Link)>,
}

impl World {
    fn new() -> Self {
        let mut server = Server::new();
        let (offer, ..) = server.join(1, 1, address(1)).expect("an honest client and an honest server connect");
        let ticket = offer.resume_ticket().expect("an offer has a ticket");
        Self { server, ticket, requests: 0, resuming: None }
    }

    /// The server lets in who proves its ticket and lacks what exists, and nobody else.
    fn ask(&mut self, content: &[u8]) -> Result<u64, String> {
        self.requests += 1;
        let (received, mask) = content.split_at(content.len().min(4));
        let mut number = [0; 4];
        number[..received.len()].copy_from_slice(received);
        let received = u32::from_le_bytes(number);
        let mut hello = hello([8; 8]);
        hello.client_id.copy_from_slice(&self.requests.to_le_bytes());
        let server_key = public_key(&SECRET);
        // The same seed gives the same ephemeral key.
        let (_, noise) = Initiator::start(self.requests, &server_key, &hello, b"");
        let ephemeral = *noise.first_chunk().ok_or("message 1 begins with a key")?;
        let binder = ResumeBinder::Native { ephemeral, client_id: hello.client_id };
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.ticket.secret);
        let proof = hmac::sign(&key, &binder.proved(received)).as_ref().try_into().map_err(|_| "32 bytes")?;
        let mut request = ResumeRequest { id: self.ticket.id, received, proof }.encode();
        let mask = &mask[..mask.len().min(RESUME_REQUEST_BYTES)];
        request.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        let (initiator, noise) = Initiator::start(self.requests, &server_key, &hello, &request);
        let cookie = self.server.cookie(address(2), &hello)?;
        self.server.sent.clear();
        self.server.events.clear();
        self.server.give(address(2), &Connect { hello, cookie, noise }.encode())?;
        check(self.server.events.is_empty(), || "a session began without a packet under its keys".to_owned())?;
        let outcome = self.outcome(initiator)?;
        let is_honest = mask.iter().all(|byte| *byte == 0) && received == 0;
        check(is_honest == (outcome == 0), || format!("{content:?} led to {outcome}"))?;
        Ok(outcome)
    }

    /// 0 for an offer, or the number of the refusal.
    fn outcome(&self, initiator: Initiator) -> Result<u64, String> {
        let sent = &self.server.sent;
        if let Some(refuse) = sent.iter().find_map(|sent| Refuse::decode(&sent.bytes).ok()) {
            return Ok(refuse.refusal as u64);
        }
        let accept = sent.iter().find_map(|sent| Accept::decode(&sent.bytes).ok()).ok_or("no answer")?;
        let (payload, ..) = initiator.finish(&accept.noise).ok_or("the Accept does not open")?;
        match AcceptPayload::decode(&payload).map_err(|error| format!("our own Accept: {error}"))? {
            AcceptPayload::Offer(_) => Ok(0),
            AcceptPayload::Refused(refusal) => Ok(refusal as u64),
        }
    }

    fn take_file(&mut self, content: &[u8]) -> Result<u64, String> {
        let Ok(resumption) = Resumption::from_bytes(content) else { return Ok(0) };
        check(resumption.to_bytes() == content, || "a resumption writes other bytes than it was read from".to_owned())?;
        check(content.len() <= RESUMPTION_BYTES_MAX, || format!("a resumption of {} bytes", content.len()))?;
        let client = client_by(Credential::Resume(Box::new(resumption.clone())), 1, self.server.now);
        let kept = client.resumption();
        check(kept.as_ref() == Some(&resumption), || "a client that has begun keeps something else".to_owned())?;
        Ok(1)
    }

    fn give_client(&mut self, frames: &[u8]) -> Result<u64, String> {
        self.requests += 1;
        let (now, seed) = (self.server.now, self.requests);
        if self.resuming.as_ref().is_none_or(|(client, _)| !client.is_open()) {
            let resumption = Resumption::from_bytes(&file()).map_err(|error| error.to_string())?;
            self.resuming = Some(deceived_by(Credential::Resume(Box::new(resumption)), seed, now));
        }
        let Some((client, link)) = self.resuming.as_mut() else { return Ok(0) };
        let _ = client.send_message(now, b"more");
        client.handle_timeout(now);
        client.flush(now);
        while let Some(transmit) = client.poll_transmit() {
            link.open(&transmit.bytes);
        }
        let datagram = link.seal(&[&link.acks()[..], frames].concat(), 0);
        let received = client.handle_datagram(now, server_address(), &datagram);
        let mut events = 0;
        while client.poll_event().is_some() {
            events += 1;
        }
        let Some(kept) = client.resumption() else { return Ok(u64::from(events > 0) << 8) };
        let again = Resumption::from_bytes(&kept.to_bytes());
        check(again.as_ref() == Ok(&kept), || "a client keeps what cannot be read".to_owned())?;
        let is_newer = kept.to_bytes()[1..49] != file()[1..49];
        Ok(1 << 16
            | u64::from(events > 0) << 9
            | u64::from(is_newer) << 8
            | u64::from(received == netcode::endpoint::Received::Accepted))
    }
}

impl Target for World {
    fn take(&mut self, case: &[u8]) -> Result<u64, String> {
        let &[mode, ref content @ ..] = case else { return Ok(0) };
        self.server.pass(u64::from(mode / MODES))?;
        let mode = mode % MODES;
        let result = match mode {
            REQUEST => self.ask(content),
            FILE => self.take_file(content),
            _ => self.give_client(content),
        };
        result.map(|result| u64::from(mode) << 48 | result)
    }

    fn finish(&mut self) -> Result<(), String> {
        // Whatever was asked: the ticket is as good as before.
        let outcome = self.ask(&[])?;
        check(outcome == 0, || format!("the owner of the ticket is refused: {:?}", Refusal::from_code(outcome as u16)))
    }
}

/// A client that has read 3 segments and has two messages, from segment 2, on their way.
fn file() -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend(ResumeTicket { id: [1; 16], secret: [2; 32] }.encode());
    bytes.extend([3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 3, 0]);
    bytes.extend(b"one");
    bytes.extend([3, 0]);
    bytes.extend(b"two");
    bytes
}

fn seeds() -> Vec<Entry> {
    let frames = |frames: &[Frame<'_>]| {
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.encode(&mut bytes));
        bytes
    };
    let reliable = |id| Frame::Reliable { id, more: false, payload: b"message" };
    let rows = [
        ("honest", REQUEST, vec![0; 4]),
        ("too-much", REQUEST, vec![9, 0, 0, 0]),
        ("another-ticket", REQUEST, vec![0, 0, 0, 0, 0, 1]),
        ("another-proof", REQUEST, [vec![0; 4 + RESUME_REQUEST_BYTES - 1], vec![1]].concat()),
        ("file", FILE, file()),
        ("resumed", STREAMS, frames(&[Frame::Resumed { next: 3, received: 2 }, reliable(3)])),
        ("later", STREAMS, frames(&[Frame::Resumed { next: 7, received: 3 }, Frame::Ping, reliable(7)])),
        ("all-known", STREAMS, frames(&[Frame::Resumed { next: 3, received: 4 }])),
        ("newer-server", STREAMS, frames(&[Frame::Resumed { next: 3, received: 99 }])),
        ("backwards", STREAMS, frames(&[Frame::Resumed { next: 1, received: 0 }])),
        ("untold", STREAMS, frames(&[reliable(3)])),
    ];
    rows.into_iter().map(|(name, mode, bytes)| (name.to_owned(), [&[mode], &bytes[..]].concat())).collect()
}
