//! What travels inside a packet: frames, one after another until the end of the plaintext.
//!
//! ```text
//! 0x00 Padding        (one byte)
//! 0x01 Ping           (one byte) asks for an ack
//! 0x02 Unreliable     length u16 · payload
//! 0x03 Reliable       id u32 · length u16 · payload          last or only segment of a message
//! 0x04 ReliablePart   id u32 · length u16 · payload          the message goes on in segment id + 1
//! 0x05 Bulk           transfer u32 · chunk u16 · chunks u16 · length u16 · payload
//! 0x06 Close          reason u16
//! 0x07 PathChallenge  8 bytes
//! 0x08 PathResponse   8 bytes
//! 0x09 Transfer       reserved: to another server
//! 0x0a Resumed        next u32 · received u32            where the reliable streams go on
//! 0x20–0x2f           reserved for QUIC (token and accept on a stream)
//! ```

use super::cursor::Cursor;
use super::{CloseReason, FRAMES_BYTES_MAX, WireError};

/// Longest payload of an [`Frame::Unreliable`]: it fills a packet.
pub const UNRELIABLE_BYTES_MAX: usize = FRAMES_BYTES_MAX - 3;
/// Longest payload of one reliable segment.
pub const RELIABLE_SEGMENT_BYTES_MAX: usize = 1_024;
/// Length of every chunk of a bulk transfer but the last, which has 1 to 1,024 bytes (0 only when the transfer is empty).
pub const BULK_CHUNK_BYTES: usize = 1_024;
/// Longest bulk transfer.
pub const BULK_BYTES_MAX: usize = 1024 * 1024;
const BULK_CHUNKS_MAX: u16 = (BULK_BYTES_MAX / BULK_CHUNK_BYTES) as u16;

/// First bytes of frames.
pub mod frame_type {
    /// One byte of nothing.
    pub const PADDING: u8 = 0x00;
    /// Asks for an ack.
    pub const PING: u8 = 0x01;
    /// Unreliable payload.
    pub const UNRELIABLE: u8 = 0x02;
    /// Last or only segment of a reliable message.
    pub const RELIABLE: u8 = 0x03;
    /// Segment of a reliable message that goes on.
    pub const RELIABLE_PART: u8 = 0x04;
    /// Chunk of a bulk transfer.
    pub const BULK: u8 = 0x05;
    /// The session ends.
    pub const CLOSE: u8 = 0x06;
    /// Proof of address asked for.
    pub const PATH_CHALLENGE: u8 = 0x07;
    /// Proof of address given.
    pub const PATH_RESPONSE: u8 = 0x08;
    /// Reserved for the transfer to another server; malformed in version 1.
    pub const TRANSFER: u8 = 0x09;
    /// Where the reliable streams of a resumed session go on.
    pub const RESUMED: u8 = 0x0A;
    /// First of sixteen numbers reserved for QUIC; malformed in version 1.
    pub const QUIC_FIRST: u8 = 0x20;
}

/// One frame, borrowing its payload from the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Nothing; makes a packet longer.
    Padding,
    /// Nothing, but asks for an ack.
    Ping,
    /// Arrives at most once, in any order, or never.
    Unreliable(&'a [u8]),
    /// One segment of the ordered stream of reliable messages.
    Reliable {
        /// Number of the segment, from 0, without gaps.
        id: u32,
        /// Whether the message goes on in the next segment.
        more: bool,
        /// At most [`RELIABLE_SEGMENT_BYTES_MAX`].
        payload: &'a [u8],
    },
    /// One chunk of a bulk transfer, server to client only.
    Bulk {
        /// Number of the transfer, from 0; one after another.
        transfer: u32,
        /// Number of the chunk, below `chunks`.
        chunk: u16,
        /// Chunks of the transfer, 1 to 1,024.
        chunks: u16,
        /// Exactly [`BULK_CHUNK_BYTES`], less in the last chunk only.
        payload: &'a [u8],
    },
    /// The session ends.
    Close(CloseReason),
    /// Return these bytes in a [`Frame::PathResponse`].
    PathChallenge([u8; 8]),
    /// The bytes of a [`Frame::PathChallenge`].
    PathResponse([u8; 8]),
    /// Where the two streams of reliable messages go on after a resume; server to client, repeated until acknowledged.
    Resumed {
        /// Id of the first segment that the server sends.
        next: u32,
        /// Segments of the client's stream that the server has: the id of the first that it lacks.
        received: u32,
    },
}

impl Frame<'_> {
    /// Length of the encoded frame.
    pub fn len(&self) -> usize {
        match self {
            Self::Padding | Self::Ping => 1,
            Self::Unreliable(payload) => 3 + payload.len(),
            Self::Reliable { payload, .. } => 7 + payload.len(),
            Self::Bulk { payload, .. } => 11 + payload.len(),
            Self::Close(_) => 3,
            Self::PathChallenge(_) | Self::PathResponse(_) | Self::Resumed { .. } => 9,
        }
    }

    /// Never: every frame has a type byte.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Appends the frame's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Padding => out.push(frame_type::PADDING),
            Self::Ping => out.push(frame_type::PING),
            Self::Unreliable(payload) => {
                out.push(frame_type::UNRELIABLE);
                put_counted(out, payload);
            }
            Self::Reliable { id, more, payload } => {
                out.push(if more { frame_type::RELIABLE_PART } else { frame_type::RELIABLE });
                out.extend_from_slice(&id.to_le_bytes());
                put_counted(out, payload);
            }
            Self::Bulk { transfer, chunk, chunks, payload } => {
                out.push(frame_type::BULK);
                out.extend_from_slice(&transfer.to_le_bytes());
                out.extend_from_slice(&chunk.to_le_bytes());
                out.extend_from_slice(&chunks.to_le_bytes());
                put_counted(out, payload);
            }
            Self::Close(reason) => {
                out.push(frame_type::CLOSE);
                out.extend_from_slice(&(reason as u16).to_le_bytes());
            }
            Self::PathChallenge(bytes) => {
                out.push(frame_type::PATH_CHALLENGE);
                out.extend_from_slice(&bytes);
            }
            Self::PathResponse(bytes) => {
                out.push(frame_type::PATH_RESPONSE);
                out.extend_from_slice(&bytes);
            }
            Self::Resumed { next, received } => {
                out.push(frame_type::RESUMED);
                out.extend_from_slice(&next.to_le_bytes());
                out.extend_from_slice(&received.to_le_bytes());
            }
        }
    }
}

/// The frames of a plaintext, one by one. After an error the iterator ends.
pub struct Frames<'a>(Cursor<'a>);

impl<'a> Frames<'a> {
    /// Reads frames from what follows the acks.
    pub fn new(frames: &'a [u8]) -> Self {
        Self(Cursor(frames))
    }

    fn read(&mut self) -> Result<Frame<'a>, WireError> {
        let cursor = &mut self.0;
        let frame = match cursor.u8()? {
            frame_type::PADDING => Frame::Padding,
            frame_type::PING => Frame::Ping,
            frame_type::UNRELIABLE => Frame::Unreliable(cursor.counted()?),
            frame_type::RELIABLE => Frame::Reliable { id: cursor.u32()?, more: false, payload: cursor.counted()? },
            frame_type::RELIABLE_PART => Frame::Reliable { id: cursor.u32()?, more: true, payload: cursor.counted()? },
            frame_type::BULK => Frame::Bulk {
                transfer: cursor.u32()?,
                chunk: cursor.u16()?,
                chunks: cursor.u16()?,
                payload: cursor.counted()?,
            },
            frame_type::CLOSE => Frame::Close(CloseReason::from_code(cursor.u16()?).ok_or(WireError::Malformed)?),
            frame_type::PATH_CHALLENGE => Frame::PathChallenge(cursor.array()?),
            frame_type::PATH_RESPONSE => Frame::PathResponse(cursor.array()?),
            frame_type::RESUMED => Frame::Resumed { next: cursor.u32()?, received: cursor.u32()? },
            _ => return Err(WireError::Malformed),
        };
        if in_range(&frame) { Ok(frame) } else { Err(WireError::Malformed) }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.0.is_empty() {
            return None;
        }
        // Inside a packet that authenticates, a missing byte is as wrong as a wrong one.
        let frame = self.read().map_err(|_| WireError::Malformed);
        if frame.is_err() {
            self.0 = Cursor(&[]);
        }
        Some(frame)
    }
}

fn in_range(frame: &Frame<'_>) -> bool {
    match *frame {
        Frame::Reliable { payload, .. } => payload.len() <= RELIABLE_SEGMENT_BYTES_MAX,
        Frame::Bulk { chunk, chunks, payload, .. } => {
            let is_last = chunk.checked_add(1) == Some(chunks);
            let fits = if is_last {
                payload.len() <= BULK_CHUNK_BYTES && (chunks == 1 || !payload.is_empty())
            } else {
                payload.len() == BULK_CHUNK_BYTES
            };
            fits && chunk < chunks && chunks <= BULK_CHUNKS_MAX
        }
        _ => true,
    }
}

fn put_counted(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u16).to_le_bytes());
    out.extend_from_slice(payload);
}
