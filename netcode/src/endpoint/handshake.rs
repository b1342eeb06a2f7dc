//! The public-key half of a handshake: about 0.3 ms that a worker thread takes off the I/O thread.

use std::sync::Arc;

use protocol::jwt::TOKEN_BYTES_MAX;
use protocol::token::JoinClaims;
use protocol::wire::{Accept, AcceptPayload, ConnectionId, PACKET_BYTES_MAX, Refusal, SessionOffer};
use zeroize::Zeroizing;

use super::admission::Admission;
use super::half_open::AttemptKey;
use super::limits::CLOSED_AFTER;
use super::noise::{Responder, SessionKeys};
use crate::Entropy;

/// Public-key work of one handshake, to be run on a bounded worker and handed to
/// [`ServerEndpoint::complete_handshake`](super::ServerEndpoint::complete_handshake). A job that is dropped costs its
/// client a retry, nothing else.
#[derive(Debug)]
pub struct HandshakeJob {
    pub(super) key: AttemptKey,
    pub(super) number: u64,
    pub(super) static_secret: Arc<Zeroizing<[u8; 32]>>,
    pub(super) entropy: Entropy,
    pub(super) prologue: Vec<u8>,
    pub(super) noise: Vec<u8>,
    pub(super) session_id: ConnectionId,
    pub(super) version: u16,
    pub(super) admission: Arc<Admission>,
}

/// What became of a [`HandshakeJob`].
#[derive(Debug)]
pub struct HandshakeDone {
    pub(super) key: AttemptKey,
    pub(super) number: u64,
    pub(super) outcome: Outcome,
}

#[derive(Debug)]
pub(super) enum Outcome {
    /// Message 1 is not for our key, or was changed.
    Undecryptable,
    /// The token was refused; the Accept says so.
    Refused { refusal: Refusal, accept: Vec<u8> },
    /// The Accept offers a session under these keys.
    Offered { accept: Vec<u8>, keys: SessionKeys, claims: Box<JoinClaims> },
}

impl HandshakeJob {
    /// Decrypts the client's first Noise message, has its token verified by `verify` and writes the encrypted answer.
    /// `verify` checks signature, expiry and audience, and whatever else the server knows of the player; that a token
    /// is used once is the endpoint's part.
    pub fn run(mut self, verify: &dyn Fn(&str) -> Result<JoinClaims, Refusal>) -> HandshakeDone {
        let outcome = self.outcome(verify);
        HandshakeDone { key: self.key, number: self.number, outcome: outcome.unwrap_or(Outcome::Undecryptable) }
    }

    fn outcome(&mut self, verify: &dyn Fn(&str) -> Result<JoinClaims, Refusal>) -> Result<Outcome, snow::Error> {
        let (responder, token) = Responder::read(&mut self.entropy, &self.static_secret, &self.prologue, &self.noise)?;
        let decided = match std::str::from_utf8(&token) {
            Ok(token) if token.len() <= TOKEN_BYTES_MAX => verify(token),
            _ => Err(Refusal::TokenMalformed),
        };
        let decided = decided.and_then(|claims| self.admission.check(&claims).map(|()| claims));
        let payload = match &decided {
            Ok(_) => AcceptPayload::Offer(SessionOffer {
                session_id: self.session_id,
                version: self.version,
                idle_timeout_ms: CLOSED_AFTER.as_millis() as u32,
                packet_bytes_max: PACKET_BYTES_MAX as u16,
                extensions: Vec::new(),
            }),
            Err(refusal) => AcceptPayload::Refused(*refusal),
        };
        let (noise, keys) = responder.finish(&payload.encode())?;
        let accept = Accept { client_id: self.key.0, noise }.encode();
        Ok(match decided {
            Ok(claims) => Outcome::Offered { accept, keys, claims: Box::new(claims) },
            Err(refusal) => Outcome::Refused { refusal, accept },
        })
    }
}
