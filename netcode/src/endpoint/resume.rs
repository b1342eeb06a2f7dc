//! Coming back to a seat: proofs of a resume ticket, and what a client keeps to come back with.

use std::fmt;

use protocol::jwt::TOKEN_BYTES_MAX;
use protocol::wire::{RESUME_PROOF_BYTES, ResumeBinder, ResumeRequest, ResumeTicket};
use ring::hmac;
use zeroize::{Zeroize as _, Zeroizing};

use super::MESSAGE_BYTES_MAX;
use super::channel::reliable::{Streams, StreamsError};
use super::limits::{RELIABLE_BYTES_MAX, RELIABLE_SEGMENTS_MAX};

/// First byte of a resumption's bytes.
const FORMAT: u8 = 1;

/// By what right a client asks for its seat.
#[derive(Clone)]
pub enum Credential {
    /// A join token, fetched right before: it lives for a minute.
    JoinToken(String),
    /// What an earlier session of the same player in the same match left.
    Resume(Box<Resumption>),
}

impl Credential {
    /// What the handshake carries; `binder` is asked for only by a resumption. None for a token that is too long to be one.
    pub(super) fn request(&self, binder: impl FnOnce() -> Option<ResumeBinder>) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Self::JoinToken(token) if token.len() > TOKEN_BYTES_MAX => None,
            Self::JoinToken(token) => Some(Zeroizing::new(token.clone().into_bytes())),
            Self::Resume(resumption) => {
                let Resumption { ticket, received, .. } = &**resumption;
                let proof = prove(ticket, &binder()?, *received);
                Some(Zeroizing::new(ResumeRequest { id: ticket.id, received: *received, proof }.encode()))
            }
        }
    }

    pub(super) fn resumption(&self) -> Option<&Resumption> {
        match self {
            Self::JoinToken(_) => None,
            Self::Resume(resumption) => Some(resumption),
        }
    }
}

impl From<String> for Credential {
    fn from(join_token: String) -> Self {
        Self::JoinToken(join_token)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::JoinToken(_) => "JoinToken(..)",
            Self::Resume(_) => "Resume(..)",
        })
    }
}

fn key(ticket: &ResumeTicket) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &ticket.secret)
}

fn prove(ticket: &ResumeTicket, binder: &ResumeBinder, received: u32) -> [u8; RESUME_PROOF_BYTES] {
    let tag = hmac::sign(&key(ticket), &binder.proved(received));
    tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
}

/// Whether a request proves the ticket's secret in this very handshake; takes the same time for every wrong proof.
pub(super) fn is_proved(ticket: &ResumeTicket, binder: &ResumeBinder, request: &ResumeRequest) -> bool {
    hmac::verify(&key(ticket), &binder.proved(request.received), &request.proof).is_ok()
}

/// What a client keeps of a session to come back with: the ticket, how far it has read the server's reliable messages,
/// and its own that the server may not have. Its bytes may be kept in a file: whoever has them has the seat.
///
/// Taken at the end of a session, it makes reliable messages arrive exactly once in both directions. From bytes that were
/// kept earlier, what the server has learned since to be delivered is not sent again, what it has not is sent (perhaps
/// again), and messages of the client's own that were sent later are not known to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Resumption {
    ticket: ResumeTicket,
    received: u32,
    /// Id of the first segment of `outgoing`.
    first: u32,
    /// Whole messages, at most what a session may have unacknowledged.
    outgoing: Vec<Vec<u8>>,
}

/// Bytes that are no [`Resumption`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are no resumption, or one of another version: connect with a fresh join token")]
pub struct ResumptionError;

impl Resumption {
    pub(super) fn new(ticket: ResumeTicket, streams: &Streams) -> Self {
        let (first, outgoing) = streams.sender.messages();
        Self { ticket, received: streams.receiver.delivered(), first, outgoing }
    }

    pub(super) fn ticket(&self) -> &ResumeTicket {
        &self.ticket
    }

    /// The streams as they were.
    pub(super) fn streams(&self) -> Result<Streams, StreamsError> {
        Streams::restore(self.received, self.first, &self.outgoing)
    }

    /// Its bytes, for a file that nobody else may read: `1 · ticket 48 · received u32 · first u32 · count u16 ·` and for
    /// each message `length u16 · bytes`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        out.extend_from_slice(&self.ticket.encode());
        out.extend_from_slice(&self.received.to_le_bytes());
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&(self.outgoing.len() as u16).to_le_bytes());
        for message in &self.outgoing {
            out.extend_from_slice(&(message.len() as u16).to_le_bytes());
            out.extend_from_slice(message);
        }
        out
    }

    /// Reads [`to_bytes`](Self::to_bytes).
    ///
    /// # Errors
    /// [`ResumptionError`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ResumptionError> {
        let mut rest = bytes;
        if take(&mut rest, 1)? != [FORMAT] {
            return Err(ResumptionError);
        }
        let ticket = ResumeTicket::decode(take(&mut rest, ResumeTicket::BYTES)?).map_err(|_| ResumptionError)?;
        let (received, first) = (number(&mut rest)?, number(&mut rest)?);
        let count = length(&mut rest)?;
        if count > RELIABLE_SEGMENTS_MAX {
            return Err(ResumptionError);
        }
        let mut outgoing = Vec::with_capacity(count);
        for _ in 0..count {
            let length = length(&mut rest)?;
            outgoing.push(take(&mut rest, length)?.to_vec());
        }
        let resumption = Self { ticket, received, first, outgoing };
        if rest.is_empty() && resumption.streams().is_ok() { Ok(resumption) } else { Err(ResumptionError) }
    }
}

impl Drop for Resumption {
    fn drop(&mut self) {
        self.ticket.secret.zeroize();
    }
}

impl fmt::Debug for Resumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resumption").field("received", &self.received).finish_non_exhaustive()
    }
}

/// Longest bytes of a [`Resumption`]: all that a session may have unacknowledged, and what goes around it.
pub const RESUMPTION_BYTES_MAX: usize = 1 + ResumeTicket::BYTES + 10 + RELIABLE_BYTES_MAX + 2 * RELIABLE_SEGMENTS_MAX;

// A message's length fits its two bytes.
const _: () = assert!(MESSAGE_BYTES_MAX <= u16::MAX as usize);

fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> Result<&'a [u8], ResumptionError> {
    let (taken, left) = rest.split_at_checked(bytes).ok_or(ResumptionError)?;
    *rest = left;
    Ok(taken)
}

fn number(rest: &mut &[u8]) -> Result<u32, ResumptionError> {
    take(rest, 4)?.try_into().map(u32::from_le_bytes).map_err(|_| ResumptionError)
}

fn length(rest: &mut &[u8]) -> Result<usize, ResumptionError> {
    take(rest, 2)?.try_into().map(u16::from_le_bytes).map(usize::from).map_err(|_| ResumptionError)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resumption() -> Resumption {
        let ticket = ResumeTicket { id: [1; 16], secret: [2; 32] };
        let streams = Streams::restore(7, 3, &[b"one".to_vec(), vec![5; 3_000], Vec::new()]).unwrap();
        Resumption::new(ticket, &streams)
    }

    #[test]
    fn a_resumption_reads_back_and_nothing_else_is_one() {
        let bytes = resumption().to_bytes();
        assert!(bytes.len() <= RESUMPTION_BYTES_MAX);
        assert_eq!(Resumption::from_bytes(&bytes), Ok(resumption()));
        for cut in 0..bytes.len() {
            assert_eq!(Resumption::from_bytes(&bytes[..cut]), Err(ResumptionError), "{cut}");
        }
        assert_eq!(Resumption::from_bytes(&[&bytes[..], b"x"].concat()), Err(ResumptionError));
        assert_eq!(Resumption::from_bytes(&[&[9], &bytes[1..]].concat()), Err(ResumptionError));
    }

    #[test]
    fn a_proof_fits_its_ticket_its_handshake_and_its_count_only() {
        let ticket = ResumeTicket { id: [1; 16], secret: [2; 32] };
        let binder = ResumeBinder::Quic([3; 32]);
        let request = ResumeRequest { id: [1; 16], received: 4, proof: prove(&ticket, &binder, 4) };
        assert!(is_proved(&ticket, &binder, &request));
        assert!(!is_proved(&ResumeTicket { secret: [9; 32], ..ticket.clone() }, &binder, &request));
        assert!(!is_proved(&ticket, &ResumeBinder::Quic([4; 32]), &request));
        assert!(!is_proved(&ticket, &binder, &ResumeRequest { received: 5, ..request.clone() }));
        let native = ResumeBinder::Native { ephemeral: [3; 32], client_id: [0; 8] };
        assert!(!is_proved(&ticket, &native, &request));
    }
}
