//! The device id: a 128-bit secret that a client makes once and keeps. Whoever knows it is the account, so metagame
//! stores only its hash.

use sha2::{Digest as _, Sha256};

/// The SHA-256 of a device id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceHash(pub [u8; 32]);

/// A text that is not a device id. It does not repeat the text, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("device_id must be 32 hex digits: 128 random bits that the client makes once and keeps secret")]
pub struct DeviceIdError;

/// The hash of the device id `text`: 32 hex digits in either case.
///
/// # Errors
/// [`DeviceIdError`] if it is not, or if it has so few different digits that it cannot be random.
pub fn device_hash(text: &str) -> Result<DeviceHash, DeviceIdError> {
    let mut bytes = [0; 16];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| DeviceIdError)?;
    // "0000…" is a client that forgot to make its id; all such clients would share one account. 128 random bits
    // repeat one byte 16 times with a probability of 2^-120.
    if bytes.iter().all(|byte| *byte == bytes[0]) {
        return Err(DeviceIdError);
    }
    Ok(DeviceHash(Sha256::digest(bytes).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_128_bits_in_hex_are_a_device_id() {
        let good = device_hash("00112233445566778899aabbccddeeff").expect("a device id");
        assert_eq!(device_hash("00112233445566778899AABBCCDDEEFF"), Ok(good), "case is no difference");
        for bad in ["", "0011", "00112233445566778899aabbccddeefg", "00000000000000000000000000000000"] {
            assert_eq!(device_hash(bad), Err(DeviceIdError), "{bad}");
        }
        assert_eq!(device_hash("00112233445566778899aabbccddeeff00"), Err(DeviceIdError));
    }
}
