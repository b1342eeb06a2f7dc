//! The public-key half of a handshake: about 0.3 ms that a worker thread takes off the I/O thread.

use std::sync::Arc;

use protocol::jwt::TOKEN_BYTES_MAX;
use protocol::token::JoinClaims;
use protocol::wire::{
    Accept, AcceptPayload, ConnectionId, EXTENSION_RESUME_TICKET, PACKET_BYTES_MAX, Refusal, ResumeBinder, ResumeId,
    ResumeRequest, ResumeTicket, SessionOffer,
};
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
    /// What the client can come back with once it is in.
    pub(super) ticket: ResumeTicket,
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
    /// The credential itself: TLS has done its part on the connection already, and gave what a proof is bound to.
    Quic { credential: Zeroizing<Vec<u8>>, exported: [u8; 32] },
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
    Offered { answer: Vec<u8>, keys: Option<SessionKeys>, grant: Box<Grant> },
}

/// Who comes in, and by what right.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) claims: JoinClaims,
    pub(super) entry: Entry,
    /// What the client was given to come back with.
    pub(super) ticket: ResumeTicket,
}

/// What a client came in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// A join token.
    Token,
    /// A resume ticket; the client lacks this segment of the server's reliable stream.
    Ticket { id: ResumeId, lacks: u32 },
}

impl Entry {
    /// The ticket that it was.
    pub(super) fn ticket(self) -> Option<ResumeId> {
        match self {
            Self::Token => None,
            Self::Ticket { id, .. } => Some(id),
        }
    }
}

impl HandshakeJob {
    /// Decrypts the client's first Noise message, has its token verified by `verify`, or checks the proof of a resume
    /// ticket, and writes the encrypted answer.
    /// `verify` checks signature, expiry and audience, and whatever else the server knows of the player; that a token
    /// is used once is the endpoint's part.
    pub fn run(mut self, verify: &dyn Fn(&str) -> Result<JoinClaims, Refusal>) -> HandshakeDone {
        let outcome = self.outcome(verify);
        HandshakeDone { key: self.key, number: self.number, outcome: outcome.unwrap_or(Outcome::Undecryptable) }
    }

    fn outcome(&mut self, verify: &dyn Fn(&str) -> Result<JoinClaims, Refusal>) -> Result<Outcome, snow::Error> {
        let (answer, keys, decided) = match &mut self.asked {
            Asked::Native { client_id, static_secret, entropy, prologue, noise } => {
                let (client_id, (responder, credential)) =
                    (*client_id, Responder::read(entropy, static_secret, prologue, noise)?);
                let ephemeral = *noise.first_chunk().expect("a message that was read begins with its key");
                let decided = self.decide(&credential, &ResumeBinder::Native { ephemeral, client_id }, verify);
                let (noise, keys) = responder.finish(&self.payload(&decided).encode())?;
                (Accept { client_id, noise }.encode(), Some(keys), decided)
            }
            Asked::Quic { credential, exported } => {
                let (credential, binder) = (std::mem::take(credential), ResumeBinder::Quic(*exported));
                let decided = self.decide(&credential, &binder, verify);
                (self.payload(&decided).encode(), None, decided)
            }
        };
        Ok(match decided {
            Ok((claims, entry)) => {
                let grant = Grant { claims, entry, ticket: self.ticket.clone() };
                Outcome::Offered { answer, keys, grant: Box::new(grant) }
            }
            Err(refusal) => Outcome::Refused { refusal, answer },
        })
    }

    fn decide(
        &self,
        credential: &[u8],
        binder: &ResumeBinder,
        verify: &dyn Fn(&str) -> Result<JoinClaims, Refusal>,
    ) -> Result<(JoinClaims, Entry), Refusal> {
        if ResumeRequest::is_one(credential) {
            let request = ResumeRequest::decode(credential).map_err(|_| Refusal::TokenMalformed)?;
            let claims = self.admission.redeem(&request, binder)?;
            return Ok((claims, Entry::Ticket { id: request.id, lacks: request.received }));
        }
        let claims = match std::str::from_utf8(credential) {
            Ok(token) if token.len() <= TOKEN_BYTES_MAX => verify(token)?,
            _ => return Err(Refusal::TokenMalformed),
        };
        self.admission.check(&claims, Entry::Token)?;
        Ok((claims, Entry::Token))
    }

    fn payload(&self, decided: &Result<(JoinClaims, Entry), Refusal>) -> AcceptPayload {
        match decided {
            Ok(_) => AcceptPayload::Offer(SessionOffer {
                session_id: self.session_id,
                version: self.version,
                idle_timeout_ms: CLOSED_AFTER.as_millis() as u32,
                packet_bytes_max: PACKET_BYTES_MAX as u16,
                extensions: vec![(EXTENSION_RESUME_TICKET, self.ticket.encode())],
            }),
            Err(refusal) => AcceptPayload::Refused(*refusal),
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::id::{MatchId, PlayerId, ServerId};
    use protocol::wire::ResumeBinder;

    use super::*;
    use crate::endpoint::channel::reliable::Streams;
    use crate::endpoint::noise::{Initiator, public_key};
    use crate::endpoint::quic::server::QuicId;
    use crate::endpoint::resume::{Credential, Resumption};

    fn claims() -> JoinClaims {
        JoinClaims {
            iss: "test".into(),
            aud: ServerId::from_entropy([1; 16]),
            sub: PlayerId::from_entropy([2; 16]),
            mid: MatchId::from_entropy([3; 16]),
            team: 0,
            build: String::new(),
            region: String::new(),
            jti: "used".into(),
            iat: 0,
            exp: 60,
        }
    }

    fn ticket() -> ResumeTicket {
        ResumeTicket { id: [4; 16], secret: [5; 32] }
    }

    /// What a client asks with whose handshake has this binder.
    fn request(binder: ResumeBinder) -> Zeroizing<Vec<u8>> {
        let resumption = Resumption::new(ticket(), &Streams::default());
        Credential::Resume(Box::new(resumption)).request(|| Some(binder)).unwrap()
    }

    fn run(asked: Asked) -> Outcome {
        let mut admission = Admission::new(claims().aud, 1);
        admission.issue(&Grant { claims: claims(), entry: Entry::Token, ticket: ticket() });
        let key = AttemptKey::Quic(QuicId(1));
        let ticket = ResumeTicket { id: [6; 16], secret: [7; 32] };
        let job = HandshakeJob {
            key,
            number: 0,
            asked,
            session_id: [8; 8],
            version: 1,
            ticket,
            admission: Arc::new(admission),
        };
        job.run(&|_| panic!("a resume request is no join token")).outcome
    }

    fn is_offered(outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Offered { grant, .. } => {
                assert_eq!((grant.claims.sub, grant.entry), (claims().sub, Entry::Ticket { id: [4; 16], lacks: 0 }));
                true
            }
            Outcome::Refused { refusal: Refusal::ResumeTicket, .. } => false,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_proof_over_quic_is_worthless_on_another_connection() {
        let ask = |exported| run(Asked::Quic { credential: request(ResumeBinder::Quic([9; 32])), exported });
        assert!(is_offered(&ask([9; 32])));
        assert!(!is_offered(&ask([10; 32])));
    }

    #[test]
    fn a_native_proof_is_worthless_in_another_handshake() {
        let secret = [11; 32];
        let ask = |binder: &dyn Fn([u8; 32]) -> ResumeBinder| {
            let entropy = &mut Entropy::new([12; 32]);
            let started = Initiator::start(entropy, &public_key(&secret), b"prologue", |key| request(binder(key)));
            let (_, noise) = started.unwrap();
            run(Asked::Native {
                client_id: [13; 8],
                static_secret: Arc::new(Zeroizing::new(secret)),
                entropy: Box::new(Entropy::new([14; 32])),
                prologue: b"prologue".to_vec(),
                noise,
            })
        };
        let native = |ephemeral, client_id| ResumeBinder::Native { ephemeral, client_id };
        assert!(is_offered(&ask(&|key| native(key, [13; 8]))));
        assert!(!is_offered(&ask(&|_| native([0; 32], [13; 8]))), "of another ephemeral key");
        assert!(!is_offered(&ask(&|key| native(key, [0; 8]))), "of another client id");
        assert!(!is_offered(&ask(&ResumeBinder::Quic)), "of the other carrier");
    }
}
