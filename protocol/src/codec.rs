//! The one place that knows bincode: reliable control messages and replay headers.
//!
//! bincode 2.0.1 is unmaintained (RUSTSEC-2025-0141), which is why nothing outside this file names it: replacing
//! it is a change of one file and of the golden vectors. The hot path (input, snapshots) has a bit codec of its own.
//!
//! Format: bincode 2 "standard": little-endian, variable-length integers.

pub use bincode::{Decode, Encode};

/// Longest message that is encoded or read, in bytes. Lengths inside a message are checked against it before
/// memory is reserved for them.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Why bytes are not the message they should be.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes do not form the expected message.
    #[error("malformed message: {0}")]
    Malformed(bincode::error::DecodeError),
    /// The message is complete, but bytes follow it.
    #[error("{0} bytes after the end of the message")]
    Trailing(usize),
}

/// The message's bytes.
///
/// # Panics
/// If the message is longer than [`MESSAGE_BYTES_MAX`]: only Muster's own bounded messages are encoded.
pub fn encode<T: Encode>(message: &T) -> Vec<u8> {
    let bytes = bincode::encode_to_vec(message, bincode::config::standard())
        .expect("encoding to memory fails only for types that Muster's messages do not use");
    assert!(bytes.len() <= MESSAGE_BYTES_MAX, "Muster's own messages are bounded below MESSAGE_BYTES_MAX");
    bytes
}

/// The message in these bytes, all of them.
///
/// # Errors
/// [`DecodeError`] when the bytes are malformed, too long, or more than one message. Never panics.
pub fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T, DecodeError> {
    let config = bincode::config::standard().with_limit::<MESSAGE_BYTES_MAX>();
    let (message, read) = bincode::decode_from_slice(bytes, config).map_err(DecodeError::Malformed)?;
    if read != bytes.len() {
        return Err(DecodeError::Trailing(bytes.len() - read));
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_bytes_and_hostile_lengths_are_refused() {
        let mut bytes = encode(&(7u32, vec![1u8, 2, 3]));
        assert_eq!(decode::<(u32, Vec<u8>)>(&bytes).expect("own bytes"), (7, vec![1, 2, 3]));
        bytes.push(0);
        assert!(matches!(decode::<(u32, Vec<u8>)>(&bytes), Err(DecodeError::Trailing(1))));
        // A length of 2^63 in 9 bytes must be refused before anything is reserved.
        let hostile = [7, 253, 0, 0, 0, 0, 0, 0, 0, 128];
        assert!(decode::<(u32, Vec<u8>)>(&hostile).is_err());
    }
}
