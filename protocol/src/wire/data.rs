//! 0x10, both ways: a packet under session keys.
//!
//! ```text
//! type 1 · connection id 8 · sequence u32          associated data (13 bytes)
//! ack u32 · ack bits u32 · ack delay u16 · frames  encrypted
//! tag 16
//! ```

use super::cursor::Cursor;
use super::{CONNECTION_ID_BYTES, ConnectionId, PACKET_BYTES_MAX, WireError, packet_type};

/// Length of the header, which is the AEAD's associated data.
pub const DATA_HEADER_BYTES: usize = 1 + CONNECTION_ID_BYTES + 4;
/// Length of the acks before the frames.
pub const PLAIN_HEADER_BYTES: usize = 4 + 4 + 2;
/// Length of the AES-256-GCM tag.
pub const TAG_BYTES: usize = 16;
/// Everything in a packet but its frames.
pub const DATA_OVERHEAD_BYTES: usize = DATA_HEADER_BYTES + PLAIN_HEADER_BYTES + TAG_BYTES;
/// Room for frames in one packet.
pub const FRAMES_BYTES_MAX: usize = PACKET_BYTES_MAX - DATA_OVERHEAD_BYTES;
/// Last sequence number of a session. Sequences begin at 1 and never repeat under a key; 0 acknowledges nothing.
pub const SEQUENCE_MAX: u32 = u32::MAX - 1;

/// The clear part of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataHeader {
    /// Towards the server: the session id of the Accept. Towards the client: its client id.
    pub connection_id: ConnectionId,
    /// Number of the packet in its direction, from 1.
    pub sequence: u32,
}

impl DataHeader {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; DATA_HEADER_BYTES] {
        let mut out = [0; DATA_HEADER_BYTES];
        out[0] = packet_type::DATA;
        out[1..9].copy_from_slice(&self.connection_id);
        out[9..].copy_from_slice(&self.sequence.to_le_bytes());
        out
    }

    /// Reads the header of a packet and returns it with the sealed rest.
    ///
    /// # Errors
    /// [`WireError::TooShort`] or [`WireError::TooLong`] by the packet's length, [`WireError::UnknownType`].
    pub fn decode(packet: &[u8]) -> Result<(Self, &[u8]), WireError> {
        let mut cursor = Cursor(packet);
        cursor.expect_type(packet_type::DATA)?;
        if packet.len() < DATA_OVERHEAD_BYTES {
            return Err(WireError::TooShort);
        }
        if packet.len() > PACKET_BYTES_MAX {
            return Err(WireError::TooLong);
        }
        let header = Self { connection_id: cursor.array()?, sequence: cursor.u32()? };
        Ok((header, cursor.0))
    }
}

/// The AEAD nonce of a sequence: 4 zero bytes, then the sequence as a little-endian `u64`.
pub fn nonce(sequence: u32) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&u64::from(sequence).to_le_bytes());
    nonce
}

/// What the sender of a packet has received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Acks {
    /// Newest sequence received; 0: none.
    pub newest: u32,
    /// Bit `i` (from the lowest): sequence `newest - 1 - i` was received too.
    pub bits: u32,
    /// How long before this packet was sent `newest` arrived, in units of 100 µs; saturates.
    pub delay_100us: u16,
}

impl Acks {
    /// The acks' bytes.
    pub fn encode(&self) -> [u8; PLAIN_HEADER_BYTES] {
        let mut out = [0; PLAIN_HEADER_BYTES];
        out[..4].copy_from_slice(&self.newest.to_le_bytes());
        out[4..8].copy_from_slice(&self.bits.to_le_bytes());
        out[8..].copy_from_slice(&self.delay_100us.to_le_bytes());
        out
    }

    /// Reads the acks of a decrypted packet and returns them with the frames.
    ///
    /// # Errors
    /// [`WireError::TooShort`].
    pub fn decode(plain: &[u8]) -> Result<(Self, &[u8]), WireError> {
        let mut cursor = Cursor(plain);
        let acks = Self { newest: cursor.u32()?, bits: cursor.u32()?, delay_100us: cursor.u16()? };
        Ok((acks, cursor.0))
    }

    /// The sequences acknowledged, newest first.
    pub fn sequences(self) -> impl Iterator<Item = u32> {
        let older = (0..32).filter(move |bit| self.bits >> bit & 1 == 1);
        let older = older.filter_map(move |bit| self.newest.checked_sub(bit + 1));
        std::iter::once(self.newest).chain(older).filter(|sequence| *sequence != 0)
    }
}
