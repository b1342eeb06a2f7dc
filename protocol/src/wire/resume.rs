//! Coming back to a seat: the ticket that an offer carries, and the request that a client proves it with.
//!
//! The secret travels once, inside the encryption of the offer. A request shows a proof instead, which is bound to the
//! very handshake that carries it:
//!
//! ```text
//! proof = HMAC-SHA256(secret, "muster/1 resume" · carrier u8 · binder · received u32)
//! carrier 1, native UDP: binder = the client's ephemeral key of Noise message 1 (32) · client id (8)
//! carrier 2, QUIC:       binder = 32 bytes of the TLS exporter, label "muster/1 resume", empty context
//! ```

use std::fmt;

use super::cursor::Cursor;
use super::{ConnectionId, SessionOffer, WireError};

/// Kind of the offer's extension that holds a [`ResumeTicket`].
pub const EXTENSION_RESUME_TICKET: u16 = 1;
/// First byte of a [`ResumeRequest`]; a join token is text and begins otherwise.
pub const RESUME_REQUEST: u8 = 0x01;
/// Length of a [`ResumeRequest`].
pub const RESUME_REQUEST_BYTES: usize = 1 + RESUME_ID_BYTES + 4 + RESUME_PROOF_BYTES;
/// Length of a ticket's id.
pub const RESUME_ID_BYTES: usize = 16;
/// Length of a ticket's secret.
pub const RESUME_SECRET_BYTES: usize = 32;
/// Length of a proof.
pub const RESUME_PROOF_BYTES: usize = 32;
/// First bytes of what is proved, and the label of the TLS exporter.
pub const RESUME_LABEL: &[u8; 15] = b"muster/1 resume";

/// Names a ticket; public.
pub type ResumeId = [u8; RESUME_ID_BYTES];

/// By what a client proves that a seat is its own: `id 16 · secret 32`.
#[derive(Clone, PartialEq, Eq)]
pub struct ResumeTicket {
    /// Names the ticket.
    pub id: ResumeId,
    /// Never sent again.
    pub secret: [u8; RESUME_SECRET_BYTES],
}

impl ResumeTicket {
    /// Length of a ticket.
    pub const BYTES: usize = RESUME_ID_BYTES + RESUME_SECRET_BYTES;

    /// The ticket's bytes, as an offer's extension holds them.
    pub fn encode(&self) -> Vec<u8> {
        [&self.id[..], &self.secret].concat()
    }

    /// Reads the bytes of an extension.
    ///
    /// # Errors
    /// [`WireError::TooShort`] or [`WireError::TooLong`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut cursor = Cursor(bytes);
        let ticket = Self { id: cursor.array()?, secret: cursor.array()? };
        cursor.end()?;
        Ok(ticket)
    }
}

impl fmt::Debug for ResumeTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumeTicket(..)")
    }
}

impl SessionOffer {
    /// The offer's ticket, if it has a good one.
    pub fn resume_ticket(&self) -> Option<ResumeTicket> {
        let (_, bytes) = self.extensions.iter().find(|(kind, _)| *kind == EXTENSION_RESUME_TICKET)?;
        ResumeTicket::decode(bytes).ok()
    }
}

/// What a client asks with instead of a join token.
///
/// `0x01 · ticket id 16 · received u32 · proof 32` = 53 bytes
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumeRequest {
    /// Which ticket.
    pub id: ResumeId,
    /// Segments of the server's reliable stream that the client has, up to the end of the last whole message: the id of
    /// the first that it lacks.
    pub received: u32,
    /// That the client knows the ticket's secret, over [`ResumeBinder::proved`].
    pub proof: [u8; RESUME_PROOF_BYTES],
}

impl ResumeRequest {
    /// Whether a credential is a request and no join token.
    pub fn is_one(credential: &[u8]) -> bool {
        credential.first() == Some(&RESUME_REQUEST)
    }

    /// The request's bytes.
    pub fn encode(&self) -> Vec<u8> {
        [&[RESUME_REQUEST][..], &self.id, &self.received.to_le_bytes(), &self.proof].concat()
    }

    /// Reads a whole request.
    ///
    /// # Errors
    /// The first [`WireError`] that applies.
    pub fn decode(credential: &[u8]) -> Result<Self, WireError> {
        let mut cursor = Cursor(credential);
        cursor.expect_type(RESUME_REQUEST)?;
        let request = Self { id: cursor.array()?, received: cursor.u32()?, proof: cursor.array()? };
        cursor.end()?;
        Ok(request)
    }
}

/// What makes a handshake this one and no other, as both its ends know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResumeBinder {
    /// Of a native handshake.
    Native {
        /// The client's ephemeral key: the first 32 bytes of Noise message 1.
        ephemeral: [u8; 32],
        /// The client id of the Hello.
        client_id: ConnectionId,
    },
    /// Of a QUIC connection: what its TLS exporter gives.
    Quic([u8; 32]),
}

impl ResumeBinder {
    /// What is proved: label, carrier, binder, and the count of the request.
    pub fn proved(&self, received: u32) -> Vec<u8> {
        let received = received.to_le_bytes();
        match self {
            Self::Native { ephemeral, client_id } => {
                [&RESUME_LABEL[..], &[1], ephemeral, client_id, &received].concat()
            }
            Self::Quic(exported) => [&RESUME_LABEL[..], &[2], exported, &received].concat(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_and_requests_are_read_at_their_exact_length_only() {
        let ticket = ResumeTicket { id: [1; 16], secret: [2; 32] };
        let request = ResumeRequest { id: [1; 16], received: 3, proof: [4; 32] };
        assert_eq!(ResumeTicket::decode(&ticket.encode()), Ok(ticket.clone()));
        assert_eq!(ResumeRequest::decode(&request.encode()), Ok(request.clone()));
        assert_eq!(request.encode().len(), RESUME_REQUEST_BYTES);
        assert!(ResumeRequest::is_one(&request.encode()) && !ResumeRequest::is_one(b"eyJhbGciOi"));
        for cut in 0..RESUME_REQUEST_BYTES {
            assert!(ResumeRequest::decode(&request.encode()[..cut]).is_err(), "{cut}");
        }
        assert_eq!(ResumeRequest::decode(&[&request.encode()[..], b"x"].concat()), Err(WireError::TooLong));
        assert_eq!(ResumeTicket::decode(&[0; 47]), Err(WireError::TooShort));
        assert_eq!(ResumeTicket::decode(&[0; 49]), Err(WireError::TooLong));
        assert!(!format!("{ticket:?}").contains('2'), "a secret is never printed");
    }

    #[test]
    fn no_two_handshakes_prove_the_same() {
        let native =
            |ephemeral, client_id| ResumeBinder::Native { ephemeral: [ephemeral; 32], client_id: [client_id; 8] };
        let all = [
            native(1, 1).proved(0),
            native(2, 1).proved(0),
            native(1, 2).proved(0),
            native(1, 1).proved(1),
            ResumeBinder::Quic([1; 32]).proved(0),
        ];
        for (n, one) in all.iter().enumerate() {
            assert!(all[n + 1..].iter().all(|other| other != one), "{n}");
        }
    }
}
