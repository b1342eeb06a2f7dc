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
    pub(super) asked: Asked,
    pub(super) session_id: ConnectionId,
    pub(super) version: u16,
    pub(super) admission: Arc<Admission>,
}

/// What a client asked with.
#[derive(Debug)]
pub(super) enum Asked {
    /// The first Noise message, and what it takes to read it.
    Native {
        client_id: ConnectionId,
        static_secret: Arc<Zeroizing<[u8; 32]>>,
        entropy: Box<Entropy>,
        prologue: Vec<u8>,
        noise: Vec<u8>,
    },
    /// The credential itself: TLS has done its part on the connection already.
    Quic { credential: Zeroizing<Vec<u8>> },
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
    /// The token was refused; the answer says so.
    Refused { refusal: Refusal, answer: Vec<u8> },
    /// The answer offers a session: under these keys, or over QUIC without any.
    Offered { answer: Vec<u8>, keys: Option<SessionKeys>, claims: Box<JoinClaims> },
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
        let (answer, keys, decided) = match &mut self.asked {
            Asked::Native { client_id, static_secret, entropy, prologue, noise } => {
                let (client_id, (responder, token)) =
                    (*client_id, Responder::read(entropy, static_secret, prologue, noise)?);
                let decided = self.decide(&token, verify);
                let (noise, keys) = responder.finish(&self.payload(&decided).encode())?;
                (Accept { client_id, noise }.encode(), Some(keys), decided)
            }
            Asked::Quic { credential } => {
                let credential = std::mem::take(credential);
                let decided = self.decide(&credential, verify);
                (self.payload(&decided).encode(), None, decided)
            }
        };
        Ok(match decided {
            Ok(claims) => Outcome::Offered { answer, keys, claims: Box::new(claims) },
            Err(refusal) => Outcome::Refused { refusal, answer },
        })
    }

    fn decide(
        &self,
        credential: &[u8],
        verify: &dyn Fn(&str) -> Result<JoinClaims, Refusal>,
    ) -> Result<JoinClaims, Refusal> {
        let claims = match std::str::from_utf8(credential) {
            Ok(token) if token.len() <= TOKEN_BYTES_MAX => verify(token)?,
            _ => return Err(Refusal::TokenMalformed),
        };
        self.admission.check(&claims)?;
        Ok(claims)
    }

    fn payload(&self, decided: &Result<JoinClaims, Refusal>) -> AcceptPayload {
        match decided {
            Ok(_) => AcceptPayload::Offer(SessionOffer {
                session_id: self.session_id,
                version: self.version,
                idle_timeout_ms: CLOSED_AFTER.as_millis() as u32,
                packet_bytes_max: PACKET_BYTES_MAX as u16,
                extensions: Vec::new(),
            }),
            Err(refusal) => AcceptPayload::Refused(*refusal),
        }
    }
}
