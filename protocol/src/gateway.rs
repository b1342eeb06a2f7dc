//! The realtime gateway's messages as bytes: envelopes, and the frames around them where the transport has none.
//!
//! Over TCP, a frame is four bytes of length, the most significant first, and so many bytes of [`GatewayEnvelope`]. A WebSocket
//! brings messages of its own, and needs no frames.

use prost::Message as _;

use crate::pb::GatewayEnvelope;
use crate::pb::gateway_envelope::Body;

/// Largest envelope from a client in bytes.
pub const FROM_CLIENT_BYTES_MAX: usize = 4 * 1_024;

/// Bytes of the length before each envelope.
const PREFIX_BYTES: usize = 4;

/// What a client sent is not allowed; the connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GatewayReadError {
    /// Longer than [`FROM_CLIENT_BYTES_MAX`].
    #[error("a message has at most 4 KiB")]
    TooLong,
    /// No envelope.
    #[error("this is not a GatewayEnvelope")]
    Malformed,
    /// An envelope with nothing in it that this version knows.
    #[error("the envelope has no body that this version knows")]
    Unknown,
}

/// Reads an envelope that a client sent: its correlation id and its body.
///
/// # Errors
/// [`GatewayReadError`].
pub fn read(bytes: &[u8]) -> Result<(u64, Body), GatewayReadError> {
    if bytes.len() > FROM_CLIENT_BYTES_MAX {
        return Err(GatewayReadError::TooLong);
    }
    let envelope = GatewayEnvelope::decode(bytes).map_err(|_| GatewayReadError::Malformed)?;
    let body = envelope.body.ok_or(GatewayReadError::Unknown)?;
    Ok((envelope.correlation_id, body))
}

/// An envelope's bytes with their length before them.
///
/// # Panics
/// If it has 4 GiB or more.
pub fn frame(envelope: &[u8]) -> Vec<u8> {
    let length = u32::try_from(envelope.len()).expect("no envelope has 4 GiB");
    let mut frame = Vec::with_capacity(PREFIX_BYTES + envelope.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(envelope);
    frame
}

/// Puts envelopes together from a stream of bytes that the network cuts as it likes. Idle, it holds no memory.
#[derive(Debug, Default)]
pub struct Frames(Vec<u8>);

impl Frames {
    /// Takes what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next whole envelope, once it is there. A length that is too much is refused before anything is kept for it.
    ///
    /// # Errors
    /// [`GatewayReadError::TooLong`]: nothing after it can be read.
    pub fn take(&mut self) -> Result<Option<Vec<u8>>, GatewayReadError> {
        let Some(prefix) = self.0.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let length = u32::from_be_bytes(*prefix) as usize;
        if length > FROM_CLIENT_BYTES_MAX {
            return Err(GatewayReadError::TooLong);
        }
        let Some(envelope) = self.0.get(PREFIX_BYTES..PREFIX_BYTES + length) else { return Ok(None) };
        let envelope = envelope.to_vec();
        self.0.drain(..PREFIX_BYTES + length);
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
        Ok(Some(envelope))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pb::GatewayPing;

    #[test]
    fn what_is_no_message_is_refused() {
        assert_eq!(read(&[]), Err(GatewayReadError::Unknown));
        assert_eq!(read(&[0xFF; 9]), Err(GatewayReadError::Malformed));
        assert_eq!(read(&vec![0; FROM_CLIENT_BYTES_MAX + 1]), Err(GatewayReadError::TooLong));
        let ping = GatewayEnvelope { correlation_id: 7, seq: 0, body: Some(Body::Ping(GatewayPing {})) };
        assert_eq!(read(&ping.encode_to_vec()), Ok((7, Body::Ping(GatewayPing {}))));
    }

    #[test]
    fn a_length_that_is_too_much_is_refused_at_once() {
        let first = |bytes: &[u8]| {
            let mut frames = Frames::default();
            frames.push(bytes);
            frames.take()
        };
        assert_eq!(first(&[0, 0, 16, 0]), Ok(None), "4 KiB are awaited");
        for wrong in [[0, 0, 16, 1], [0xFF; 4], *b"GET "] {
            assert_eq!(first(&wrong), Err(GatewayReadError::TooLong));
        }
    }

    proptest! {
        #[test]
        fn frames_arrive_as_they_were_sent_however_the_network_cuts_them(
            envelopes in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..8),
            cut in 1_usize..64,
        ) {
            let bytes: Vec<u8> = envelopes.iter().flat_map(|one| frame(one)).collect();
            let (mut frames, mut got) = (Frames::default(), Vec::new());
            for some in bytes.chunks(cut) {
                frames.push(some);
                while let Some(one) = frames.take().expect("short enough") {
                    got.push(one);
                }
            }
            prop_assert_eq!(got, envelopes);
            prop_assert_eq!(frames.0.capacity(), 0);
        }
    }
}
