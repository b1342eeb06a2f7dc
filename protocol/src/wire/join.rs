//! What a client asks over QUIC before its datagrams count: one request on one stream, one answer on the same.

use super::cursor::Cursor;
use super::{AcceptPayload, WireError};

/// The application protocol that TLS negotiates for packets over QUIC.
pub const QUIC_ALPN: &[u8] = b"muster/1";
/// Longest request, its length included.
pub const JOIN_REQUEST_BYTES_MAX: usize = 4_096;
/// Bytes of a QUIC datagram before its frames: sequence and acks. QUIC seals, and knows the session.
pub const QUIC_OVERHEAD_BYTES: usize = 4 + super::PLAIN_HEADER_BYTES;

/// Over QUIC, client to server, alone on the client's only bidirectional stream: who wants in.
///
/// `length u16 · version min u16 · version max u16 · schema hash u64 · credential`; the length counts what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRequest {
    /// Oldest version that the client speaks.
    pub version_min: u16,
    /// Newest version that the client speaks.
    pub version_max: u16,
    /// Hash of the client's schema.
    pub schema_hash: u64,
    /// What also is the payload of the first Noise message: the join token as text, or a
    /// [`ResumeRequest`](super::ResumeRequest).
    pub credential: Vec<u8>,
}

impl JoinRequest {
    /// The stream's bytes.
    ///
    /// # Panics
    /// When the credential does not fit [`JOIN_REQUEST_BYTES_MAX`]: the caller bounds it.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(12 + self.credential.len());
        body.extend_from_slice(&self.version_min.to_le_bytes());
        body.extend_from_slice(&self.version_max.to_le_bytes());
        body.extend_from_slice(&self.schema_hash.to_le_bytes());
        body.extend_from_slice(&self.credential);
        assert!(body.len() + 2 <= JOIN_REQUEST_BYTES_MAX, "a credential of {} bytes fits no request", body.len() - 12);
        counted(&body)
    }

    /// Reads the stream so far; `None` when more has to come.
    ///
    /// # Errors
    /// [`WireError::TooLong`] as soon as the length says so or anything follows the request; [`WireError::TooShort`]
    /// for one that ends before its fields.
    pub fn decode(stream: &[u8]) -> Result<Option<Self>, WireError> {
        let Some(body) = whole(stream, JOIN_REQUEST_BYTES_MAX)? else { return Ok(None) };
        let mut cursor = Cursor(body);
        Ok(Some(Self {
            version_min: cursor.u16()?,
            version_max: cursor.u16()?,
            schema_hash: cursor.u64()?,
            credential: cursor.0.to_vec(),
        }))
    }
}

/// The answer to a [`JoinRequest`] on its stream: `length u16 · accept payload`, the payload as in a native Accept.
pub fn encode_join_answer(payload: &[u8]) -> Vec<u8> {
    counted(payload)
}

/// Reads the answer so far; `None` when more has to come.
///
/// # Errors
/// As [`AcceptPayload::decode`]; [`WireError::TooLong`] when anything follows.
pub fn decode_join_answer(stream: &[u8]) -> Result<Option<AcceptPayload>, WireError> {
    whole(stream, JOIN_REQUEST_BYTES_MAX)?.map(AcceptPayload::decode).transpose()
}

fn counted(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u16).to_le_bytes()[..], body].concat()
}

fn whole(stream: &[u8], bytes_max: usize) -> Result<Option<&[u8]>, WireError> {
    let mut cursor = Cursor(stream);
    let Ok(length) = cursor.u16().map(usize::from) else { return Ok(None) };
    if length + 2 > bytes_max || cursor.0.len() > length {
        return Err(WireError::TooLong);
    }
    Ok((cursor.0.len() == length).then_some(cursor.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Refusal;

    #[test]
    fn a_request_is_read_when_it_is_whole_and_an_oversize_one_at_its_length() {
        let request = JoinRequest { version_min: 1, version_max: 2, schema_hash: 7, credential: b"token".to_vec() };
        let bytes = request.encode();
        for end in 0..bytes.len() {
            assert_eq!(JoinRequest::decode(&bytes[..end]), Ok(None), "{end} bytes");
        }
        assert_eq!(JoinRequest::decode(&bytes), Ok(Some(request)));
        assert_eq!(JoinRequest::decode(&[&bytes[..], b"x"].concat()), Err(WireError::TooLong));
        assert_eq!(JoinRequest::decode(&[0xFF, 0x0F]), Err(WireError::TooLong));
        assert_eq!(JoinRequest::decode(&[3, 0, 1, 0, 1]), Err(WireError::TooShort));
    }

    #[test]
    fn an_answer_is_a_counted_accept_payload() {
        let payload = AcceptPayload::Refused(Refusal::Busy);
        let bytes = encode_join_answer(&payload.encode());
        assert_eq!(bytes, [2, 0, 10, 0]);
        assert_eq!(decode_join_answer(&bytes[..3]), Ok(None));
        assert_eq!(decode_join_answer(&bytes), Ok(Some(payload)));
    }
}
